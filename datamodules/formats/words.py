"""Texts as words or characters, and those as tokens: what models that read whole texts share.

Token 0 fills short texts up, token 1 stands for whatever isn't in the vocabulary, the vocabulary follows.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from zoo.errors import InputError

PADDING, UNKNOWN, FIRST = 0, 1, 2
Unit = Literal["word", "character"]

CLITIC = re.compile(r"(?<=\w)(n't|'(?:s|re|ve|ll|d|m))\b")  # isn't, film's: as the Penn Treebank splits them
MARK = re.compile(r"(\.{2,}|-{2,}|[.,!?;:](?=\s|$)|[()\[\]\"“”`])")  # a point or comma inside a number or "u.s" stays


def split(text: str, unit: Unit) -> list[str]:
    """The pieces of a text: lower-case words and marks, or its characters as they are.

    >>> split("It isn't the film's fault.", "word")
    ['it', 'is', "n't", 'the', 'film', "'s", 'fault', '.']

    Raises:
        InputError: for what is no text, or has nothing in it.
    """
    if not isinstance(text, str):
        raise InputError(f"a text must be a string, not {type(text).__name__}")
    pieces = list(text.strip())
    if unit == "word":
        pieces = MARK.sub(r" \1 ", CLITIC.sub(r" \1", text.lower())).split()
    if not pieces:
        raise InputError(f"the text {text[:20]!r} is empty: give at least one {unit}")
    return pieces


def index_of(vocabulary: Sequence[str]) -> dict[str, int]:
    """The token of each piece of a vocabulary."""
    return {piece: FIRST + i for i, piece in enumerate(vocabulary)}


def tokens_of(pieces: Sequence[str], index: Mapping[str, int]) -> Tensor:
    """int64 [len(pieces)]."""
    return torch.tensor([index.get(piece, UNKNOWN) for piece in pieces])


def pad(texts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Texts of unlike lengths as one tensor [N, T], and their lengths [N]."""
    lengths = torch.tensor([len(text) for text in texts])
    return torch.nn.utils.rnn.pad_sequence(list(texts), batch_first=True, padding_value=PADDING), lengths
