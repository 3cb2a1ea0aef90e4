"""Images that a network would like to see: the ascent of a class's score, and deep dreams.

argmax_I  S_c(I) − λ ‖I‖²            (Simonyan et al., 2014, arXiv:1312.6034); a linear score w · I has I = w / 2λ
argmax_I  ½ ‖features of a layer‖²   from a picture, so that what the layer sees in it grows (Mordvintsev et al., 2015)
"""

from typing import Any

import torch
from torch import Tensor

from zoo.errors import InputError
from zoo.explain.attacks import image_subject, to_points
from zoo.explain.cams import find_layer
from zoo.explain.gradients import Function
from zoo.explain.subject import at_rest, pick_target


def ascend(
    score: Function,
    start: Tensor,
    penalty: float,
    *,
    steps: int = 200,
    rate: float = 0.05,
    limits: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """argmax of score(I) − penalty · ‖I‖² by Adam from a start [1, …], as it; within limits, if there are any."""
    image = start.detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([image], lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        loss = penalty * image.square().sum() - score(image).sum()
        (image.grad,) = torch.autograd.grad(loss, image)
        optimizer.step()
        schedule.step()
        if limits is not None:
            with torch.no_grad():
                image.clamp_(*limits)
    return image.detach()


def class_image(
    model: Any, target: Any, *, penalty: float = 0.002, steps: int = 200, jitter: int = 2, seed: int = 0
) -> Tensor:
    """The image that a classifier scores highest for a class, pixels in 0..1, [C, H, W].

    Args:
        penalty: λ, on the transformed image.
        jitter: pixels that the image is shifted by at random in each step, which smooths what it shows.

    Raises:
        InputError: for an unknown class, or a model that takes no images.
    """
    transform = getattr(model, "transform", None)
    if transform is None:
        raise InputError("class images are for image classifiers with their transform: load a trained one")
    shape = (len(transform.mean), *transform.size)
    start = 0.5 + 0.05 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    found = image_subject(model, (255 * start.clamp(0, 1)).round().to(torch.uint8))
    with at_rest(model, seed):
        with torch.no_grad():
            index, _ = pick_target(found, target, found.scores(found.x)[0])
        function = found.function(index)

        def score(points: Tensor) -> Tensor:
            shift = torch.randint(-jitter, jitter + 1, (2,)).tolist() if jitter else [0, 0]
            return function(points.roll(shift, (2, 3)))

        low, high = (to_points(found, torch.full_like(found.x, value)) for value in (0.0, 1.0))
        point = ascend(score, to_points(found, start[None]), penalty, steps=steps, limits=(low, high))
    return _pixels(model, point)


def deep_dream(
    model: Any,
    image: Any,
    layer: str | None = None,
    *,
    steps: int = 40,
    rate: float = 0.02,
    jitter: int = 2,
    seed: int = 0,
) -> Tensor:
    """A picture in which what a layer sees has grown, pixels in 0..1, [C, H, W].

    Args:
        layer: as in `cams.find_layer`; by default the last one with maps.
        rate: step in deviations of the transformed image, along the gradient divided by its mean size.

    Raises:
        InputError: for a network without convolutions, or an unknown layer.
    """
    found = image_subject(model, image)
    if found.module is None:
        raise InputError("a dream needs a network's layers, and this model shows none")
    with at_rest(model, seed):
        chosen = find_layer(found.module, found.function(0), found.x, layer, method="deep dream")
        seen: list[Tensor] = []
        handle = chosen.module.register_forward_hook(lambda _, __, output: seen.append(output))
        low, high = (to_points(found, torch.full_like(found.x, value)) for value in (0.0, 1.0))
        try:
            point = found.x.detach().clone()
            for _ in range(steps):
                shift = torch.randint(-jitter, jitter + 1, (2,)).tolist() if jitter else [0, 0]
                moved = point.roll(shift, (2, 3)).requires_grad_()
                seen.clear()
                found.scores(moved)
                (slope,) = torch.autograd.grad(seen[-1].square().mean() / 2, moved)
                slope = slope.roll([-s for s in shift], (2, 3))
                point = (point + rate * slope / slope.abs().mean().clamp(min=1e-12)).clamp(low, high)
        finally:
            handle.remove()
    return _pixels(model, point)


def _pixels(model: Any, point: Tensor) -> Tensor:
    mean = torch.tensor(list(model.transform.mean)).reshape(-1, 1, 1)
    std = torch.tensor(list(model.transform.std)).reshape(-1, 1, 1)
    return (point[0].detach().float().cpu() * std + mean).clamp(0, 1)
