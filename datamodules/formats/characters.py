"""Characters to tokens and back: the token of a character is its place in the vocabulary."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from zoo.errors import InputError


def encode(text: str, characters: Sequence[str], what: str = "the text") -> Tensor:
    """Tokens of a text, int64 [len(text)].

    Args:
        characters: the vocabulary, one character each, in the order of the tokens.
        what: what the error calls the text.

    Raises:
        InputError: for an empty text, or a character outside the vocabulary, named with its position.
    """
    if not isinstance(text, str):
        raise InputError(f"{what} must be a string, not {type(text).__name__}")
    if not text:
        raise InputError(f"{what} is empty: give at least one character")
    known = _code_points("".join(characters))
    order = np.argsort(known)
    points = _code_points(text)
    place = np.searchsorted(known, points, sorter=order).clip(max=len(known) - 1)
    tokens = order[place]
    if (wrong := known[tokens] != points).any():
        first = int(wrong.argmax())
        shown = "".join(characters)
        raise InputError(
            f"{what} has the character {text[first]!r} at position {first}, which is not in the vocabulary of "
            f"{len(known)} characters {shown[:100]!r}: replace it"
        )
    return torch.from_numpy(tokens.astype(np.int64))


def decode(tokens: Tensor | Sequence[int], characters: Sequence[str]) -> str:
    """The text of tokens [T]."""
    return "".join(characters[int(token)] for token in tokens)


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
