"""Draw images and save them as a PNG grid."""

import argparse
import inspect
from pathlib import Path
from typing import Any

import zoo
from zoo.core.files import write_figure
from zoo.errors import InputError, Interrupted

LIGHT = True


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("name")
    command.add_argument("-n", type=int, default=64, help="number of images")
    command.add_argument("-o", "--output", type=Path, default=Path("samples.png"))
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--sampler", help="diffusion models: ancestral, ddim, dpm-solver++, heun")
    command.add_argument("--steps", type=int, help="diffusion models: network calls")
    command.add_argument(
        "--labels", type=int, nargs="+", help="conditional models: a class for all images, or one for each"
    )
    command.add_argument(
        "--guidance", type=float, help="conditional diffusion models: how strongly the condition pulls"
    )
    command.add_argument("--prompt", help="text-conditional models: what to draw")
    command.add_argument("--control", type=Path, help="edge-controlled models: an image file whose edges to follow")


def run(options: argparse.Namespace) -> None:
    from zoo.core.files import check_output
    from zoo.core.protocols import Samples, SamplesPoints, meets

    check_output(options.output, (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"))
    model: Any = zoo.load(options.name)
    if meets(model, SamplesPoints):
        print(scatter(model.sample_points(max(options.n, 1000), seed=options.seed), options.output))
        return
    if not meets(model, Samples):
        raise InputError(f"{options.name} is made for {model.task}: it doesn't draw samples")
    keys = ("sampler", "steps", "guidance", "prompt")
    chosen = {key: getattr(options, key) for key in keys if getattr(options, key) is not None}
    if options.labels:
        import torch

        labels = options.labels * (options.n if len(options.labels) == 1 and options.n > 0 else 1)
        chosen["labels"] = torch.tensor(labels)
    if options.control:
        chosen["control"] = options.control
    taken = inspect.signature(model.sample).parameters
    if refused := [f"--{key}" for key in chosen if key not in taken]:
        raise InputError(f"{options.name} takes no {' or '.join(refused)}")
    if options.control:
        from zoo.blocks.edges import edge_map
        from zoo.core.images import Transform

        grey = Transform(model.image_shape[1:], "L", [0.0], [1.0])  # [1, H, W] in [0, 1]
        chosen["control"] = edge_map(grey(options.control)[None])
    try:
        images = model.sample(options.n, seed=options.seed, **chosen)
    except Interrupted as stopped:
        path = zoo.save_grid(stopped.done, options.output)
        raise KeyboardInterrupt(f"the first {len(stopped.done)} of {options.n} images are in {path}") from None
    print(zoo.save_grid(images, options.output))


def scatter(points: Any, path: Path) -> Path:
    """Points [n, 2] as dots, or points [n, 1] as a histogram, in a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 4), layout="constrained")
    axis = figure.subplots()
    columns = points.cpu().numpy().T
    if len(columns) == 1:
        axis.hist(columns[0], bins=60, density=True)
        axis.set(xlabel="x", ylabel="density")
    else:
        axis.plot(columns[0], columns[1], ".", markersize=2)
        axis.set(xlabel="x₁", ylabel="x₂", aspect="equal")
    write_figure(path, figure, dpi=120)
    return path
