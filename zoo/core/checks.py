"""Checks of arguments that many verbs share: each raises one sentence with the value and what would be right."""

import torch

from zoo.errors import InputError


def check_count(n: int, what: str = "n") -> int:
    """`n` if it is a positive whole number.

    Raises:
        InputError: otherwise.
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise InputError(f"{what} must be a whole number of at least 1, not {n!r}")
    return n


def seeded_generator(device: torch.device, seed: int | None) -> torch.Generator:
    """A generator on the device: with a seed always the same draws there, without one fresh draws."""
    generator = torch.Generator(device)
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    return generator
