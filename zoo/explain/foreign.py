"""Models from elsewhere as subjects: networks and functions of tensors, estimators, text classifiers with probabilities alone."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zoo.core.module import ZooModule
from zoo.errors import InputError
from zoo.explain.subject import Subject, table_of, to_model


def is_text_box(model: Any, x: Any) -> bool:
    return isinstance(x, str) and not Path(x).is_file() and hasattr(model, "predict_proba")


def text_box_subject(model: Any, x: str) -> Subject:
    """A text classifier of which only the probabilities are known: words are there, or left out."""
    words = x.split()
    if not words:
        raise InputError("the text is empty: give at least one word")
    point = torch.ones(1, len(words))

    def scores(points: Tensor) -> Tensor:
        texts = [
            " ".join(w for w, there in zip(words, row, strict=True) if there > 0.5) or "." for row in points.tolist()
        ]
        return torch.as_tensor(model.predict_proba(texts)).float()

    names = getattr(model, "classes", None)
    names = [str(name) for name in names] if names is not None else None
    return Subject(
        "text", point, scores, None, torch.zeros_like(point), names=names, parts=torch.arange(len(words)), labels=words,
        differentiable=False,
    )  # fmt: skip


def is_plain(model: Any, x: Any) -> bool:
    return not isinstance(model, ZooModule) and (
        isinstance(model, nn.Module) or callable(model) or hasattr(model, "predict_proba")
    )


def plain_subject(model: Any, x: Any) -> Subject:
    """A network or function of tensors that the zoo doesn't know: x is what it takes, [F], [1, F], [C, H, W] or [1, C, H, W]."""
    try:
        point = torch.as_tensor(np.asarray(x) if isinstance(x, list | tuple) else x)
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"x is what the model takes, a tensor of numbers, not {type(x).__name__}") from None
    if point.dtype == torch.bool or point.is_complex() or point.ndim not in (1, 2, 3, 4) or not point.numel():
        raise InputError(
            f"x is numbers [F], [C, H, W], or a batch of one of these, not {point.dtype} {list(point.shape)}"
        )
    # a tensor keeps its precision, numbers from elsewhere have torch's usual one
    point = point.detach() if isinstance(x, Tensor) and point.is_floating_point() else point.detach().float()
    if not torch.isfinite(point).all():
        raise InputError("x holds NaN or infinite values: clean it before the call")
    point = point if point.ndim in (2, 4) else point[None]
    if len(point) != 1:
        raise InputError(
            f"one input is explained at a time, not {len(point)}: give one, or a list for a list of explanations"
        )
    module = model if isinstance(model, nn.Module) else None
    if module is not None:
        point = to_model(point, module)
    differentiable, names = True, getattr(model, "classes", getattr(model, "classes_", None))
    if module is None and not callable(model):

        def scores(points: Tensor) -> Tensor:  # as of scikit-learn
            return torch.as_tensor(np.asarray(model.predict_proba(points.double().cpu().numpy()))).float()

        differentiable = False
    else:
        table = table_of(model)

        def scores(points: Tensor) -> Tensor:
            return table(points)

    names = [str(name) for name in names] if names is not None else None
    picture = point.ndim == 4
    return Subject(
        "image" if picture else "tensor", point, scores, module, torch.zeros_like(point), names=names,
        parts=None if picture else torch.arange(point.shape[1]),
        labels=None if picture else [f"x{i}" for i in range(point.shape[1])], differentiable=differentiable,
        image=_displayed(point[0]) if picture else None, threshold=0.0,
    )  # fmt: skip


def _displayed(x: Tensor) -> Tensor:
    low, high = float(x.min()), float(x.max())
    return (x.float().cpu() if low >= 0 and high <= 1 else (x.float().cpu() - low) / max(high - low, 1e-12)).clamp(0, 1)
