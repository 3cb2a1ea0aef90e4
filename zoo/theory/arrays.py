"""From lists, NumPy arrays and tensors to checked float64 tensors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.errors import InputError

Numbers = Tensor | np.ndarray | Sequence[Any]


def array(values: Numbers, what: str, dimensions: int | None = None) -> Tensor:
    """A float64 tensor of finite numbers, on the CPU.

    Raises:
        InputError: for what holds no numbers, NaN or infinite ones, none at all, or another number of dimensions.
    """
    try:
        if isinstance(values, Tensor):
            found = values.detach().cpu().double()
        else:
            found = torch.from_numpy(np.array(values, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} must hold numbers in a regular shape: {error}") from None
    if dimensions is not None and found.ndim != dimensions:
        raise InputError(f"{what} must have {dimensions} dimension(s), not the shape {list(found.shape)}")
    if not found.numel():
        raise InputError(f"{what} is empty")
    if not found.isfinite().all():
        raise InputError(f"{what} holds NaN or infinite values")
    return found


def distribution(values: Numbers, what: str, dimensions: int | None = None) -> Tensor:
    """Probabilities as a float64 tensor that sums to exactly one.

    Raises:
        InputError: for negative values, or a sum that differs from 1 by more than 10⁻⁶.
    """
    p = array(values, what, dimensions)
    if p.min() < 0:
        raise InputError(f"{what} holds the negative probability {p.min():.6g}")
    if abs(p.sum().item() - 1) > 1e-6:
        raise InputError(f"{what} sums to {p.sum():.6g}, not to 1")
    return p / p.sum()


def points(values: Numbers, what: str) -> Tensor:
    """Points [N, D]; a single point [D] counts as one row.

    Raises:
        InputError: for another shape, or values that aren't finite.
    """
    x = array(values, what)
    if x.ndim > 2:
        x = x.flatten(1)
    return x[None] if x.ndim == 1 else x.reshape(len(x), -1) if x.ndim == 2 else x.reshape(1, 1)
