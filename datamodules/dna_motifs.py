"""Where seven transcription factors bind: peaks of ENCODE's ChIP-seq, 101 letters of DNA each.

The files are those that DeepBind (Alipanahi et al., 2015) was trained by. `…_AC.seq` holds the training peaks of a factor and
nothing else; `…_B.seq` holds 500 peaks and 500 sequences that don't bind, made by its authors: peaks whose letters were shuffled
so that every pair of neighbours is as frequent as before. What doesn't bind is made in the same way here: in training each peak
is shuffled anew whenever it comes up, in validation (a tenth of the peaks, always the same ones) once for ever.

A sequence has the label of one factor: whether the other six bind there wasn't measured, so their answers don't count. Peaks of
two factors may overlap: training and validation peaks that share 30 letters in a row with a test peak of any factor are left out.

Both files are in order of strength, and every second of the thousand strongest peaks is a test peak. Weak peaks have a site of
their own less often: with `dwell` they weigh less in training.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler, TensorDataset

from datamodules.base import CLI_KEYS, fixed_permutation, key
from datamodules.files import DataNotFoundError, check, data_root, read_text
from datamodules.formats.dna import encode, one_hot, share_words, shuffle_pairs
from datamodules.module import DataModule
from datamodules.place import device_of, share_of, training
from datamodules.resumable import ResumableLoader
from zoo.errors import InputError

FILES = {  # of factor: stem of its files, training peaks
    "ARID3A": ("ARID3A_K562_ARID3A_(sc-8821)_Stanford", 8526),
    "CTCFL": ("CTCFL_K562_CTCFL_(SC-98982)_HudsonAlpha", 11033),
    "ELK1": ("ELK1_GM12878_ELK1_(1277-1)_Stanford", 5084),
    "GABPA": ("GABPA_GM12878_GABP_HudsonAlpha", 6066),
    "MYC": ("MYC_H1-hESC_c-Myc_Stanford", 4051),
    "REST": ("REST_GM12878_NRSF_HudsonAlpha", 6406),
    "ZBTB7A": ("ZBTB7A_HepG2_ZBTB7A_(SC-34508)_HudsonAlpha", 8689),
}
TESTED = 1000
FAINT = 0.1  # what the weakest peaks weigh, if the strongest weigh 1, however much training dwells on those
Part = tuple[Tensor, Tensor, Tensor]  # codes uint8 [N, L], factor int64 [N], label float32 [N]
Batch = tuple[Tensor, Tensor, Tensor, Tensor]  # one-hot [2 N, 4, L], factor int64, label and weight float32 [2 N]


class PeakLoader(ResumableLoader):
    """Batches of peaks, each followed by as many shuffles of them; a pure function of (seed, epoch, rank, batch).

    Args:
        weight: of each peak and its shuffle in the loss, [N]; None for 1.
        rank, world_size: this process's place; every rank gets its own equal share of the same order.
    """

    def __init__(
        self,
        codes: Tensor,
        factor: Tensor,
        batch_size: int,
        *,
        weight: Tensor | None = None,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.codes, self.factor, self.batch_size = codes, factor, batch_size
        self.weight = torch.ones(len(codes), device=codes.device) if weight is None else weight
        self.seed, self.rank, self.world_size = seed, rank, world_size

    def __len__(self) -> int:
        return max(1, len(self.codes) // self.world_size // self.batch_size)  # a last, smaller batch is dropped

    def __iter__(self) -> Iterator[Batch]:
        epoch = self.epoch
        order = torch.randperm(len(self.codes), generator=torch.Generator().manual_seed(key(self.seed, epoch)))
        mine = order[self.rank :: self.world_size].to(self.codes.device)
        for batch in self.remaining():
            index = mine[batch * self.batch_size : (batch + 1) * self.batch_size]
            generator = torch.Generator(self.codes.device).manual_seed(key(self.seed, epoch, self.rank, batch))
            peaks, factor, weight = self.codes[index], self.factor[index], self.weight[index]
            label = torch.ones(len(index), device=peaks.device)
            codes = torch.cat([peaks, shuffle_pairs(peaks, generator)])
            yield (
                one_hot(codes),
                torch.cat([factor, factor]),
                torch.cat([label, 0 * label]),
                torch.cat([weight, weight]),
            )


class TFBS(DataModule):
    """Transcription factor binding sites against their shuffles.

    Args:
        batch_size: peaks per batch and process; as many shuffles come with them.
        dwell: on how many of a factor's peaks, the strongest first, training dwells: the peak of rank r weighs
            0.1 + 0.9 exp(-r / dwell) in the loss, over the mean of all. None for all alike, as in validation.
        seed: of the order and of the training shuffles, never of the split.
        root: folder of the raw files; default `$ZOO_DATA`, else the user's cache folder.

    Shapes:
        batches: float32 [2 * batch_size, 4, 101], factor int64 [2 * batch_size], label and weight float32 [2 * batch_size].
    """

    use: ClassVar[str] = (
        'print(model.predict("acttccggttacgtcagcggaagtgacgtcaccgnnnacgt"))  # [(factor, probability), …]'
    )

    name = "tfbs"
    offers: ClassVar[tuple[str, ...]] = ("dna",)
    classes = tuple(FILES)
    length: ClassVar[int] = 101
    licence: ClassVar[str] = "none stated"
    licence_note: ClassVar[str] = "ENCODE's data are free to use; the repository that prepared them names no licence."
    homepage: ClassVar[str] = "https://github.com/jisraeli/DeepBind"

    def __init__(
        self, batch_size: int = 128, *, dwell: float | None = None, seed: int = 0, root: str | None = None
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=CLI_KEYS)
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}; it must be at least 1.")
        if dwell is not None and not dwell > 0:
            raise InputError(f"dwell is {dwell}; it must be a number of peaks above 0, or None for all alike.")
        self.batch_size, self.dwell, self.seed, self.root = batch_size, dwell, seed, root
        self._parts: dict[str, Part] = {}
        self._weight = torch.empty(0)

    def prepare_data(self) -> None:
        for factor in FILES:
            for part in ("AC", "B"):
                self._path(factor, part)

    def part(self, name: str) -> Part:
        """Codes, factors and labels of "train" (peaks alone), "val" or "test"."""
        if name not in ("train", "val", "test"):
            raise InputError(f"part is {name!r}; it can be 'train', 'val' or 'test'.")
        if not self._parts:
            tested = torch.cat([self._read(factor, "B")[0] for factor in FILES])
            rows: dict[str, list[Part]] = {"train": [], "val": [], "test": []}
            weights = []
            for number, factor in enumerate(FILES):
                codes, label = self._read(factor, "AC")
                order = fixed_permutation(len(codes))
                order = order[~share_words(codes, tested)[order]]
                held_out = len(codes) // 10
                val, train = order[:held_out].sort().values, order[held_out:].sort().values
                weights.append(self._weigh(train))
                found = {"train": (codes[train], label[train]), "val": with_shuffles(codes[val])}
                for split, (x, y) in (found | {"test": self._read(factor, "B")}).items():
                    rows[split].append((x, torch.full((len(x),), number), y))
            self._weight = torch.cat(weights) / torch.cat(weights).mean()
            for split, parts in rows.items():
                codes, factor_number, label = (torch.cat(column) for column in zip(*parts, strict=True))
                self._parts[split] = codes, factor_number, label
        return self._parts[name]

    def _weigh(self, place: Tensor) -> Tensor:
        """What the peaks at these lines of a factor's training file weigh, [N]."""
        strongest = TESTED // 2  # of the first thousand ranks every second is in the file
        rank = torch.where(place < strongest, 2 * place, place + strongest)
        return FAINT + (1 - FAINT) * (-rank / self.dwell).exp() if self.dwell else torch.ones(len(place))

    def labelled(self, name: str, factor: int) -> tuple[Tensor, Tensor]:
        """Codes and labels of one factor; every training peak comes with one shuffle that is always the same."""
        codes, factors, label = self.part(name)
        codes, label = codes[factors == factor], label[factors == factor]
        return with_shuffles(codes) if name == "train" else (codes, label)

    def weights(self, factor: int) -> Tensor:
        """What the sequences of `labelled("train", factor)` weigh, over their mean, [N]."""
        _, factors, _ = self.part("train")
        weight = self._weight[factors == factor]
        return torch.cat([weight, weight]) / weight.mean()

    def train_dataloader(self) -> PeakLoader:
        codes, factor, _ = self.part("train")
        device = device_of(self)
        loader = PeakLoader(
            codes.to(device),
            factor.to(device),
            self.batch_size,
            weight=self._weight.to(device),
            seed=self.seed,
            **share_of(self),
        )
        return training(self, loader)

    def val_dataloader(self) -> DataLoader:
        return self._loader("val")

    def test_dataloader(self) -> DataLoader:
        return self._loader("test")

    def _loader(self, name: str) -> DataLoader:
        codes, factor, label = self.part(name)
        rows = TensorDataset(one_hot(codes), factor, label, torch.ones(len(codes)))
        # a batch is one look-up: its sampler draws whole batches of indices
        return DataLoader(rows, batch_size=None, sampler=BatchSampler(SequentialSampler(rows), 500, drop_last=False))

    def _read(self, factor: str, part: str) -> tuple[Tensor, Tensor]:
        """Codes and labels of one file."""
        codes, label = read(self._path(factor, part))
        wanted, bound = (TESTED, TESTED // 2) if part == "B" else (FILES[factor][1],) * 2
        if codes.shape != (wanted, self.length) or int(label.sum()) != bound:
            found = f"{len(codes)} sequences of {codes.shape[1]} letters, {int(label.sum())} of them bound"
            raise InputError(f"{self._path(factor, part)} holds {found}, not {wanted} with {bound}: unpack it again.")
        return codes, label

    def _path(self, factor: str, part: str) -> Path:
        folder = data_root(self.root) / "dna_motifs" / "encode_chipseq"
        stem = FILES[factor][0]
        for path in (folder / f"{stem}_{part}.seq", folder / f"{stem}_{part}.seq.gz"):
            if path.is_file():
                return check(path, root=self.root)
        raise DataNotFoundError(
            f"{stem}_{part}.seq.gz isn't at {folder}: put the files of the folder data/encode of {self.homepage} there, "
            "packed or unpacked."
        )


def read(path: Path) -> tuple[Tensor, Tensor]:
    """Codes uint8 [N, L] and labels float32 [N] of a file with the columns FoldID, EventID, seq and Bound.

    Raises:
        InputError: for a line of another form or length, with its number.
    """
    lines = read_text(path, most=2**26, encoding="ascii").splitlines()
    sequences: list[str] = []
    labels: list[float] = []
    for number, row in enumerate(csv.reader(lines[1:], delimiter="\t"), 2):
        if len(row) != 4 or row[3] not in ("0", "1") or (sequences and len(row[2]) != len(sequences[0])):
            raise InputError(f"line {number} of {path.name} should be fold, event, sequence and 0 or 1, not {row}.")
        sequences.append(row[2])
        labels.append(float(row[3]))
    if not labels:
        raise InputError(f"{path} holds no sequence: unpack it again.")
    codes = encode("".join(sequences), f"the sequences of {path.name}, one after the other,")
    return codes.reshape(len(labels), -1), torch.tensor(labels)


def with_shuffles(peaks: Tensor) -> tuple[Tensor, Tensor]:
    """Peaks [N, L] and after them one shuffle of each, always the same; labels [2 N]."""
    shuffled = shuffle_pairs(peaks, torch.Generator().manual_seed(0))
    return torch.cat([peaks, shuffled]), torch.cat([torch.ones(len(peaks)), torch.zeros(len(peaks))])
