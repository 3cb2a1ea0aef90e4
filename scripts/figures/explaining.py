"""The "Explained" section of the image classifiers' cards, and the test of methods by removing and retraining.

    python scripts/figures/explaining.py cards                 # every image classifier with packaged images; or give names
    python scripts/figures/explaining.py roar                  # retrains simplecnn on images whose largest values are gone

A card takes some 5 CPU seconds: image counts are cut to what the network allows in that time, and the section names them.
"""

import argparse
import copy
import functools
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import zoo
from zoo.core.files import write_figure, write_picture
from zoo.core.samples import sample_split
from zoo.errors import InputError, one_sentence
from zoo.explain import attacks, checks, gradients
from zoo.explain.sheet import map_of, sheet, shown
from zoo.explain.subject import at_rest
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
    examples = model._examples(most)
    if examples is None:
        raise InputError(f"no images of {model.data} are packaged")
    x, y = examples
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
    used = [k for k in range(len(parts)) if any(values[k] < 0.9999 for values in cascades.values())]
    parts = [parts[k] for k in used]  # a discriminator of domains, say, is no part of the answer
    cascades = {method: [values[k] for k in used] for method, values in cascades.items()}
    text = section(name, whose(model, x), methods, gaps, parts, cascades, mean, few, robust, many)
    return text + steadiness(model, x[list(images[:2])])


def whose(model: Any, x: Tensor) -> str:
    """The packaged images in words; where a data set's own can't be packaged, MNIST's stand in for them."""
    seen = model.data["init"]["target"] if model.data["name"] == "domains" else model.data["name"]
    try:
        sample_split(seen)
    except InputError:
        cut = ", cut to their middle" if x.shape[-1] < 28 else ""
        return f"Packaged test images of MNIST{cut} (none of {seen} are packaged)"
    return "Packaged test images"


def steadiness(model: Any, x: Tensor, *, noise: float = 0.1, radius: float = 0.02) -> str:
    """What the gradient misses of the logit's changes under noise, and how much maps change with the image, in two sentences."""
    missed, changes = [], {"saliency": 0.0, "integrated-gradients": 0.0}
    for image in x:
        point, black = model.transform(image[None]), model.transform(torch.zeros_like(image[None]))
        with at_rest(model, 0):
            target = int(model(point).argmax())
            f: Callable[[Tensor], Tensor] = lambda points, target=target: model(points)[:, target]  # noqa: E731
            slope = gradients.saliency(f, point)
        found = []
        for values in (slope, torch.zeros_like(slope)):
            with at_rest(model, 0):  # the same noise for both
                found.append(checks.infidelity(f, point, values, noise=noise))
        missed.append(found[0] / found[1])
        for method in changes:
            way = functools.partial(_map, f, black if method == "integrated-gradients" else None)
            with at_rest(model, 0):
                changes[method] = max(changes[method], checks.sensitivity(way, point, radius=radius, samples=4))
    shares = " and ".join(f"{value:.0%} for {method}" for method, value in changes.items())
    return (
        f"\nUnder noise of {noise:g} on each number of the network's input, the gradient misses {sum(missed) / len(missed):.0%} "
        f"of the logit's squared change (infidelity, over that of an empty map). When no number of the input moves by more than "
        f"{radius:g}, a map changes by up to {shares} (sensitivity).\n"
    )


def _map(f: Callable[[Tensor], Tensor], black: Tensor | None, points: Tensor) -> Tensor:
    """The gradient at points, or integrated gradients of eight steps from a black image."""
    return gradients.saliency(f, points) if black is None else gradients.integrated_gradients(f, points, black, 8)


def section(
    name: str,
    images: str,
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
        f"{images} with the model's answer, and maps of {', '.join(methods)} for that answer: red speaks for the "
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


FRACTIONS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
WAYS = ("random", "saliency", "integrated-gradients")


def roar(
    data: Any, methods: Sequence[str] = WAYS, *, fractions: Sequence[float] = FRACTIONS, images: int = 3000, epochs: int = 4,
    seeds: int = 2, name: str = "simplecnn-mnist",
) -> dict[str, list[float]]:  # fmt: skip
    """Remove and retrain (Hooker et al., 2019): test accuracy of fresh networks trained on images without their largest values.

    The faster the accuracy falls beside that of random pixels, the more of what a network can learn from the method found.
    """
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
            right = []
            for seed in range(seeds):
                network = retrained(model, train, y, epochs, seed)
                with torch.no_grad():
                    right.append(float((network(test).argmax(1) == t).float().mean()))
            result[method].append(sum(right) / seeds)
        print(method, [round(value, 4) for value in result[method]], flush=True)
    return result


def retrained(model: Any, x: Tensor, y: Tensor, epochs: int, seed: int) -> Any:
    """A network like this one with fresh weights, trained on images x."""
    torch.manual_seed(seed)
    network, generator = copy.deepcopy(model), torch.Generator().manual_seed(seed)
    for part in checks.parts_from_head(model):
        checks.randomise(network.get_submodule(part), generator)
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(128):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(x[batch]), y[batch]).backward()
            optimizer.step()
    return network.eval()


def draw_roar(found: dict[str, list[float]], path: Path, fractions: Sequence[float] = FRACTIONS) -> None:
    """Accuracy after retraining against the share of pixels removed, one line a method."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 2.8), layout="constrained")
    axis = figure.subplots()
    for method, values in found.items():
        axis.plot(fractions, values, "o-", ms=3, label=method)
    axis.set(
        xlabel="share of pixels made black, the largest values first", ylabel="test accuracy, retrained", ylim=(0, 1.02)
    )
    axis.legend(frameon=False, fontsize=8)
    write_figure(path, figure, dpi=80)


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
        draw_roar(roar(zoo.datamodule("mnist")), Path(__file__).resolve().parents[2] / "docs" / "explain" / "roar.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
