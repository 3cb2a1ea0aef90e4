"""What the self-supervised models of CIFAR-10 learnt: confusions of their pretexts, and BYOL's collapse without its predictor.

    python scripts/figures/pretexts.py confusion rotnet-cifar10
    python scripts/figures/pretexts.py confusion jigsaw-cifar10
    python scripts/figures/pretexts.py collapse byol-cifar10 --steps 150

Writes pretext.png or collapse.png and a section of extra.md into the checkpoint's folder.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

import zoo
from zoo.core.allocator import keep_freed_memory
from zoo.core.files import write_figure
from zoo.core.precision import quick_autocast
from zoo.errors import InputError, one_sentence
from zoo.models.selfsupervised.byol import BYOL
from zoo.models.selfsupervised.jigsaw import ORDERS, Jigsaw, cut, lay, standardise
from zoo.models.selfsupervised.rotnet import RotNet, all_turns
from zoo.store.cards import write_section
from zoo.store.hub import locate


@torch.no_grad()
def confusion(model: Any, x: Tensor) -> Tensor:
    """Counts [4, 4] of true (rows) and named (columns) turns; of the jigsaw, of the quarters that tiles came from."""
    counts = torch.zeros(4, 4)
    with torch.random.fork_rng(), quick_autocast("cpu")[0]:
        torch.manual_seed(0)
        for images in x.split(500):
            images = images.float() / 255
            if isinstance(model, RotNet):
                turned, turns = all_turns(images)
                said = model.eval().rotation_logits(turned).argmax(1)
                counts += torch.bincount(turns * 4 + said, minlength=16).view(4, 4)
            elif isinstance(model, Jigsaw):
                number = torch.randint(len(ORDERS), (len(images),))
                tiles = lay(standardise(cut(images, model.hparams["tile"])), number)
                said = model.eval().order_logits(tiles).argmax(1)
                pairs = (
                    ORDERS[number] * 4 + ORDERS[said]
                )  # the quarter that each tile came from, and the one that was named
                counts += torch.bincount(pairs.flatten(), minlength=16).view(4, 4)
            else:
                raise InputError(f"{type(model).__name__} has no classes in its pretext: take rotnet or jigsaw")
    return counts


def draw_counts(counts: Tensor, names: list[str], path: Path) -> None:
    share = counts / counts.sum(1, keepdim=True)
    figure = Figure(figsize=(3.6, 3.3), layout="constrained")
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for i in range(4):
        for j in range(4):
            axes.text(
                j, i, f"{share[i, j]:.0%}", ha="center", va="center", color="white" if share[i, j] > 0.5 else "black"
            )
    axes.set_xticks(range(4), names)
    axes.set_yticks(range(4), names)
    axes.set(xlabel="named", ylabel="true")
    write_figure(path, figure, dpi=100)


def collapse(x: Tensor, steps: int, *, width: int = 16, batch_size: int = 128) -> dict[str, list[float]]:
    """The spread of BYOL's projections, mean deviation of a coordinate, in each step of two short trainings."""
    found: dict[str, list[float]] = {}
    for name, predictor in (("with its predictor", True), ("without", False)):
        torch.manual_seed(0)
        model = BYOL(width=width, predictor=predictor).train()
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-3)
        found[name] = []
        for _ in range(steps):
            images = x[torch.randint(len(x), (batch_size,))].float() / 255
            with quick_autocast("cpu")[0]:
                loss, values = model.pretext_loss(images)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            model.follow(0.99)
            found[name].append(float(values["spread"].detach()))
    return found


def draw_collapse(found: dict[str, list[float]], dim: int, path: Path) -> None:
    figure = Figure(figsize=(5, 3), layout="constrained")
    axes = figure.subplots()
    for name, values in found.items():
        axes.plot(values, label=name)
    axes.axhline(dim**-0.5, color="0.6", lw=0.8, ls="--", label="1/√d, as spread as can be")
    axes.axhline(0.5 * dim**-0.5, color="0.6", lw=0.8, ls=":", label="half of it")
    axes.set(xlabel="step", ylabel="deviation of a coordinate", ylim=(0, None))
    axes.legend(fontsize=8)
    write_figure(path, figure, dpi=100)


@one_sentence
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("confusion", "collapse"))
    parser.add_argument("name", help="a checkpoint")
    parser.add_argument("--images", type=int, default=2000, help="test images that the confusions are of")
    parser.add_argument("--steps", type=int, default=150, help="of each of the two trainings of BYOL")
    parser.add_argument("--into", type=Path, help="folder of the results (default: the checkpoint's)")
    options = parser.parse_args(argv)
    into, model = options.into or locate(options.name), zoo.load(options.name)
    data = zoo.datamodule("cifar10", normalize=False)
    if options.what == "confusion":
        counts = confusion(model, data.tensors("test")[0][: options.images])
        names = ["0°", "90°", "180°", "270°"] if isinstance(model, RotNet) else ["↖", "↗", "↙", "↘"]
        draw_counts(counts, names, into / "pretext.png")
        right = float(counts.diag().sum() / counts.sum())
        what = "how far an image was turned" if isinstance(model, RotNet) else "the quarter that a tile came from"
        text = f"## The pretext\n\n{right:.1%} of the answers on {options.images} test images name {what}; chance is 25 %. "
        text += "A row holds the true answer, a column the model's.\n\n![confusions](pretext.png)\n"
    else:
        found = collapse(data.tensors("train")[0][:10_000], options.steps)
        draw_collapse(found, 128, into / "collapse.png")
        ends = ", ".join(f"{values[-1]:.3f} {name}" for name, values in found.items())
        text = "## The predictor keeps BYOL from collapsing\n\nDeviation of a coordinate of the projections after "
        text += f"{options.steps} steps of a network of half the width: {ends}; 1/√128 = 0.088 would be as spread as can be. "
        text += "Without the predictor all images tend to one projection, whose loss is 0.\n\n![spread](collapse.png)\n"
    write_section(into, text, measured_on=[options.name])
    return 0


if __name__ == "__main__":
    keep_freed_memory()
    sys.exit(main())
