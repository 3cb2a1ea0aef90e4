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


def large(checkpoint: str) -> str:
    """One kind for all networks of over 20 million operations an image, whose integrated gradients take seconds each."""
    import zoo

    return "large" if (zoo.info(checkpoint).flops or 0) > 2e7 else checkpoint
