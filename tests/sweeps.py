"""Sweeps over many names, of which a few stand for the rest: those run always, all of them with `make test-full`."""

from collections import Counter
from collections.abc import Callable, Iterable

import pytest


def some(names: Iterable[str], kind: Callable[[str], str], few: int = 2) -> list:
    """Parameters for all names; those beyond the first few of their kind bear the marker `slow`."""
    seen: Counter[str] = Counter()
    parameters = []
    for name in names:
        seen[kind(name)] += 1
        parameters.append(pytest.param(name, marks=[pytest.mark.slow] if seen[kind(name)] > few else []))
    return parameters


def by_size(checkpoints: Iterable[str]) -> list[str]:
    """The smallest networks first: where a few of a kind stand for the rest, it's those."""
    import zoo

    return sorted(checkpoints, key=lambda name: zoo.info(name).flops or 0)


def large(checkpoint: str) -> str:
    """One kind for all networks of over 10 million operations an image, whose integrated gradients take seconds each."""
    import zoo

    return "large" if (zoo.info(checkpoint).flops or 0) > 1e7 else checkpoint
