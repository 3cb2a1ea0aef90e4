"""A person's own texts with a class each: a table with the columns text and label.

    text,label                      .csv (comma or semicolon) or .tsv; the columns may have other names and stand anywhere
    "A lovely film.",positive       text=… and label=… name them

Words or characters that a model's vocabulary lacks are put behind it where they come up twice in the training part.
"""

from collections import Counter
from typing import ClassVar

import torch

from datamodules.base import CLI_KEYS
from datamodules.formats.words import Unit, split
from datamodules.labelled_text import Example, LabelledText, LengthSorted
from datamodules.own import Own, check_shares, column, name_classes, own_file, parts_of, read_rows
from zoo.errors import InputError

TEXT, LABEL = ("text", "sentence", "review", "content"), ("label", "class", "category", "target")
NEW = 20_000  # pieces that a vocabulary grows by at most


class TextCSV(Own, LabelledText):
    """Texts with a class each, a share of every class held out.

    Args:
        root: the table.
        batch_size: texts per batch.
        text, label: names of the columns; by default text or sentence, and label or class.
        unit: whether the model reads a "word" or a "character" at a time.
        vocabulary: the pieces that the model knows; None for those of the training part.
        val_share, test_share: shares of each class that validate and test.
        seed: of the order of the batches, never of the split.
    """

    name = "text-csv"
    counted: ClassVar[str] = "texts"

    def __init__(
        self,
        root: str,
        batch_size: int = 32,
        *,
        text: str | None = None,
        label: str | None = None,
        unit: Unit = "word",
        vocabulary: list[str] | None = None,
        val_share: float = 0.15,
        test_share: float = 0.15,
        seed: int = 0,
    ) -> None:
        super().__init__(batch_size, seed=seed, root=str(root))
        self.save_hyperparameters(ignore=CLI_KEYS)
        self.hparams.update(root=str(root))
        check_shares(val_share, test_share)
        if unit not in ("word", "character"):
            raise InputError(f"unit is 'word' or 'character', not {unit!r}")
        path = own_file(root, (".csv", ".tsv"), "a table of texts")
        header, rows = read_rows(path)
        where, what = column(header, text, TEXT, "text", path), column(header, label, LABEL, "label", path)
        kept = [row for row in rows if row[where] and row[what]]
        if len(kept) < len(rows):
            self.notes.append(f"{len(rows) - len(kept)} of {len(rows)} rows have no text or no label and are left out")
        classes, labels = name_classes([row[what] for row in kept], f"the column {header[what]} of {path}")
        if len(classes) > len(kept) // 2:
            raise InputError(
                f"the column {header[what]} of {path} has {len(classes)} classes for {len(kept)} texts: name the column of "
                "the labels by label=…"
            )
        self.classes, self.unit, self.known = classes, unit, vocabulary
        found: list[Example] = [(row[where], int(y)) for row, y in zip(kept, labels, strict=True)]
        parts = parts_of(len(found), val_share, test_share, labels)
        self._texts = {part: [found[i] for i in index.tolist()] for part, index in parts.items()}

    def setup(self, stage: str | None = None) -> None:
        """Nothing: the table is read when it is named."""

    def sizes(self) -> dict[str, int]:
        return {part: len(rows) for part, rows in self._texts.items()}

    @property
    def vocabulary(self) -> list[str]:
        """The given vocabulary, and behind it the pieces of the training part that it lacks."""
        if not self._vocabulary:
            counts = Counter(piece for text, _ in self.texts("train") for piece in split(text, self.unit))
            known = list(self.known or [])
            seen, least = set(known), 2 if known else 1
            new = [piece for piece in counts if piece not in seen and counts[piece] >= least]
            self._vocabulary = known + sorted(new, key=lambda piece: (-counts[piece], piece))[:NEW]
        return self._vocabulary

    def val_dataloader(self) -> LengthSorted | list:
        return self._loader("val") if self._texts["val"] else []

    def labels(self, part: str) -> torch.Tensor:
        """Class numbers [N] of a part."""
        return torch.tensor([label for _, label in self.texts(part)])
