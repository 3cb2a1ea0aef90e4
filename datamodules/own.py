"""What the data modules of a person's own tables, texts and lists share: reading with one-sentence errors, and splitting.

A module of this kind is named by its files' format (`text-csv`, `graph-csv`, …), takes the file or folder as `root`, holds a
share out for validation and testing that is the same every time, and says in `notes` what it noticed: missing values, new
characters, lines that it left out. `datamodules.examples` writes a small example of every kind.
"""

import csv
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from datamodules.base import fixed_permutation
from datamodules.files import DataNotFoundError
from datamodules.image_folder import hold_out
from zoo.errors import InputError

DELIMITERS = {".tsv": "\t", ".tab": "\t"}


class Own:
    """Facts of every person's own data: mixed into a data module.

    Attributes:
        own: models are measured on it by `measure`, not by the protocol of a published data set.
        counted: what it counts, in the plural.
        notes: lines to print before training.
    """

    own: ClassVar[bool] = True
    counted: ClassVar[str] = "examples"
    licence: ClassVar[str] = "the owner's"
    licence_note: ClassVar[str] = "Whoever owns the data says what may be done with it and with what was trained on it."
    homepage: ClassVar[str] = ""

    @property
    def notes(self) -> list[str]:
        if not hasattr(self, "_notes"):
            self._notes: list[str] = []
        return self._notes


def check_shares(val_share: float, test_share: float) -> None:
    """Raises InputError unless both shares are numbers that leave something to train on."""
    for name, value in (("val_share", val_share), ("test_share", test_share)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
            raise InputError(f"{name} is {value!r}; it must lie in 0..1")
    if val_share + test_share >= 1:
        raise InputError(f"val_share {val_share} and test_share {test_share} must leave something to train on")


def parts_of(n: int, val_share: float, test_share: float, labels: Tensor | None = None) -> dict[str, Tensor]:
    """Indices of "train", "val" and "test" among n examples, by class where there are labels; the same every time."""
    shares = {"val": val_share, "test": test_share}
    if labels is not None:
        return hold_out(labels, shares)
    order, parts, start = fixed_permutation(n), {}, 0
    for part, share in shares.items():
        size = min(max(round(share * n), 1 if share and n >= 3 else 0), n - 1 - start)
        parts[part] = order[start : start + size].sort().values
        start += size
    return {"train": order[start:].sort().values, **parts}


def own_file(root: str | Path, suffixes: Sequence[str], what: str) -> Path:
    """The file itself, or the only file with such a suffix in a folder.

    Raises:
        DataNotFoundError: if there is none.
        InputError: if a folder holds several.
    """
    path = Path(root).expanduser()
    if path.is_dir():
        found = [file for file in sorted(path.iterdir()) if file.suffix.lower() in suffixes and file.is_file()]
        if not found:
            kind = what.removeprefix("a ")
            raise DataNotFoundError(f"the folder {str(root)!r} holds no {kind} ({', '.join(suffixes)}): name the file")
        if len(found) > 1:
            names = ", ".join(file.name for file in found[:5])
            raise InputError(f"the folder {str(root)!r} holds several files ({names}): name one of them")
        return found[0]
    if not path.is_file():
        raise DataNotFoundError(f"there is no file {str(root)!r}: name {what}")
    return path


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, without a mark at its beginning, with one sign for a letter and its accent, one for a line's end.

    Raises:
        InputError: for a file that can't be read, holds other bytes, or nothing.
    """
    try:
        text = unicodedata.normalize("NFC", path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path} isn't UTF-8 text ({error.reason} at byte {error.start})") from None
    if "\0" in text:
        raise InputError(f"{path} isn't text: it holds the character 0 at position {text.index(chr(0))}")
    if not text.strip():
        raise InputError(f"{path} is empty: there is nothing to learn from it")
    return text


def read_rows(path: Path) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a table: comma- or semicolon-separated, or tab-separated (.tsv), all rows as long as the header.

    Raises:
        InputError: for a table without rows, a column without a name or with a name twice, or a row of another length.
    """
    text = read_text(path)
    first = text.splitlines()[0]
    delimiter = DELIMITERS.get(path.suffix.lower()) or max(",;\t", key=first.count)
    try:
        rows = [row for row in csv.reader(text.splitlines(), delimiter=delimiter) if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise InputError(f"{path} is no table of that form: {error}") from None
    if len(rows) < 2:
        raise InputError(f"{path} has no rows under its header")
    header = [cell.strip() for cell in rows[0]]
    if len(set(header)) < len(header) or not all(header):
        raise InputError(f"the header of {path} must name every column, each once, not {', '.join(header)}")
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(header):
            raise InputError(f"row {number} of {path} has {len(row)} cells, the header has {len(header)}")
    return header, [[cell.strip() for cell in row] for row in rows[1:]]


def column(header: Sequence[str], wanted: str | None, known: Sequence[str], what: str, path: Path) -> int:
    """The number of a column: the wanted one, or the first whose name is among the known ones.

    Raises:
        InputError: if there is none, with the columns that there are.
    """
    lower = [name.lower() for name in header]
    for name in [wanted] if wanted is not None else known:
        if name in header or name.lower() in lower:
            return list(header).index(name) if name in header else lower.index(name.lower())
    named = f"a column {wanted!r}" if wanted is not None else f"a column for the {what} ({' or '.join(known)})"
    raise InputError(f"{path} has no {named[2:]}: it has {', '.join(header)}; name one by {what}=…")


def number(cell: str) -> float | None:
    """The number in a cell, or None where there is none."""
    try:
        value = float(cell.replace(",", ".")) if cell.count(",") == 1 and "." not in cell else float(cell)
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None


MISSING = {"", "na", "n/a", "nan", "null", "none", "?", "-"}


def is_missing(cell: str) -> bool:
    return cell.lower() in MISSING


def encode_columns(
    names: Sequence[str], rows: Sequence[Sequence[str]], train: Tensor, most: int = 50
) -> tuple[Tensor, list[str], list[str]]:
    """Numbers [N, D] of the columns of a table, their names, and notes on what was done to them.

    A column of numbers is one of the result; where a value is missing it takes the mean of the training rows, and a further
    column says that it was. A column of words becomes one column for each word of the training rows, 1 where it stands; a word
    that only the others have is none of them.

    Raises:
        InputError: for a column of words with more than `most` of them, or for no column at all.
    """
    columns: list[Tensor] = []
    titles: list[str] = []
    notes: list[str] = []
    trained = train.tolist()
    for place, name in enumerate(names):
        cells = [row[place] for row in rows]
        values = [None if is_missing(cell) else number(cell) for cell in cells]
        absent = [is_missing(cell) for cell in cells]
        if all(value is not None or gone for value, gone in zip(values, absent, strict=True)) and not all(absent):
            known = [v for i in trained if (v := values[i]) is not None] or [v for v in values if v is not None]
            mean = sum(known) / len(known)
            columns.append(torch.tensor([mean if value is None else value for value in values]))
            titles.append(name)
            if any(absent):
                columns.append(torch.tensor([float(gone) for gone in absent]))
                titles.append(f"{name} is missing")
                notes.append(f"{name}: {sum(absent)} of {len(cells)} values are missing and take the mean {mean:.4g}")
            continue
        words = sorted({cells[i] for i in trained if not absent[i]})
        if len(words) > most:
            raise InputError(
                f"the column {name} has {len(words)} different words: it can't be a category; leave it out of the table"
            )
        columns += [torch.tensor([float(cell == word) for cell in cells]) for word in words]
        titles += [f"{name} = {word}" for word in words]
        notes.append(f"{name}: {len(words)} categories ({', '.join(words[:6])}{', …' if len(words) > 6 else ''})")
    if not columns:
        raise InputError("the table has no column to learn from beside its target")
    return torch.stack(columns, 1), titles, notes


def name_classes(labels: Sequence[str], what: str) -> tuple[list[str], Tensor]:
    """The classes that occur, sorted (numbers by their size), and the number of each label's class.

    Raises:
        InputError: for fewer than two classes.
    """
    found = sorted(set(labels))
    if all(number(label) is not None for label in found):
        found.sort(key=lambda label: number(label) or 0.0)
    if len(found) < 2:
        raise InputError(f"{what} has the one class {found[0] if found else 'none'!r}: it takes two to tell apart")
    index = {label: i for i, label in enumerate(found)}
    return found, torch.tensor([index[label] for label in labels])
