"""What a perceptron can approximate: more units, more layers, and folds, as one figure.

    python scripts/figures/approximation.py        # a quarter of a minute; into the card of mlp-regression-concrete

Top: one hidden layer of P = 1, 2, 3, 5, 50 sigmoids on a square wave of three sines, 50 points, with each unit's own share.
Below: 128 units against 32 and 8 at about equal parameters, and a network whose weights are written down, not learnt, that folds
[0, 1].
"""

import argparse
import math
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.core.files import write_figure
from zoo.errors import one_sentence
from zoo.models.mlp.regression import RegressionMLP
from zoo.store.cards import write_section
from zoo.store.hub import locate

UNITS = (1, 2, 3, 5, 50)
SIZES = {"128": (128,), "32, 8": (32, 8)}


def square_wave(t: Tensor) -> Tensor:
    """The first three terms of a square wave of amplitude 1 and period 1."""
    return sum((4 / math.pi * torch.sin(2 * math.pi * k * t) / k for k in (1, 3, 5)), torch.zeros_like(t))


def fit(hidden: tuple[int, ...], x: Tensor, y: Tensor, *, lr: float, steps: int, seed: int = 0) -> RegressionMLP:
    """Least squares by Adam, from Xavier's first weights."""
    torch.manual_seed(seed)
    model = RegressionMLP(1, hidden=hidden, start="xavier_normal")
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        (model(x) - y).square().mean().backward()
        optimizer.step()
    return model


@torch.no_grad()
def folding(depth: int) -> RegressionMLP:
    """A network of `depth` layers of two units that folds [0, 1] in half in every layer: 2^depth straight pieces.

    One fold is the tent 2 relu(x) - 4 relu(x - 1/2), up to the middle and down again; the next layer folds what it made.
    """
    model = RegressionMLP(1, hidden=(2,) * depth, activation="relu")
    out = torch.tensor([[2.0, -4.0]])
    for number, layer in enumerate(layer for layer in model.body if isinstance(layer, torch.nn.Linear)):
        layer.weight.copy_(torch.ones(2, 1) if number == 0 else out.expand(2, 2))
        layer.bias.copy_(torch.tensor([0.0, -0.5]))
    model.head.weight.copy_(out)
    model.head.bias.zero_()
    return model


def pieces(y: Tensor) -> int:
    """Monotonic pieces of a sampled curve [N]."""
    signs = y.diff().sign()
    return 1 + int((signs.diff() != 0).sum())


def draw(folder: Path, *, steps: int = 1000, deep_steps: int = 5000, seeds: int = 3) -> dict[str, Any]:
    """Draw approximation.png and return the numbers in it."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5.2), layout="constrained")
    top, bottom = figure.subfigures(2, 1)
    numbers: dict[str, Any] = {}
    x, dense = torch.linspace(-1, 1, 50)[:, None], torch.linspace(-1, 1, 401)[:, None]
    for axis, units in zip(top.subplots(1, 5, sharey=True), UNITS, strict=True):
        model = fit((units,), x, square_wave(x), lr=0.1, steps=steps)
        with torch.no_grad():
            numbers[f"P = {units}"] = (model(x) - square_wave(x)).square().mean().item()
            shares = model.body(dense) * model.head.weight  # [401, units]
            axis.plot(dense, shares, color="0.8", lw=0.7)
            axis.plot(dense, square_wave(dense), color="black", lw=1)
            axis.plot(dense, model(dense), color="C3")
        axis.set(title=f"P = {units}: MSE {numbers[f'P = {units}']:.3f}", ylim=(-2.5, 2.5))
    left, right = bottom.subplots(1, 2)
    x = torch.linspace(0, 2 * math.pi, 100)[:, None]
    y, dense = torch.sin(x) * torch.sin(4 * x), torch.linspace(0, 2 * math.pi, 401)[:, None]
    left.plot(dense, torch.sin(dense) * torch.sin(4 * dense), color="black", lw=1, label="sin x sin 4x")
    for colour, (name, hidden) in enumerate(SIZES.items()):
        models = [fit(hidden, x, y, lr=0.01, steps=deep_steps, seed=seed) for seed in range(seeds)]
        with torch.no_grad():
            errors = numbers[name] = [(model(x) - y).square().mean().item() for model in models]
            count = sum(p.numel() for p in models[0].parameters())
            text = f"{name} units ({count} parameters): MSE {' '.join(f'{e:.1e}' for e in errors)}"
            left.plot(dense, models[0](dense), color=f"C{colour}", label=text)
    left.legend(frameon=False, fontsize=8)
    left.set(title="shallow against deep", ylim=(-1.2, 1.9))
    grid = torch.linspace(0, 1, 513)[:, None]
    for depth in (1, 2, 4):
        with torch.no_grad():
            folded = folding(depth)(grid)[:, 0]
        numbers[f"folds {depth}"] = pieces(folded)
        right.plot(grid, folded, label=f"depth {depth}: {pieces(folded)} pieces", lw=1)
    right.legend(frameon=False, fontsize=8, loc="upper right")
    right.set(title="layers of two units that fold: pieces multiply", ylim=(-0.05, 1.6))
    write_figure(folder / "approximation.png", figure, dpi=80)
    return numbers


@one_sentence
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    folder = locate("mlp-regression-concrete")
    numbers = draw(folder)
    print(numbers)
    write_section(
        folder,
        "## What it could approximate\n\n"
        "One hidden layer of P sigmoids after 1,000 steps (top; grey: each unit's share), one layer of 128 units against "
        "32 and 8 of about as many parameters after 5,000 steps (the errors of three seeds), and a network whose weights are "
        "written down: each layer of two units folds the line, so pieces double by the layer. "
        "`python scripts/figures/approximation.py`\n\n![approximation](approximation.png)\n",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
