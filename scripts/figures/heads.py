"""Picture of docs/themes/convolution.md: one body with two heads beside a network for each task.

python scripts/figures/heads.py                      # four minutes; into docs/figures; needs MNIST
"""

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pictures import main, panels
from torch import Tensor, nn
from torch.nn import functional as F

import zoo
from zoo.blocks.heads import Heads
from zoo.core.files import write_figure

MOST = 60  # degrees that a digit is turned by
OUTPUTS = {"digit": 10, "turn": 1}


def turned(x: Tensor, degrees: Tensor) -> Tensor:
    """Images [N, 1, H, W], each turned by its degrees."""
    angle = degrees * math.pi / 180
    zero = torch.zeros_like(angle)
    grid = torch.stack([angle.cos(), -angle.sin(), zero, angle.sin(), angle.cos(), zero], 1).reshape(-1, 2, 3)
    return F.grid_sample(x, F.affine_grid(grid, list(x.shape), align_corners=False), align_corners=False)


def network(tasks: Sequence[str]) -> Heads:
    body = nn.Sequential(
        nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(), nn.Flatten(),
        nn.Linear(32 * 49, 64), nn.ReLU(),
    )  # fmt: skip
    return Heads(body, {task: nn.Linear(64, OUTPUTS[task]) for task in tasks})


def heads(
    path: Path, *, parts: Any = None, sizes: tuple[int, ...] = (250, 1000, 4000), steps: int = 600, seeds: int = 2
) -> dict[str, Any]:
    """Which digit it is, and how far it was turned: by one network with two heads, and by two networks."""
    if parts is None:
        data = zoo.datamodule("mnist")
        parts = data.tensors("train"), data.tensors("val")
    (x, y), (held, label) = ((images.float() / 255, labels) for images, labels in parts)
    held, label = held[:2000], label[:2000]
    angle = (2 * torch.rand(len(held), generator=torch.Generator().manual_seed(0)) - 1) * MOST
    held = turned(held, angle)
    rows: dict[str, dict[int, list[tuple[float, float]]]] = {"one body": {}, "two networks": {}}
    for size in sizes:
        for seed in range(seeds):
            for name, nets in (("one body", [tuple(OUTPUTS)]), ("two networks", [(task,) for task in OUTPUTS])):
                out: dict[str, Tensor] = {}
                for tasks in nets:
                    net = fitted(tasks, x[:size], y[:size], steps, seed)
                    with torch.no_grad():
                        out |= net(held)
                right = (out["digit"].argmax(1) == label).float().mean().item()
                off = (out["turn"][:, 0] * MOST - angle).abs().mean().item()
                rows[name].setdefault(size, []).append((right, off))
    figure, axes = panels(9, 3.2, 1, 2)
    found: dict[str, Any] = {
        "parameters": (count(tuple(OUTPUTS)), sum(count((task,)) for task in OUTPUTS)),
    }
    for name, each in rows.items():
        values = torch.tensor([each[size] for size in sizes])  # [sizes, seeds, 2]
        for axis, i in zip(axes, range(2), strict=True):
            spread = values[..., i].std(1) if seeds > 1 else torch.zeros(len(sizes))
            axis.errorbar(sizes, values[..., i].mean(1), spread, fmt="o-", ms=3, capsize=3, label=name)
        found[name] = dict(zip(sizes, values.mean(1).tolist(), strict=True))
    for axis, title in zip(axes, ("accuracy", "degrees off, on average"), strict=True):
        axis.set(xscale="log", xlabel="training digits", title=title)
        axis.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axis.minorticks_off()
    axes[0].legend(frameon=False)
    write_figure(path, figure, dpi=75)
    return found


def count(tasks: tuple[str, ...]) -> int:
    return sum(weight.numel() for weight in network(tasks).parameters())


def fitted(tasks: Sequence[str], x: Tensor, y: Tensor, steps: int, seed: int) -> Heads:
    """A network that has learnt the tasks on digits turned anew in each step."""
    torch.manual_seed(seed)
    net = network(tasks)
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    generator = torch.Generator().manual_seed(seed)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * (1 - step / steps)
        pick = torch.randint(len(x), (96,), generator=generator)
        angle = (2 * torch.rand(96, generator=generator) - 1) * MOST
        out = net(turned(x[pick], angle))
        losses = {
            "digit": lambda z: F.cross_entropy(z, y[pick]),  # noqa: B023
            "turn": lambda z: F.mse_loss(z[:, 0], angle / MOST),  # noqa: B023
        }
        optimizer.zero_grad()
        net.loss({task: losses[task](out[task]) for task in tasks}).backward()
        optimizer.step()
    return net


PICTURES = {"heads": heads}

if __name__ == "__main__":
    sys.exit(main(__doc__, PICTURES))
