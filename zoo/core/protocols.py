"""One vocabulary across families: what a model can do is which of these protocols it meets, not which class it extends."""

from typing import Any, Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Classifies(Protocol):
    """Names what it sees."""

    def predict(self, x: Any, top: int = 3) -> Any: ...

    def predict_proba(self, x: Any) -> Tensor: ...


@runtime_checkable
class Encodes(Protocol):
    """Turns data into codes."""

    def encode(self, x: Tensor) -> Tensor: ...


@runtime_checkable
class Decodes(Protocol):
    """Turns codes into data."""

    def decode(self, z: Tensor) -> Tensor: ...


@runtime_checkable
class Samples(Protocol):
    """Draws images [n, C, H, W] in [0, 1]; the same seed gives the same images."""

    def sample(self, n: int, *, seed: int | None = None, labels: Tensor | None = None) -> Tensor: ...


@runtime_checkable
class SamplesPoints(Protocol):
    """Draws points [n, D] that aren't images; the same seed gives the same points."""

    def sample_points(self, n: int, *, seed: int | None = None) -> Tensor: ...


@runtime_checkable
class Scores(Protocol):
    """Log-likelihood of data in nats, [N]."""

    def log_prob(self, x: Tensor) -> Tensor: ...


@runtime_checkable
class Generates(Protocol):
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
class Translates(Protocol):
    """Says a text in another language; several texts give a list. More beams look further for the likeliest translation."""

    def translate(self, text: Any, *, beams: int = 5, penalty: float = 1.0) -> Any: ...


@runtime_checkable
class Acts(Protocol):
    """Chooses actions in an environment, and plays whole episodes there."""

    def act(self, obs: Any, greedy: bool = True, seed: int | None = None) -> Any: ...

    def values(self, obs: Any) -> Tensor: ...

    def play(self, episodes: int = 1, seed: int = 0, path: Any = None, env: Any = None) -> Any: ...


@runtime_checkable
class Segments(Protocol):
    """Gives every pixel of a picture a class: int64 [H, W] at the picture's own size, or the classes' probabilities [C, H, W]."""

    def segment(self, images: Any, *, probability: bool = False) -> Any: ...


@runtime_checkable
class Detects(Protocol):
    """Finds objects: [(class, probability, (x0, y0, x1, y1))] in the picture's own pixels; a list for a list."""

    def detect(self, images: Any, threshold: float = 0.3) -> Any: ...
