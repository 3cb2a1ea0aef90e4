"""What a model asks of a data module when it learns or is measured: a protocol for each kind of data.

A model says by the type of `data` in `evaluate`, `measure`, `adapt_to` and `setup` what it needs; nothing is checked at run time.
A person's own data module fits as soon as it has these members.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor


class NamedData(Protocol):
    """A data module with the name that stands in a metric entry, and Lightning's hooks."""

    @property
    def name(self) -> str: ...

    def prepare_data(self) -> None: ...

    def setup(self, stage: str) -> None: ...

    def test_dataloader(self) -> Any: ...


class ClassData(NamedData, Protocol):
    """Data whose examples fall into classes: of images, texts, rows of a table, sequences or nodes."""

    @property
    def classes(self) -> Sequence[str]: ...


class ImageData(ClassData, Protocol):
    """Images uint8 [N, C, H, W] with labels int64 [N], by split: "train", "val" or "test"."""

    @property
    def image_shape(self) -> tuple[int, int, int]: ...

    def tensors(self, split: str) -> tuple[Tensor, Tensor]: ...


class PointData(NamedData, Protocol):
    """Points float32 [N, D] drawn from a mixture whose density is known."""

    @property
    def weights(self) -> Sequence[float]: ...

    @property
    def means(self) -> Sequence[Sequence[float]]: ...

    def tensors(self, split: str) -> tuple[Tensor, Tensor]: ...

    def nearest(self, points: Tensor) -> tuple[Tensor, Tensor]: ...

    def score(self, x: Tensor, sigma: float = 0.0) -> Tensor: ...

    def log_density(self, x: Tensor) -> Tensor: ...


class TableData(NamedData, Protocol):
    """Rows of numbers with the numbers to say of them, float32 [N, D] and [N, K], by part of one of several published splits."""

    @property
    def splits(self) -> int: ...

    def part(self, name: str) -> tuple[Tensor, Tensor]: ...


class SequenceData(ClassData, Protocol):
    """Sequences of bases as codes int64 [N, L], by part and by factor, with whether they are bound."""

    @property
    def root(self) -> str | None: ...

    @property
    def dwell(self) -> float | None: ...

    def labelled(self, name: str, factor: int) -> tuple[Tensor, Tensor]: ...

    def weights(self, factor: int) -> Tensor: ...


class EventData(NamedData, Protocol):
    """Pieces of music as events, int64 [L] each, by part."""

    def pieces(self, part: str) -> Sequence[Tensor]: ...


class DenseData(ClassData, Protocol):
    """Images with a mask or with boxes in place of a label."""

    @property
    def image_shape(self) -> tuple[int, ...]: ...


class SeriesData(NamedData, Protocol):
    """Series float32 [N, T, D], or [T, D], by split; `step` seconds lie between two values of a trajectory."""

    @property
    def step(self) -> float: ...

    def tensors(self, split: str) -> Tensor: ...


class CharacterData(ClassData, Protocol):
    """A text as numbers of its characters, int64 [T], by part; the classes are the characters."""

    def tokens(self, part: str) -> Tensor: ...


class PieceData(NamedData, Protocol):
    """Texts by part, for a model that brings its own pieces of words."""

    def texts(self, part: str) -> Sequence[str]: ...


class LabelledTextData(ClassData, Protocol):
    """Texts with the numbers of their classes, by part."""

    def texts(self, part: str) -> Sequence[tuple[str, int]]: ...


class PairData(NamedData, Protocol):
    """Sentences in two languages, line by line."""

    @property
    def source(self) -> str: ...

    @property
    def target(self) -> str: ...

    def lines(self, part: str, language: str) -> Sequence[str]: ...


class RollData(NamedData, Protocol):
    """Piano rolls bool [T, 88] by part."""

    def rolls(self, part: str) -> Sequence[Tensor]: ...


class WordData(NamedData, Protocol):
    """Pairs of neighbouring words; `loader(part, seed)` draws them."""

    @property
    def vocabulary(self) -> Sequence[str]: ...

    def loader(self, part: str, seed: int) -> Any: ...


class GraphData(NamedData, Protocol):
    """One graph or many in fixed splits; `protocol` names split and selection for the metric entry."""

    @property
    def protocol(self) -> str: ...


class EnvironmentData(NamedData, Protocol):
    """A gymnasium environment: its id, and the arguments that it is made with."""

    @property
    def id(self) -> str: ...

    @property
    def kwargs(self) -> Mapping[str, Any]: ...

    def tables(self) -> tuple[Any, Any, Any, Any]: ...


# What a model takes over from data before it learns them ------------------------------------------------------------------


class OfferedData(ClassData, Protocol):
    """What has classes, and whose batches hold what `offers` says, in the words of `zoo.core.own_data`."""

    @property
    def offers(self) -> Collection[str]: ...


class PictureData(OfferedData, Protocol):
    """Pictures in classes, made ready by `preprocess`, the arguments of a `Transform`."""

    @property
    def preprocess(self) -> Mapping[str, Any]: ...


class TargetData(ClassData, Protocol):
    """Rows of numbers float32 [N, D] with what to say of them, by part; a quantity has no classes."""

    def part(self, name: str) -> tuple[Tensor, Tensor]: ...


class ColumnData(TargetData, Protocol):
    """Rows of numbers whose target is a column with a name."""

    @property
    def target(self) -> str: ...


class LabelledGraphData(ClassData, Protocol):
    """Graphs of PyG with classes, by part; a module of one graph whose nodes have classes says `in_channels` itself."""

    def part(self, name: str) -> Sequence[Any]: ...


class TokenData(NamedData, Protocol):
    """Texts in pieces of words, by a `tokenizers.Tokenizer`."""

    @property
    def tokenizer(self) -> Any: ...


class PairTokenData(TokenData, Protocol):
    """Sentences in two languages with one `tokenizers.Tokenizer` for both."""

    @property
    def source(self) -> str: ...

    @property
    def target(self) -> str: ...


class VocabularyData(LabelledTextData, Protocol):
    """Texts in classes by words, characters or pieces; the vocabulary is the data's."""

    @property
    def unit(self) -> str: ...

    @property
    def num_classes(self) -> int: ...

    @property
    def vocabulary(self) -> Sequence[str]: ...


class CutTextData(ClassData, Protocol):
    """Texts in classes that are cut into the pieces that a model brings, `longest` of them at most."""

    pieces: Any
    longest: int | None


class PassageData(PieceData, Protocol):
    """Texts of which passages can be had by part, each with the number of its novel."""

    @property
    def novels(self) -> Sequence[str]: ...

    def passages(self, part: str, words: int) -> Sequence[tuple[str, int]]: ...


class CountedWordData(WordData, Protocol):
    """Pairs of neighbouring words with each word's share of the text, float [V]."""

    @property
    def frequencies(self) -> Tensor: ...


class PlayedData(EnvironmentData, Protocol):
    """An environment whose observations and actions a fresh agent takes over."""

    @property
    def spaces(self) -> Any: ...
