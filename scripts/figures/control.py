"""How a ControlNet learns: for a while the control does nothing, then all of a sudden images follow it.

    python scripts/figures/control.py controlnet-mnist --steps 120

Trains the branch anew from its base and, at even intervals, draws the same noise to the same edges. Writes convergence.png,
convergence.json and extra.md into the checkpoint's folder; `scripts/cards.py` puts extra.md into the card.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

import zoo
from zoo.blocks.edges import edge_iou, edge_map
from zoo.core.files import write_figure, write_json
from zoo.errors import InputError, one_sentence
from zoo.models.diffusion.controlnet import ControlNet
from zoo.store.cards import write_section
from zoo.store.hub import locate

SHOWN = 8  # edges, each drawn with a noise of its own


def learn(
    model: ControlNet, x: Tensor, labels: Tensor, edges: Tensor, *, steps: int, every: int, batch_size: int = 64
) -> list[dict[str, Any]]:
    """Train a branch that does nothing yet; at every mark the step, the images drawn to the edges, and their IoU."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-4)
    generator, marks = torch.Generator().manual_seed(0), []
    for step in range(steps + 1):
        if step % every == 0:
            images = model.sample(len(edges), seed=0, control=edges, sampler="ddim", steps=20)
            marks.append({"step": step, "images": images, "iou": edge_iou(images, edges)})
            print(f"step {step}: IoU {marks[-1]['iou']:.3f}", flush=True)
        chosen = torch.randint(len(x), (batch_size,), generator=generator)
        model.train()
        optimizer.zero_grad()
        model.loss(x[chosen].float() / 255, labels=labels[chosen]).backward()
        optimizer.step()
    return marks


def sharpest(ious: list[float]) -> int:
    """The mark with the largest step up from the one before."""
    return max(range(1, len(ious)), key=lambda i: ious[i] - ious[i - 1])


def draw(marks: list[dict[str, Any]], edges: Tensor, path: Path) -> None:
    """The curve over the steps, and what was drawn at seven of them, the jump in the middle."""
    ious = [mark["iou"] for mark in marks]
    jump = sharpest(ious)
    first = min(max(0, jump - 3), max(0, len(marks) - 7))
    shown = marks[first : first + 7]
    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.3))
    left.plot([mark["step"] for mark in marks], ious, marker=".")
    left.set(xlabel="training step", ylabel="IoU of edges drawn and asked for", ylim=(0, 1))
    rows = [edges.expand(-1, 3, -1, -1), *(mark["images"].expand(-1, 3, -1, -1) for mark in shown)]
    right.imshow(torch.cat([torch.cat(list(row), 2) for row in rows], 1).permute(1, 2, 0).numpy())
    height = edges.shape[2]
    right.set_yticks([height * (i + 0.5) for i in range(len(rows))], ["edges", *(f"step {m['step']}" for m in shown)])
    right.set_xticks([])
    write_figure(path, figure, dpi=80)


def extra(name: str, marks: list[dict[str, Any]]) -> str:
    """The card's own section, in Markdown."""
    ious = [mark["iou"] for mark in marks]
    jump = sharpest(ious)
    return (
        "## Sudden convergence\n\n"
        f"The branch trained anew, batches of 64, and {SHOWN} images drawn from the same noise to the same edges at even "
        f"intervals. The largest step up lies between steps {marks[jump - 1]['step']} and {marks[jump]['step']}: from an "
        f"intersection over union of {ious[jump - 1]:.2f} to {ious[jump]:.2f}; it ends at {ious[-1]:.2f}. "
        f"`python scripts/figures/control.py {name} --steps {marks[-1]['step']} --every {marks[1]['step']}`\n\n"
        "![sudden convergence](convergence.png)\n"
    )


@one_sentence
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--every", type=int, default=5)
    options = parser.parse_args()
    folder, trained = locate(options.name), zoo.load(options.name)
    if not isinstance(trained, ControlNet) or trained.base is None:
        raise InputError(f"{options.name} is no ControlNet of a base")
    if not 0 < options.every <= options.steps:
        raise InputError(f"--every lies between 1 and --steps, not {options.every} of {options.steps}")
    torch.manual_seed(0)
    model = type(trained)(**trained.hparams)
    model.start_from(zoo.load(trained.base))
    data = zoo.datamodule(trained.data["name"])  # type: ignore[index]
    x, labels = data.tensors("train")
    edges = edge_map(data.tensors("test")[0][:SHOWN].float() / 255)
    marks = learn(model, x, labels, edges, steps=options.steps, every=options.every)
    draw(marks, edges, folder / "convergence.png")
    table = [{"step": mark["step"], "iou": mark["iou"]} for mark in marks]
    write_json(folder / "convergence.json", table, indent=1)
    write_section(folder, extra(options.name, marks), measured_on=[trained.base])  # the rest is learnt here
    return 0


if __name__ == "__main__":
    sys.exit(main())
