"""Text that fits the device: one tensor of character tokens, moved there once, and batches cut out of it.

    windows   shuffled pieces, each epoch cut at another offset         what a Transformer trains on
    streams   B long pieces read side by side, batch after batch        what an RNN that carries its state trains on
    sliding   overlapping windows that score every character once       how a model with a context is measured
    random    windows anywhere, every position scored                   how nanoGPT measures
    stream    one pass from the first character to the last             how a model with a state is measured

As in `datamodules.base`, whatever is random is a pure function of (seed, epoch, rank, batch). A batch is (x, y): tokens and the
tokens that follow them, int64 [B, T]; where y is `IGNORED` nothing is scored.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor

from datamodules.base import CLI_KEYS, key
from datamodules.formats.characters import encode
from datamodules.module import DataModule
from datamodules.place import device_of, share_of, training
from datamodules.resumable import ResumableLoader
from zoo.errors import InputError

IGNORED = -100  # the target that torch's cross-entropy leaves out
Reading = Literal["windows", "streams"]


class TokenLoader(ResumableLoader):
    """Batches cut out of a text; a subclass gives their number and `batch(epoch, index)`.

    Args:
        tokens: the text, [N] of any integer type.
        rank, world_size: this process's place; every rank gets its own equal share of an epoch.
    """

    def __init__(
        self, tokens: Tensor, batch_size: int, context: int, *, seed: int = 0, rank: int = 0, world_size: int = 1
    ) -> None:
        for name, value in (("batch_size", batch_size), ("context", context)):
            if value < 1:
                raise InputError(f"{name} is {value}; it must be at least 1.")
        self.tokens, self.batch_size, self.context, self.seed = tokens, batch_size, context, seed
        self.rank, self.world_size = rank, world_size

    def __len__(self) -> int:
        raise NotImplementedError

    def batch(self, epoch: int, index: int) -> tuple[Tensor, Tensor]:
        """Batch `index` of an epoch: the same at every call, on every device."""
        raise NotImplementedError

    def cut(self, starts: Tensor, length: int | None = None) -> tuple[Tensor, Tensor]:
        """The windows (x, y) that start at `starts` [B]."""
        device = self.tokens.device
        places = starts.to(device)[:, None] + torch.arange((length or self.context) + 1, device=device)
        pieces = self.tokens[places].long()  # [B, T + 1]
        return pieces[:, :-1], pieces[:, 1:]

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        epoch = self.epoch
        for index in self.remaining():
            batch = self.batch(epoch, index)
            yield batch


class Windows(TokenLoader):
    """An epoch cuts the text into windows at a random offset and shuffles them: each character comes up once."""

    def __init__(
        self,
        tokens: Tensor,
        batch_size: int,
        context: int,
        *,
        shuffle: bool = True,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        super().__init__(tokens, batch_size, context, seed=seed, rank=rank, world_size=world_size)
        self.shuffle = shuffle
        self.windows = (len(tokens) - context) // context  # as many fit at every offset
        if len(self) < 1:
            raise InputError(
                f"a text of {len(tokens)} characters is too short for {world_size} batch(es) of {batch_size} windows of "
                f"{context}: make batch_size or context smaller."
            )
        self._order: tuple[int, Tensor] | None = None

    def __len__(self) -> int:
        return self.windows // self.world_size // self.batch_size

    def batch(self, epoch: int, index: int) -> tuple[Tensor, Tensor]:
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, self.starts(epoch)
        return self.cut(self._order[1][index * self.batch_size : (index + 1) * self.batch_size])

    def starts(self, epoch: int) -> Tensor:
        """Where this rank's windows of an epoch start, in their order."""
        if not self.shuffle:
            return torch.arange(self.windows)[self.rank :: self.world_size] * self.context
        # on the CPU: every device and rank shuffles alike
        generator = torch.Generator().manual_seed(key(self.seed, epoch))
        offset = torch.randint(self.context, (), generator=generator)
        order = torch.randperm(self.windows, generator=generator)
        return offset + order[self.rank :: self.world_size] * self.context


class Streams(TokenLoader):
    """B pieces of the text read side by side: a row of a batch goes on where the same row of the batch before it ended.

    Each epoch starts at another offset, so that the cuts of truncated back-propagation fall elsewhere.
    """

    def __init__(
        self,
        tokens: Tensor,
        batch_size: int,
        context: int,
        *,
        shift: bool = True,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        super().__init__(tokens, batch_size, context, seed=seed, rank=rank, world_size=world_size)
        self.shift = shift
        self.rows = batch_size * world_size
        self.steps = (len(tokens) - context) // (self.rows * context)
        if self.steps < 1:
            raise InputError(
                f"a text of {len(tokens)} characters is too short for {self.rows} streams of {context} characters a step: "
                "make batch_size or context smaller."
            )

    def __len__(self) -> int:
        return self.steps

    def batch(self, epoch: int, index: int) -> tuple[Tensor, Tensor]:
        length = self.steps * self.context  # of a stream
        offset = 0
        if self.shift:
            free = len(self.tokens) - self.rows * length  # at least a step is left over
            generator = torch.Generator().manual_seed(key(self.seed, epoch))
            offset = int(torch.randint(free, (), generator=generator))
        rows = torch.arange(self.rank, self.rows, self.world_size)
        return self.cut(offset + rows * length + index * self.context)


class SlidingWindows(TokenLoader):
    """Windows a stride apart; each scores only what the one before it didn't, so every character but the first counts once.

    A character is thus judged from at least `context - stride` characters before it, where there are so many.
    """

    def __init__(self, tokens: Tensor, batch_size: int, context: int, *, stride: int | None = None) -> None:
        super().__init__(tokens, batch_size, context)
        if len(tokens) < 2:
            raise InputError(f"a text of {len(tokens)} characters has nothing to predict: give at least 2.")
        self.context = min(context, len(tokens) - 1)
        self.stride = min(max(1, context // 2) if stride is None else stride, self.context)
        last = len(tokens) - 1 - self.context
        starts = [*range(0, last, self.stride), last]  # the last window ends with the text
        self._starts = torch.tensor(starts)
        self._scored = torch.tensor([0] + [a + self.context - b for a, b in pairwise(starts)])

    def __len__(self) -> int:
        return -(-len(self._starts) // self.batch_size)

    def batch(self, epoch: int, index: int) -> tuple[Tensor, Tensor]:
        rows = slice(index * self.batch_size, (index + 1) * self.batch_size)
        x, y = self.cut(self._starts[rows])
        known = torch.arange(self.context) < self._scored[rows, None]  # by the window before
        return x, y.masked_fill(known.to(y.device), IGNORED)


class RandomWindows(TokenLoader):
    """A number of batches of windows anywhere in the text, every position scored: nanoGPT's estimate of the loss."""

    def __init__(self, tokens: Tensor, batch_size: int, context: int, *, batches: int = 200, seed: int = 0) -> None:
        super().__init__(tokens, batch_size, context, seed=seed)
        if len(tokens) <= context:
            raise InputError(f"a text of {len(tokens)} characters has no window of {context}: make context smaller.")
        self.batches = batches

    def __len__(self) -> int:
        return self.batches

    def batch(self, epoch: int, index: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(key(self.seed, epoch, self.rank, index))
        return self.cut(torch.randint(len(self.tokens) - self.context, (self.batch_size,), generator=generator))


class Stream(TokenLoader):
    """The whole text once, in order, a row of `context` characters at a time: for a model that carries its state."""

    def __init__(self, tokens: Tensor, context: int = 2048) -> None:
        super().__init__(tokens, 1, context)
        if len(tokens) < 2:
            raise InputError(f"a text of {len(tokens)} characters has nothing to predict: give at least 2.")

    def __len__(self) -> int:
        return -(-(len(self.tokens) - 1) // self.context)

    def batch(self, epoch: int, index: int) -> tuple[Tensor, Tensor]:
        start = index * self.context
        return self.cut(torch.tensor([start]), min(self.context, len(self.tokens) - 1 - start))


class CharacterText(DataModule):
    """A text as characters, its last part held out.

    A subclass gives `name`, `classes` (the characters in the order of their tokens) and `read()` (the whole text).

    Args:
        batch_size: windows or streams per batch and process.
        context: characters of a window, or between two steps of truncated back-propagation.
        reading: "windows" (shuffled) or "streams" (in order, for a model that carries its state).
        val_share: share of the text, at its end, that is held out.
        seed: of the offsets and shuffles, never of the split.
        root: folder of the raw files; default `$ZOO_DATA`, else the user's cache folder.

    There's no test split: the two parts are those that published numbers use. The held-out part is thus a test set in all but
    name, and nothing may be chosen on it, neither an epoch nor a setting.
    """

    offers: ClassVar[tuple[str, ...]] = ("characters",)  # what its batches hold, see zoo.core.own_data
    name: str
    classes: Sequence[str]

    def __init__(
        self,
        batch_size: int = 64,
        *,
        context: int = 128,
        reading: Reading = "windows",
        val_share: float = 0.1,
        seed: int = 0,
        root: str | None = None,
    ) -> None:
        super().__init__()
        for what, value in (("batch_size", batch_size), ("context", context)):
            if value < 1:
                raise InputError(f"{what} is {value}; it must be at least 1.")
        if reading not in ("windows", "streams"):
            raise InputError(f"reading is {reading!r}; it can be 'windows' or 'streams'.")
        if not 0 < val_share < 1:
            raise InputError(f"val_share is {val_share}; it must lie between 0 and 1.")
        self.batch_size, self.context, self.reading = batch_size, context, reading
        self.val_share, self.seed, self.root = val_share, seed, root
        self._tokens: Tensor | None = None
        self._placed: dict[tuple[str, torch.device], Tensor] = {}

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    def read(self) -> str:
        """The whole text."""
        raise NotImplementedError

    def setup(self, stage: str | None = None) -> None:
        """Read and encode the text, once."""
        if self._tokens is None:
            with torch.inference_mode(
                False
            ):  # an evaluation may be what asks first, and training needs ordinary tensors
                tokens = encode(self.read(), self.classes, f"the text of {self.name}")
                self._tokens = tokens.to(torch.uint8 if self.num_classes <= 256 else torch.int32)

    def tokens(self, split: str) -> Tensor:
        """The tokens of "train" (the beginning) or "val" (the end), on the CPU."""
        if split not in ("train", "val"):
            raise InputError(f"split is {split!r}; it can be 'train' or 'val': {self.name} has no other part.")
        if self._tokens is None:
            self.prepare_data()
            self.setup()
        assert self._tokens is not None
        cut = int(len(self._tokens) * (1 - self.val_share))
        return self._tokens[:cut] if split == "train" else self._tokens[cut:]

    def train_dataloader(self) -> TokenLoader:
        share = share_of(self)
        tokens = self._place("train")
        if self.reading == "streams":
            return training(self, Streams(tokens, self.batch_size, self.context, seed=self.seed, **share))
        return training(self, Windows(tokens, self.batch_size, self.context, seed=self.seed, **share))

    def val_dataloader(self) -> TokenLoader:
        """The training curve's measure; a model's `evaluate` measures what its card claims."""
        tokens = self._place("val")
        if self.reading == "streams":
            fit = max(1, (len(tokens) - self.context) // self.context)  # a short text has fewer streams
            return Streams(tokens, min(self.batch_size, fit), self.context, shift=False)
        return SlidingWindows(tokens, self.batch_size, self.context)

    def _place(self, split: str) -> Tensor:
        """A split on the trainer's device, moved there once."""
        device = device_of(self)
        if (split, device) not in self._placed:
            with torch.inference_mode(False):
                self._placed[split, device] = self.tokens(split).to(device)
        return self._placed[split, device]


class TextFile(CharacterText):
    """Anybody's own text, a UTF-8 file.

    Args:
        path: the file.
        vocabulary: its characters in the order of their tokens: those of a model that is to be fine-tuned
            (`"".join(model.classes)`); default: all that occur in the file, sorted.
        batch_size, context, reading, val_share, seed, root: see CharacterText; `path` is taken below `root` if that is given.
    """

    licence: ClassVar[str] = "the owner's"
    licence_note: ClassVar[str] = "Whoever owns the text says what may be done with it and with the weights."

    name = "text-file"

    def __init__(
        self,
        path: str,
        batch_size: int = 64,
        *,
        vocabulary: str | None = None,
        context: int = 128,
        reading: Reading = "windows",
        val_share: float = 0.1,
        seed: int = 0,
        root: str | None = None,
    ) -> None:
        super().__init__(batch_size, context=context, reading=reading, val_share=val_share, seed=seed, root=root)
        self.save_hyperparameters(ignore=CLI_KEYS)
        self.path = Path(root or "") / Path(path).expanduser()
        if vocabulary is not None and len(set(vocabulary)) != len(vocabulary):
            twice = next(c for c in vocabulary if vocabulary.count(c) > 1)
            raise InputError(f"vocabulary has the character {twice!r} twice; each may come up once.")
        self.vocabulary = vocabulary
        self._text: str | None = None

    @property
    def classes(self) -> Sequence[str]:  # type: ignore[override]  # known once the file is read
        if self.vocabulary is None:
            self.vocabulary = "".join(sorted(set(self.read())))
        return tuple(self.vocabulary)

    def read(self) -> str:
        if self._text is None:
            try:
                self._text = self.path.read_text(encoding="utf-8")
            except OSError as error:
                raise InputError(f"{self.path} can't be read: {error.strerror}.") from None
            except UnicodeDecodeError as error:
                raise InputError(f"{self.path} isn't UTF-8 text ({error.reason} at byte {error.start}).") from None
        if not self._text:
            raise InputError(f"{self.path} is empty: there is nothing to learn from it.")
        return self._text
