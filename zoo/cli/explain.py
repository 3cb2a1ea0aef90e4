"""Why a model gives the answer that it gives of one input: a picture of what counts for and against a class.

zoo explain resnet20-cifar10 photo.png --method grad-cam -o map.png
zoo explain lstm-sst2 "a quiet, moving film" -o words.html
zoo explain mlp-regression-concrete 540,0,0,162,2.5,1040,676,28 --method shapley -o bars.png
"""

import argparse
from pathlib import Path
from typing import Any

import zoo
from zoo.errors import InputError


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("name")
    command.add_argument("input", help="an image file, a text, a row of numbers with commas, DNA, or a SMILES string")
    command.add_argument("--method", default="integrated-gradients", help="default: integrated-gradients")
    command.add_argument("--target", help="the class to explain; by default the model's answer")
    command.add_argument(
        "--baseline", default="black", help="black, white, mean, blur, uniform, gaussian, max-distance, data"
    )
    command.add_argument("--layer", help="CAM methods: a layer such as stage2")
    command.add_argument("--segments", help='their number, or "slic"')
    command.add_argument("--samples", type=int, help="steps or draws of the method")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("-o", "--output", type=Path, default=Path("map.png"), help="a picture, or .html")
    command.add_argument("--map-only", action="store_true", help="leave the image out")


def run(options: argparse.Namespace) -> None:
    from zoo.explain.api import explain
    from zoo.explain.catalogue import method_named
    from zoo.explain.explanation import PICTURES, check_output

    method_named(options.method)  # before the work
    check_output(options.output, (*PICTURES, ".html"))
    model: Any = zoo.load(options.name)
    found = explain(
        model,
        read_input(model, options.input),
        options.method,
        target=as_number(options.target),
        baseline=options.baseline,
        layer=options.layer,
        segments=as_number(options.segments),
        samples=options.samples,
        seed=options.seed,
    )
    print(found)
    for name, value in found.top(5):
        print(f"  {name!s:20} {value:+.4g}")
    print(found.save(options.output, overlay=not options.map_only))


def read_input(model: Any, text: str) -> Any:
    """A row of numbers for models of rows; everything else as it stands."""
    if not model.task.startswith("tabular"):
        return text
    try:
        return [float(part) for part in text.replace(" ", ",").split(",") if part]
    except ValueError:
        raise InputError(f"a row is numbers with commas between them, such as 5.1,1.4, not {text!r}") from None


def as_number(text: str | None) -> int | str | None:
    return int(text) if text is not None and text.lstrip("-").isdigit() else text
