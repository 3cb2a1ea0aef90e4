"""One vocabulary across families: what a model can do is which of these protocols it meets, not which class it extends.

`isinstance(model, Encodes)` asks for the methods and for their arguments: a conditional encoder, which needs labels too, meets
`EncodesClasses` instead. The command line, `zoo info` and the cards ask these protocols alone.
"""

import inspect
from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

REQUIRED: Any = type(
    "Required", (), {"__repr__": lambda _: "…"}
)()  # the default of an argument whose absence is refused in a sentence


class Checked(type(Protocol)):  # type: ignore[misc]  # typing has no public name for the metaclass of protocols
    """Protocols that check arguments too: a method that needs more than the protocol gives doesn't meet it."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return super().__instancecheck__(instance) and cls.fits(type(instance))

    def methods(cls) -> dict[str, Any]:
        """The methods that the protocol asks for."""
        return {k: v for k, v in vars(cls).items() if inspect.isfunction(v) and not k.startswith("_")}

    def fits(cls, kind: type) -> bool:
        """Whether a class has the methods of the protocol, each callable with what the protocol gives it."""
        return all(_callable_as(getattr(kind, name, None), wanted) for name, wanted in cls.methods().items())


def _callable_as(method: Any, wanted: Any) -> bool:
    if not callable(method):
        return False
    given = list(inspect.signature(wanted).parameters.values())[1:]
    taken = inspect.signature(method).parameters
    if any(p.kind is p.KEYWORD_ONLY and p.default is p.empty and p.name not in taken for p in given):
        return False
    needed = [
        p
        for p in list(taken.values())[1:]
        if p.default in (p.empty, REQUIRED) and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    positional = [p for p in needed if p.kind is not p.KEYWORD_ONLY]
    names = {p.name for p in given}
    places = sum(p.kind is not p.KEYWORD_ONLY for p in given)
    return len(positional) <= places and all(p.name in names for p in needed if p.kind is p.KEYWORD_ONLY)


@runtime_checkable
class Classifies(Protocol, metaclass=Checked):
    """Names what it sees."""

    def predict(self, x: Any, top: int = 3) -> Any: ...

    def predict_proba(self, x: Any) -> Tensor: ...


@runtime_checkable
class Encodes(Protocol, metaclass=Checked):
    """Turns data into codes."""

    def encode(self, x: Tensor) -> Tensor: ...


@runtime_checkable
class Decodes(Protocol, metaclass=Checked):
    """Turns codes into data."""

    def decode(self, z: Tensor) -> Tensor: ...


@runtime_checkable
class Samples(Protocol, metaclass=Checked):
    """Draws images [n, C, H, W] in [0, 1]; the same seed gives the same images."""

    def sample(self, n: int, *, seed: int | None = None, labels: Tensor | None = None) -> Tensor: ...


@runtime_checkable
class SamplesPoints(Protocol, metaclass=Checked):
    """Draws points [n, D] that aren't images; the same seed gives the same points."""

    def sample_points(self, n: int, *, seed: int | None = None) -> Tensor: ...


@runtime_checkable
class Scores(Protocol, metaclass=Checked):
    """Log-likelihood of data in nats, [N]."""

    def log_prob(self, x: Tensor) -> Tensor: ...


@runtime_checkable
class Generates(Protocol, metaclass=Checked):
    """Continues a prompt by n tokens; the same seed gives the same continuation, temperature 0 always the likeliest."""

    def generate(
        self,
        prompt: str,
        n: int,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
    ) -> str: ...


@runtime_checkable
class Translates(Protocol, metaclass=Checked):
    """Says a text in another language; several texts give a list. More beams look further for the likeliest translation."""

    def translate(self, text: Any, *, beams: int = 5, penalty: float = 1.0) -> Any: ...


@runtime_checkable
class Acts(Protocol, metaclass=Checked):
    """Chooses actions in an environment, and plays whole episodes there."""

    def act(self, obs: Any, greedy: bool = True, seed: int | None = None) -> Any: ...

    def values(self, obs: Any) -> Tensor: ...

    def play(self, episodes: int = 1, seed: int = 0, path: Any = None, env: Any = None) -> Any: ...


@runtime_checkable
class Segments(Protocol, metaclass=Checked):
    """Gives every pixel of a picture a class: int64 [H, W] at the picture's own size, or the classes' probabilities [C, H, W]."""

    def segment(self, images: Any, *, probability: bool = False) -> Any: ...


@runtime_checkable
class Detects(Protocol, metaclass=Checked):
    """Finds objects: [(class, probability, (x0, y0, x1, y1))] in the picture's own pixels; a list for a list."""

    def detect(self, images: Any, threshold: float = 0.3) -> Any: ...


@runtime_checkable
class Colorizes(Protocol, metaclass=Checked):
    """Gives grey pictures colours: float32 [3, H, W] in [0, 1] at the picture's own size."""

    def colorize(self, images: Any) -> Any: ...


@runtime_checkable
class Separates(Protocol, metaclass=Checked):
    """Takes sounds apart: float32 [sources, samples] at the sound's own rate."""

    def separate(self, audio: Any, *, rate: int | None = None) -> Tensor: ...


@runtime_checkable
class Predicts(Protocol, metaclass=Checked):
    """Gives its answer to each input: a number, a class, or classes with their probabilities."""

    def predict(self, x: Any) -> Any: ...


@runtime_checkable
class EncodesClasses(Protocol, metaclass=Checked):
    """Turns data of known classes into codes, and codes into data of asked-for classes."""

    def encode(self, x: Tensor, *, labels: Any) -> Tensor: ...

    def decode(self, z: Tensor, *, labels: Any) -> Tensor: ...


@runtime_checkable
class Reconstructs(Protocol, metaclass=Checked):
    """Sends data through its codes and back."""

    def reconstruct(self, x: Tensor) -> Tensor: ...


@runtime_checkable
class Interpolates(Protocol, metaclass=Checked):
    """A path between two inputs, through their codes."""

    def interpolate(self, a: Tensor, b: Tensor, *, steps: int = 8) -> Tensor: ...


@runtime_checkable
class Measures(Protocol, metaclass=Checked):
    """Bits per dimension of 8-bit images, [N]; the model says whether they are exact or a bound."""

    def bits_per_dim(self, x: Tensor) -> Tensor: ...


@runtime_checkable
class Completes(Protocol, metaclass=Checked):
    """Draws what is missing below the first rows of images."""

    def complete(self, x: Tensor, rows: int, *, seed: int | None = None) -> Tensor: ...


@runtime_checkable
class Streams(Protocol, metaclass=Checked):
    """Continues a prompt, and gives each piece as soon as it is known."""

    def stream(
        self,
        prompt: str,
        n: int,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
    ) -> Iterator[str]: ...


@runtime_checkable
class FillsMasks(Protocol, metaclass=Checked):
    """Names the likeliest pieces for each [MASK] of a text."""

    def fill_mask(self, text: str, top: int = 5) -> Any: ...


@runtime_checkable
class Embeds(Protocol, metaclass=Checked):
    """Vectors that stand for words, texts, nodes or graphs."""

    def embed(self, x: Any) -> Tensor: ...


@runtime_checkable
class Composes(Protocol, metaclass=Checked):
    """Writes a piano roll, bool [n, 88], from a primer on."""

    def compose(self, n: int, *, primer: Any = None, temperature: float = 1.0, seed: int | None = None) -> Tensor: ...


@runtime_checkable
class Attends(Protocol, metaclass=Checked):
    """Draws what each piece of an output looked at."""

    def attention_map(self, text: str, path: Any) -> Any: ...


@runtime_checkable
class Recalls(Protocol, metaclass=Checked):
    """Completes a broken pattern of ±1, 0 where it is unknown, to one that it remembers."""

    def recall(self, x: Tensor, steps: int = 20) -> Tensor: ...


@runtime_checkable
class Forecasts(Protocol, metaclass=Checked):
    """Continues a series by n steps."""

    def forecast(self, series: Tensor, n: int) -> Tensor: ...


def meets(model: Any, protocol: Any) -> bool:
    """isinstance without narrowing: a caller goes on to use what the model has beyond the protocol."""
    return isinstance(model, protocol)


def protocols() -> dict[str, Checked]:
    """All protocols by name."""
    return {name: value for name, value in globals().items() if isinstance(value, Checked) and name != "Protocol"}


def verbs_of(kind: type) -> list[str]:
    """What the models of a class can do: one signature a line, without types, in the order of the protocols.

    Methods that are marked as verbs but belong to no protocol come last.
    """
    names = [name for protocol in protocols().values() if protocol.fits(kind) for name in protocol.methods()]
    names += [name for name in dir(kind) if getattr(getattr(kind, name), "is_verb", False) and not name.startswith("_")]
    names = [name for name in names if name != "evaluate"]  # that is `zoo.evaluate`
    return [f"{name}{_plain(getattr(kind, name))}" for name in dict.fromkeys(names)]


def _plain(method: Any) -> str:
    """A method's arguments as one would type them."""
    parts, starred = [], False
    for p in list(inspect.signature(method).parameters.values())[1:]:
        if p.kind is p.KEYWORD_ONLY and not starred:
            parts.append("*")
            starred = True
        parts.append(p.name if p.default in (p.empty, REQUIRED) else f"{p.name}={p.default!r}")
    return f"({', '.join(parts)})"
