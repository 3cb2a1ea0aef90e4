"""More pictures of docs/theory.md: what the entropy of the present consists of, codes and networks, motions, a moving plane.

python scripts/figures/theory_sources.py                # three minutes; into docs/theory
python scripts/figures/theory_sources.py motions        # one of them
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

import zoo
from datamodules.pendulum import Pendulum
from zoo.core.files import write_figure, write_picture
from zoo.errors import ZooError, one_sentence
from zoo.theory import entropy, plane

DOCS = Path(__file__).parents[2] / "docs" / "theory"
CHAINS = {
    "cycle of 8": entropy.cycle(8, 1e-4),
    "cycle that errs": entropy.cycle(8, 0.03),
    "two moods": [[0.9, 0.1], [0.5, 0.5]],
    "coin of 8 sides": entropy.cycle(8, 1 / 8),
}


def present(path: Path) -> dict[str, Any]:
    """H(present) = information rate + predictive information rate + erasure entropy, for four chains."""
    figure = Figure(figsize=(7, 2.6), layout="constrained")
    axis = figure.subplots()
    found: dict[str, Any] = {}
    for row, (name, chain) in enumerate(CHAINS.items()):
        rates = entropy.rates(chain)
        parts = (rates.information_rate, rates.predictive_information_rate, rates.erasure_rate)
        found[name] = (rates.entropy, *parts)
        left = 0.0
        for colour, (word, part) in enumerate(
            zip(("information rate", "predictive rate", "erasure entropy"), parts, strict=True)
        ):
            axis.barh(row, part, left=left, color=f"C{colour}", label=word if row == 0 else None)
            left += part
        axis.plot([rates.entropy] * 2, [row - 0.4, row + 0.4], color="black", lw=2)
    axis.set(yticks=range(len(CHAINS)), yticklabels=list(CHAINS), xlabel="bits", xlim=(0, 4.6))
    axis.legend(frameon=False, loc="right", fontsize=8)
    write_figure(path, figure, dpi=80)
    return found


def drawings(path: Path) -> dict[str, Any]:
    """Music sent level by level, and a network with one hidden layer."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axis in (left, right):
        axis.axis("off")
    levels = ("rules of harmony", "chords", "chroma of each beat", "sound")
    for i, level in enumerate(levels):
        for x, who in ((0, "sender"), (2, "receiver")):
            y = len(levels) - i
            box = {"boxstyle": "round,pad=0.4", "facecolor": "white"}
            left.text(x, y, level, ha="center", va="center", bbox=box, fontsize=9)
            if i:
                up, down = (x, y + 0.75), (x, y + 0.25)
                style = {"arrowstyle": "-|>"}
                left.annotate("", *((up, down) if who == "sender" else (down, up)), arrowprops=style)
            else:
                left.text(x, y + 0.6, who, ha="center", fontsize=10)
        left.annotate("", (1.35, len(levels) - i), (0.65, len(levels) - i), arrowprops={"arrowstyle": "-|>", "ls": ":"})
        words = "few bits" if i == 0 else "what is not expected"
        left.text(1, len(levels) - i + 0.12, words, ha="center", fontsize=7)
    left.set(xlim=(-0.7, 2.7), ylim=(0.6, 5))
    columns = ((0, ("$x_1$", "$x_2$", "$x_3$")), (1, ("$y_1$", "$y_2$", "⋮", "$y_{d_1}$")), (2, ("$z_1$", "$z_2$")))
    heights = [np.linspace(1, -1, len(names)) * (len(names) - 1) / 2 for _, names in columns]
    for (x, names), y, nexts in zip(columns, heights, [*heights[1:], np.array([])], strict=True):
        for name, here in zip(names, y, strict=True):
            for there in np.delete(nexts, 2) if len(nexts) == 4 else nexts if name != "⋮" else ():
                right.plot([x, x + 1], [here, there], color="0.8", lw=0.7, zorder=1)
            box = {"boxstyle": "circle,pad=0.25", "facecolor": "white"} if name != "⋮" else None
            right.text(x, here, name, ha="center", va="center", bbox=box, zorder=2)
    right.text(0.5, -2.0, "$W^{(1)} \\sim N(0, \\sigma^2)$", ha="center", fontsize=9)
    right.text(1.5, -2.0, "$W^{(2)} \\sim N(0, \\sigma^2 / d_1)$", ha="center", fontsize=9)
    right.set(xlim=(-0.4, 2.4), ylim=(-2.2, 2))
    write_figure(path, figure, dpi=80)
    return {}


def motions(path: Path, *, epochs: int = 60) -> dict[str, Any]:
    """Free fall and Lotka-Volterra: the true field's trajectories, and those of a neural ODE that saw 64 others."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    found: dict[str, Any] = {}
    labels = {"free-fall": ("height (m)", "velocity (m/s)"), "lotka-volterra": ("prey", "predators")}
    for axis, (system, names) in zip(figure.subplots(1, 2), labels.items(), strict=True):
        L.seed_everything(0, verbose=False)
        seconds = 1.0 if system == "free-fall" else 4.0
        data = Pendulum(512, system=system, seconds=seconds)
        truth = data.tensors("train")
        centre, spread = truth.mean((0, 1)), truth.std((0, 1))
        model: Any = zoo.create("neural-ode")
        optimizer = torch.optim.Adam(model.parameters(), 1e-2)
        total = epochs * len(data.train_dataloader())
        decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total)
        for _ in range(epochs):
            for states, times in data.train_dataloader():
                states = (states - centre) / spread  # a network likes numbers near one
                loss = (model.path(states[:, 0], times.tolist()) - states).square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                decay.step()
        test = data.tensors("test")
        times = [data.step * i for i in range(test.shape[1])]
        way = model.solve((test[:, 0] - centre) / spread, times) * spread + centre
        found[system] = {"rmse": (way - test).square().mean().sqrt().item(), "spread": test.std((0, 1)).tolist()}
        for colour in range(4):
            axis.plot(*test[colour].T, color=f"C{colour}", lw=3, alpha=0.3)
            axis.plot(*way[colour].T, color=f"C{colour}", lw=1)
        axis.set(title=system, xlabel=names[0], ylabel=names[1])
    write_figure(path, figure, dpi=80)
    return found


def moving(path: Path, *, steps: int = 4000, every: int = 100) -> dict[str, Any]:
    """The layers' way through the information plane as a moving picture."""
    ways = {name: plane.follow(name, steps, every=every) for name in ("tanh", "relu")}  # type: ignore[arg-type]
    frames = []
    for i, step in enumerate(ways["tanh"].steps):
        figure = Figure(figsize=(6.4, 2.9), layout="constrained")
        canvas = FigureCanvasAgg(figure)
        for axis, (name, way) in zip(figure.subplots(1, 2, sharey=True), ways.items(), strict=True):
            for layer in range(way.i_xt.shape[1]):
                axis.plot(way.i_xt[: i + 1, layer], way.i_ty[: i + 1, layer], color=f"C{layer}", lw=0.8)
                axis.plot(way.i_xt[i, layer], way.i_ty[i, layer], "o", color=f"C{layer}", ms=6)
            axis.axhline(way.i_xy, color="black", lw=0.8, ls=":")
            axis.set(title=f"{name}, step {step}", xlabel="I(X; T) in bits", xlim=(0, 12.3), ylim=(0, 1.08 * way.i_xy))
        figure.axes[0].set(ylabel="I(T; Y) in bits")
        canvas.draw()
        frames.append(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]))
    palette = frames[-1].quantize(64, dither=Image.Dither.NONE)  # with all layers' colours in it
    small = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    pauses = [150] * (len(small) - 1) + [1500]
    write_picture(path, small[0], save_all=True, append_images=small[1:], duration=pauses, loop=0, optimize=True)
    return {"frames": len(frames)}


FIGURES = {"present": present, "drawings": drawings, "motions": motions, "moving": moving}


@one_sentence
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"some of {', '.join(FIGURES)}; all without")
    options = parser.parse_args()
    for name in options.names or FIGURES:
        if name not in FIGURES:
            raise ZooError(f"there is no figure {name!r}; there are {', '.join(FIGURES)}")
        suffix = "gif" if name == "moving" else "png"
        print(name, FIGURES[name](DOCS / f"{name}.{suffix}"), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
