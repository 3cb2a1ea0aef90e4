"""Checks of arguments that many verbs share: each raises one sentence with the value and what would be right."""

import difflib
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from zoo.errors import InputError

LARGEST = 2**31 - 1  # of any number of things; more fit into no memory


def check_count(n: int, what: str = "n") -> int:
    """`n` if it is a positive whole number.

    Raises:
        InputError: otherwise.
    """
    if not is_whole(n) or n < 1:
        raise InputError(f"{what} must be a whole number of at least 1, not {n!r}")
    if n > LARGEST:
        raise InputError(f"{what} must be at most {LARGEST:,}, not {n!r:.40}")
    return int(n)


def is_whole(n: Any) -> bool:
    """Whether n is a whole number, of Python or of NumPy."""
    return isinstance(n, int | np.integer) and not isinstance(n, bool)


def readable() -> bool:
    """Whether the values of tensors can be looked at: not while torch traces a program, which holds for any values."""
    return not torch.compiler.is_exporting()


def as_numbers(x: Any, what: str) -> torch.Tensor:
    """x as a floating-point tensor: a tensor, an array, or nested lists of numbers.

    Raises:
        InputError: for what holds no numbers, or rows of different lengths.
    """
    try:
        found = torch.as_tensor(x)
    except (TypeError, ValueError, RuntimeError):
        shown = " ".join(repr(x).split())[:60]
        raise InputError(f"{what} are numbers in a tensor, an array or lists of one length, not {shown}") from None
    if found.is_complex():
        raise InputError(f"{what} are real numbers, not {found.dtype}")
    return found if isinstance(x, torch.Tensor) and found.is_floating_point() else found.to(torch.float32)


def seeded_generator(device: torch.device, seed: int | None) -> torch.Generator:
    """A generator on the device: with a seed always the same draws there, without one fresh draws.

    Raises:
        InputError: for a seed that is no whole number.
    """
    generator = torch.Generator(device)
    if seed is None:
        generator.seed()
    else:
        if not is_whole(seed) or not -(2**63) <= seed < 2**63:
            raise InputError(
                f"seed must be a whole number of at most 63 bits, or None for fresh draws, not {seed!r:.60}"
            )
        generator.manual_seed(int(seed))
    return generator


def refuse_labels(labels: object, name: str | None) -> None:
    """Refuse labels that an unconditional model is given.

    Raises:
        InputError: unless labels is None.
    """
    if labels is not None:
        raise InputError(f"{name or 'this model'} is unconditional: it takes no labels")


PEERS = {  # keywords of neighbouring libraries, with ours
    "pretrained": "zoo.load for trained weights, zoo.create for fresh ones",
    "in_chans": "in_channels",
    "img_size": "image_size",
    "num_inference_steps": "steps",
    "num_steps": "steps",
    "guidance_scale": "guidance",
    "max_new_tokens": "n",
    "max_length": "n",
    "num_return_sequences": "n",
    "num_samples": "n",
    "batch": "n",
    "generator": "seed",
    "random_state": "seed",
    "topk": "top",
    "num_beams": "beams",
    "learning_rate": "lr",
    "n_classes": "num_classes",
    "num_labels": "num_classes",
    "map_location": "device",
    "torch_dtype": "dtype",
    "use_auth_token": "token",
}


def check_keywords(given: Iterable[str], known: Iterable[str], what: str) -> None:
    """Refuse keywords that aren't known, with the one that may be meant.

    Raises:
        InputError: for the first such keyword.
    """
    known = list(known)
    for key in given:
        if key in known:
            continue
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
        meant = PEERS.get(key)
        if meant in known or (meant and " " in meant):
            hint = f"; did you mean {meant}?"
        else:
            hint = f"; did you mean {near[0]}?" if near else f"; it has: {', '.join(sorted(known))}"
        raise InputError(f"{what} has no argument {key}{hint}")
