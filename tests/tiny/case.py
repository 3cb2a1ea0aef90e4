"""What a tiny configuration says of its architecture."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.batches import images


@dataclass(frozen=True)
class Tiny:
    """Arguments of a small model, a batch for its training step, and what is expected of it."""

    init: dict[str, Any]
    batch: Callable[[], Any]
    data: str | None = None
    data_init: dict[str, Any] = field(default_factory=dict)
    overfits: float = 0.5
    lr: float = 3e-3
    no_gradient: tuple[str, ...] = ()  # parameters that rightly get none in one step, such as a discriminator's


# models of grey digits that take pixels in [0, 1]
DIGITS: dict[str, Any] = {"batch": images(), "data": "mnist", "data_init": {"normalize": False}}


def facts(model: Any) -> dict[str, Any]:
    """What a model was made with, and the tensors that it has."""
    from zoo.core.module import init_arguments

    shapes = {key: list(tensor.shape) for key, tensor in model.state_dict().items()}
    return {
        "init": init_arguments(model),
        "hparams": sorted(model.hparams),
        "shapes": shapes,
        "dtype": str(model.dtype),
    }
