"""Two domains' features before and after adaptation, how well a classifier still tells the domains apart, and errors against λ.

python scripts/figures/adaptation.py              # a minute; into the cards of PAIRS
python scripts/figures/adaptation.py strength     # a minute; into the card of dann-mnist-usps
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import zoo
from zoo.core.files import write_figure
from zoo.core.images import Transform
from zoo.errors import one_sentence
from zoo.models.adaptation.dann import DANN
from zoo.paths import CHECKPOINTS
from zoo.store.cards import write_section

PAIRS = tuple((f"{name}.source", name) for name in ("dann-mnist-usps", "dann-usps-mnist", "dann-mnist-mnistm"))
TEXT = """## Features before and after

Test images of both domains as the last hidden layer has them, in the plane of the first two principal components of
both together. Left: the network that learnt on the source alone; right: with adaptation. A classifier that tells the
domains apart errs with probability ε on images that it didn't learn from; the proxy distance 2 (1 - 2ε) is 2 for
domains that never mix and 0 for ones that can't be distinguished. Source error and this distance are the first two terms
of the bound on the target's error (Ben-David et al., 2010).

![features](features.png)

| | source error | proxy distance | target error |
|---|---|---|---|
"""


@torch.no_grad()
def embeddings(model: Any, data: Any, n: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Features [n, D] and labels [n] of the first test images of "source" and "target"."""
    found = {}
    for domain in ("source", "target"):
        x, y = data.tensors("test", domain)
        found[domain] = (model.eval().features(model.transform(x[:n]))["embedding"], y[:n])
    return found


def proxy_distance(source: Tensor, target: Tensor) -> float:
    """2 (1 - 2ε), with ε the error of a logistic regression between two samples [N, D], learnt on one half of each."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    x = torch.cat([source, target]).numpy()
    y = torch.cat([torch.zeros(len(source)), torch.ones(len(target))]).numpy()
    half = torch.arange(len(x)).numpy() % 2 == 0
    scaler = StandardScaler().fit(x[half])
    judge = LogisticRegression(max_iter=500, C=0.1).fit(scaler.transform(x[half]), y[half])
    error = float((judge.predict(scaler.transform(x[~half])) != y[~half]).mean())
    return 2 * (1 - 2 * min(error, 1 - error))


def draw(models: list[Any], data: Any, path: Path, *, n: int = 600) -> list[tuple[float, float, float]]:
    """Draw the features of each model; returns (source error, proxy distance, target error) of each, from n images a domain."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.2), layout="constrained")
    rows = []
    for axis, model, title in zip(figure.subplots(1, 2), models, ("source alone", "adapted"), strict=True):
        found = embeddings(model, data, n)
        both = torch.cat([found["source"][0], found["target"][0]])
        plane = torch.pca_lowrank(both, q=2)[2]
        for domain, marker in (("source", "o"), ("target", "x")):
            z, y = found[domain]
            place = (z - both.mean(0)) @ plane
            axis.scatter(*place.T, c=y, cmap="tab10", marker=marker, s=9, linewidths=0.7, alpha=0.7)
        axis.set(title=f"{title}: source o, target x; colour is the digit", xticks=[], yticks=[])
        errors = [float((model.head(z).argmax(1) != y).float().mean()) for z, y in found.values()]
        rows.append((errors[0], proxy_distance(found["source"][0], found["target"][0]), errors[1]))
    write_figure(path, figure, dpi=75, colours=64)
    return rows


def against_strength(
    data: Any, path: Path, *, strengths: Sequence[float] = (0.0, 0.1, 0.3, 1.0, 3.0), steps: int = 250, seeds: int = 2
) -> dict[float, list[float]]:
    """Draw the errors on source and target of small networks against the largest λ; returns the target's, one a seed."""
    from matplotlib.figure import Figure

    train = {domain: data.tensors("train", domain) for domain in ("source", "target")}
    test = {domain: data.tensors("test", domain) for domain in train}
    read = Transform(**data.preprocess)
    errors: dict[str, dict[float, list[float]]] = {"source": {}, "target": {}}
    for strength in strengths:
        for seed in range(seeds):
            torch.manual_seed(seed)
            model = DANN(width=16, weight=strength, image_size=data.image_shape[-1]).train()
            model.log_train = lambda **_: None  # type: ignore[method-assign]
            optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
            for step in range(steps):
                model.progress = step / steps
                (x, y), (unlabelled, _) = (
                    (read(images[i]), labels[i])
                    for images, labels in train.values()
                    for i in [torch.randint(len(images), (64,))]
                )
                optimizer.zero_grad()
                model.training_step((x, y, unlabelled), step).backward()
                optimizer.step()
            for domain, (x, y) in test.items():
                with torch.no_grad():
                    wrong = model.eval()(read(x[:2000])).argmax(1) != y[:2000]
                errors[domain].setdefault(strength, []).append(wrong.float().mean().item())
    figure = Figure(figsize=(5, 2.8), layout="constrained")
    axis = figure.subplots()
    for domain, each in errors.items():
        axis.plot(range(len(strengths)), [sum(v) / len(v) for v in each.values()], "o-", ms=3, label=domain)
        axis.plot(range(len(strengths)), list(each.values()), ".", color="0.6", ms=3)
    axis.set(xlabel="largest λ", ylabel="test error", ylim=(0, None))
    axis.set_xticks(range(len(strengths)), [f"{strength:g}" for strength in strengths])
    axis.legend(frameon=False, fontsize=8)
    write_figure(path, figure, dpi=80)
    return errors["target"]


STRENGTH = """## How strongly the domains are pulled together

Error on 2,000 test images of each domain against the largest λ, of small networks that learnt for 250 steps on digits of MNIST
with the frame that USPS doesn't have: a gap that the published model's data have closed by a cut. λ = 0 is the source alone; a
grey dot is a seed.

![strength](strength.png)

| λ | """


@one_sentence
def main() -> int:
    if sys.argv[1:] == ["strength"]:
        folder = CHECKPOINTS / "dann-mnist-usps"
        found = against_strength(zoo.datamodule("domains", source="mnist", target="usps"), folder / "strength.png")
        row = "| target error | " + " | ".join(f"{sum(v) / len(v):.1%}" for v in found.values())
        head = STRENGTH + " | ".join(f"{strength:g}" for strength in found) + " |\n" + "|---" * (1 + len(found))
        write_section(folder, f"{head}|\n{row} |\n")
        print(found)
        return 0
    for before, after in PAIRS:
        models = [zoo.load(before), zoo.load(after)]
        rows = draw(models, zoo.datamodule(after), CHECKPOINTS / after / "features.png")
        text = TEXT
        for name, (source, distance, target) in zip((before, after), rows, strict=True):
            text += f"| {name} | {source:.1%} | {distance:.2f} | {target:.1%} |\n"
        text += "\nSix hundred test images of each domain; the errors over all of them stand above.\n"
        write_section(CHECKPOINTS / after, text, measured_on=(before, after))
        print(after, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
