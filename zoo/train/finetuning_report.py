"""What a fine-tuning leaves beside its weights: measurements, comparison, pictures, the recipe and the command."""

import csv
import json
import math
import shlex
from pathlib import Path
from typing import Any

import lightning as L
import torch
import yaml
from torch import Tensor

from zoo import registry
from zoo.core.classifier import ImageClassifier
from zoo.core.drawing import verbatim
from zoo.core.files import shown as as_text
from zoo.core.files import write_figure
from zoo.core.module import ZooModule, init_arguments
from zoo.errors import MissingExtraError
from zoo.store import folder as checkpoint
from zoo.store.files import write_metrics


def measure(
    folder: Path, data: L.LightningDataModule, others: dict[str, list[dict[str, Any]]], curves: list[Path]
) -> list[dict[str, Any]]:
    """Metrics, comparison and, for images, confusions of exactly the file that was written, as files of its folder."""
    model = checkpoint.read(folder)
    entries = model.measure(data)
    write_metrics(folder, entries)
    values = {what: {e["metric"]: e["value"] for e in found} for what, found in ({"after": entries} | others).items()}
    (folder / "finetuning.json").write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    draw_comparison(entries, others, curves, folder / "finetuning.png")
    text = "## What was gained\n\nOn the held-out part; *before* has fresh tensors where classes or words are new, *scratch* is "
    text += "the same architecture with fresh weights, trained alike.\n\n"
    text += "| metric | before | fine-tuned | scratch |\n|---|---|---|---|\n"
    for entry in entries:
        cells = [values.get(what, {}).get(entry["metric"]) for what in ("before", "after", "scratch")]
        text += f"| {entry['metric']} | " + " | ".join("" if v is None else f"{v:.4g}" for v in cells) + " |\n"
    text += "\n![before, after and from scratch](finetuning.png)\n"
    if isinstance(model, ImageClassifier) and isinstance(model.head, torch.nn.Linear):
        draw_confusion(confusion(model.cpu(), data), model_classes(data), folder / "confusion.png")
        text += "\n## Confusion\n\nHeld-out images by true and predicted class:\n\n![confusion matrix](confusion.png)\n"
    (folder / "extra.md").write_text(text, encoding="utf-8")
    return entries


def model_classes(data: Any) -> list[str]:
    return list(data.classes)


@torch.inference_mode()
def confusion(model: ImageClassifier, data: L.LightningDataModule) -> Tensor:
    """Images of the test split by true class (rows) and predicted class (columns), int64 [classes, classes]."""
    classes = model.head.out_features
    counts = torch.zeros(classes, classes, dtype=torch.int64)
    for x, y in data.test_dataloader():
        given = model.eval()(x.to(model.device)).argmax(1).cpu()
        counts += torch.bincount(y.cpu() * classes + given, minlength=classes**2).reshape(classes, classes)
    return counts


def draw_confusion(counts: Tensor, classes: list[str], path: Path) -> None:
    """A confusion matrix as a PNG: shares of each row as colour, counts as numbers."""
    plot = plotting()
    classes = [verbatim(name) for name in classes]
    side = 2.5 + 0.5 * len(classes)
    figure, axes = plot.subplots(figsize=(side, side), dpi=100, layout="constrained")
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    axes.imshow(shares.numpy(), cmap="Blues", vmin=0, vmax=1)
    for row, column in ((i, j) for i in range(len(classes)) for j in range(len(classes))):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, int(counts[row, column]), ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(len(classes)), classes, rotation=90)
    axes.set_yticks(range(len(classes)), classes)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    write_figure(path, figure)
    plot.close(figure)


def plotting() -> Any:
    """matplotlib's pyplot without a screen.

    Raises:
        MissingExtraError: if it isn't installed.
    """
    try:
        import matplotlib
    except ImportError:
        raise MissingExtraError("a confusion matrix", "matplotlib", "demo") from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def draw_comparison(
    entries: list[dict[str, Any]], others: dict[str, list[dict[str, Any]]], curves: list[Path], path: Path
) -> None:
    """Bars of the first metric before, after and from scratch, and its curve over the epochs of both trainings, as a PNG."""
    from matplotlib.figure import Figure

    metric = entries[0]["metric"]
    values = {what: {e["metric"]: e["value"] for e in found}.get(metric) for what, found in others.items()}
    bars = {"before": values.get("before"), "fine-tuned": entries[0]["value"], "from scratch": values.get("scratch")}
    figure = Figure(figsize=(7.5, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    shown = {key: value for key, value in bars.items() if value is not None and math.isfinite(value)}
    left.bar(list(shown), list(shown.values()), color=["0.7", "C0", "C1"][: len(shown)])
    left.set(title="held-out part", ylabel=f"{metric} ({entries[0]['better']} is better)")
    for name, file in zip(("fine-tuned", "from scratch"), curves, strict=True):
        if not file.exists():
            continue
        with file.open(newline="", encoding="utf-8") as rows:
            points = [
                (int(row["epoch"]), float(row[key]))
                for row in csv.DictReader(rows)
                for key in [
                    f"val/{metric}" if f"val/{metric}" in row else next((k for k in row if k.startswith("val/")), "")
                ]
                if key and row[key]
            ]
        if points:
            right.plot(*zip(*points, strict=True), marker=".", label=name)
            right.legend()
    right.set(title="validation part", xlabel="epoch")
    write_figure(path, figure, dpi=90)


def command_of(
    base: str,
    data: str,
    knobs: dict[str, Any],
    settings: dict[str, dict[str, Any]],
    extra: dict[str, Any] | None = None,
) -> str:
    """The command line of the same run on any machine: the data is in FOLDER, the result goes to the default place."""
    words = ["python", "scripts/finetune.py", base, "--data", data]
    for key, value in knobs.items():
        words += [f"--{key.replace('_', '-')}", str(value)]
    further = extra or {}
    if further.get("freeze"):
        words += ["--freeze", *further["freeze"]]
    if further.get("patience", 5) != 5:
        words += ["--patience", str(further["patience"])]
    if not further.get("scratch", True):
        words.append("--no-scratch")
    if further.get("lora"):
        words += ["--lora", str(further["lora"])]
    for group, values in settings.items():
        for key, value in values.items():
            text = value if isinstance(value, str) else json.dumps(value)
            words += [f"--{group}.{key}", "FOLDER" if key == "root" else text]
    return shlex.join(words)


def recipe_text(
    model: ZooModule,
    data: dict[str, Any],
    base: str,
    command: str,
    knobs: dict[str, Any],
    sizes: dict[str, int],
    what: str,
) -> str:
    """The recipe.yaml of a fine-tuned model: what it was made from and how, and the words of its card."""
    cls, source = type(model), registry.DATAMODULES[data["name"]].replace(":", ".")
    classes = list(model.classes or []) if "classification" in model.task else []
    of = f" of {len(classes)} classes: {', '.join(as_text(name) for name in classes)}" if classes else ""
    limits = f"It was measured on {sizes.get('test', sizes.get('val', 0))} held-out {what}."
    recipe = {
        "seed_everything": knobs["seed"],
        "model": {"class_path": f"{cls.__module__}.{cls.__name__}", "init_args": init_arguments(model)},
        "data": {"class_path": source, "init_args": data["init"]},
        "trainer": {"max_epochs": knobs["epochs"]},
        "finetune": {"base_model": base, **knobs},
        "export": {"averaged": False},
        "card": {
            "summary": f"{base}, fine-tuned ({knobs['mode']}) on {sizes['train']} {what}{of}.",
            "paper": "https://arxiv.org/abs/1801.06146",
            "limits": f"It knows these classes only. {limits}" if classes else limits,
        },
    }
    return f"# {command}\n" + yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, width=120)
