"""Pictures of docs/themes/optimisation.md: acceleration and its differential equation, steps by a matrix.

python scripts/figures/optimisation.py               # half a minute; into docs/figures
"""

import math
import sys
from pathlib import Path
from typing import Any

import torch
from pictures import main, panels
from torch import Tensor, nn

from zoo.blocks.more_optimizers import (
    FullAdaGrad,
    accelerated,
    accelerated_flow,
    levenberg_marquardt,
    preconditioned,
)
from zoo.blocks.optimizers import AdaGrad
from zoo.core.files import write_figure

VALLEY = torch.tensor([1.0, 50.0], dtype=torch.float64)
START = torch.tensor([-4.0, 1.0], dtype=torch.float64)


def downhill(w: Tensor) -> Tensor:
    return VALLEY * w


def height(way: Tensor) -> Tensor:
    return 0.5 * (VALLEY * way**2).sum(1)


def acceleration(path: Path, *, steps: int = 100) -> dict[str, Any]:
    """Descent and Nesterov's method on a valley, three dampings, and the equation that the small steps follow."""
    figure, (left, middle, right) = panels(13, 3.5, 1, 3)
    plain = preconditioned(downhill, START, torch.eye(2, dtype=torch.float64), lr=0.02, steps=steps)
    found = {"descent": height(plain)[-1].item()}
    left.plot(height(plain), label="descent")
    for r in (1.0, 3.0, 9.0):
        fast = height(accelerated(downhill, START, lr=0.02, steps=steps, r=r))
        found[f"r = {r:g}"] = fast[-1].item()
        left.plot(fast, label=f"t / (t + {r:g})")
    left.plot(
        [0.5 * (START**2).sum().item() * 4 / (0.02 * (t + 1) ** 2) for t in range(steps)],
        color="0.6",
        ls=":",
        label="∝ 1/t²",
    )
    left.set(yscale="log", xlabel="step t", title="height above the bottom", ylim=(1e-9, 1e3))
    left.legend(frameon=False, fontsize=8)
    grid = torch.meshgrid(torch.linspace(-4.5, 2, 80), torch.linspace(-1.2, 1.2, 80), indexing="xy")
    middle.contour(*grid, 0.5 * (grid[0] ** 2 + 50 * grid[1] ** 2), levels=12, colors="0.85", linewidths=0.8)
    times = torch.linspace(1e-3, steps * 0.002**0.5, 800, dtype=torch.float64)
    for lr, style in ((0.02, "o-"), (0.002, "-")):
        middle.plot(
            *accelerated(downhill, START, lr=lr, steps=round(steps * (0.002 / lr) ** 0.5)).T,
            style,
            ms=2,
            lw=1,
            label=f"η = {lr}",
        )
    flow = accelerated_flow(downhill, START, times)
    middle.plot(*flow.T, color="black", lw=1, ls="--", label="its equation")
    middle.set(title="the way there")
    middle.legend(frameon=False, fontsize=8)
    way = accelerated(downhill, START, lr=0.002, steps=steps)
    at = torch.arange(steps + 1) * 0.002**0.5
    nearest = torch.stack([flow[(times - t).abs().argmin()] for t in at])
    found["farthest from the equation"] = (way - nearest).norm(dim=1).max().item()
    for r in (1.0, 3.0, 9.0):
        right.plot(times, height(accelerated_flow(downhill, START, times, r=r)), label=f"r = {r:g}")
    right.set(yscale="log", xlabel="time s", title="ẅ + (r/s) ẇ = −∇f", ylim=(1e-6, 100))
    right.legend(frameon=False, fontsize=8)
    write_figure(path, figure, dpi=70)
    return found


def by_matrix(path: Path, *, steps: int = 60) -> dict[str, Any]:
    """AdaGrad with a matrix and without on a turned valley; a preconditioner that fits; Levenberg-Marquardt beside descent."""
    figure, (left, middle, right) = panels(13, 3.5, 1, 3)
    turn = torch.tensor([[math.cos(0.6), -math.sin(0.6)], [math.sin(0.6), math.cos(0.6)]], dtype=torch.float64)
    hessian = turn @ torch.diag(VALLEY) @ turn.T
    found: dict[str, Any] = {}
    for name, make in (("diagonal", AdaGrad), ("full matrix", FullAdaGrad)):
        for turned, matrix in ((False, torch.diag(VALLEY)), (True, hessian)):
            w = nn.Parameter(turn @ START if turned else START.clone())
            optimizer, course = make([w], 1.0), []
            for _ in range(steps):
                optimizer.zero_grad()
                loss = 0.5 * w @ matrix @ w
                loss.backward()
                optimizer.step()
                course.append(loss.item())
            found[f"{name}, {'turned' if turned else 'straight'}"] = course[-1]
            left.plot(
                course,
                ls="--" if turned else "-",
                color="C0" if make is AdaGrad else "C1",
                label=f"{name}{', turned' * turned}",
            )
    left.set(yscale="log", title="AdaGrad on a valley, straight and turned", xlabel="step")
    left.legend(frameon=False, fontsize=8)
    slope = lambda w: hessian @ w  # noqa: E731
    for name, matrix, lr in (
        ("none", torch.eye(2, dtype=torch.float64), 0.035),
        ("diagonal of A", torch.diag(hessian.diagonal()), 1.0),
        ("A itself", hessian, 1.0),
    ):
        way = preconditioned(slope, turn @ START, matrix, lr=lr, steps=12)
        middle.plot(*way.T, "o-", ms=3, lw=1, label=name)
        found[f"after 12 steps, {name}"] = way[-1].norm().item()
    middle.set(title="12 steps preconditioned by")
    middle.legend(frameon=False, fontsize=8)
    x = torch.linspace(0, 3, 40, dtype=torch.float64)
    truth = torch.tensor([2.0, 1.3, 0.5, 0.2], dtype=torch.float64)
    curve = lambda w: w[0] * (-w[1] * x).exp() * (3 * x + w[2]).cos() + w[3]  # noqa: E731
    residuals = lambda w: curve(w) - curve(truth)  # noqa: E731
    w, losses = levenberg_marquardt(residuals, torch.ones(4, dtype=torch.float64), steps=30)
    right.plot(losses, label="Levenberg-Marquardt")
    v, course = torch.ones(4, dtype=torch.float64), []
    for _ in range(31):
        v = v.detach().requires_grad_()
        loss = 0.5 * residuals(v).square().sum()
        course.append(loss.item())
        v = v - 0.02 * torch.autograd.grad(loss, v)[0]
    right.plot(course, label="descent, η = 0.02")
    right.set(yscale="log", title="four parameters of a damped wave", xlabel="step", ylim=(1e-18, 100))
    right.legend(frameon=False, fontsize=8)
    found |= {"Levenberg-Marquardt": losses[-1], "descent on the wave": course[-1]}
    write_figure(path, figure, dpi=70)
    return found


PICTURES = {"acceleration": acceleration, "by_matrix": by_matrix}

if __name__ == "__main__":
    sys.exit(main(__doc__, PICTURES))
