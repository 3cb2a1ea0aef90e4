"""The figures of a flow's card: two moons on their way through the layers, or paths and temperatures of images.

    python scripts/figures/flows.py realnvp-moons        # a flow of points: layers.png, directions.png, extra.md
    python scripts/figures/flows.py realnvp-mnist        # a flow of images: interpolation.png, temperature.png, extra.md

They are written into the checkpoint's folder; `scripts/cards.py` puts extra.md into the card.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

import zoo
from zoo.core.files import write_figure
from zoo.core.images import save_grid
from zoo.errors import InputError, one_sentence
from zoo.models.flows.image_flow import ImageFlow
from zoo.models.flows.point_flow import PointFlow
from zoo.store.cards import write_section
from zoo.store.hub import locate

TEMPERATURES = (0.5, 0.7, 0.85, 1.0)


def scatter(axis: Any, x: torch.Tensor, y: torch.Tensor | None, title: str) -> None:
    colour: dict[str, Any] = {"color": "0.3"} if y is None else {"c": y, "cmap": "coolwarm"}
    axis.scatter(*x.T, **colour, s=1.5, linewidths=0)
    axis.set(title=title, xticks=[], yticks=[], aspect="equal")


@torch.no_grad()
def layers(model: PointFlow, x: torch.Tensor, y: torch.Tensor, path: Path) -> None:
    """Data after each layer, until they are a Gaussian."""
    states = [x]
    for step in model.flow.steps:  # type: ignore[union-attr]
        states.append(step(states[-1])[0])
    columns = (len(states) + 1) // 2
    figure = Figure(figsize=(2 * columns, 4.3), layout="constrained")
    axes = figure.subplots(2, columns).flatten()
    for axis in axes[len(states) :]:
        axis.set_visible(False)
    for i, state in enumerate(states):
        scatter(axes[i], state, y, "data" if i == 0 else f"after layer {i}")
    write_figure(path, figure, dpi=80)


@torch.no_grad()
def directions(model: PointFlow, x: torch.Tensor, y: torch.Tensor, path: Path) -> None:
    """Both directions: data to codes, and noise to samples."""
    z = torch.randn(len(x), 2, generator=torch.Generator().manual_seed(0))
    figure = Figure(figsize=(11, 3), layout="constrained")
    panels = [
        (x, y, "data x"),
        (model.encode(x), y, "codes f(x)"),
        (z, None, "noise z"),
        (model.decode(z), None, "f⁻¹(z)"),
    ]
    for axis, panel in zip(figure.subplots(1, 4), panels, strict=True):
        scatter(axis, *panel)
    write_figure(path, figure, dpi=80)


def points_section(name: str, model: PointFlow, folder: Path) -> str:
    """Draw the figures of a flow of the plane; returns the card's section."""
    x, y = (part[:4000] for part in zoo.datamodule(name).tensors("test"))
    layers(model.eval(), x, y, folder / "layers.png")
    directions(model, x, y, folder / "directions.png")
    return f"""## Through the layers

Test points, coloured by moon, on their way to a Gaussian. `python scripts/figures/flows.py {name}`

![layers](layers.png)

Both directions: test points, their codes; noise, and what the inverse makes of it.

![directions](directions.png)
"""


def images_section(name: str, model: ImageFlow, folder: Path) -> str:
    """Draw the figures of a flow of images; returns the card's section."""
    from zoo.core.samples import sample_split

    x = sample_split(str(model.data["name"]))[0][:8].float() / 255  # type: ignore[index]
    paths = [model.interpolate(x[2 * i], x[2 * i + 1], steps=10) for i in range(4)]
    save_grid(torch.cat(paths), folder / "interpolation.png", columns=10)
    rows = [model.sample(12, seed=0, temperature=t) for t in TEMPERATURES]
    save_grid(torch.cat(rows), folder / "temperature.png", columns=12)
    listed = ", ".join(f"{t:g}" for t in TEMPERATURES)
    return f"""## Paths and temperatures

Between pairs of test images, evenly among their codes. `python scripts/figures/flows.py {name}`

![interpolation](interpolation.png)

The same codes scaled by {listed}, a row each.

![temperature](temperature.png)
"""


@one_sentence
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    options = parser.parse_args()
    folder, model = locate(options.name), zoo.load(options.name)
    if isinstance(model, PointFlow):
        text = points_section(options.name, model, folder)
    elif isinstance(model, ImageFlow):
        text = images_section(options.name, model, folder)
    else:
        raise InputError(f"{options.name} is no flow")
    write_section(folder, text, measured_on=[options.name])
    return 0


if __name__ == "__main__":
    sys.exit(main())
