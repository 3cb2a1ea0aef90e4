"""Pictures of docs/themes/concepts.md: which unit sees what, and which parts of a digit hold its class.

python scripts/figures/concepts.py                   # a minute; into docs/figures
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pictures import main, panels
from torch import Tensor
from torch.nn import functional as F

import zoo
from zoo.core.files import write_figure
from zoo.core.module import init_arguments
from zoo.core.samples import sample_split
from zoo.explain.concepts import anchor, dissect


def holes(ink: Tensor) -> Tensor:
    """Background [N, H, W] that ink [N, H, W] shuts off from the border."""
    free = ~ink
    outside = torch.zeros_like(ink)
    outside[:, 0], outside[:, -1], outside[:, :, 0], outside[:, :, -1] = True, True, True, True
    outside &= free
    plus = torch.tensor([[0.0, 1, 0], [1, 1, 1], [0, 1, 0]])[None, None]
    while True:
        grown = (F.conv2d(outside[:, None].float(), plus, padding=1)[:, 0] > 0) & free
        if torch.equal(grown, outside):
            return free & ~outside
        outside = grown


def strokes(x: Tensor) -> dict[str, Tensor]:
    """Pixels of strokes by direction, bool [N, H, W], of images in 0..1: changes run across a stroke."""
    dx, dy = torch.zeros_like(x), torch.zeros_like(x)
    dx[:, :, 1:-1] = x[:, :, 2:] - x[:, :, :-2]
    dy[:, 1:-1] = x[:, 2:] - x[:, :-2]
    a, b, c = (F.avg_pool2d(y[:, None], 5, 1, 2)[:, 0] for y in (dx * dx, dy * dy, dx * dy))
    angle = 0.5 * torch.atan2(2 * c, a - b) * 180 / torch.pi  # of the strongest change
    clear, ink = ((a - b).square() + 4 * c.square()).sqrt() > 0.5 * (a + b), x > 0.3
    along = {"upright": 0.0, "level": 90.0, "rising": 45.0, "falling": -45.0}
    return {name: ink & clear & (((angle - at + 90) % 180 - 90).abs() < 22.5) for name, at in along.items()}


def dissection(
    path: Path, *, images: int = 100, layers: tuple[str, ...] = ("stage1", "stage2", "stage3")
) -> dict[str, Any]:
    """Overlap of units of a digit classifier with holes and strokes, beside the same network with fresh weights."""
    model = zoo.load("resnet20-mnist")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        fresh = type(model)(**init_arguments(model)).eval()
    fresh.transform = model.transform
    x = sample_split("mnist")[0][:images]
    pixels = x[:, 0].float() / 255
    concepts = {"hole": holes(pixels > 0.3), **strokes(pixels), "ink": pixels > 0.3}
    best: dict[str, dict[str, list[float]]] = {"trained": {}, "fresh": {}}
    winner: dict[str, tuple[float, str, int]] = {}
    for title, network in (("trained", model), ("fresh", fresh)):
        for layer in layers:
            for name, mask in concepts.items():
                overlap = dissect(network, x, mask, layer)
                best[title].setdefault(name, []).append(overlap.max().item())
                if title == "trained":
                    winner[name] = max(
                        winner.get(name, (0.0, "", 0)), (overlap.max().item(), layer, int(overlap.argmax()))
                    )
    figure, axes = panels(11, 4.6, 2, 5)
    shown = [i for i in range(len(x)) if concepts["hole"][i].sum() > 12][:4]
    shown += list(range(4 - len(shown)))
    for row, name in zip(axes, ("hole", "level"), strict=True):
        value, layer, unit = winner[name]
        maps = unit_maps(model, x[shown], layer, unit)
        for axis, i, heat in zip(row, shown, maps, strict=False):
            axis.imshow(pixels[i], cmap="gray")
            axis.imshow(heat, cmap="magma", alpha=0.55)
            if concepts[name][i].any():
                axis.contour(concepts[name][i].float(), [0.5], colors="cyan", linewidths=1)
            axis.set(xticks=[], yticks=[])
        row[0].set_title(f"{name}: {layer}, unit {unit + 1}, IoU {value:.2f}", fontsize=9, loc="left")
    for axis, title in zip(axes[:, 4], best, strict=True):
        for name, values in best[title].items():
            axis.plot(range(1, len(layers) + 1), values, "o-", ms=3, label=name)
        axis.set(ylim=(0, 0.75), xticks=range(1, len(layers) + 1))
        axis.set_title(f"best unit a stage, {title}", fontsize=9)
    axes[0, 4].legend(frameon=False, fontsize=6, ncols=2)
    write_figure(path, figure, dpi=70)
    return {"best": {name: winner[name] for name in concepts}, **best}


@torch.no_grad()
def unit_maps(model: Any, x: Tensor, layer: str, unit: int) -> Tensor:
    """What one unit of a layer gives, as large as the pictures, [N, H, W]."""
    found: list[Tensor] = []
    handle = model.get_submodule(layer).register_forward_hook(lambda _, __, output: found.append(output[:, [unit]]))
    try:
        model(model.transform(x))
    finally:
        handle.remove()
    return F.interpolate(found[0], x.shape[-2:], mode="bilinear", align_corners=False)[:, 0]


def anchors(path: Path, *, digits: int = 5, samples: int = 100, size: int = 7) -> dict[str, Any]:
    """The squares of a digit that keep its class whatever the other squares show."""
    model = zoo.load("lenet5-mnist")
    x, y = sample_split("mnist")
    points = model.transform(x)
    with torch.no_grad():
        right = model(points).argmax(1) == y
    chosen = [int((right & (y == c)).nonzero()[0]) for c in (0, 1, 4, 7, 8)[:digits]]
    place = torch.arange(points.shape[-1]) * size // points.shape[-1]
    parts = (place[:, None] * size + place)[None]  # size × size squares, the number of each pixel's
    answer: Callable[[Tensor], Tensor] = lambda p: model(p).argmax(1)  # noqa: E731
    figure, axes = panels(10, 4.2, 2, len(chosen))
    axes = axes.reshape(2, -1)
    found: dict[str, Any] = {}
    generator = torch.Generator().manual_seed(1)
    for column, i in enumerate(chosen):
        kept, precision = anchor(answer, points[[i]], points, parts, samples=samples)
        keep = torch.isin(parts, torch.tensor(kept))
        drawn = points[torch.randint(len(points), (400,), generator=generator)]
        with torch.no_grad():
            fresh = (answer(torch.where(keep, points[[i]], drawn)) == y[i]).float().mean().item()
            other = torch.randperm(int(parts.max()) + 1, generator=generator)[: len(kept)]
            control = (answer(torch.where(torch.isin(parts, other), points[[i]], drawn)) == y[i]).float().mean().item()
        image = x[i, 0].float() / 255
        axes[0, column].imshow(image, cmap="gray")
        axes[0, column].imshow(torch.where(keep[0], 1.0, torch.nan), cmap="autumn", alpha=0.45, vmin=0, vmax=1)
        axes[0, column].set_title(f"{int(y[i])}: {len(kept)} squares, {precision:.0%}", fontsize=9)
        axes[1, column].imshow(torch.where(keep[0], image, x[7 * column + 3, 0].float() / 255), cmap="gray")
        for axis in axes[:, column]:
            axis.set(xticks=[], yticks=[])
        found[str(int(y[i]))] = {
            "squares": len(kept),
            "precision": precision,
            "on fresh draws": fresh,
            "as many at random": control,
        }
    write_figure(path, figure, dpi=75)
    return found


PICTURES = {"dissection": dissection, "anchors": anchors}

if __name__ == "__main__":
    sys.exit(main(__doc__, PICTURES))
