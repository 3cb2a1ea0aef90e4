"""Filters: fixed ones, one that finds an echo, one that is learnt, and the first layers of trained networks.

python scripts/figures/filters.py              # seconds; into the card of lenet5-mnist
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import zoo
from zoo.blocks.filters import KERNELS, Detector, correlate, matched_filter, signs
from zoo.core.files import write_figure
from zoo.core.samples import sample_split
from zoo.errors import one_sentence
from zoo.paths import CHECKPOINTS
from zoo.store.cards import write_section
from zoo.store.hub import locate

NETWORKS = ("lenet5-mnist", "lenet5-fashion-mnist", "alexnet-cifar10", "resnet18-cifar10", "speednet-cifar10")


def echo(noise: float = 0.7, place: int = 640) -> tuple[Tensor, Tensor, Tensor]:
    """A chirp, a noisy signal that holds it at a place, and what the matched filter finds."""
    chirp = torch.sin(torch.linspace(0, 10, 120).square() / 3)
    received = noise * torch.randn(1000, generator=torch.Generator().manual_seed(0))
    received[place : place + len(chirp)] += 0.6 * chirp
    return chirp, received, matched_filter(received, chirp)


def first_filters(model: nn.Module, most: int = 16) -> Tensor:
    """The kernels of the first convolution, [n, h, w] or [n, h, w, 3], each stretched to 0 … 1."""
    layer = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    if layer is None:
        return torch.empty(0)
    weight = layer.weight.detach()[:most]
    low, high = weight.amin((1, 2, 3), keepdim=True), weight.amax((1, 2, 3), keepdim=True)
    weight = ((weight - low) / (high - low).clamp(min=1e-9)).permute(0, 2, 3, 1)
    return weight if weight.shape[3] == 3 else weight.mean(3)


def show(axis: Any, image: Tensor, title: str = "", **options: Any) -> None:
    axis.imshow(image, cmap="gray", **options)
    axis.set(xticks=[], yticks=[])
    axis.set_title(title, fontsize=8)


def draw(folder: Path, *, steps: int = 1000, networks: Sequence[str] = NETWORKS) -> dict[str, float]:
    """Draw filters.png; returns where the echo was found and what the detector found in a fresh picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    models = {name: zoo.load(name) for name in networks}
    figure = Figure(figsize=(12, 5.4 + 1.0 * len(models)), layout="constrained")
    bank, middle, layers = figure.subfigures(3, 1, height_ratios=[1.3, 2.2, max(0.1, len(models))])
    image = sample_split("cifar10")[0][7].float().mean(0) / 255
    for axis, (name, kernel) in zip(bank.subplots(1, len(KERNELS)), KERNELS.items(), strict=True):
        limits = {} if "edges" in name else {"vmin": 0.0, "vmax": 1.0}
        show(axis, correlate(image, kernel), name, **limits)
    left, right = middle.subfigures(1, 2)
    signal, found = left.subplots(2, 1)
    chirp, received, answer = echo()
    signal.plot(received, lw=0.6, color="0.5", label="received")
    signal.plot(torch.arange(len(chirp)), 0.6 * chirp - 3.5, color="C3", lw=1, label="what was sent")
    signal.legend(frameon=False, fontsize=7, ncols=2)
    found.plot(answer, lw=0.8)
    found.axvline(int(answer.argmax()), color="C3", lw=0.8, ls=":")
    found.set_title(f"matched filter: echo at {int(answer.argmax())}, height {answer.max():.2f}", fontsize=8)
    torch.manual_seed(0)
    detector = Detector()
    detector.learn(*signs(1, seed=0), steps=steps)
    images, targets = signs(1, seed=1)  # a fresh picture
    with torch.no_grad():
        output = detector(images)
    kernel = detector.convolution.weight.detach()[0, 0]
    panels = {
        "fresh picture": images[0],
        "learnt kernel": kernel,
        "its answer": output[0],
        "above half": detector.find(images)[0],
    }
    for axis, (title, panel) in zip(right.subplots(1, 4), panels.items(), strict=True):
        show(axis, panel, title)
    rows = layers.subplots(max(1, len(models)), 16, squeeze=False)
    for axis in rows.flat:
        axis.axis("off")
    for row, (name, model) in zip(rows, models.items(), strict=False):
        for axis, weight in zip(row, first_filters(model), strict=False):
            axis.axis("on")
            show(axis, weight)
        row[0].set_title(name, fontsize=8, loc="left")
    write_figure(folder / "filters.png", figure, dpi=80)
    right_answers, wrong = detector.find(images) & (targets > 0), detector.find(images) & (targets == 0)
    return {"echo": float(answer.argmax()), "pluses": float(right_answers.sum()), "false alarms": float(wrong.sum())}


@one_sentence
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    folder = locate("lenet5-mnist")
    networks = [name for name in NETWORKS if (CHECKPOINTS / name / "model.safetensors").is_file()]
    print(draw(folder, networks=networks))
    write_section(
        folder,
        "## Filters\n\n"
        "A correlation with fixed kernels; with the signal one is looking for, in noise (the matched filter); with one learnt "
        "kernel and a threshold, which finds plus signs among minus signs; and the kernels that networks of this zoo have learnt "
        "in their first layers. `python scripts/figures/filters.py`\n\n![filters](filters.png)\n",
        measured_on=networks,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
