"""Captions of digits that are measured on the image: "a thick slanted seven".

Nobody wrote captions for MNIST, so they are made: the digit is the label, and two adjectives follow from the pixels,

    thickness  2 · ink / outline         ink: the sum of the pixels; outline: the sum of their gradients' lengths
    slant      −cov(x, y) / var(y)       how far the strokes move to the right for each pixel upwards

cut at round numbers near the lower and upper quartiles of training images. What a model was asked for can be measured again on
what it draws, so the accuracy of each word is a number and no opinion.
"""

import re
from collections.abc import Sequence

import torch
from torch import Tensor

from zoo.errors import InputError

THICKNESS = (2.0, 2.8)  # pixels
SLANT = (-0.05, 0.3)
START = "<start>"
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
WORDS = (START, "a", "thin", "medium", "thick", "backward", "upright", "slanted", *DIGITS, "digit")
LENGTH = 5  # <start> a thick slanted seven
PAD = len(WORDS)
VOCABULARY = len(WORDS) + 1
_ID = {word: i for i, word in enumerate(WORDS)}


def thickness(x: Tensor) -> Tensor:
    """Mean width of the strokes of images [N, 1, H, W] in [0, 1], in pixels, [N]."""
    padded = torch.nn.functional.pad(x[:, 0], (1, 1, 1, 1))
    down, right = padded[:, 1:, :-1] - padded[:, :-1, :-1], padded[:, :-1, 1:] - padded[:, :-1, :-1]
    outline = (down.square() + right.square()).sqrt().sum((1, 2))
    return 2 * x.sum((1, 2, 3)) / outline.clamp(min=1e-6)


def slant(x: Tensor) -> Tensor:
    """Shear of images [N, 1, H, W] in [0, 1] to the right, [N]; 1 is 45 degrees."""
    ink = x[:, 0]
    total = ink.sum((1, 2)).clamp(min=1e-6)
    rows = torch.arange(ink.shape[1], device=x.device, dtype=x.dtype)[None, :, None]
    columns = torch.arange(ink.shape[2], device=x.device, dtype=x.dtype)[None, None, :]
    down = rows - ((ink * rows).sum((1, 2)) / total)[:, None, None]
    right = columns - ((ink * columns).sum((1, 2)) / total)[:, None, None]
    return -(ink * down * right).sum((1, 2)) / (ink * down.square()).sum((1, 2)).clamp(min=1e-6)


def adjectives(x: Tensor) -> Tensor:
    """The words for thickness and slant of images [N, 1, H, W], as ids [N, 2]."""
    thick = torch.bucketize(thickness(x), torch.tensor(THICKNESS, device=x.device))
    lean = torch.bucketize(slant(x), torch.tensor(SLANT, device=x.device))
    return torch.stack([_ID["thin"] + thick, _ID["backward"] + lean], dim=1)


def describe(x: Tensor, labels: Tensor) -> Tensor:
    """Full captions of images [N, 1, H, W] with labels [N], as ids [N, LENGTH]."""
    n = len(x)
    start = torch.tensor([_ID[START], _ID["a"]], device=x.device).expand(n, 2)
    return torch.cat([start, adjectives(x), (_ID["zero"] + labels)[:, None]], dim=1)


def shorten(tokens: Tensor, drop: float, generator: torch.Generator | None) -> Tensor:
    """Captions with each adjective left out at a rate of `drop`, and all but the start at a third of it: prompts vary."""
    n, device = len(tokens), tokens.device
    gone = torch.zeros_like(tokens, dtype=torch.bool)
    gone[:, 2:4] = torch.rand(n, 2, device=device, generator=generator) < drop
    gone[:, 1:] |= (torch.rand(n, device=device, generator=generator) < drop / 3)[:, None]
    shorter = torch.where(gone, PAD, tokens)
    order = gone.long().argsort(dim=1, stable=True)  # what is left moves up
    return shorter.gather(1, order)


def tokens_of(prompts: str | Sequence[str], n: int | None = None) -> Tensor:
    """Ids [N, LENGTH] of prompts; one prompt serves for n.

    Raises:
        InputError: for a word that isn't known (it names the known ones), a prompt that is too long, or another number of them.
    """
    if isinstance(prompts, str):
        prompts = [prompts] * (1 if n is None else n)
    elif not isinstance(prompts, Sequence) or not all(isinstance(prompt, str) for prompt in prompts):
        raise InputError(f"a prompt is a text such as 'a thick seven', or a list of texts, not {prompts!r}")
    if n is not None and len(prompts) != n:
        raise InputError(f"{n} images need {n} prompts, or one for all, not {len(prompts)}")
    rows = []
    for prompt in prompts:
        words = re.findall(r"\w+", prompt.lower())
        if unknown := [word for word in words if word not in _ID]:
            raise InputError(
                f"the prompt {prompt!r} has words that are not in the vocabulary, {', '.join(map(repr, unknown))}: "
                f"it holds {', '.join(WORDS[1:])}"
            )
        if len(words) > LENGTH - 1:
            raise InputError(f"the prompt {prompt!r} has {len(words)} words; at most {LENGTH - 1} fit")
        ids = [_ID[START], *(_ID[word] for word in words)]
        rows.append(ids + [PAD] * (LENGTH - len(ids)))
    return torch.tensor(rows)


def text_of(tokens: Tensor) -> list[str]:
    """The prompts of ids [N, LENGTH]."""
    return [" ".join(WORDS[i] for i in row if i not in (_ID[START], PAD)) for row in tokens.tolist()]
