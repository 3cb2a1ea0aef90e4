"""Pictures of docs/themes/neurons.md: activations, losses, the moving line, learning rates, XOR, why learning stalls.

python scripts/figures/neurons.py                    # half a minute; into docs/figures
python scripts/figures/neurons.py activations xor    # some of them
"""

import sys
from pathlib import Path
from typing import Any

import torch
from pictures import main, panels
from torch import Tensor, nn

from zoo.blocks.losses import LOSSES
from zoo.core.files import write_figure
from zoo.models.mlp.mlp import ACTIVATIONS


def activations(path: Path) -> dict[str, Any]:
    """Each activation with its derivative."""
    names = [name for name in ACTIVATIONS if name != "identity"]
    figure, axes = panels(12, 5.4, 3, 5)
    x = torch.linspace(-4, 4, 401, requires_grad=True)
    steepest = {}
    for axis, name in zip(axes.flat, names, strict=False):
        y = ACTIVATIONS[name]()(x)
        (slope,) = torch.autograd.grad(y.sum(), x)
        axis.plot(x.detach(), y.detach(), color="black")
        axis.plot(x.detach(), slope, color="tab:orange", lw=1)
        axis.set_title(name, fontsize=9)
        steepest[name] = round(slope.max().item(), 3)
    for axis in list(axes.flat)[len(names) :]:
        axis.axis("off")
    write_figure(path, figure, dpi=70)
    return steepest


def losses(path: Path) -> dict[str, Any]:
    """Every loss of the table for two classes, as a function of by how much the right logit is ahead."""
    figure, axis = panels(8, 4.4)
    ahead = torch.linspace(-3, 3, 201)
    logits = torch.stack([ahead / 2, -ahead / 2], 1)
    target = torch.tensor([[1.0, 0.0]]).expand(len(ahead), 2)
    wrong = {}
    for number, (name, loss) in enumerate(LOSSES.items()):
        value = loss(logits, target)
        value = value - value.min()
        axis.plot(
            ahead, value / value[0], lw=1.3, ls=["-", "--", ":"][number // 10], color=f"C{number % 10}", label=name
        )
        wrong[name] = round((value[50] / value[0]).item(), 3)
    axis.set(xlabel="right logit − wrong logit", ylabel="loss, 1 where the wrong one is 3 ahead")
    axis.legend(frameon=False, fontsize=7, ncols=2)
    write_figure(path, figure, dpi=75)
    return wrong


def line(path: Path, *, epochs: int = 12) -> dict[str, Any]:
    """The perceptron's moving line; three learning rates; the valley before and after the inputs are standardised."""
    figure, (left, middle, right, last) = panels(14, 3.3, 1, 4)
    generator = torch.Generator().manual_seed(1)
    x = torch.cat(
        [torch.randn(40, 2, generator=generator) + torch.tensor(shift) for shift in ([-2.6, 1.6], [2.6, -1.2])]
    )
    y = torch.tensor([-1.0] * 40 + [1.0] * 40)
    w, b, mistakes = torch.zeros(2), torch.zeros(()), []
    for epoch in range(epochs):
        wrong = 0
        for i in torch.randperm(80, generator=generator).tolist():
            if y[i] * (w @ x[i] + b) <= 0:
                w, b, wrong = w + 0.1 * y[i] * x[i], b + 0.1 * y[i], wrong + 1
        mistakes.append(wrong)
        if w[1] != 0:
            at = torch.tensor([-5.0, 5.0])
            left.plot(at, -(w[0] * at + b) / w[1], color=str(0.85 - 0.85 * (epoch + 1) / epochs), lw=1)
    left.scatter(*x.T, c=y, cmap="coolwarm", s=8)
    left.set(title="the line after each epoch", xlim=(-5, 5), ylim=(-4, 5))
    for rate in (0.01, 0.3, 1.05):
        v, course = torch.tensor(3.0), []
        for _ in range(30):
            course.append(v.square().item())
            v = v - rate * 2 * v
        middle.plot(course, label=f"η = {rate}")
    middle.set(yscale="log", title="loss w², three learning rates", xlabel="step")
    middle.legend(frameon=False)
    raw = torch.stack([torch.randn(200, generator=generator), 10 + 3 * torch.randn(200, generator=generator)], 1)
    conditions = {}
    for axis, inputs, title in ((right, raw, "raw inputs"), (last, (raw - raw.mean(0)) / raw.std(0), "standardised")):
        target = raw @ torch.tensor([1.0, 0.3])
        target = target - target.mean() if axis is last else target
        hessian = inputs.T @ inputs / len(inputs)
        best = torch.linalg.lstsq(inputs, target[:, None]).solution[:, 0]
        values = torch.linalg.eigvalsh(hessian)
        conditions[title] = round((values[-1] / values[0]).item(), 1)
        grid = torch.cartesian_prod(torch.linspace(-3, 3, 60), torch.linspace(-3, 3, 60)) + best
        height = ((grid - best) @ hessian * (grid - best)).sum(1).reshape(60, 60).T
        axis.contour(grid[:, 0].reshape(60, 60)[:, 0], grid[:, 1].reshape(60, 60)[0], height, levels=14, cmap="Greys")
        way = [best + torch.tensor([-2.5, 2.0])]
        for _ in range(25):
            way.append(way[-1] - 0.9 / values[-1] * hessian @ (way[-1] - best))
        axis.plot(*torch.stack(way).T, "o-", ms=2.5, color="tab:red", lw=1)
        axis.set_title(f"{title}: curvatures 1 : {conditions[title]:g}")
    write_figure(path, figure, dpi=70)
    return {"mistakes": mistakes, "curvature ratios": conditions}


def xor(path: Path, *, seeds: int = 40, steps: int = 3000) -> dict[str, Any]:
    """How often a 2-2-1 network of sigmoids learns exclusive-or: learning rate × spread of its first weights."""
    rates, spreads = (0.1, 0.3, 1.0, 3.0, 10.0), (0.03, 0.3, 1.0, 3.0)
    x = torch.tensor([[0.0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]])
    t = torch.tensor([0.0, 1, 1, 0])[:, None]
    share = torch.zeros(len(spreads), len(rates))
    for i, spread in enumerate(spreads):
        for j, rate in enumerate(rates):
            generator = torch.Generator().manual_seed(0)
            v = spread * torch.randn(seeds, 3, 2, generator=generator)
            w = spread * torch.randn(seeds, 3, 1, generator=generator)
            for _ in range(steps):  # all networks at once, the gradients written out
                z = torch.cat([(x @ v).sigmoid(), torch.ones(seeds, 4, 1)], 2)
                y = (z @ w).sigmoid()
                delta = (y - t) * y * (1 - y)
                back = delta @ w[:, :2].transpose(1, 2) * z[:, :, :2] * (1 - z[:, :, :2])
                w, v = w - rate * z.transpose(1, 2) @ delta, v - rate * x.T @ back
            share[i, j] = (((y > 0.5) == (t > 0.5)).all(1)).float().mean()
    figure, axis = panels(5.4, 3.4)
    axis.imshow(share, vmin=0, vmax=1, cmap="Greens", aspect="auto")
    for i in range(len(spreads)):
        for j in range(len(rates)):
            axis.text(j, i, f"{100 * share[i, j]:.0f} %", ha="center", va="center", fontsize=9)
    axis.set(xticks=range(len(rates)), xticklabels=rates, yticks=range(len(spreads)), yticklabels=spreads)
    axis.set(
        xlabel="learning rate", ylabel="spread of the first weights", title=f"solved after {steps} steps, of {seeds}"
    )
    write_figure(path, figure, dpi=80)
    return {"best": share.max().item(), "worst": share.min().item(), "small weights": share[0].tolist()}


STALLS: dict[str, tuple[dict[str, float], dict[str, float]]] = {  # what differs from a healthy run: stalled, mended
    "an input that is 0": ({"shift": -1.0, "silent": 1.0}, {"shift": -1.0}),
    "flat part of the activation": ({"first": 25.0}, {"first": 1.0}),
    "weights near 0 above": ({"second": 1e-6, "first": 1e-6}, {}),
    "steps too large": ({"rate": 800.0}, {"rate": 0.5}),
    "targets out of range": ({"target": 3.0}, {"target": 0.9}),
}


def stalls(path: Path, *, steps: int = 400) -> dict[str, Any]:
    """Five reasons for which a network doesn't learn, each beside the same network with the reason removed; and convexity."""
    figure, axes = panels(14, 5.4, 2, 3)
    ends = {}
    for axis, (title, (bad, good)) in zip(axes.flat, STALLS.items(), strict=False):
        for label, options in (("stalled", bad), ("mended", good)):
            course = fit(steps=steps, **options)
            axis.plot(course, label=label, color="tab:red" if label == "stalled" else "black")
            ends[f"{title}, {label}"] = round(course[-1], 4)
        axis.set(title=title, yscale="log", xlabel="step")
    axes.flat[0].legend(frameon=False)
    last = axes.flat[5]
    x = torch.linspace(-2, 2, 100)
    for name, y in (("−x", -x), ("x²", x**2), ("−x − x²", -x - x**2), ("−(x²)", -(x**2))):
        last.plot(x, y, label=name)
    last.set(title="two convex functions, and what isn't", ylim=(-5, 4))
    last.legend(frameon=False, fontsize=8)
    write_figure(path, figure, dpi=65)
    return ends


def fit(
    *,
    steps: int,
    rate: float = 0.5,
    first: float = 1.0,
    second: float = 1.0,
    target: float = 0.9,
    shift: float = 0.0,
    silent: float = 0.0,
) -> list[float]:
    """The loss of each step of a 2-4-1 network of sigmoids that learns `target` for one corner of the square and 0.1 else."""
    generator = torch.Generator().manual_seed(3)
    x = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]]) * (1 - silent) + shift * (1 - silent)
    t = torch.tensor([0.1, 0.1, 0.1, target])[:, None]
    v = (first * torch.randn(2, 4, generator=generator)).requires_grad_()
    w = (second * torch.randn(4, 1, generator=generator)).requires_grad_()
    course = []
    for _ in range(steps):
        loss = ((x @ v).sigmoid() @ w).sigmoid().sub(t).square().mean()
        course.append(loss.item())
        for p, g in zip((v, w), torch.autograd.grad(loss, (v, w)), strict=True):
            p.data -= rate * g
    return course


def depth(path: Path, *, layers: int = 40, width: int = 64) -> dict[str, Any]:
    """The gradient's length at each layer of a deep stack: sigmoid, tanh, ReLU, and ReLU with skips."""
    figure, axis = panels(6, 3.6)
    shares = {}
    for name, make, skip, gain in (
        ("sigmoid", nn.Sigmoid, False, 1.0),
        ("tanh", nn.Tanh, False, 1.0),
        ("ReLU", nn.ReLU, False, 2**0.5),
        ("ReLU with skips", nn.ReLU, True, 0.3),
    ):
        torch.manual_seed(0)
        stack = [nn.Linear(width, width).double() for _ in range(layers)]  # float32 has no numbers so small
        h: Tensor = torch.randn(100, width, dtype=torch.float64)
        states = []
        for layer in stack:
            nn.init.normal_(layer.weight, std=gain / width**0.5)
            nn.init.zeros_(layer.bias)
            h = h.detach().requires_grad_() if not states else h
            states.append(h)
            h = h + make()(layer(h)) if skip else make()(layer(h))
        lengths = torch.stack([g.norm() for g in torch.autograd.grad(h.square().mean(), states)])
        axis.plot(torch.arange(layers), lengths / lengths[-1], label=name)
        shares[name] = (lengths[0] / lengths[-1]).item()
    axis.set(yscale="log", xlabel="layer, the input left", ylabel="gradient, the last layer's = 1", ylim=(1e-27, 1e4))
    axis.legend(frameon=False)
    write_figure(path, figure, dpi=80)
    return shares


PICTURES = {"activations": activations, "losses": losses, "line": line, "xor": xor, "stalls": stalls, "depth": depth}

if __name__ == "__main__":
    sys.exit(main(__doc__, PICTURES))
