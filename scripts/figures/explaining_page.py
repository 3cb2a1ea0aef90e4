"""The pictures of docs/explain.md.

python scripts/figures/explaining_page.py                 # all of them, or those named
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

import zoo
from zoo.core.files import write_figure, write_picture
from zoo.core.samples import sample_split
from zoo.errors import one_sentence
from zoo.explain import attacks, checks
from zoo.explain.sheet import map_of, sheet, shown

DOCS = Path(__file__).resolve().parents[2] / "docs" / "explain"


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
    from zoo.explain.finding import subject

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

    from zoo.explain.finding import subject

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


DRAWN = (games, tabular, lime_steps, saturation, cascade_strip, baseline_strip, contested, attack_strip, dreams)


@one_sentence
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = [draw.__name__ for draw in DRAWN]
    parser.add_argument("names", nargs="*", help=f"some of {', '.join(known)}; all by default")
    wanted = parser.parse_args().names
    if unknown := sorted(set(wanted) - set(known)):
        parser.error(f"no picture {', '.join(unknown)}; there are {', '.join(known)}")
    DOCS.mkdir(parents=True, exist_ok=True)
    for draw in DRAWN:
        if not wanted or draw.__name__ in wanted:
            draw(DOCS)
            print(draw.__name__, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
