"""Checks of arguments that many verbs share: each raises one sentence with the value and what would be right."""

import difflib
from collections.abc import Iterable

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
