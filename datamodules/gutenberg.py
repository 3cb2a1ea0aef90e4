"""Nine English novels of Project Gutenberg as words, 2.6 million of them, for skip-gram pairs (Mikolov et al., 2013).

The first 95 % of each novel train, the last 5 % are held out. An epoch goes over all training words once:

* a word of frequency f is skipped with the probability 1 − √(t / f), so that "the" doesn't fill the pairs;
* each word that is left is paired with its neighbours up to a distance that is drawn afresh, from 1 to `window`.

A batch is (centres, contexts), int64 [B] each; all pairs of an epoch are made at once, by tensor operations on the device.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from datamodules.base import CLI_KEYS, key
from datamodules.files import fetch, sha256_of
from datamodules.formats.words import split
from datamodules.module import DataModule
from datamodules.place import device_of, share_of, training
from datamodules.resumable import ResumableLoader
from zoo.errors import InputError

FILES = {
    "Anna-Karenina_1399.txt": "d04b71633d93fc804b182a70ee4a56dde251993d2f036525be31cebe945babb7",
    "Bleak-House_1023.txt": "4afb56eccf68ecdf7bae5878de651277c115da48d811da346297e0fbaa182435",
    "David-Copperfield_766.txt": "00b7724166fa3363ed71d59c2c95522cec2df18d0e278e8bfab3a6c112fe83bb",
    "Great-Expectations_1400.txt": "2fbd1d4e2b98d8eb7a16adadbcfdf999b27bf6499a972d236a37d3af538277c3",
    "Jane-Eyre_1260.txt": "1f283989f551718b76dcfdc1ecd6df2d3051fd8ae8be8afd6b9098cca8acb75e",
    "Middlemarch_145.txt": "3d847bc5d5ed4305eb2176b68c46af70e12b6a5748c5693918d472ea31b59813",
    "Moby-Dick--Or-The-Whale_2701.txt": "dcac694371fdeb859436f3e6babc926ca8d3e0dd9f8d3f36bda12271b56e288c",
    "Pride-and-Prejudice_1342.txt": "a004c764ba63ee337f7b7f6a7d58e2d8f8e216f2d94b4764c333ea443c316548",
    "War-and-Peace_2600.txt": "ac586f72605194107d9180a45f301fd038fc4b4a6464e9479d9111294d32f4cc",
}
PLAIN = str.maketrans({"’": "'", "_": " ", "—": " — ", "–": " – "})  # as `split` knows them
RARE = -1  # a word that isn't in the vocabulary: no pair has it


class SkipGrams(ResumableLoader):
    """Batches of (centre, context) pairs; whatever is random is a pure function of (seed, epoch).

    Args:
        tokens: the text, int64 [N], with RARE where a word isn't known.
        keep: the probability that an occurrence of each word stays, [vocabulary].
        batches: batches of an epoch; what doesn't fill them is left out.
    """

    def __init__(
        self,
        tokens: Tensor,
        keep: Tensor,
        batch_size: int,
        window: int,
        *,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        device: torch.device | str = "cpu",
    ) -> None:
        for name, value in (("batch_size", batch_size), ("window", window)):
            if value < 1:
                raise InputError(f"{name} is {value}; it must be at least 1.")
        self.tokens, self.keep, self.batch_size, self.window = tokens, keep, batch_size, window
        self.seed, self.rank, self.world_size, self.device = seed, rank, world_size, device
        known = tokens[tokens != RARE]
        # pairs of an epoch: 2 · (1 + … + window) / window a word
        expected = float(keep[known].double().sum()) * (window + 1)
        # the number varies a little from epoch to epoch
        self.length = int(0.97 * expected) // (batch_size * world_size)
        if self.length < 1:
            raise InputError(
                f"a text of {len(tokens)} words is too short for a batch of {batch_size} pairs: make it smaller."
            )
        self._pairs: tuple[int, Tensor] | None = None

    def __len__(self) -> int:
        return self.length

    def pairs(self, epoch: int) -> Tensor:
        """All pairs of an epoch in their order, int64 [P, 2]."""
        generator = torch.Generator().manual_seed(key(self.seed, epoch))  # on the CPU: all ranks draw alike
        stays = torch.rand(len(self.tokens), generator=generator) < self.keep[self.tokens.clamp(min=0)]
        tokens = self.tokens[stays & (self.tokens != RARE)]
        reach = torch.randint(1, self.window + 1, (len(tokens),), generator=generator)
        found = []
        for distance in range(1, self.window + 1):
            near, far = tokens[:-distance], tokens[distance:]
            right, left = reach[:-distance] >= distance, reach[distance:] >= distance
            found += [torch.stack([near[right], far[right]], 1), torch.stack([far[left], near[left]], 1)]
        pairs = torch.cat(found)
        return pairs[torch.randperm(len(pairs), generator=generator)]

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        epoch = self.epoch
        if self._pairs is None or self._pairs[0] != epoch:
            self._pairs = epoch, self.pairs(epoch)
        mine = self._pairs[1][self.rank :: self.world_size]
        for position in self.remaining():
            batch = mine[position * self.batch_size : (position + 1) * self.batch_size].to(self.device)
            yield batch[:, 0], batch[:, 1]


class Gutenberg(DataModule):
    """Nine novels as skip-gram pairs.

    Args:
        batch_size: pairs per batch and process.
        window: the largest distance of a pair.
        min_count: a word that comes up less often in the training part isn't in the vocabulary.
        threshold: frequency above which occurrences are skipped (the paper's t).
        seed: of everything that is drawn, never of the split.
        root: folder of the raw files; default `$ZOO_DATA`, else the user's cache folder.
    """

    name = "gutenberg"
    languages: ClassVar[tuple[str, ...]] = ("en",)
    licence: ClassVar[str] = "public domain (in the USA)"
    licence_note: ClassVar[str] = "Project Gutenberg's texts without their trademark headers."
    homepage: ClassVar[str] = "https://www.gutenberg.org"

    def __init__(
        self,
        batch_size: int = 8192,
        *,
        window: int = 5,
        min_count: int = 10,
        threshold: float = 1e-4,
        seed: int = 0,
        root: str | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=CLI_KEYS)
        for what, value in (("batch_size", batch_size), ("window", window), ("min_count", min_count)):
            if value < 1:
                raise InputError(f"{what} is {value}; it must be at least 1.")
        if not threshold > 0:
            raise InputError(f"threshold is {threshold}; it must be above 0.")
        self.batch_size, self.window, self.min_count, self.threshold = batch_size, window, min_count, threshold
        self.seed, self.root = seed, root
        self._words: dict[str, list[str]] = {}
        self._counts: dict[str, int] = {}

    def prepare_data(self) -> None:
        for name in FILES:
            self._path(name)

    def _path(self, name: str) -> Path:
        return fetch(f"gutenberg/{name}", (), FILES[name], root=self.root)

    def setup(self, stage: str | None = None) -> None:
        """Split the novels into words and count those of the training part, once."""
        if self._words:
            return
        parts: dict[str, list[str]] = {"train": [], "val": []}
        for name, sha256 in FILES.items():
            path = self._path(name)
            if sha256_of(path) != sha256:
                raise InputError(
                    f"{path} isn't the text that the numbers belong to (its sha256 should be {sha256[:12]}…)."
                )
            words = split(path.read_text(encoding="utf-8").translate(PLAIN), "word")
            cut = len(words) * 95 // 100
            parts["train"] += words[:cut]
            parts["val"] += words[cut:]
        counts = Counter(parts["train"])
        known = sorted(
            (w for w in counts if counts[w] >= self.min_count and w.strip("-'").isalpha()),
            key=lambda w: (-counts[w], w),
        )
        self._counts = {word: counts[word] for word in known}
        self._words = parts

    @property
    def vocabulary(self) -> list[str]:
        """The words, the most frequent first."""
        self.setup()
        return list(self._counts)

    @property
    def frequencies(self) -> Tensor:
        """How often each word of the vocabulary comes up in the training part, as a share of all known words, float64 [V]."""
        self.setup()
        counts = torch.tensor(list(self._counts.values()), dtype=torch.float64)
        return counts / counts.sum()

    def tokens(self, part: str) -> Tensor:
        """The words of "train" or "val", int64 [N], with RARE for those that aren't known."""
        if part not in ("train", "val"):
            raise InputError(f"part is {part!r}; it can be 'train' or 'val'.")
        self.setup()
        index = {word: i for i, word in enumerate(self._counts)}
        with torch.inference_mode(False):  # an evaluation may be what asks first
            return torch.tensor([index.get(word, RARE) for word in self._words[part]])

    def train_dataloader(self) -> SkipGrams:
        return training(self, self.loader("train", **share_of(self)))

    def loader(self, part: str, *, seed: int | None = None, rank: int = 0, world_size: int = 1) -> SkipGrams:
        """The pairs of a part."""
        keep = (self.threshold / self.frequencies).sqrt().clamp(max=1)
        return SkipGrams(
            self.tokens(part),
            keep.float(),
            self.batch_size,
            self.window,
            seed=self.seed if seed is None else seed,
            rank=rank,
            world_size=world_size,
            device=device_of(self),
        )
