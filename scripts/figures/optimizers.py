"""Six optimisers side by side: on two numbers, where their paths can be drawn, and on handwritten digits.

    python scripts/figures/optimizers.py           # half a minute on one core; into the card of logistic-mnist

Left: 30 steps on a valley fifty times steeper across than along. Right: the training loss of logistic regression and of a
perceptron with two hidden layers over the first steps, all at the learning rate that the textbook gives for all of them, 0.001.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import zoo
from zoo.blocks.optimizers import OPTIMIZERS, Rule
from zoo.core.files import write_figure
from zoo.errors import one_sentence
from zoo.models.mlp.mlp import MLP
from zoo.store.cards import write_section
from zoo.store.hub import locate

CURVATURE = torch.tensor([1.0, 50.0])
VALLEY: dict[str, Callable[[Any], Rule]] = {  # steps that suit the valley, one for each
    "gradient descent": lambda p: OPTIMIZERS["gradient descent"](p, 0.038),
    "momentum": lambda p: OPTIMIZERS["momentum"](p, 0.02, momentum=0.7),
    "Nesterov": lambda p: OPTIMIZERS["Nesterov"](p, 0.02, momentum=0.7),
    "Adam": lambda p: OPTIMIZERS["Adam"](p, 0.3),
}


def path(make: Callable[[Any], Rule], steps: int = 30) -> Tensor:
    """The way of an optimiser down the valley, [steps + 1, 2]."""
    w = torch.tensor([-4.0, 1.0], requires_grad=True)
    optimizer, way = make([w]), [w.detach().clone()]
    for _ in range(steps):
        optimizer.zero_grad()
        (0.5 * CURVATURE * w.square()).sum().backward()
        optimizer.step()
        way.append(w.detach().clone())
    return torch.stack(way)


def course(name: str, hidden: tuple[int, ...], data: Any, *, steps: int, lr: float = 1e-3) -> list[float]:
    """Training loss of each step, from the same first weights over the same batches for every optimiser."""
    torch.manual_seed(0)
    model, losses = MLP(hidden=hidden), []
    model.log_train = lambda **_: None  # type: ignore[method-assign]  # there is no trainer
    optimizer = OPTIMIZERS[name](model.parameters(), lr)
    loader = data.train_dataloader()
    for epoch in range(1 + steps // len(loader)):
        loader.set_epoch(epoch)
        for batch in loader:
            optimizer.zero_grad()
            loss = model.training_step(batch, 0)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            if len(losses) == steps:
                return losses
    return losses


def draw(folder: Path, *, data: Any = None, steps: int = 300, width: int = 512, window: int = 10) -> dict[str, Any]:
    """Draw optimizers.png and return the mean loss over the last `window` steps by network and optimiser."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    data = data or zoo.datamodule("mnist", batch_size=64)
    figure = Figure(figsize=(13, 3.8), layout="constrained")
    valley, *axes = figure.subplots(1, 3)
    grid = torch.meshgrid(torch.linspace(-4.5, 1.5, 80), torch.linspace(-1.2, 1.2, 80), indexing="xy")
    height = 0.5 * (CURVATURE[0] * grid[0].square() + CURVATURE[1] * grid[1].square())
    valley.contour(*grid, height, levels=12, colors="0.85", linewidths=0.8)
    for name, make in VALLEY.items():
        valley.plot(*path(make).T, "o-", ms=2, lw=1, color=f"C{list(OPTIMIZERS).index(name)}", label=name)
    valley.set(title="a valley, 30 steps", xlim=(-4.5, 1.5), ylim=(-1.2, 1.2))
    valley.legend(frameon=False, fontsize=7, loc="lower right")
    last: dict[str, Any] = {}
    for axis, (title, hidden) in zip(axes, {"logistic": (), "perceptron": (width, width)}.items(), strict=True):
        for number, name in enumerate(OPTIMIZERS):
            losses = torch.tensor(course(name, hidden, data, steps=steps))
            last[f"{title}, {name}"] = losses[-window:].mean().item()
            smooth = losses.unfold(0, window, 1).mean(1)
            axis.plot(torch.arange(len(smooth)) + window, smooth, color=f"C{number}", lw=1.2, label=name)
        axis.set(title=f"{title}, learning rate 0.001", xlabel="step", ylabel=f"training loss, mean of {window} steps")
    axes[-1].legend(frameon=False, fontsize=8)
    write_figure(folder / "optimizers.png", figure, dpi=80)
    return last


@one_sentence
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    folder = locate("logistic-mnist")
    print(draw(folder))
    write_section(
        folder,
        "## Optimisers\n\n"
        "The six of `zoo/blocks/optimizers.py`, whose steps equal those of `torch.optim`, on a valley with curvatures 1 and 50, "
        "on this model, and on a perceptron with two hidden layers of 512, over the first 300 batches of 64. One learning rate "
        "for all is no fair race: it shows how differently long their steps are at the same number. "
        "`python scripts/figures/optimizers.py`\n\n"
        "![optimisers](optimizers.png)\n",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
