"""A classifier's answers: the likeliest classes with their probabilities, and many inputs in parts of a bounded size."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from zoo.core.checks import check_count
from zoo.core.progress import track

Row = list[tuple[str, float]]


def likeliest(probability: Tensor, classes: Sequence[str] | None, top: int) -> list[Row]:
    """The `top` likeliest classes (class, probability) of each row of probabilities [N, C]; a class without a name is its number.

    Raises:
        InputError: for a `top` that is no whole number of at least 1.
    """
    return ranked(probability, classes.__getitem__ if classes else str, top)


def ranked(scores: Tensor, name: Callable[[int], str], top: int) -> list[Row]:
    """The `top` largest scores of each row [N, C] as (name, score), `name` that of a column.

    Raises:
        InputError: for a `top` that is no whole number of at least 1.
    """
    best = scores.topk(min(check_count(top, "top"), scores.shape[1]))
    rows = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return [[(name(i), score) for i, score in zip(index, values, strict=True)] for index, values in rows]


def in_parts(inputs: Any, batch_size: int) -> Iterator[Any]:
    """Parts of a list, or of a batch of four dimensions, of at most `batch_size` inputs; one input as it is."""
    check_count(batch_size, "batch_size")
    if not isinstance(inputs, list | tuple) and getattr(inputs, "ndim", 0) != 4:
        yield inputs
        return
    for start in range(0, max(1, len(inputs)), batch_size):
        yield inputs[start : start + batch_size]


def by_length(texts: Sequence[Tensor], batch_size: int, answer: Callable[[list[Tensor]], Tensor]) -> Tensor:
    """The answers [N, …] to texts in their order, found for at most `batch_size` texts of like lengths at a time."""
    check_count(batch_size, "batch_size")
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    parts = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    found = torch.cat([answer([texts[i] for i in part]) for part in track(parts, "reading")])
    return found[torch.tensor(order).argsort()]
