"""The "Explained" section of the image classifiers' cards, and the test of methods by removing and retraining.

    python scripts/figures/explaining.py cards                 # every image classifier with packaged images; or give names
    python scripts/figures/explaining.py roar                  # retrains simplecnn on images whose largest values are gone

A card takes some 5 CPU seconds: image counts are cut to what the network allows in that time, and the section names them.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import zoo
from zoo.core.files import write_picture
from zoo.core.samples import sample_split
from zoo.errors import InputError, one_sentence
from zoo.explain import attacks, checks
from zoo.explain.sheet import map_of, sheet, shown
from zoo.paths import CHECKPOINTS
from zoo.store.cards import write_section

IMAGES = (0, 3, 5, 8)  # of the packaged ones
EPSILONS = (1.0, 2.0, 4.0, 8.0)


# Cards ---------------------------------------------------------------------------------------------------------------


def methods_for(model: Any, image: Tensor) -> list[str]:
    """Four methods: two by gradients, a map where the network has one, and one that asks for outputs alone."""
    try:
        zoo.explain(model, image, "grad-cam")
        third = "grad-cam"
    except InputError:
        third = "occlusion"
    return ["saliency", "integrated-gradients", third, "kernel-shap"]


def measure(name: str, folder: Path, *, images: Sequence[int] = IMAGES, most: int = 256, seconds: float = 2.0) -> str:
    """Draw explained.png into a folder; returns the section's text."""
    model: Any = zoo.load(name)
    x, y = sample_split(model.data["name"])
    methods = methods_for(model, x[0])
    rows, gaps = [], []
    for i in images:
        probability = model.predict(x[i], top=1)[0]
        row = [(shown(x[i].float() / 255), f"{probability[0]} {probability[1]:.0%}")]
        for method in methods:
            found = zoo.explain(model, x[i], method)
            if method == "integrated-gradients":
                gaps.append(found.gap)
            row.append((map_of(found), method))
        rows.append(row)
    write_picture(folder / "explained.png", sheet(rows), optimize=True)
    started = time.process_time()
    attacks.robust_accuracy(model, x[:16], y[:16], (8.0,), steps=2)
    cost = max(1e-4, (time.process_time() - started) / (16 * 3))  # seconds of one step for one image
    many = max(8, min(most, int(seconds / (cost * 5 * len(EPSILONS)))))
    robust = attacks.robust_accuracy(model, x[:many], y[:many], EPSILONS, steps=5)
    few = max(2, min(16, int(seconds / 3 / (cost * 140))))
    areas = [
        checks.curves(model, x[i], zoo.explain(model, x[i], "kernel-shap", baseline="blur")).areas for i in range(few)
    ]
    mean = {key: sum(area[key] for area in areas) / few for key in areas[0]}
    cascades = {}
    for method in ("saliency", "gradient-x-input", "guided-backprop"):
        try:
            runs = [checks.cascade(model, x[i], method) for i in images[:2]]
        except InputError:
            continue  # no ReLU for guided backprop
        parts = [part for part, _ in runs[0]]
        cascades[method] = [sum(run[k][1] for run in runs) / len(runs) for k in range(len(parts))]
    return section(name, methods, gaps, parts, cascades, mean, few, robust, many)


def section(
    name: str,
    methods: Sequence[str],
    gaps: Sequence[float],
    parts: Sequence[str],
    cascades: dict[str, list[float]],
    areas: dict[str, float],
    few: int,
    robust: dict[float, float],
    many: int,
) -> str:
    chosen = sorted({0, len(parts) // 2, len(parts) - 1}) if parts else []
    lines = [
        "## Explained\n",
        f"Packaged test images with the model's answer, and maps of {', '.join(methods)} for that answer: red speaks for the "
        f"class, blue against it. `zoo explain {name} photo.png --method {methods[2]} -o map.png` draws one.\n",
        "![explained](explained.png)\n",
        f"Integrated gradients add up to the rise of the logit from a black image within {max(gaps):.2%}.\n",
    ]
    cascade = [
        "Rank correlation of a map with that of the network whose parts are random from the head down. A method that "
        "explains the network ends near 0."
        + (
            " Guided backprop is the counter-example: it stays near the image.\n"
            if "guided-backprop" in cascades
            else "\n"
        ),
        "| random down to | " + " | ".join(cascades) + " |",
        "|---|" + "---|" * len(cascades),
    ]
    for k in chosen:
        cascade.append(f"| {parts[k]} | " + " | ".join(f"{values[k]:.2f}" for values in cascades.values()) + " |")
    lines += cascade if parts else []  # an extreme learning machine has no part that could be made random: it is random
    lines += [
        f"\nMean probability of the class while the segments of kernel-shap are blurred, the largest value first, over {few} "
        f"images: {areas['deletion']:.2f} ({areas['random_deletion']:.2f} in random order; lower is better). While they come "
        f"into a blurred image: {areas['insertion']:.2f} ({areas['random_insertion']:.2f}; higher is better).\n",
        f"Accuracy on {many} packaged test images under PGD of five steps (`zoo attack {name} photo.png --method pgd`):\n",
        "| ε | " + " | ".join("none" if e == 0 else f"{e:g}/255" for e in robust) + " |",
        "|---|" + "---|" * len(robust),
        "| accuracy | " + " | ".join(f"{share:.1%}" for share in robust.values()) + " |\n",
    ]
    return "\n".join(lines)


def cards(names: Sequence[str]) -> int:
    """Write the section of every image classifier that has packaged images; returns how many."""
    done = 0
    for name in names or zoo.list_models(task="image-classification"):
        started = time.process_time()
        try:
            text = measure(name, CHECKPOINTS / name)
        except InputError as error:
            print(f"{name}: left out, {error}")
            continue
        write_section(CHECKPOINTS / name, text, measured_on=[name])
        done += 1
        print(f"{name}: {time.process_time() - started:.0f} CPU seconds", flush=True)
    return done


# ROAR ----------------------------------------------------------------------------------------------------------------


def roar(
    data: Any, methods: Sequence[str] = ("random", "saliency", "integrated-gradients"), *,
    fractions: Sequence[float] = (0.1, 0.3, 0.5, 0.7, 0.9), images: int = 4000, epochs: int = 3, name: str = "simplecnn-mnist",
) -> dict[str, list[float]]:  # fmt: skip
    """Remove and retrain (Hooker et al., 2019): test accuracy of fresh networks trained on images without their largest values.

    The faster the accuracy falls beside that of random pixels, the more of what a network can learn from the method found.
    """
    import copy

    model: Any = zoo.load(name)
    parts = [(x[:images], y[:images]) for x, y in (data.tensors("train"), data.tensors("test"))]
    result: dict[str, list[float]] = {}
    for method in methods:
        ranks = [_ranks(model, x, method) for x, _ in parts]
        result[method] = []
        for fraction in fractions:
            (train, y), (test, t) = (
                (torch.where(rank < fraction, torch.zeros(()), x.float() / 255), label)
                for (x, label), rank in zip(parts, ranks, strict=True)
            )
            torch.manual_seed(0)
            network = copy.deepcopy(model)
            for part in checks.parts_from_head(model):
                checks.randomise(network.get_submodule(part), torch.Generator().manual_seed(0))
            network.train()
            optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
            for _ in range(epochs):
                for batch in torch.randperm(len(train)).split(128):
                    optimizer.zero_grad()
                    torch.nn.functional.cross_entropy(network(train[batch]), y[batch]).backward()
                    optimizer.step()
            network.eval()
            with torch.no_grad():
                result[method].append(float((network(test).argmax(1) == t).float().mean()))
        print(method, result[method], flush=True)
    return result


def _ranks(model: Any, x: Tensor, method: str) -> Tensor:
    """For each pixel the share of pixels with larger values, [N, 1, H, W]: below 0.1 are the largest tenth."""
    n, _, height, width = x.shape
    if method == "random":
        heat = torch.rand(n, height * width, generator=torch.Generator().manual_seed(0))
    else:
        points = model.transform(x)
        base = model.transform(torch.zeros_like(x[:1]))
        shares = [1.0] if method == "saliency" else [(k + 0.5) / 16 for k in range(16)]
        slope = torch.zeros_like(points)
        for share in shares:
            some = (base + share * (points - base)).requires_grad_()
            scores = model(some)
            slope += torch.autograd.grad(scores.gather(1, scores.argmax(1, keepdim=True)).sum(), some)[0] / len(shares)
        heat = (slope.abs() if method == "saliency" else (slope * (points - base)).abs()).sum(1).flatten(1)
    order = heat.argsort(1, descending=True).argsort(1)
    return (order.float() / (height * width)).reshape(n, 1, height, width)


@one_sentence
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("cards", "roar"))
    parser.add_argument("names", nargs="*", help="image classifiers; by default all")
    options = parser.parse_args()
    if options.what == "cards":
        cards(options.names)
    else:
        roar(zoo.datamodule("mnist"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
