"""Two domains' features before and after adaptation, and how well a classifier still tells the domains apart.

python scripts/figures/adaptation.py              # half a minute; into the cards of dann-mnist-usps and dann-usps-mnist
"""

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import zoo
from zoo.core.files import write_figure
from zoo.errors import one_sentence
from zoo.paths import CHECKPOINTS
from zoo.store.cards import write_section

PAIRS = (("dann-mnist-usps.source", "dann-mnist-usps"), ("dann-usps-mnist.source", "dann-usps-mnist"))
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


@one_sentence
def main() -> int:
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
