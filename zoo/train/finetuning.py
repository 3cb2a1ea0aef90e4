"""Fine-tuning: the network of a checkpoint learns other images, in Python or by scripts/finetune.py.

What is learnt is measured on held-out images from exactly the file that is written, and the folder is one like any other:
`zoo.load` reads it, `zoo.verify` checks it, scripts/publish.py publishes it.
"""

import argparse
import hashlib
import inspect
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import lightning as L
import torch
import yaml
from lightning.pytorch.callbacks import BaseFinetuning, TQDMProgressBar
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor
from torch.optim import Optimizer

from zoo import registry
from zoo.api import load
from zoo.core.allocator import keep_freed_memory
from zoo.core.checks import check_count
from zoo.core.classifier import ImageClassifier
from zoo.core.module import ZooModule
from zoo.errors import InputError, MissingExtraError, ZooError
from zoo.store import atomic, cards
from zoo.store import folder as checkpoint
from zoo.train.callbacks import History
from zoo.train.experiment import provenance
from zoo.train.schedule import WarmupDecay

Mode = Literal["full", "head", "gradual"]


class GradualUnfreezing(BaseFinetuning):
    """The head learns first; then a further part is unfrozen every few epochs, from the top (Howard and Ruder, 2018).

    An optimiser that knows all parameters keeps its groups. Parts that it doesn't know get a group of their own, which a
    learning-rate schedule can't follow: with a schedule, make the optimiser from `model.param_groups` before `fit`.

    Args:
        every: epochs between two parts.
        layer_decay: how much slower a new group learns than the part above it.
    """

    def __init__(self, every: int = 1, layer_decay: float = 1.0) -> None:
        super().__init__()
        self.every, self.layer_decay = check_count(every, "every"), layer_decay

    def freeze_before_training(self, pl_module: L.LightningModule) -> None:
        zoo_module(pl_module).freeze("backbone")

    def finetune_function(self, pl_module: L.LightningModule, epoch: int, optimizer: Optimizer) -> None:
        model = zoo_module(pl_module)
        top_down = [part for part in reversed(model.parts) if part not in ("head", "backbone")]
        for number, part in enumerate(top_down[: epoch // self.every], start=1):
            if part in model._frozen:
                model.unfreeze(part)
            known = {id(p) for group in optimizer.param_groups for p in group["params"]}
            if new := [p for p in model.get_submodule(part).parameters() if p.requires_grad and id(p) not in known]:
                lr = optimizer.param_groups[0]["lr"] * self.layer_decay**number
                optimizer.add_param_group({"params": new, "lr": lr})


def zoo_module(module: L.LightningModule) -> ZooModule:
    if not isinstance(module, ZooModule) or "backbone" not in module.parts:
        raise InputError(f"{type(module).__name__} has no head on a backbone: there is nothing to unfreeze by and by")
    return module


def adapt(model: ImageClassifier, data: L.LightningDataModule) -> ImageClassifier:
    """Give a model the input channels and classes of a data module, with a fresh head where the classes are others.

    Raises:
        InputError: for images of another size than the network's.
    """
    wanted, transform = data.preprocess, model.transform  # type: ignore[attr-defined]  # all image data modules have it
    if transform is not None and list(wanted["size"]) != list(transform.size):
        raise InputError(
            f"{model.name} takes images of {list(transform.size)} pixels, the data has {list(wanted['size'])}: "
            "put them into an image-folder, which resizes"
        )
    model.reset_input(len(wanted["mean"]))
    classes = list(data.classes)  # type: ignore[attr-defined]
    if model.head.out_features != len(classes):
        model.reset_head(len(classes))
    elif model.classes != classes:
        model.head.reset_parameters()  # as many classes, but others
    return model


def fit(
    model: ImageClassifier,
    data: L.LightningDataModule,
    *,
    mode: Mode = "full",
    epochs: int = 10,
    lr: float = 1e-3,
    layer_decay: float = 0.7,
    trainer: dict[str, Any] | None = None,
    callbacks: list[L.Callback] | None = None,
) -> L.Trainer:
    """Train an adapted model with AdamW, layers nearer to the image more slowly, by a warm-up and a cosine.

    Args:
        mode: "full" trains everything, "head" the head alone, "gradual" a further part every few epochs from the top.
        lr: of the head.
        layer_decay: see `ImageClassifier.param_groups`.
        trainer: arguments of `lightning.Trainer`.
    """
    every = max(1, epochs // (len(model.parts) - 1))  # the lowest part has its epochs too
    extra: list[L.Callback] = [GradualUnfreezing(every)] if mode == "gradual" else []
    if mode == "head":
        model.freeze("backbone")
    shown = (trainer or {}).get("enable_progress_bar", True)
    bars = [TQDMProgressBar(refresh_rate=5)] if shown else []
    groups = model.param_groups(lr, layer_decay=layer_decay)  # before anything is frozen for a while only

    def configure_optimizers() -> Any:
        optimizer = torch.optim.AdamW(groups, lr=lr, weight_decay=0.01)
        schedule = WarmupDecay(optimizer, warmup=0.1)
        schedule.stretch(int(runner.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    model.configure_optimizers = configure_optimizers  # type: ignore[method-assign]  # as LightningCLI does it
    arguments: dict[str, Any] = {
        "max_epochs": check_count(epochs, "epochs"),
        "precision": "bf16-mixed" if torch.cuda.is_available() else "32-true",
        "logger": False,
        "enable_checkpointing": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "log_every_n_steps": 1,
        "use_distributed_sampler": False,
        "callbacks": [*bars, *extra, *(callbacks or [])],
        **(trainer or {}),
    }
    try:
        runner = L.Trainer(**arguments)
    except (TypeError, ValueError, MisconfigurationException) as error:
        raise InputError(f"lightning.Trainer can't be made with {trainer}: {error}") from None
    runner.fit(model, datamodule=data)
    return runner


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
    figure.savefig(path)
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


# The command line --------------------------------------------------------------------------------------------------------


def main(argv: list[str]) -> int:
    """The command line of scripts/finetune.py; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="finetune.py",
        allow_abbrev=False,
        epilog="--data.KEY VALUE goes to the data module (--data.root, --data.augment, --data.test_share, …), "
        "--trainer.KEY VALUE to lightning.Trainer (--trainer.accelerator, …).",
    )
    parser.add_argument("name", help="a checkpoint: a name, a folder, or hf://owner/name")
    parser.add_argument("--data", default="image-folder", help="a data module (default: image-folder)")
    parser.add_argument("--into", type=Path, help="folder of the result (default: runs/NAME-DATA)")
    parser.add_argument(
        "--mode", choices=("full", "head", "gradual"), default="full", help="what learns (default: full)"
    )
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--lr", type=float, default=1e-3, help="learning rate of the head")
    parser.add_argument("--layer-decay", type=float, default=0.7, help="how much slower each layer below learns")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fresh", action="store_true", help="replace an earlier result in the same folder")
    options, rest = parser.parse_known_args(argv)
    keep_freed_memory()
    try:
        run(options, rest)
    except ZooError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def run(options: argparse.Namespace, rest: list[str]) -> Path:
    """Fine-tune, write the folder, measure what was written; returns the folder."""
    plotting()  # what is missing is said before the training, not after
    settings = overrides(rest)
    model = load(options.name)
    if not isinstance(model, ImageClassifier):
        raise InputError(f"{options.name} is made for {model.task}: only image classifiers are fine-tuned here")
    base = model.name or str(options.name)
    into = options.into or Path("runs") / f"{base}-{Path(str(settings['data'].get('root', options.data))).name}"
    if (into / "config.json").exists() and not options.fresh:
        raise InputError(f"{into} holds a result already: choose another folder by --into, or add --fresh")
    L.seed_everything(options.seed, verbose=False)
    data = make_data(options.data, settings["data"], model)
    adapt(model, data)
    data.prepare_data()
    data.setup("fit")
    data.setup("test")
    sizes = {split: len(data.tensors(split)[0]) for split in ("train", "val", "test")}  # type: ignore[attr-defined]
    if not sizes["test"]:
        raise InputError("no image is held out for the test: give a test folder, or --data.test_share above 0")
    print(f"{len(model_classes(data))} classes; images: " + ", ".join(f"{n} {split}" for split, n in sizes.items()))
    history = History(into.with_name(f".{into.name}.history.csv"))
    into.parent.mkdir(parents=True, exist_ok=True)
    knobs = {"mode": options.mode, "epochs": options.epochs, "lr": options.lr, "layer_decay": options.layer_decay}
    runner = fit(model, data, trainer=settings["trainer"], callbacks=[history], **knobs)
    init = checkpoint.init_arguments(data)
    init.pop("root", None)  # what may be published names no path of ours
    command = command_of(base, options.data, knobs | {"seed": options.seed}, settings)
    paired = {"name": options.data, "init": init}
    with atomic.replacing(into) as staged:
        for file in staged.iterdir():
            file.unlink()  # nothing of an earlier result may stay
        written = staged / into.name  # `write` replaces a folder of its own
        checkpoint.write(model.cpu(), written, name=into.name, data=paired, base_model=base)
        for file in written.iterdir():
            file.replace(staged / file.name)
        written.rmdir()
        if history.path.exists():
            history.path.replace(staged / "history.csv")
        recipe = recipe_of(model, paired, base, command, knobs | {"seed": options.seed}, sizes)
        (staged / "recipe.yaml").write_text(recipe, encoding="utf-8")
        facts = provenance(SimpleNamespace(trainer=runner), history.elapsed(), options.seed, []) | {"command": command}
        (staged / "provenance.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        entries = measure(staged, data)
        cards.write_card(staged)
    for entry in entries:
        print(f"{entry['metric']} on {sizes['test']} held-out images: {entry['value']:.4g}")
    print(f'{into}: zoo.load("{into}") reads it, confusion.png shows what is taken for what')
    return into


def command_of(base: str, data: str, knobs: dict[str, Any], settings: dict[str, dict[str, Any]]) -> str:
    """The command line of the same run on any machine: the images are in FOLDER, the result goes to the default place."""
    words = ["python", "scripts/finetune.py", base, "--data", data]
    for key, value in knobs.items():
        words += [f"--{key.replace('_', '-')}", str(value)]
    for group, values in settings.items():
        for key, value in values.items():
            text = value if isinstance(value, str) else json.dumps(value)
            words += [f"--{group}.{key}", "FOLDER" if key == "root" else text]
    return shlex.join(words)


def measure(folder: Path, data: L.LightningDataModule) -> list[dict[str, Any]]:
    """Metrics and confusion matrix of exactly the file that was written, as files of its folder."""
    model = checkpoint.read(folder)
    assert isinstance(model, ImageClassifier)
    entries = model.evaluate(data)
    sha256 = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    for entry in entries:
        entry["sha256"] = sha256
    (folder / "metrics.json").write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")
    draw_confusion(confusion(model.cpu(), data), model_classes(data), folder / "confusion.png")
    text = "## Confusion\n\nHeld-out images by true and predicted class:\n\n![confusion matrix](confusion.png)\n"
    (folder / "extra.md").write_text(text, encoding="utf-8")
    return entries


def model_classes(data: L.LightningDataModule) -> list[str]:
    return list(data.classes)  # type: ignore[attr-defined]  # all image data modules have it


def make_data(name: str, settings: dict[str, Any], model: ImageClassifier) -> L.LightningDataModule:
    """A data module by name; images of folders are resized and mirrored or moved to suit the model, unless settings say."""
    cls = registry.datamodule_class(name)
    known = inspect.signature(cls).parameters
    if name == "image-folder":
        if "root" not in settings:
            raise InputError("image-folder needs --data.root FOLDER, with a sub-folder of images for each class")
        if model.transform is None:
            raise InputError(f"{model.name} has no transform: it can't say how images have to be prepared")
        shift = max(1, min(model.transform.size) // 16)
        augment = {"translate": shift} | ({"flip": "random"} if model.transform.mode == "RGB" else {})  # letters aren't
        settings = {"transform": model.transform, "augment": augment} | settings
    if unknown := [key for key in settings if key not in known]:
        raise InputError(f"{name} has no setting {', '.join(unknown)}; it knows {', '.join(known)}")
    try:
        return cls(**settings)
    except ZooError:
        raise
    except (TypeError, ValueError) as error:  # whatever a value of another type provokes in a constructor
        raise InputError(f"{name} can't be made with {settings}: {error}") from None


def overrides(rest: list[str]) -> dict[str, dict[str, Any]]:
    """{"data": …, "trainer": …} out of --data.KEY VALUE and --trainer.KEY=VALUE; values are YAML, as in a recipe.

    Raises:
        InputError: for anything else.
    """
    found: dict[str, dict[str, Any]] = {"data": {}, "trainer": {}}
    words = iter(rest)
    for word in words:
        option, joined, value = word.partition("=")
        group, _, key = option.removeprefix("--").partition(".")
        if not option.startswith("--") or group not in found or not key:
            raise InputError(f"there is no option {word!r}: see --help")
        if not joined:
            value = next(words, "")
            if not value or value.startswith("--"):
                raise InputError(f"{option} needs a value")
        try:
            found[group][key] = value if key == "root" else yaml.safe_load(value)  # a folder named 2024 stays a name
        except yaml.YAMLError:
            raise InputError(f"{option} can't be {value!r}: that is no valid YAML") from None
    check: Callable[..., Any] = L.Trainer.__init__
    if unknown := [key for key in found["trainer"] if key not in inspect.signature(check).parameters]:
        raise InputError(f"lightning.Trainer has no setting {', '.join(unknown)}")
    return found


def recipe_of(
    model: ImageClassifier,
    data: dict[str, Any],
    base: str,
    command: str,
    knobs: dict[str, Any],
    sizes: dict[str, int],
) -> str:
    """The recipe.yaml of a fine-tuned model: what it was made from and how, and the words of its card."""
    cls, source = type(model), registry.DATAMODULES[data["name"]].replace(":", ".")
    recipe = {
        "seed_everything": knobs["seed"],
        "model": {"class_path": f"{cls.__module__}.{cls.__name__}", "init_args": checkpoint.init_arguments(model)},
        "data": {"class_path": source, "init_args": data["init"]},
        "trainer": {"max_epochs": knobs["epochs"]},
        "finetune": {"base_model": base, **knobs},
        "export": {"averaged": False},
        "card": {
            "summary": f"{base}, fine-tuned ({knobs['mode']}) on {sizes['train']} images of {len(model.classes or [])} classes: "
            + ", ".join(model.classes or [])
            + ".",
            "paper": "https://arxiv.org/abs/1801.06146",
            "limits": f"It knows these classes only, and was measured on {sizes['test']} held-out images.",
        },
    }
    return f"# {command}\n" + yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, width=120)
