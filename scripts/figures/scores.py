"""The figures of a score model's card: how plain score matching fails, three times, and Langevin dynamics with and without noise.

    python scripts/figures/scores.py ncsn-toy

Writes failures.png, langevin.png and extra.md into the checkpoint's folder; `scripts/cards.py` puts extra.md into the card.
"""

import argparse
import math
import sys
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

import zoo
from zoo.core.files import write_figure
from zoo.errors import InputError, one_sentence
from zoo.models.diffusion.ncsn import PointNCSN
from zoo.models.diffusion.score import implicit_loss, langevin
from zoo.store.cards import write_section
from zoo.store.hub import locate


def manifold_losses(noise: float, steps: int = 400) -> list[float]:
    """Implicit score matching of points on a circle, thickened by noise: the loss step by step."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 2))
    optimizer, losses = torch.optim.Adam(net.parameters(), lr=3e-3), []
    for _ in range(steps):
        angle = 2 * math.pi * torch.rand(128)
        x = torch.stack([angle.cos(), angle.sin()], 1) + noise * torch.randn(128, 2)
        loss = implicit_loss(net, x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@torch.no_grad()
def score_error(model: PointNCSN, data: Any, level: int) -> tuple[Tensor, Tensor]:
    """A grid axis, and the relative error of the learnt score on the grid: ‖s − truth‖ / ‖truth‖."""
    axis = torch.linspace(-model.BOX, model.BOX, 81)
    points = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).reshape(-1, 2)
    truth = data.score(points, model.sigmas[level].item())
    error = (model.score(points, level) - truth).norm(dim=1) / truth.norm(dim=1).clamp(min=1e-3)
    return axis, error.reshape(81, 81)


def failures(model: PointNCSN, data: Any, path: Path) -> dict[str, float]:
    """Manifold, desert, lost weights; returns the shares of the light mode that the samplers find."""
    figure = Figure(figsize=(15, 3.2), layout="constrained")
    axes = figure.subplots(1, 5)
    for noise, colour in ((0.0, "tab:red"), (0.1, "tab:blue")):
        axes[0].plot(manifold_losses(noise), color=colour, linewidth=1, label=f"noise {noise:g}")
    axes[0].set(title="1  data on a circle: loss", xlabel="step", yscale="symlog")
    axes[0].legend()
    for axis, level in ((axes[1], len(model.sigmas) - 1), (axes[2], 0)):
        grid, error = score_error(model, data, level)
        drawn = axis.pcolormesh(grid, grid, error, vmin=0, vmax=1, cmap="magma", rasterized=True)
        axis.set(title=f"2  error of the score, σ = {model.sigmas[level]:.2g}", aspect="equal")
    figure.colorbar(drawn, ax=axes[1:3])
    shares, middle = {}, torch.tensor(data.means).mean(0)
    for axis, annealed, name in ((axes[3], False, "plain"), (axes[4], True, "annealed")):
        points = model.sample_points(4000, seed=0, annealed=annealed)
        shares[name] = ((points - middle).sum(1) < 0).double().mean().item()
        axis.scatter(*points.T, s=1, linewidths=0, color="0.2")
        axis.set(title=f"3  {name}: {shares[name]:.0%} light", aspect="equal", xlim=(-10, 10), ylim=(-10, 10))
    write_figure(path, figure, dpi=80)
    return shares


def chains(data: Any, path: Path) -> None:
    """Six chains under the true score, with the noise of Langevin dynamics and without."""
    start = torch.tensor([[-7.0, 0], [-3, -8], [0, -1], [0, 1], [7, 0], [2, 8]])
    axis = torch.linspace(-9, 9, 19)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).reshape(-1, 2)
    arrows = data.score(grid)
    arrows = arrows / arrows.norm(dim=1, keepdim=True)
    figure = Figure(figsize=(8, 4), layout="constrained")
    for panel, noise in zip(figure.subplots(1, 2, sharey=True), (False, True), strict=True):
        states = list(langevin(data.score, start, 0.02, 400, torch.Generator().manual_seed(0), noise=noise))
        panel.quiver(*grid.T, *arrows.T, color="0.75")
        for i in range(len(start)):
            panel.plot(*torch.stack([start[i], *(s[i] for s in states)]).T, linewidth=0.8)
        panel.set(title="with noise: samples" if noise else "without noise: the modes", aspect="equal")
    write_figure(path, figure, dpi=80)


@one_sentence
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", default="ncsn-toy")
    options = parser.parse_args()
    folder, model, data = locate(options.name), zoo.load(options.name), zoo.datamodule(options.name)
    if not isinstance(model, PointNCSN):
        raise InputError(f"{options.name} is no score model of points")
    shares = failures(model, data, folder / "failures.png")
    chains(data, folder / "langevin.png")
    text = f"""## Three failures and one cure

`python scripts/figures/scores.py {options.name}`

![failures](failures.png)

1. Data on a thin sheet have no score off it: the implicit score matching loss of points on a circle falls without end; a little
   noise gives it a floor.
2. Where there are no data, nothing is learnt: the relative error of the score in the desert between the modes, at the smallest
   noise level and at the largest, where the whole plane is in reach.
3. Weights are lost: Langevin dynamics at the smallest level has {shares["plain"]:.1%} of its samples in the mode that holds 20 %,
   annealed over all levels {shares["annealed"]:.1%}.

Langevin dynamics under the true score, 400 steps, without its noise and with it:

![langevin](langevin.png)
"""
    write_section(folder, text, measured_on=[options.name])
    return 0


if __name__ == "__main__":
    sys.exit(main())
