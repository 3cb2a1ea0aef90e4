"""Multi30k: 31,014 captions of photographs in English, German, French and Czech, line by line (Elliott et al., 2016).

29,000 pairs train, 1,014 validate, and the 1,000 of the year 2016 test. Both languages share one vocabulary of byte pairs, learnt
from the training part alone: bytes first, then whatever neighbours come up most often together (Sennrich et al., 2016). Bytes
leave nothing unknown. A batch is (sources int64 [B, S], lengths int64 [B], targets int64 [B, T]); a target begins with BEGIN and
ends with END.
"""

import gzip
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from datamodules.base import CLI_KEYS
from datamodules.files import fetch, sha256_of
from datamodules.formats.words import PADDING, pad
from datamodules.labelled_text import LengthSorted
from datamodules.module import DataModule
from datamodules.place import device_of, share_of, training
from zoo.errors import InputError, MissingExtraError

BEGIN, END = 1, 2
SPECIAL = ("[pad]", "[begin]", "[end]")
LANGUAGES = {"en": "English", "de": "German", "fr": "French", "cs": "Czech"}
PARTS = {"train": "train", "val": "val", "test": "test_2016_flickr"}
SHA256: dict[str, str] = {
    "train.en.gz": "d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f",
    "train.de.gz": "726e39b2fa9eb9ffb6dc763fb35a179f80fae06ffc5d28b6ace5faa883de28a6",
    "train.fr.gz": "622e75069e9f4c577425c4f277116ce66e63a2401c0a2312d90073cb12379a3c",
    "train.cs.gz": "a65adb8b32e3bc664f21ecba7a6e7f6950fd1f405e135f7c312faabdb6255077",
    "val.en.gz": "14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28",
    "val.de.gz": "f0cba2f995189cf5770f29a8a9a537a3ad3f51657ad873405082ff6863a5e75a",
    "val.fr.gz": "ca3106f1a72390591d25f6c45cb4cd39dec4cd3f123e099748a3ce5256c160e9",
    "val.cs.gz": "b63226e05c4bd5dd6a42897d74b86a1b9d2c31498252c572b1ea7f7996927fcc",
    "test_2016_flickr.en.gz": "611d361c6334bc7246101d48097c13cf5c4413c5befc793cc629934359d532d9",
    "test_2016_flickr.de.gz": "9204244e408ccb38d2a55cfcd344df15005fc42a07a6e55ca6c52b6ababb8cc8",
    "test_2016_flickr.fr.gz": "6d326e188d259fb1d04ac19eae3af956559b3a0b93d7635e56c90987c40c8b90",
    "test_2016_flickr.cs.gz": "200a4a74cc9560f051924abb9803be008d1908d77f747e9141aeb86dfd2797f1",
}


class PairLoader(LengthSorted):
    """Batches of pairs whose sources are about equally long, and among these the targets; see `LengthSorted`.

    Each holds about as many target tokens as `batch_size` pairs do on average. With equally many pairs instead, a token of a
    short target would count for more in the mean loss of its batch than one of a long target: translations came out too short.
    """

    def __init__(self, sources: Sequence[Tensor], targets: Sequence[Tensor], batch_size: int, **options: Any) -> None:
        super().__init__(sources, torch.arange(len(sources)), batch_size, **options)
        padded, lengths = pad(targets)
        self.targets, self.target_lengths = padded.to(self.tokens.device), lengths

    def cut(self, order: Tensor) -> list[Tensor]:
        order = order[self.target_lengths[order].argsort(stable=True)]
        order = order[self.lengths[order].argsort(stable=True)]
        tokens = self.target_lengths[order]
        budget = self.batch_size * tokens.double().mean()
        number = (tokens.cumsum(0) - tokens / 2).div(budget).long()  # of the batch that a pair's middle falls into
        return list(order.split(number.unique_consecutive(return_counts=True)[1].tolist()))

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for tokens, lengths, index in super().__iter__():
            longest = int(self.target_lengths[index.cpu()].max())
            yield tokens, lengths, self.targets[index, :longest]


class Multi30k(DataModule):
    """Captions in two languages.

    Args:
        batch_size: pairs per batch and process, on average.
        source, target: "en", "de", "fr" or "cs".
        vocab_size: byte pairs of both languages together, 256 bytes and three special tokens among them.
        seed: of the order of the batches, never of the split.
        root: folder of the raw files; default `$ZOO_DATA`, else the user's cache folder.
    """

    name = "multi30k"
    offers: ClassVar[tuple[str, ...]] = ("pairs",)
    counts: ClassVar[dict[str, int]] = {"train": 29_000, "val": 1_014, "test": 1_000}
    hub_id: ClassVar[str] = "bentrevett/multi30k"
    weights_licence: ClassVar[str] = "cc-by-nc-sa-4.0"
    sentences: ClassVar[dict[str, str]] = {
        "de": "Ein Hund rennt durch den Schnee.",
        "en": "A dog runs through the snow.",
        "fr": "Un chien court dans la neige.",
    }
    licence: ClassVar[str] = "CC BY-NC-SA 4.0 (the paper; the repository states none)"
    licence_note: ClassVar[str] = "Not for commercial use; the captions belong to Flickr30k."
    homepage: ClassVar[str] = "https://github.com/multi30k/dataset"
    mirror: ClassVar[str] = (
        "https://raw.githubusercontent.com/multi30k/dataset/a3d2e0d26b56f3846f66a952536ffed4e401d05a/data/task1/raw"
    )

    def __init__(
        self,
        batch_size: int = 128,
        *,
        source: str = "de",
        target: str = "en",
        vocab_size: int = 5000,
        seed: int = 0,
        root: str | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=CLI_KEYS)
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}; it must be at least 1.")
        for what, language in (("source", source), ("target", target)):
            if language not in LANGUAGES:
                raise InputError(f"{what} is {language!r}; it can be {', '.join(LANGUAGES)}.")
        if source == target:
            raise InputError(f"source and target are both {source!r}: there's nothing to translate.")
        if vocab_size < 256 + len(SPECIAL):
            raise InputError(f"vocab_size is {vocab_size}; bytes and special tokens alone are {256 + len(SPECIAL)}.")
        self.batch_size, self.source, self.target, self.vocab_size = batch_size, source, target, vocab_size
        self.seed, self.root = seed, root
        self._lines: dict[tuple[str, str], list[str]] = {}
        self._tokenizer: Any = None

    def prepare_data(self) -> None:
        for part in PARTS:
            for language in (self.source, self.target):
                self._path(part, language)

    def _path(self, part: str, language: str) -> Any:
        file = f"{PARTS[part]}.{language}.gz"
        return fetch(f"multi30k/{file}", (f"{self.mirror}/{file}",), SHA256[file], root=self.root)

    def lines(self, part: str, language: str) -> list[str]:
        """The captions of a part in a language."""
        if part not in PARTS or language not in (self.source, self.target):
            raise InputError(f"there is no part {part!r} in {language!r}; parts are {', '.join(PARTS)}.")
        if (part, language) not in self._lines:
            path = self._path(part, language)
            if sha256_of(path) != SHA256[path.name]:
                raise InputError(f"{path} isn't the published file: remove it to fetch it again.")
            lines = [line.strip() for line in gzip.decompress(path.read_bytes()).decode("utf-8").splitlines()]
            if len(lines) != self.counts[part]:
                raise InputError(
                    f"{path} has {len(lines)} lines, not {self.counts[part]}: remove it to fetch it again."
                )
            self._lines[part, language] = lines
        return self._lines[part, language]

    @property
    def tokenizer(self) -> Any:
        """The byte pairs, a `tokenizers.Tokenizer`."""
        if self._tokenizer is None:
            self._tokenizer = learn_byte_pairs(
                [*self.lines("train", self.source), *self.lines("train", self.target)], self.vocab_size
            )
        return self._tokenizer

    def train_dataloader(self) -> PairLoader:
        return training(self, self._loader("train", shuffle=True, seed=self.seed, **share_of(self)))

    def val_dataloader(self) -> PairLoader:
        return self._loader("val")

    def _loader(self, part: str, **options: Any) -> PairLoader:
        with torch.inference_mode(False):  # an evaluation may be what asks first, and training needs ordinary tensors
            sources, targets = (
                [torch.tensor(row.ids) for row in self.tokenizer.encode_batch(self.lines(part, language))]
                for language in (self.source, self.target)
            )
            framed = [torch.cat([torch.tensor([BEGIN]), row, torch.tensor([END])]) for row in targets]
            return PairLoader(sources, framed, self.batch_size, device=device_of(self), **options)


def learn_byte_pairs(lines: Sequence[str], vocab_size: int) -> Any:
    """A byte-pair tokenizer of some lines.

    Raises:
        MissingExtraError: if `tokenizers` isn't installed.
    """
    try:
        from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    except ImportError:
        raise MissingExtraError("byte pairs", "tokenizers", "text") from None
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(lines, trainer)
    assert [tokenizer.token_to_id(token) for token in SPECIAL] == [PADDING, BEGIN, END]
    return tokenizer
