"""Pictures of docs/themes/convolution.md: features without learning, ways back up, shifted digits.

python scripts/figures/convolution.py                # a minute; into docs/figures
"""

import math
import sys
from pathlib import Path
from typing import Any

import torch
from pictures import main, panels
from torch import Tensor
from torch.nn import functional as F

import zoo
from zoo.blocks.resizing import bed_of_nails, max_pool_with_places, max_unpool, nearest
from zoo.core.files import write_figure
from zoo.core.samples import sample_split


def coins(path: Path, *, size: int = 160, count: int = 9) -> dict[str, Any]:
    """Blobs by the Laplacian of Gaussians, edges by Canny's steps, circles by Hough's votes, on a made-up picture of coins."""
    from scipy import ndimage

    generator = torch.Generator().manual_seed(4)
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    image, truth = 0.15 * torch.rand(size, size, generator=generator), []
    cell = size // 3
    for i in range(count):
        radius = float(torch.randint(10, 18, (), generator=generator))
        y, x = (cell * (k + 0.5) + float(torch.randint(-4, 5, (), generator=generator)) for k in divmod(i, 3))
        image = image + 0.7 * torch.sigmoid(radius - torch.hypot(rows - y, columns - x))
        truth.append((y, x, radius))
    pixels = image.numpy()
    scales = range(6, 14)
    stack = torch.stack([torch.from_numpy(-(s**2) * ndimage.gaussian_laplace(pixels, s)) for s in scales])
    peak = (F.max_pool3d(stack[None, None], 9, 1, 4)[0, 0] == stack) & (stack > 0.4 * stack.max())
    blobs = [(y, x, math.sqrt(2) * scales[s]) for s, y, x in peak.nonzero().tolist()]
    edges = canny(image)
    radii = list(range(9, 20))
    votes = torch.zeros(len(radii), size, size)
    angles = torch.linspace(0, 2 * math.pi, 90)[:-1]
    points = edges.nonzero().float()
    for i, radius in enumerate(radii):
        centres = points[:, None] + radius * torch.stack([angles.sin(), angles.cos()], 1)
        y, x = centres.round().long().flatten(0, 1).T
        inside = (y >= 0) & (y < size) & (x >= 0) & (x < size)
        votes[i].view(-1).index_add_(0, y[inside] * size + x[inside], torch.ones(int(inside.sum())))
        votes[i] /= radius
    best, which = votes.max(0)
    peak = (F.max_pool2d(best[None, None], 25, 1, 12)[0, 0] == best) & (best > 0.5 * best.max())
    circles = [(y, x, radii[int(which[y, x])]) for y, x in peak.nonzero().tolist()]
    figure, axes = panels(12, 3.2, 1, 4)
    for axis, (title, shown, marks) in zip(
        axes,
        (
            ("image", image, truth),
            ("blobs, Laplacian of Gaussians", image, blobs),
            ("edges, Canny", edges, []),
            ("circles, Hough", image, circles),
        ),
        strict=True,
    ):
        axis.imshow(shown, cmap="gray")
        for y, x, radius in marks if title != "image" else []:
            axis.plot(x + radius * angles.cos(), y + radius * angles.sin(), color="tab:red", lw=1)
        axis.set(title=title, xticks=[], yticks=[])
    write_figure(path, figure, dpi=70)
    near = lambda found: sum(min(math.hypot(y - a, x - b) for a, b, _ in found) < 3 for y, x, _ in truth)  # noqa: E731
    off = (
        sum(min((math.hypot(y - a, x - b), abs(radius - r)) for a, b, r in circles)[1] for y, x, radius in truth)
        / count
    )
    return {
        "coins": count,
        "blobs": (len(blobs), near(blobs)),
        "circles": (len(circles), near(circles)),
        "radius off": off,
    }


def canny(image: Tensor, *, low: float = 0.1, high: float = 0.25) -> Tensor:
    """Canny's edges: smooth, gradient, keep ridges, and weak ridges that touch a strong one."""
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(image.numpy(), 1.4)
    dy, dx = torch.from_numpy(ndimage.sobel(smooth, 0)), torch.from_numpy(ndimage.sobel(smooth, 1))
    strength = torch.hypot(dy, dx)
    strength /= strength.max()
    sector = (torch.atan2(dy, dx) / (math.pi / 4)).round().long() % 4
    ridge = torch.zeros_like(strength, dtype=torch.bool)
    for k, (a, b) in enumerate(((0, 1), (1, 1), (1, 0), (1, -1))):
        ahead, behind = strength.roll((-a, -b), (0, 1)), strength.roll((a, b), (0, 1))
        ridge |= (sector == k) & (strength >= ahead) & (strength >= behind)
    weak, strong = ridge & (strength > low), ridge & (strength > high)
    labels, _ = ndimage.label(weak.numpy(), structure=[[1] * 3] * 3)
    labels = torch.from_numpy(labels)
    return weak & torch.isin(labels, labels[strong].unique())


def upsampling(path: Path) -> dict[str, Any]:
    """A digit pooled to a quarter, and four ways back; what a transposed convolution does to a constant."""
    digit = sample_split("mnist")[0][3:4].float() / 255
    pooled, places = max_pool_with_places(digit, 2)
    bell = torch.outer(torch.tensor([1.0, 2, 1]), torch.tensor([1.0, 2, 1]))[None, None] / 4
    smooth = F.conv_transpose2d(pooled, bell, stride=2, padding=1, output_padding=1)
    shown = {
        "digit": digit,
        "max-pooled": pooled,
        "nearest neighbour": nearest(pooled),
        "bed of nails": bed_of_nails(pooled),
        "max-unpooling": max_unpool(pooled, places, (28, 28)),
        "transposed, kernel 3": smooth,
    }
    flat = torch.ones(1, 1, 8, 8)
    for size in (3, 4):
        shown[f"of a constant, kernel {size}"] = F.conv_transpose2d(
            flat, torch.ones(1, 1, size, size), stride=2, padding=1
        )
    figure, axes = panels(13, 2, 1, len(shown))
    for axis, (title, image) in zip(axes, shown.items(), strict=True):
        axis.imshow(image[0, 0], cmap="gray", vmin=0)
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_title(title, fontsize=7)
    write_figure(path, figure, dpi=80)
    inner = lambda size: shown[f"of a constant, kernel {size}"][0, 0, 3:-3, 3:-3]  # noqa: E731
    off = lambda image: (image - digit).square().mean().item()  # noqa: E731
    return {
        "chequered, kernel 3": inner(3).max().item() / inner(3).min().item(),
        "chequered, kernel 4": inner(4).max().item() / inner(4).min().item(),
        "errors": {title: round(off(shown[title]), 4) for title in list(shown)[2:6]},
    }


def shifts(
    path: Path, *, names: tuple[str, ...] = ("mlp-mnist", "lenet5-mnist", "cnn-mnist"), far: int = 8
) -> dict[str, Any]:
    """Accuracy on packaged test digits that are moved sideways."""
    x, y = sample_split("mnist")
    figure, axis = panels(5.4, 3.4)
    found = {}
    for name in names:
        model = zoo.load(name)
        course = []
        for by in range(far + 1):
            moved = F.pad(x, (by, 0))[..., : x.shape[-1]]
            course.append((model.predict_proba(moved).argmax(1) == y).float().mean().item())
        axis.plot(course, "o-", ms=3, label=name)
        found[name] = [round(a, 3) for a in course]
    axis.set(xlabel="pixels to the right", ylabel=f"accuracy, {len(x)} test digits", ylim=(0, 1.02))
    axis.legend(frameon=False)
    write_figure(path, figure, dpi=80)
    return found


PICTURES = {"coins": coins, "upsampling": upsampling, "shifts": shifts}

if __name__ == "__main__":
    sys.exit(main(__doc__, PICTURES))
