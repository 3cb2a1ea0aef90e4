"""A person's own DNA: bound sequences in FASTA files, one file a factor.

    factors/CTCF.fa, factors/MYC.fasta          or one file, for one factor
    >peak_1
    ACGTTGCAAC…                                 letters A, C, G, T and N, in either case, on one line or more

What doesn't bind is made from what does: each sequence's letters are shuffled so that every pair of neighbours stays as frequent.
Sequences are cut to the same length around their middle; shorter ones are filled up with N.
"""

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler, TensorDataset

from datamodules.base import CLI_KEYS
from datamodules.dna_motifs import PeakLoader, with_shuffles
from datamodules.files import DataNotFoundError
from datamodules.formats.dna import encode, one_hot
from datamodules.module import DataModule
from datamodules.own import Own, check_shares, parts_of, read_text
from datamodules.place import device_of, share_of, training
from zoo.errors import InputError

SUFFIXES = (".fa", ".fasta", ".fna", ".txt")


class DnaFasta(Own, DataModule):
    """Bound sequences against their shuffles, a share of every factor held out.

    Args:
        root: a FASTA file, or a folder with one for each factor.
        batch_size: sequences per batch; as many shuffles come with them.
        length: letters of a sequence; by default the most frequent length, at most 1,000.
        val_share, test_share: shares of each factor that validate and test.
        seed: of the order and of the training shuffles, never of the split.
    """

    offers: ClassVar[tuple[str, ...]] = ("dna",)
    name = "dna-fasta"
    counted: ClassVar[str] = "sequences"
    dwell: ClassVar[None] = None

    def __init__(
        self,
        root: str,
        batch_size: int = 64,
        *,
        length: int | None = None,
        val_share: float = 0.15,
        test_share: float = 0.15,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=CLI_KEYS)
        self.hparams.update(root=str(root))
        check_shares(val_share, test_share)
        for name, value in (("batch_size", batch_size), ("length", length)):
            if value is not None and value < 1:
                raise InputError(f"{name} is {value}; it must be at least 1")
        self.root, self.batch_size, self.seed = str(root), batch_size, seed
        files = self._files(Path(root).expanduser())
        read = {path.stem: read_fasta(path) for path in files}
        if few := [name for name, rows in read.items() if len(rows) < 3]:
            raise InputError(f"{few[0]} of {str(root)!r} holds {len(read[few[0]])} sequences: it takes three")
        lengths = [len(codes) for rows in read.values() for codes in rows]
        self.length = length or min(1000, max(set(lengths), key=lengths.count))
        if changed := sum(n != self.length for n in lengths):
            self.notes.append(f"{changed} of {len(lengths)} sequences are cut or filled up to {self.length} letters")
        self.classes = tuple(read)
        self._parts: dict[str, tuple[Tensor, Tensor]] = {}
        rows: dict[str, list[tuple[Tensor, Tensor]]] = {"train": [], "val": [], "test": []}
        for factor, sequences in enumerate(read.values()):
            codes = torch.stack([fit(one, self.length) for one in sequences])
            for part, index in parts_of(len(codes), val_share, test_share).items():
                rows[part].append((codes[index], torch.full((len(index),), factor)))
        for part, found in rows.items():
            codes, factors = (torch.cat(column) for column in zip(*found, strict=True))
            self._parts[part] = codes, factors

    def _files(self, root: Path) -> list[Path]:
        if root.is_file():
            return [root]
        if not root.is_dir():
            raise DataNotFoundError(f"there is no file or folder {str(root)!r}: name FASTA files")
        found = sorted(path for path in root.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
        if not found:
            raise DataNotFoundError(f"the folder {str(root)!r} holds no FASTA file ({', '.join(SUFFIXES)})")
        return found

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    def sizes(self) -> dict[str, int]:
        return {part: len(codes) for part, (codes, _) in self._parts.items()}

    def labelled(self, name: str, factor: int) -> tuple[Tensor, Tensor]:
        """Codes and labels of one factor; every sequence comes with one shuffle that is always the same."""
        codes, factors = self._parts[name]
        return with_shuffles(codes[factors == factor])

    def train_dataloader(self) -> PeakLoader:
        codes, factor = self._parts["train"]
        device = device_of(self)
        share = share_of(self)
        size = max(1, min(self.batch_size, len(codes) // share["world_size"]))
        return training(self, PeakLoader(codes.to(device), factor.to(device), size, seed=self.seed, **share))

    def val_dataloader(self) -> DataLoader | list:
        return self._loader("val") if len(self._parts["val"][0]) else []

    def test_dataloader(self) -> DataLoader:
        return self._loader("test")

    def _loader(self, name: str) -> DataLoader[Any]:
        codes, factor = self._parts[name]
        both, label = with_shuffles(codes)
        rows = TensorDataset(one_hot(both), torch.cat([factor, factor]), label, torch.ones(len(both)))
        return DataLoader(rows, batch_size=None, sampler=BatchSampler(SequentialSampler(rows), 500, drop_last=False))


def read_fasta(path: Path) -> list[Tensor]:
    """Codes [L] of each sequence of a FASTA file.

    Raises:
        InputError: for a file without ">" lines, an empty sequence, or a letter that is none of DNA, with its place.
    """
    found: list[tuple[str, list[str]]] = []
    for line in read_text(path).splitlines():
        if line.startswith(">"):
            found.append((line[1:].strip() or f"sequence {len(found) + 1}", []))
        elif line.strip():
            if not found:
                raise InputError(f"{path} is no FASTA file: its first line should begin with '>', not {line[:30]!r}")
            found[-1][1].append(line.strip())
    if empty := [name for name, lines in found if not lines]:
        raise InputError(f"{path} has no letters under {empty[0]!r}")
    return [encode("".join(lines), f"{name} of {path.name}") for name, lines in found]


def fit(codes: Tensor, length: int) -> Tensor:
    """Codes cut to a length around their middle, or filled up with the code of N on both sides."""
    if len(codes) >= length:
        start = (len(codes) - length) // 2
        return codes[start : start + length]
    left = (length - len(codes)) // 2
    return torch.nn.functional.pad(codes, (left, length - len(codes) - left), value=4)
