"""What a batch holds: one helper unpacks it for every family, so that plain tensors, tuples and dicts all work."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from zoo.errors import InputError

INPUTS = ("input", "image", "images", "x", "pixel_values", "input_ids", "tokens", "obs")
LABELS = ("label", "labels", "y", "target", "mask", "masks", "boxes")


def inputs_of(batch: Any) -> Any:
    """The inputs of a batch: the batch itself, the first of a tuple, or the named input of a dict.

    Raises:
        InputError: for an empty tuple, or a dict without any of the known names.
    """
    if isinstance(batch, Mapping):
        for key in INPUTS:
            if key in batch:
                return batch[key]
        raise InputError(
            f"a batch has the keys {', '.join(map(str, batch))}; its input must be named one of {', '.join(INPUTS)}"
        )
    if isinstance(batch, tuple | list):
        if not batch:
            raise InputError("a batch is an empty tuple: its first element must be the input")
        return batch[0]
    return batch


def images_of(batch: Any, shape: tuple[int, ...] | None = None) -> Tensor:
    """The images [N, C, H, W] of a batch.

    Raises:
        InputError: for a tensor of other dimensions or, where `shape` is known, of other channels or size.
    """
    x = inputs_of(batch)
    wanted = "[N, C, H, W]" if shape is None else f"[N, {', '.join(map(str, shape))}]"
    if not isinstance(x, Tensor) or x.ndim != 4 or (shape is not None and tuple(x.shape[1:]) != tuple(shape)):
        found = list(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise InputError(f"a batch must hold images {wanted}, not {found}")
    return x


def labelled(batch: Any) -> tuple[Any, Any]:
    """Inputs and labels of a batch: a pair, or a dict that names both.

    Raises:
        InputError: for a batch without labels.
    """
    if isinstance(batch, Mapping):
        label = next((batch[key] for key in LABELS if key in batch), None)
        if label is None:
            raise InputError(
                f"a batch has the keys {', '.join(map(str, batch))}; its labels must be named one of {', '.join(LABELS)}"
            )
        return inputs_of(batch), label
    if isinstance(batch, tuple | list) and len(batch) >= 2:
        return batch[0], batch[1]
    raise InputError("a batch must be a pair (inputs, labels) here: this model learns from labels")
