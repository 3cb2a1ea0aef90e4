"""What enters the second ReLU over the first fifty steps, with and without batch norm.

    python scripts/figures/batch_norm.py           # seconds; into the card of mlp-fashion-mnist.book

The textbook's network (784-512-512-10) on its data in its batches of 64; each column of the picture is the histogram of one step,
over all units and images of the batch.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import zoo
from zoo.core.files import write_figure
from zoo.errors import one_sentence
from zoo.models.mlp.mlp import MLP
from zoo.store.cards import write_section
from zoo.store.hub import locate

RANGE = (-4.0, 4.0)


def histograms(
    data: Any, *, batch_norm: bool, steps: int = 50, width: int = 512, lr: float = 0.1
) -> tuple[Tensor, Tensor]:
    """Shares of the values in 80 bins for every step, [steps, 80], and mean and deviation, [steps, 2]."""
    torch.manual_seed(0)
    model = MLP(hidden=(width, width), batch_norm=batch_norm)
    model.log_train = lambda **_: None  # type: ignore[method-assign]  # there is no trainer
    seen: list[Tensor] = []
    model.hidden[1].get_submodule("1").register_forward_hook(lambda _, __, out: seen.append(out.detach()))
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for _, batch in zip(range(steps), data.train_dataloader(), strict=False):
        optimizer.zero_grad()
        model.training_step(batch, 0).backward()
        optimizer.step()
    counts = torch.stack([torch.histc(values, 80, *RANGE) / values.numel() for values in seen])
    return counts, torch.stack([torch.stack([values.mean(), values.std()]) for values in seen])


def draw(folder: Path, *, data: Any = None, steps: int = 50, width: int = 512) -> dict[str, list[float]]:
    """Draw batch-norm.png and return mean and deviation at the first and the last step."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    data = data or zoo.datamodule("fashion-mnist", batch_size=64, normalize=False)
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    found = {}
    for axis, (title, batch_norm) in zip(
        figure.subplots(1, 2, sharey=True), {"without": False, "with batch norm": True}.items(), strict=True
    ):
        counts, moments = histograms(data, batch_norm=batch_norm, steps=steps, width=width)
        axis.imshow(counts.T, origin="lower", aspect="auto", extent=(0.5, len(counts) + 0.5, *RANGE), cmap="magma")
        at = torch.arange(len(counts)) + 1
        for shift in (-1, 0, 1):
            axis.plot(at, moments[:, 0] + shift * moments[:, 1], color="white", lw=1, ls="-" if shift == 0 else ":")
        axis.set(title=title, xlabel="step", ylim=RANGE)
        found[title] = [*moments[0].tolist(), *moments[-1].tolist()]
    write_figure(folder / "batch-norm.png", figure, dpi=80)
    return found


@one_sentence
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    folder = locate("mlp-fashion-mnist.book")
    print(draw(folder))
    write_section(
        folder,
        "## With batch norm\n\n"
        "What enters the second ReLU of this network in its first 50 steps, without and with batch norm in front of the "
        "activation: histograms by step, lines at the mean and one deviation about it. Plain steps of 0.1 here; at the book's "
        "0.001 nothing moves in so short a time. `python scripts/figures/batch_norm.py`\n\n![batch norm](batch-norm.png)\n",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
