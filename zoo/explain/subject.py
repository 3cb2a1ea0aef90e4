"""What is explained: any model and one input of it as a differentiable function of one tensor, and as a game of players.

Every family is put into the same terms. `points` [N, …] are what the function takes: transformed images, a text's
embeddings, one-hot DNA, rows of numbers, a graph's node features. Players are the parts that can be absent: an image's
segments, a text's tokens, letters, features, nodes. What is absent takes its value from a baseline.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zoo.core.images import Transform
from zoo.core.verbs import looking
from zoo.errors import InputError


@dataclass
class Subject:
    """A model at one input.

    Attributes:
        kind: "image", "text", "dna", "row", "graph" or "tensor".
        x: the input as a point, [1, …].
        scores: outputs [N, K] of points [N, …].
        module: the network itself where it takes points, for methods that need its layers.
        absent: the point where nothing is there, [1, …].
        names: of the K outputs; None where there are none.
        parts: the player of each number of a point, int64 as x[0]; None until segments are chosen (images).
        labels: names of the players.
        differentiable: whether `scores` has a gradient.
        transform: of an image: from pixels to points.
        image: pixels in 0..1, [C, H, W].
        background: points of the data that the model is meant for, [B, …], if they are at hand.
    """

    kind: str
    x: Tensor
    scores: Callable[[Tensor], Tensor]
    module: nn.Module | None
    absent: Tensor
    names: list[str] | None = None
    parts: Tensor | None = None
    labels: list[str] | None = None
    differentiable: bool = True
    transform: Transform | None = None
    image: Tensor | None = None
    edges: Tensor | None = None
    scale: Tensor | None = None  # spread of each number of a row
    threshold: float | None = None  # where a single output changes the answer; None where it is a number of its own
    background: Callable[[], Tensor | None] = lambda: None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def article(self) -> str:
        return {"image": "an image", "dna": "DNA"}.get(self.kind, f"a {self.kind}")

    def function(self, target: int) -> Callable[[Tensor], Tensor]:
        """The target's output [N] of points [N, …]."""
        return lambda points: self.scores(points)[:, target]

    def wrapped(self, target: int) -> nn.Module:
        """The same as a module that holds the network, for methods that hook its layers.

        Raises:
            InputError: where the network doesn't take points.
        """
        if self.module is None:
            raise InputError(f"this method needs a network's layers, this {self.kind} model has none to hook: {OTHERS}")
        return _Scalar(self.module, self.function(target))

    def worth(self, target: int, base: Tensor, batch: int = 256) -> Callable[[np.ndarray], np.ndarray]:
        """The game of the players: coalitions bool [N, M] to outputs [N]; who is absent takes the baseline's value."""
        assert self.parts is not None
        function, parts = self.function(target), self.parts.to(self.x.device)

        @torch.no_grad()
        def worth(coalitions: np.ndarray) -> np.ndarray:
            rows = torch.from_numpy(np.ascontiguousarray(coalitions)).to(self.x.device)
            found = [function(torch.where(part[:, parts], self.x, base)).double().cpu() for part in rows.split(batch)]
            return torch.cat(found).numpy()

        return worth


OTHERS = "use occlusion, lime, sampled-shapley or kernel-shap"


class _Scalar(nn.Module):
    def __init__(self, network: nn.Module, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self._function = network, function

    def forward(self, points: Tensor) -> Tensor:
        return self._function(points)


def to_model(x: Tensor, model: nn.Module) -> Tensor:
    """x on the device and in the dtype of the model's weights."""
    like = next(iter(model.parameters()), torch.zeros(()))
    return x.to(device=like.device, dtype=like.dtype if like.is_floating_point() else torch.float32)


def table_of(model: Any) -> Callable[[Tensor], Tensor]:
    """A network's outputs as a table [N, K] in float32."""

    def scores(points: Tensor) -> Tensor:
        found = model(points)
        if not isinstance(found, Tensor):
            raise InputError(f"the model gives {type(found).__name__}, not a tensor of scores [N, classes]")
        found = found if found.ndim > 1 else found.reshape(-1, 1)
        if found.ndim != 2:
            raise InputError(f"the model's scores are [N, classes], not {list(found.shape)}")
        return found.float() if found.dtype in (torch.float16, torch.bfloat16) else found

    return scores


@contextlib.contextmanager
def at_rest(model: Any, seed: int) -> Iterator[None]:
    """In eval mode, with draws of this seed; afterwards mode, flags and the random state are what they were."""
    drawn = np.random.get_state()  # noqa: NPY002  # captum draws from it
    quiet = looking(model) if isinstance(model, nn.Module) else contextlib.nullcontext()
    with torch.random.fork_rng(), torch.inference_mode(False), quiet, torch.enable_grad():
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(drawn)  # noqa: NPY002


def pick_target(found: Subject, target: Any, output: Tensor) -> tuple[int, str]:
    """The number and name of the output to explain; by default the largest of outputs [K].

    Raises:
        InputError: for one that the model doesn't have; it names those that it has.
    """
    count, names = len(output), found.names
    if target is None:
        index = int(output.argmax())
    elif isinstance(target, str):
        if names is None or target not in names:
            import difflib

            known = names or [str(i) for i in range(count)]
            near = difflib.get_close_matches(target, known, n=3, cutoff=0.5) or known[:12]
            raise InputError(
                f"there is no target {target!r}: this model has {', '.join(near)}{', …' if len(known) > len(near) else ''}"
            )
        index = names.index(target)
    else:
        try:
            index = int(target)
            if isinstance(target, bool) or index != float(target) or not -1 < index < count:
                raise ValueError
        except (TypeError, ValueError, RuntimeError):
            shown = f": {', '.join(names[:12])}{', …' if count > 12 else ''}" if names else ""
            raise InputError(f"target is a whole number in 0..{count - 1} or a name{shown}, not {target!r}") from None
    name = names[index] if names is not None and index < len(names) else ("" if count == 1 else str(index))
    return index, name
