"""The "Explained" section of the image classifiers' cards, and the pictures of docs/explain.md.

    python scripts/figures/explaining.py cards                 # every image classifier with packaged images; or give names
    python scripts/figures/explaining.py docs
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
from PIL import Image, ImageDraw
from torch import Tensor

import zoo
from zoo.core.files import write_figure, write_picture
from zoo.core.samples import sample_split
from zoo.errors import InputError, ZooError
from zoo.explain import attacks, checks
from zoo.explain.explanation import Explanation
from zoo.paths import CHECKPOINTS
from zoo.store.cards import write_section

DOCS = Path(__file__).resolve().parents[2] / "docs" / "explain"
SHORT = {
    "integrated-gradients": "integrated gr.",
    "expected-gradients": "expected gr.",
    "gradient-x-input": "gradient x in.",
}
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


def shown(image: Tensor, side: int = 84) -> Image.Image:
    """An image [C, H, W] in 0..1 as a picture of this side."""
    pixels = (255 * image.clamp(0, 1)).round().to(torch.uint8).expand(3, -1, -1).permute(1, 2, 0).numpy()
    return Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST)


def sheet(rows: Sequence[Sequence[tuple[Image.Image, str]]], side: int = 84) -> Image.Image:
    """Pictures with a line of text below each, row by row."""
    wide = max(len(row) for row in rows)
    canvas = Image.new("RGB", (wide * (side + 6), len(rows) * (side + 16)), "white")
    draw = ImageDraw.Draw(canvas)
    for i, row in enumerate(rows):
        for j, (picture, text) in enumerate(row):
            left, top = j * (side + 6), i * (side + 16)
            canvas.paste(picture.resize((side, side), Image.Resampling.NEAREST), (left, top))
            draw.text((left + 1, top + side + 1), SHORT.get(text, text)[:15], fill="black")
    return canvas


def map_of(found: Explanation, side: int = 84) -> Image.Image:
    return found.picture(scale=1).resize((side, side), Image.Resampling.NEAREST)


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
    chosen = sorted({0, len(parts) // 2, len(parts) - 1})
    lines = [
        "## Explained\n",
        f"Packaged test images with the model's answer, and maps of {', '.join(methods)} for that answer: red speaks for the "
        f"class, blue against it. `zoo explain {name} photo.png --method {methods[2]} -o map.png` draws one.\n",
        "![explained](explained.png)\n",
        f"Integrated gradients add up to the rise of the logit from a black image within {max(gaps):.2%}.\n",
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
        lines.append(f"| {parts[k]} | " + " | ".join(f"{values[k]:.2f}" for values in cascades.values()) + " |")
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


# The docs page -------------------------------------------------------------------------------------------------------


def contested(
    folder: Path, name: str = "resnet20-cifar10", index: int = 3, methods: Sequence[str] | None = None
) -> None:
    """One picture whose two likeliest classes are close, by every method."""
    model: Any = zoo.load(name)
    x = sample_split(model.data["name"])[0][index]
    top = model.predict(x, top=2)
    methods = methods or [
        "saliency", "gradient-x-input", "smoothgrad", "integrated-gradients", "expected-gradients", "deeplift",
        "guided-backprop", "cam", "grad-cam", "score-cam", "occlusion", "lime", "sampled-shapley", "kernel-shap",
    ]  # fmt: skip
    rows = []
    for label, p in top:
        cells = [(shown(x.float() / 255), f"{label} {p:.0%}")]
        cells += [(map_of(zoo.explain(model, x, method, target=label)), method) for method in methods]
        rows += [cells[:8], cells[8:]]
    write_picture(folder / "methods.png", sheet(rows), optimize=True)


def baseline_strip(folder: Path, name: str = "resnet20-cifar10", index: int = 0) -> None:
    """Integrated gradients of one image from every baseline, the baseline above its map."""
    from zoo.explain.baselines import NAMES, baselines
    from zoo.explain.subject import subject

    model: Any = zoo.load(name)
    x = sample_split(model.data["name"])[0][index]
    mean, std = (torch.tensor(v).reshape(-1, 1, 1) for v in (model.transform.mean, model.transform.std))
    found = subject(model, x)
    upper = [(shown(baselines(found, n)[0] * std + mean), n) for n in NAMES]
    lower = []
    for n in NAMES:
        explained = zoo.explain(model, x, baseline=n, samples=64)
        lower.append((map_of(explained), f"gap {explained.gap:.1%}"))
    write_picture(folder / "baselines.png", sheet([upper, lower]), optimize=True)


def lime_steps(folder: Path, name: str = "resnet20-cifar10", index: int = 0) -> None:
    """Four panels: segments, draws with the model's answers, their nearness, the line's weights."""
    from matplotlib.figure import Figure

    model: Any = zoo.load(name)
    x = sample_split(model.data["name"])[0][index]
    found = zoo.explain(model, x, "lime", segments="slic", samples=300)
    steps, parts = found.details["steps"], found.segments
    assert parts is not None and found.image is not None
    figure = Figure(figsize=(10, 2.7), layout="constrained")
    axes = figure.subplots(1, 4)
    edges = (parts != parts.roll(1, 0)) | (parts != parts.roll(1, 1))
    axes[0].imshow(torch.where(edges, torch.tensor(1.0), found.image).permute(1, 2, 0))
    axes[0].set_title(f"1-2  {int(parts.max()) + 1} segments", fontsize=9)
    tiles = [torch.where(steps.bits[i].bool()[parts], found.image, torch.zeros(())) for i in range(4)]
    axes[1].imshow(torch.cat([torch.cat(tiles[:2], 2), torch.cat(tiles[2:], 2)], 1).permute(1, 2, 0))
    axes[1].set_title("3-4  draws, " + ", ".join(f"{a:.1f}" for a in steps.answers[:4].tolist()), fontsize=9)
    axes[2].scatter((1 - steps.bits).mean(1), steps.nearness, c=steps.answers, s=8, cmap="viridis")
    axes[2].set(xlabel="share of segments left out", ylabel="weight of the draw")
    axes[2].set_title("5  nearness, coloured by the logit", fontsize=9)
    axes[3].imshow(found.picture(scale=4))
    axes[3].set_title(f"6  line, R² {found.details['r2']:.2f}", fontsize=9)
    for axis in (axes[0], axes[1], axes[3]):
        axis.set(xticks=[], yticks=[])
    write_figure(folder / "lime.png", figure, dpi=80)


def saturation(folder: Path, name: str = "resnet20-cifar10", index: int = 0) -> dict[str, float]:
    """Along the way from black to the image: the logit, and the mean size of its gradient."""
    from matplotlib.figure import Figure

    from zoo.explain.subject import subject

    model: Any = zoo.load(name)
    x = sample_split(model.data["name"])[0][index]
    found = subject(model, x)
    target = int(model.predict_proba(x).argmax())
    share = torch.linspace(0, 1, 41)
    points = (found.absent + share.reshape(-1, 1, 1, 1) * (found.x - found.absent)).requires_grad_()
    scores = found.scores(points)
    (slope,) = torch.autograd.grad(scores[:, target].sum(), points)
    size = slope.abs().mean((1, 2, 3))
    chance = scores.detach().softmax(1)[:, target]
    figure = Figure(figsize=(6.5, 2.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(share, chance, color="C0")
    left.set(xlabel="share of the way from black", ylabel="probability of the class")
    right.plot(share, size, color="C3")
    right.set(xlabel="share of the way from black", ylabel="mean |gradient of the logit|")
    write_figure(folder / "saturation.png", figure, dpi=80)
    return {"start": size[:8].mean().item(), "end": size[-4:].mean().item()}


def cascade_strip(folder: Path, name: str = "resnet20-cifar10", index: int = 0) -> None:
    """Maps of the network as its parts become random from the head down: two methods."""
    import copy

    model: Any = zoo.load(name)
    x = sample_split(model.data["name"])[0][index]
    target = int(model.predict_proba(x).argmax())
    rows = []
    for method in ("integrated-gradients", "guided-backprop"):
        options = {"samples": 32} if method == "integrated-gradients" else {}
        copied, generator = copy.deepcopy(model), torch.Generator().manual_seed(0)
        row = [(map_of(zoo.explain(model, x, method, target=target, **options)), method)]
        for part in checks.parts_from_head(model):
            checks.randomise(copied.get_submodule(part), generator)
            row.append((map_of(zoo.explain(copied, x, method, target=target, **options)), f"… {part}"))
        rows.append(row)
    write_picture(folder / "cascade.png", sheet(rows), optimize=True)


def dreams(folder: Path, name: str = "resnet20-cifar10", *, steps: int = 100) -> None:
    """Class images above, a dream strip below: what stages of growing depth make of one photo."""
    model: Any = zoo.load(name)
    x = sample_split(model.data["name"])[0][0]
    from zoo.explain import dream

    upper = [(shown(dream.class_image(model, label, steps=steps)), label) for label in model.classes[:8]]
    lower = [(shown(x.float() / 255), "photo")]
    lower += [
        (shown(dream.deep_dream(model, x, part, steps=steps // 4)), part)
        for part in ("stem", "stage1", "stage2", "stage3")
    ]
    write_picture(folder / "dreams.png", sheet([upper, lower]), optimize=True)


def attack_strip(folder: Path, name: str = "resnet20-cifar10", index: int = 0) -> None:
    """Original, perturbation and attacked image of three attacks, one below the other."""
    model: Any = zoo.load(name)
    x = sample_split(model.data["name"])[0][index]
    found = [attacks.attack(model, x, "fgsm", epsilon=2), attacks.attack(model, x, "pgd", epsilon=2)]
    found.append(attacks.attack(model, x, "one-pixel", steps=20))
    panels = [one.picture(3) for one in found]
    canvas = Image.new("RGB", (panels[0].width, sum(p.height for p in panels)), "white")
    top = 0
    for panel in panels:
        canvas.paste(panel, (0, top))
        top += panel.height
    write_picture(folder / "attacks.png", canvas, optimize=True)


def games(folder: Path) -> dict[str, float]:
    """The contested garment as areas: who arrives first takes what he claims, the mean of both orders is ¾ and ¼."""
    from matplotlib.figure import Figure

    from zoo.explain import shapley

    values = shapley.exact(lambda s: 1.0 if "all" in s else 0.5 if s else 0.0, ["all", "half"])
    figure = Figure(figsize=(6.5, 1.9), layout="constrained")
    axis = figure.subplots()
    rows = {"all first": (1.0, 0.0), "half first": (0.5, 0.5), "mean": (values["all"], values["half"])}
    for i, (label, (first, second)) in enumerate(reversed(rows.items())):
        axis.barh(i, first, color="#255c99", label="claims all" if i == 0 else None)
        axis.barh(i, second, left=first, color="#f7b32b", label="claims half" if i == 0 else None)
        axis.text(first / 2, i, f"{first:g}", ha="center", va="center", color="white")
        if second:
            axis.text(first + second / 2, i, f"{second:g}", ha="center", va="center")
        axis.text(-0.01, i, label, ha="right", va="center")
    axis.set(yticks=[], xlabel="share of the garment")
    axis.legend(frameon=False, fontsize=8, loc="upper right", bbox_to_anchor=(1.25, 1))
    write_figure(folder / "garment.png", figure, dpi=80)
    return values


def tabular(folder: Path, name: str = "mlp-regression-concrete") -> None:
    """Waterfall of one mix of concrete; PDP and ICE of two of its numbers, ALE beside."""
    from matplotlib.figure import Figure

    from zoo.explain import dependence, shapley

    model: Any = zoo.load(name)
    x, _ = zoo.datamodule(name).part("test")
    found = zoo.explain(model, x[0], "shapley")
    assert found.names is not None and found.base is not None
    shapley.waterfall(found.values.tolist(), found.base, found.names, folder / "waterfall.png", unit="MPa")
    figure = Figure(figsize=(8, 2.8), layout="constrained")
    axes = figure.subplots(1, 2)
    rows = x[:60]
    for axis, feature in zip(axes, (7, 3), strict=True):
        grid, curves = dependence.ice(model, rows, feature, most=30)
        axis.plot(grid, curves.T, color="0.75", lw=0.6)
        axis.plot(grid, curves.mean(0), color="#d62839", lw=2, label="PDP, mean of the ICE curves")
        edges, effect = dependence.ale(model, x, feature, bins=12)
        axis.plot(edges, effect + curves.mean(), color="#255c99", lw=1.5, ls="--", label="ALE, moved to the same mean")
        axis.set(xlabel=f"{found.names[feature]}", ylabel="strength in MPa")
    axes[0].legend(frameon=False, fontsize=7)
    write_figure(folder / "dependence.png", figure, dpi=80)


def docs(folder: Path = DOCS) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for draw in (
        games,
        tabular,
        lime_steps,
        saturation,
        cascade_strip,
        baseline_strip,
        contested,
        attack_strip,
        dreams,
    ):
        draw(folder)
        print(draw.__name__, flush=True)


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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("cards", "docs", "roar"))
    parser.add_argument("names", nargs="*", help="image classifiers; by default all")
    options = parser.parse_args()
    try:
        if options.what == "cards":
            cards(options.names)
        elif options.what == "docs":
            docs()
        else:
            roar(zoo.datamodule("mnist"))
    except ZooError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
