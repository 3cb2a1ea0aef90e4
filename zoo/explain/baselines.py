"""Baselines: what an input is when nothing is there. No choice is neutral (Sturmfels et al., 2020,
doi:10.23915/distill.00022).

In pixels: black and white are blind to parts of that colour; mean is the data's grey; blur lacks detail alone; uniform
and gaussian noise treat pixels as unrelated; max-distance is, pixel by pixel, the end of the range that is further away;
data is another image.
"""

from typing import Any

import torch
from torch import Tensor

from zoo.errors import InputError
from zoo.explain.segments import blurred
from zoo.explain.subject import Subject

NAMES = ("black", "white", "mean", "blur", "uniform", "gaussian", "max-distance", "data")


def baselines(found: Subject, wanted: Any, seed: int = 0, *, most: int = 1) -> Tensor:
    """Baselines as points, [B, …] with B ≤ most.

    Args:
        wanted: a name out of `NAMES`, a number (of each pixel, in 0..1), or a baseline of the input's shape: pixels
            where the model has a transform, else a point; several of them [B, …] where the method takes more than one.
            For inputs that aren't images "black" is what the family has for nothing (the mean of training rows, the
            unknown word, any letter of DNA, no features), "mean" and "data" are of the rows at hand.
        seed: of noise and of the choice among data.

    Raises:
        InputError: for another name, another shape, or values that aren't finite.
    """
    if isinstance(wanted, str):
        return _named(found, wanted, seed, most)
    try:
        given = torch.as_tensor(wanted)
        given = given.detach() if given.is_floating_point() or given.dtype == torch.uint8 else given.float()
    except (TypeError, ValueError, RuntimeError):
        raise InputError(
            f"a baseline is one of {', '.join(NAMES)}, a number or a tensor of the input's shape, not {type(wanted).__name__}"
        ) from None
    shape = tuple(found.x.shape[1:])
    if given.ndim == 0:
        value = float(given)
        if not torch.isfinite(given.float()).all():
            raise InputError(f"the baseline is {value}: it has to be a finite number")
        return _points(found, torch.full((1, *shape), value)) if found.transform else torch.full_like(found.x, value)
    given = given if given.ndim == len(shape) + 1 else given[None]
    if tuple(given.shape[1:]) != shape or not len(given):
        raise InputError(
            f"the baseline has shape {list(torch.as_tensor(wanted).shape)}, the input {list(shape)}: give one of its shape"
        )
    pixels = given.float() / 255 if given.dtype == torch.uint8 else given.float()
    if not torch.isfinite(pixels).all():
        raise InputError("the baseline holds NaN or infinite values: clean it before the call")
    if len(given) > most:
        if most == 1:
            raise InputError(f"this method takes one baseline, not {len(given)}: give one, or use expected-gradients")
        pixels = pixels[torch.randperm(len(pixels), generator=torch.Generator().manual_seed(seed))[:most]]
    is_pixels = found.transform is not None and float(pixels.min()) >= 0 and float(pixels.max()) <= 1
    return _points(found, pixels) if is_pixels else pixels.to(found.x)


def _named(found: Subject, name: str, seed: int, most: int) -> Tensor:
    name = {"zero": "black", "zeros": "black", "random": "uniform", "noise": "uniform"}.get(
        name, name.replace("_", "-")
    )
    if name not in NAMES:
        raise InputError(f"there is no baseline {name!r}: choose one of {', '.join(NAMES)}")
    generator = torch.Generator().manual_seed(seed)
    if name == "black":
        return found.absent
    if name in ("data", "mean") and (name == "data" or found.kind != "image"):
        rows = found.background()
        if rows is None:
            raise InputError(f"there are no data at hand for the baseline {name!r}: give one as a tensor, or use black")
        if name == "mean":
            return rows.mean(0, keepdim=True).to(found.x)
        if len(rows) > 1:
            rows = rows[~(rows.to(found.x) == found.x).flatten(1).all(1).cpu()]  # another image, not the same
        return rows[torch.randperm(len(rows), generator=generator)[:most]].to(found.x)
    if found.kind != "image" or found.image is None:
        raise InputError(f"the baseline {name!r} is for images: a {found.kind} takes black, mean, data or a tensor")
    image = found.image[None]
    if name == "mean":
        if found.transform is not None:
            return torch.zeros_like(found.x)  # a transformed image has the data's mean at 0
        return found.x.mean((2, 3), keepdim=True).expand_as(found.x).clone()
    if name == "uniform":
        pixels = torch.rand(image.shape, generator=generator)
    elif name == "gaussian":
        pixels = (image + 0.3 * torch.randn(image.shape, generator=generator)).clamp(0, 1)
    else:
        made: dict[str, Any] = {"white": torch.ones_like, "blur": blurred, "max-distance": lambda x: (x < 0.5).float()}
        pixels = made[name](image)
    return _points(found, pixels)


def _points(found: Subject, pixels: Tensor) -> Tensor:
    if found.transform is None:
        return pixels.to(found.x)
    mean = torch.tensor(list(found.transform.mean)).reshape(-1, 1, 1)
    std = torch.tensor(list(found.transform.std)).reshape(-1, 1, 1)
    return ((pixels - mean) / std).to(found.x)
