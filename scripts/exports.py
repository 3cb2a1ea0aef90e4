"""Try what of the zoo can be taken to other tools, and write the table of docs/other-tools.md.

    python scripts/exports.py                    # the smallest checkpoint of every architecture, some ten minutes on one core
    python scripts/exports.py lenet5 gpt         # some architectures; the others keep their rows
    python scripts/exports.py --missing          # those without a row, or whose weights have changed

A cell is the largest deviation from the model's own outputs, over several sizes of a batch and relative to the outputs' scale, or
a word for why there is none; the whole sentence is what `zoo export` says.
"""

import argparse
import json
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch

import zoo
from zoo.core.allocator import keep_freed_memory
from zoo.core.classifier import ImageClassifier
from zoo.core.files import write_json, write_text
from zoo.core.module import ZooModule
from zoo.errors import ZooError
from zoo.paths import ROOT
from zoo.registry import ARCHITECTURES, family
from zoo.store.export import SUFFIXES, export

START, END = "<!-- measured -->", "<!-- end -->"
NEAR = 0.05  # of the difference: where 100 steps miss by more, 400 are taken
SHORT = {  # a word of `zoo export`'s sentences, and what stands in the table
    "graphs have no batch axis": "graphs",
    "forward takes more than tensors": "no tensors",
    "for batches of": "one batch size",
    "can't be exported to ONNX": "no ONNX",
    "can't be exported": "not traceable",
    "gives other outputs": "differs",
}


def smallest() -> dict[str, str]:
    """The smallest checkpoint of every architecture that has one."""
    found: dict[str, Any] = {}
    for model in zoo.models():
        if model.architecture not in found or model.size < found[model.architecture].size:
            found[model.architecture] = model
    return {architecture: found[architecture].name for architecture in ARCHITECTURES if architecture in found}


def row(name: str) -> dict[str, Any]:
    """What became of one model in every format, and whether captum's attributions of it add up."""
    model = zoo.load(name)
    found: dict[str, Any] = {"model": name, "sha256": zoo.info(name).sha256, "said": {}}
    for to, suffix in SUFFIXES.items():
        with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                _, found[to] = export(model, to, Path(place) / f"model{suffix}")
            except ZooError as error:
                said = str(error)
                found[to] = next(short for word, short in SHORT.items() if word in said)
                found["said"][to] = said
    return found | attributions(model)


def attributions(model: ZooModule) -> dict[str, float]:
    """How far integrated gradients and DeepLIFT are from adding up to the difference of logits, relative to it."""
    if not isinstance(model, ImageClassifier) or not isinstance(getattr(model, "head", None), torch.nn.Linear):
        return {}
    from captum.attr import DeepLift, IntegratedGradients

    x = model.transform(model.golden_inputs()["image"])[:1]  # type: ignore[misc]
    with torch.no_grad():
        difference = float((model(x) - model(torch.zeros_like(x)))[0, 0].abs())
    found = {}
    rough, fine = {"n_steps": 100}, {"n_steps": 400, "internal_batch_size": 100}
    methods = (("ig", IntegratedGradients, rough), ("ig", IntegratedGradients, fine), ("deeplift", DeepLift, {}))
    for key, method, options in methods:
        if options is fine and found.get("ig", 0.0) < NEAR:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                _, error = method(model).attribute(x, target=0, return_convergence_delta=True, **options)
            except (AssertionError, RuntimeError):  # DeepLIFT needs every activation to be a module of its own
                continue
        found[key] = float(error.abs()) / max(difference, 1e-3)
    return found


def cell(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else "0" if value == 0 else f"{value:.1g}"


def markdown(table: dict[str, dict[str, Any]]) -> str:
    """The table by family, in Markdown."""
    lines = [
        "| family | architecture | model | ONNX | program | safetensors | IG | DeepLIFT |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for home, key in sorted((family(key), key) for key in table if key in ARCHITECTURES):
        found = table[key]
        cells = [cell(found.get(to)) for to in ("onnx", "pt2", "safetensors", "ig", "deeplift")]
        lines.append(f"| {home} | {key} | {found['model']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    models = smallest()
    parser.add_argument("architectures", nargs="*", default=list(models), help="some architectures")
    parser.add_argument("--missing", action="store_true", help="only those without a row for the present weights")
    parser.add_argument("--into", type=Path, default=ROOT / "docs", help="folder of other-tools.md (default: docs)")
    options = parser.parse_args(argv)
    kept, page = options.into / "other-tools.json", options.into / "other-tools.md"
    table = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
    if unknown := [name for name in options.architectures if name not in models]:
        print(f"error: no checkpoint has the architecture {unknown[0]!r}", file=sys.stderr)
        return 2
    for name in options.architectures:
        if options.missing and table.get(name, {}).get("sha256") == zoo.info(models[name]).sha256:
            continue
        table[name] = row(models[name])
        print(name, {k: v for k, v in table[name].items() if k not in ("said", "sha256")}, flush=True)
        write_json(kept, dict(sorted(table.items())), indent=1)
        if page.is_file():
            before, _, rest = page.read_text(encoding="utf-8").partition(START)
            write_text(page, f"{before}{START}\n{markdown(table)}{END}{rest.partition(END)[2]}")
    return 0


if __name__ == "__main__":
    keep_freed_memory()
    sys.exit(main())
