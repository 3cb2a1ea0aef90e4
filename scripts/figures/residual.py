"""What shortcuts are for: the training curves of a plain and a residual network, and the loss around their weights.

    python scripts/figures/residual.py resnet20-cifar10 plain20-cifar10

The landscape is that of Li et al. (2018, arXiv:1712.09913): the training loss at w + a·d + b·e on a grid of (a, b), for two
random directions d, e in which every filter has the length of the filter of w that it is added to, so that networks of
different scale compare. Norm layers and biases stay. Writes curves.png, landscape.png and extra.md into the first folder.
"""

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

import zoo
from zoo.core.classifier import ImageClassifier
from zoo.core.files import write_figure
from zoo.core.precision import quick_autocast
from zoo.errors import InputError, one_sentence
from zoo.store.cards import write_section
from zoo.store.hub import locate


def directions(model: ImageClassifier, seed: int) -> dict[str, Tensor]:
    """A random tensor for each weight matrix and kernel, filter by filter as long as the weights."""
    generator, found = torch.Generator().manual_seed(seed), {}
    for name, weight in model.named_parameters():
        if weight.ndim > 1:
            noise = torch.randn(weight.shape, generator=generator)
            lengths = [t.flatten(1).norm(dim=1) for t in (weight.detach(), noise)]
            found[name] = noise * (lengths[0] / lengths[1].clamp(min=1e-12)).view(-1, *[1] * (weight.ndim - 1))
    return found


@torch.inference_mode()
def landscape(model: ImageClassifier, x: Tensor, y: Tensor, *, points: int = 21, reach: float = 1.0) -> Tensor:
    """Mean loss [points, points] over a and b from -reach to reach, of transformed images x [N, C, H, W] and labels y [N]."""
    if points < 2:
        raise InputError(f"points is {points}; a grid needs at least 2 on a side")
    model.eval()
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    d, e = directions(model, 0), directions(model, 1)
    steps, losses = torch.linspace(-reach, reach, points).tolist(), torch.empty(points, points)
    named = dict(model.named_parameters())
    for i, a in enumerate(steps):
        for j, b in enumerate(steps):
            for name in d:
                named[name].copy_(start[name] + a * d[name] + b * e[name])
            with quick_autocast(x.device.type)[0]:
                logits = torch.cat([model(part) for part in x.split(500)])
            losses[i, j] = F.cross_entropy(logits.float(), y)
    for name, p in named.items():
        p.copy_(start[name])
    return losses


def draw_landscapes(found: dict[str, Tensor], reach: float, path: Path) -> None:
    """Contours of the logarithm of the loss, a panel for each network, one scale."""
    logs = {name: losses.clamp(min=1e-3).log10() for name, losses in found.items()}
    every = torch.stack([*logs.values()])
    low, high = every.min().item(), every.max().item()
    figure = Figure(figsize=(3.6 * len(found), 3.4), layout="constrained")
    for axes, (name, values) in zip(figure.subplots(1, len(found), squeeze=False)[0], logs.items(), strict=True):
        ticks = torch.linspace(-reach, reach, len(values))
        levels = torch.linspace(low, max(high, low + 1e-3), 25)
        shown = axes.contourf(ticks, ticks, values.T, levels=levels, cmap="viridis")
        axes.set_title(name)
    figure.colorbar(shown, ax=figure.axes, label="log10 of the training loss")
    write_figure(path, figure, dpi=90)


def draw_curves(names: list[str], path: Path) -> None:
    """Training loss of every epoch, and held-out error where images were held out."""
    histories = {}
    for name in names:
        with (locate(name) / "history.csv").open(encoding="utf-8") as file:
            histories[name] = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]
    shown = {"train/loss": "training loss"}
    if any("val/accuracy" in row for rows in histories.values() for row in rows):
        shown["val/accuracy"] = "validation error, %"
    figure = Figure(figsize=(3.5 * len(shown), 3), layout="constrained")
    panels = figure.subplots(1, len(shown), squeeze=False)[0]
    for axes, (key, label) in zip(panels, shown.items(), strict=True):
        for name, rows in histories.items():
            found = [(row["epoch"] + 1, row[key]) for row in rows if key in row]
            axes.plot(
                [e for e, _ in found], [100 - 100 * v if key == "val/accuracy" else v for _, v in found], label=name
            )
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
    panels[0].set_yscale("log")
    panels[0].legend()
    write_figure(path, figure, dpi=90)


def extra(names: list[str], points: int, images: int, reach: float) -> str:
    """The card's own section, in Markdown."""
    rows = []
    for name in names:
        entries = json.loads((locate(name) / "metrics.json").read_text(encoding="utf-8"))
        rows += [f"| {name} | {1 - e['value']:.2%} |" for e in entries if e["metric"] == "accuracy"]
    return "\n".join(
        [
            "## Shortcuts\n",
            "The same layers with shortcuts and without, trained alike.",
            f"`python scripts/figures/residual.py {' '.join(names)} --points {points} --images {images} --reach {reach:g}`\n",
            "| network | test error |",
            "|---|---|",
            *rows,
            "\n![training curves](curves.png)\n",
            f"The loss of {images:,} training images around the weights, in two random directions whose filters are as long as "
            "the network's own (Li et al., 2018):\n",
            "![loss landscapes](landscape.png)\n",
        ]
    )


@one_sentence
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--points", type=int, default=21, help="of a side of the grid")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--reach", type=float, default=1.0)
    parser.add_argument("--into", type=Path, help="folder of the results (default: the first checkpoint's)")
    options = parser.parse_args(argv)
    into, found = options.into or locate(options.names[0]), {}
    device = "cuda" if torch.cuda.is_available() else "cpu"
    for name in options.names:
        model: Any = zoo.load(name)
        if not isinstance(model, ImageClassifier) or model.data is None or model.transform is None:
            raise InputError(f"{name} is no image classifier with a data set: its loss has no landscape here")
        x, y = (t[: options.images] for t in zoo.datamodule(name).tensors("train"))  # type: ignore[attr-defined]
        pixels, model = model.transform(x).to(device), model.to(device)
        found[name] = landscape(model, pixels, y.to(device), points=options.points, reach=options.reach)
    draw_landscapes(found, options.reach, into / "landscape.png")
    draw_curves(options.names, into / "curves.png")
    text = extra(options.names, options.points, options.images, options.reach)
    write_section(into, text, measured_on=options.names)
    return 0


if __name__ == "__main__":
    sys.exit(main())
