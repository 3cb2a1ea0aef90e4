"""Pictures of docs/themes/regularisation.md: over-training, penalties, augmentation, doubt.

python scripts/figures/regularisation.py             # two minutes; into docs/figures
"""

import sys
from pathlib import Path
from typing import Any

import torch
from pictures import main, panels
from torch import nn
from torch.nn import functional as F

from datamodules import augment, colours
from zoo.blocks.dropout import monte_carlo
from zoo.blocks.shrinkage import lasso, ridge
from zoo.core.files import write_figure
from zoo.core.samples import sample_split


def overtraining(path: Path, *, digits: int = 150, steps: int = 200) -> dict[str, Any]:
    """Training and held-out loss of a perceptron on few digits, with true labels and with random ones."""
    x, y = sample_split("mnist")
    x, order = x.float().flatten(1) / 255, torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    train, held = order[:digits], order[digits:]
    random = torch.randint(10, (digits,), generator=torch.Generator().manual_seed(1))
    figure, (left, right) = panels(9, 3.3, 1, 2)
    found: dict[str, Any] = {}
    for title, labels in (("true labels", y[train]), ("random labels", random)):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
        optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
        losses, right_ones = [], []
        for _ in range(steps):
            out = net(x[train])
            loss = F.cross_entropy(out, labels)
            with torch.no_grad():
                other = F.cross_entropy(net(x[held]), y[held])
            losses.append((loss.item(), other.item()))
            right_ones.append((out.argmax(1) == labels).float().mean().item())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        course = torch.tensor(losses)
        if title == "true labels":
            left.plot(course[:, 0], label="training")
            left.plot(course[:, 1], label="held out")
            best = int(course[:, 1].argmin())
            left.axvline(best, color="0.6", ls=":", label=f"stop here: step {best}")
            left.set(title=f"loss, {digits} digits", xlabel="step", ylim=(0, 2.4))
            left.legend(frameon=False)
            found |= {
                "best step": best,
                "held out then": course[best, 1].item(),
                "held out at the end": course[-1, 1].item(),
            }
        right.plot(right_ones, label=title)
        found[title] = right_ones[-1]
    right.set(title="training accuracy", xlabel="step")
    right.legend(frameon=False)
    write_figure(path, figure, dpi=75)
    return found


def penalties(path: Path) -> dict[str, Any]:
    """Where L2 and L1 move the minimum of a valley, and what is left of each weight."""
    hessian, best = (
        torch.diag(torch.tensor([0.3, 3.0], dtype=torch.float64)),
        torch.tensor([1.0, 1.0], dtype=torch.float64),
    )
    figure, (left, right) = panels(9, 3.4, 1, 2)
    grid = torch.meshgrid(torch.linspace(-0.5, 1.8, 80), torch.linspace(-0.5, 1.8, 80), indexing="xy")
    height = 0.3 * (grid[0] - 1) ** 2 + 3 * (grid[1] - 1) ** 2
    left.contour(*grid, height, levels=14, colors="0.8", linewidths=0.8)
    alphas = torch.logspace(-2.5, 1, 40).tolist()
    for name, solve, colour in (("L2", ridge, "C0"), ("L1", lasso, "C1")):
        way = torch.stack([solve(hessian, best, alpha) for alpha in alphas])
        left.plot(*way.T, "o-", ms=2.5, lw=1, color=colour, label=name)
        for i, style in ((0, "-"), (1, "--")):
            right.plot(alphas, way[:, i], style, color=colour, label=f"{name}, curvature {hessian[i, i]:g}")
    left.set(title="the minimum as the penalty grows")
    right.set(xscale="log", xlabel="α", title="what is left of each weight, 1 without")
    left.legend(frameon=False)
    right.legend(frameon=False, fontsize=8)
    write_figure(path, figure, dpi=75)
    return {"L1 at α = 0.5": lasso(hessian, best, 0.5).tolist(), "L2 at α = 0.5": ridge(hessian, best, 0.5).tolist()}


def augmentations(path: Path, *, images: int = 5) -> dict[str, Any]:
    """Each way to change a photograph that leaves its class, a row each."""
    x = sample_split("cifar10")[0][:images]
    rows: dict[str, Any] = {
        "as it is": lambda g: x,
        "mirror": lambda g: x.flip(-1),
        "shift": lambda g: augment.translate(x, 5, generator=g),
        "turn, scale, shear": lambda g: augment.warp(x, generator=g, rotate=25, scale=0.2, shear=10),
        "bend": lambda g: augment.warp(x, generator=g, elastic=1.5),
        "brightness, contrast": lambda g: colours.jitter(x, generator=g, brightness=0.5, contrast=0.5),
        "colour": lambda g: colours.jitter(x, generator=g, colour=1.0),
        "principal colours": lambda g: colours.principal(x, 0.6, generator=g),
        "sharper edges": lambda g: colours.sharpen(x, 4.0, generator=g),
        "noise": lambda g: colours.noise(x, 0.1, generator=g),
        "cutout": lambda g: augment.cutout(x, 12, generator=g),
        "mixup": lambda g: augment.mixup(x, torch.zeros(images, dtype=torch.int64), 2, 1.0, generator=g)[0],
    }
    figure, axes = panels(10, 4.4, 2, 6)
    for axis, (title, change) in zip(axes.flat, rows.items(), strict=True):
        shown = change(torch.Generator().manual_seed(3)).float().div(255).clamp(0, 1)
        axis.imshow(torch.cat(list(shown), 1).permute(1, 2, 0))
        axis.set_title(title, fontsize=9)
        axis.set(xticks=[], yticks=[])
    write_figure(path, figure, dpi=70)
    return {"ways": len(rows) - 1}


def extrapolation(path: Path, *, steps: int = 3000, samples: int = 200) -> dict[str, Any]:
    """A rising seasonal curve continued beyond its data: by all units at once, and by many networks with units dropped."""
    curve = lambda x: 0.8 * x + 0.3 * torch.sin(12 * x)  # noqa: E731
    generator = torch.Generator().manual_seed(0)
    x = 2 * torch.rand(200, 1, generator=generator) - 1
    y = curve(x) + 0.05 * torch.randn(200, 1, generator=generator)
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Linear(1, 128), nn.ReLU()]
    for _ in range(3):
        layers += [nn.Dropout(0.1), nn.Linear(128, 128), nn.ReLU()]
    net = nn.Sequential(*layers, nn.Dropout(0.1), nn.Linear(128, 1))
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-4)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * (1 - step / steps)
        loss = (net(x) - y).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    at = torch.linspace(-1, 3, 401)[:, None]
    draws = monte_carlo(net, at, samples)[..., 0]
    mean, spread, place, truth = draws.mean(0), draws.std(0), at[:, 0], curve(at[:, 0])
    with torch.no_grad():
        once = net.eval()(at)[:, 0]
    figure, axes = panels(10.5, 3.3, 1, 2)
    for axis in axes:
        axis.plot(place, truth, color="tab:red", lw=1, label="truth")
        axis.plot(x[:, 0], y[:, 0], "k.", ms=2)
        axis.axvline(1, color="0.5", ls="--", lw=1)
        axis.set(ylim=(-2, 4))
    axes[0].plot(place, once, color="C0", label="dropout off")
    axes[1].plot(place, mean, color="C0", label="mean of the draws")
    for half in range(1, 5):
        axes[1].fill_between(place, mean - half / 2 * spread, mean + half / 2 * spread, color="C0", alpha=0.13, lw=0)
    axes[0].set(title="dropout in training alone")
    axes[1].set(title=f"{samples} draws with dropout on, ± 2 deviations")
    for axis in axes:
        axis.legend(frameon=False, fontsize=8, loc="upper left")
    write_figure(path, figure, dpi=75)
    covered = (truth - mean).abs() <= 2 * spread
    known = place <= 1
    return {
        "spread among the data": spread[known].mean().item(),
        "spread at x = 2 and 3": (spread[300].item(), spread[400].item()),
        "off at x = 2 and 3": ((truth - mean)[300].abs().item(), (truth - mean)[400].abs().item()),
        "truth within 2 deviations, among the data and beyond": (
            covered[known].float().mean().item(),
            covered[~known].float().mean().item(),
        ),
        "mean of draws beside dropout off, root mean square": (mean - once).square().mean().sqrt().item(),
    }


PICTURES = {
    "overtraining": overtraining,
    "penalties": penalties,
    "augmentations": augmentations,
    "extrapolation": extrapolation,
}

if __name__ == "__main__":
    sys.exit(main(__doc__, PICTURES))
