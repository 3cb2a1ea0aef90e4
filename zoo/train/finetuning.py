"""Fine-tuning: the network of a checkpoint learns a person's own data, by `zoo.finetune` or `zoo finetune`.

The model says what it can learn from and how it is measured (`zoo.core.own_data`); nothing here knows a family. What is learnt is
measured on held-out data from exactly the file that is written, beside the model as it came and beside the same architecture
trained from scratch on the same data. The folder is one like any other: `zoo.load` reads it, `zoo.verify` checks it,
`zoo publish` publishes it. A run that was cut goes on by the same command.
"""

import argparse
import contextlib
import csv
import hashlib
import inspect
import json
import math
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
import yaml
from lightning.pytorch.callbacks import BaseFinetuning
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor
from torch.optim import Optimizer

from zoo import registry
from zoo.api import load
from zoo.blocks.lora import add_lora, merge_lora
from zoo.core.allocator import keep_freed_memory
from zoo.core.checks import check_count
from zoo.core.classifier import ImageClassifier
from zoo.core.files import plain_name
from zoo.core.module import ZooModule, init_arguments
from zoo.errors import InputError, MissingExtraError, ZooError
from zoo.store import atomic, cards
from zoo.store import folder as checkpoint
from zoo.train.callbacks import History, KeepBest, Resume, training_bar
from zoo.train.experiment import provenance
from zoo.train.schedule import WarmupDecay

Mode = Literal["full", "head", "gradual"]
MODES = ("full", "head", "gradual")
PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class FineTuned:
    """What `finetune` made.

    Attributes:
        folder: the checkpoint folder; `zoo.load(folder)` reads it.
        before, after, scratch: {metric: value} on the held-out part: of the model as it came (with fresh tensors where classes or
            words are new), of the fine-tuned one, and of the same architecture trained alike from fresh weights (None if it was
            left out).
        better: {metric: "higher" or "lower"}.
    """

    folder: Path
    before: dict[str, float]
    after: dict[str, float]
    scratch: dict[str, float] | None
    better: dict[str, str]

    @property
    def model(self) -> ZooModule:
        """The fine-tuned model, read from its folder."""
        return load(self.folder)


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
        self.kept: frozenset[str] = frozenset()  # parts that were frozen before: they stay so

    def freeze_before_training(self, pl_module: L.LightningModule) -> None:
        model = zoo_module(pl_module)
        self.kept = frozenset(model._frozen)
        model.freeze("backbone")

    def finetune_function(self, pl_module: L.LightningModule, epoch: int, optimizer: Optimizer) -> None:
        model = zoo_module(pl_module)
        top_down = [part for part in reversed(model.parts) if part not in ("head", "backbone", *self.kept)]
        for number, part in enumerate(top_down[: epoch // self.every], start=1):
            if part in model._frozen:
                model.unfreeze(part)
            known = {id(p) for group in optimizer.param_groups for p in group["params"]}
            if new := [p for p in model.get_submodule(part).parameters() if p.requires_grad and id(p) not in known]:
                lr = optimizer.param_groups[0]["lr"] * self.layer_decay**number
                optimizer.add_param_group({"params": new, "lr": lr})


class KeepBestHeldOut(KeepBest):
    """KeepBest by what the model measures in validation: accuracy first where there is one, else its first value."""

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        values = [key for key in trainer.callback_metrics if key.startswith("val/")]
        if self.monitor == () and values:
            better: frozenset[str] = getattr(pl_module, "larger_is_better", frozenset())
            values.sort(key=lambda key: (key != "val/accuracy", "loss" not in key))
            self.monitor = tuple(("+" if key[4:] in better else "-") + key for key in values[:2])
        if self.monitor:
            super().on_validation_end(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"monitor": list(self.monitor)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.monitor = tuple(state["monitor"])


def zoo_module(module: L.LightningModule) -> ZooModule:
    if not isinstance(module, ZooModule) or "backbone" not in module.parts:
        raise InputError(f"{type(module).__name__} has no head on a backbone: there is nothing to unfreeze by and by")
    return module


def adapt(model: ZooModule, data: L.LightningDataModule) -> ZooModule:
    """Give a model the inputs and classes of a data module, with fresh tensors where they are others; returns it.

    Raises:
        InputError: for data that the model can't take.
    """
    model.adapt_to(data)
    return model


def fit(
    model: ZooModule,
    data: L.LightningDataModule,
    *,
    mode: Mode = "full",
    epochs: int = 10,
    lr: float | None = None,
    layer_decay: float = 0.7,
    trainer: dict[str, Any] | None = None,
    callbacks: list[L.Callback] | None = None,
    state: Path | None = None,
) -> L.Trainer:
    """Train an adapted model with AdamW, layers nearer to the input more slowly, by a warm-up and a cosine.

    Models with several optimisers of their own, such as GANs, keep those.

    Args:
        mode: "full" trains everything, "head" the head alone, "gradual" a further part every few epochs from the top.
        lr: of the head; the model's own suggestion by default.
        layer_decay: how much slower each layer learns than the one above it.
        trainer: arguments of `lightning.Trainer`.
        state: Lightning's checkpoint of an earlier, cut run to go on from.
    """
    if mode not in MODES:
        raise InputError(f"mode is one of {', '.join(MODES)}, not {mode!r}")
    lr = model.finetune_lr if lr is None else lr
    check_count(epochs, "epochs")
    extra: list[L.Callback] = []
    if mode == "gradual":
        zoo_module(model)
        extra = [GradualUnfreezing(max(1, epochs // (len(model.parts) - 1)))]  # the lowest part has its epochs too
    if mode == "head":
        zoo_module(model).freeze("backbone")
    shown = (trainer or {}).get("enable_progress_bar", True)
    bars = [training_bar(5)] if shown else []
    if model.automatic_optimization:
        if not lr > 0 or not 0 < layer_decay <= 1:
            raise InputError(f"lr must be above 0 and layer_decay in (0, 1], not {lr!r} and {layer_decay!r}")
        groups = model.train_groups(lr, layer_decay)  # before anything is frozen for a while only
        if not groups:
            raise InputError(
                f"all parts of {type(model).__name__} are frozen: unfreeze one of {', '.join(model.parts)}"
            )

        def configure_optimizers() -> Any:
            optimizer = torch.optim.AdamW(groups, lr=lr, weight_decay=0.01)
            schedule = WarmupDecay(optimizer, warmup=0.1)
            schedule.stretch(runner.estimated_stepping_batches)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

        model.configure_optimizers = configure_optimizers  # type: ignore[method-assign]  # as LightningCLI does it
    arguments: dict[str, Any] = {
        "max_epochs": epochs,
        "precision": "bf16-mixed" if torch.cuda.is_available() else "32-true",
        "logger": False,
        "enable_checkpointing": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "log_every_n_steps": 1,
        "use_distributed_sampler": False,
        **(trainer or {}),
        "callbacks": [*bars, *extra, *(callbacks or []), *(trainer or {}).get("callbacks", [])],
    }
    try:
        runner = L.Trainer(**arguments)
    except (TypeError, ValueError, MisconfigurationException) as error:
        raise InputError(f"lightning.Trainer can't be made with {trainer}: {error}") from None
    ckpt = str(state) if state and state.exists() else None
    runner.fit(model, datamodule=data, ckpt_path=ckpt, weights_only=True)
    return runner


def finetune(
    model: str | Path | ZooModule,
    data: Any = "image-folder",
    *,
    root: str | Path | None = None,
    into: str | Path | None = None,
    settings: dict[str, Any] | None = None,
    mode: Mode = "full",
    freeze: Sequence[str] = (),
    epochs: int = 10,
    lr: float | None = None,
    layer_decay: float = 0.7,
    lora: int | None = None,
    patience: int | None = 5,
    scratch: bool = True,
    seed: int = 0,
    fresh: bool = False,
    overwrite: bool = False,
    trainer: dict[str, Any] | None = None,
) -> FineTuned:
    """Fine-tune a model on your own data, measure it on a held-out part, and write it as a checkpoint folder.

    Args:
        model: a name of `zoo.list_models()`, a checkpoint folder, "hf://owner/name", or a model, which is trained in place.
        data: a kind of data, such as "image-folder", "text-file", "text-csv", "table-csv", or a data module; for graph networks
            also PyG's own: a `Data` with node labels, or a `Dataset` or list of graphs with a label each.
        root: the file or folder of that kind.
        into: folder of the result (default: runs/MODEL-ROOT).
        settings: further arguments of the data module.
        mode: "full" trains everything, "head" the head alone, "gradual" a further part every few epochs from the top.
        freeze: parts that keep their weights, see `model.parts`.
        epochs, lr, layer_decay: see `fit`.
        lora: rank of a low-rank change beside the attention layers of a GPT or BERT (see `zoo.blocks.lora`): that and what
            is fresh is all that learns. It's added to the weights at the end, so the folder holds an ordinary model.
        patience: stop after so many epochs without a better value on the validation part; None trains all epochs. The weights of
            the best epoch are kept either way.
        scratch: train the same architecture from fresh weights too, alike, to compare.
        seed: of everything random.
        fresh: replace an earlier result in the same folder.
        overwrite: write beside files of the folder that the zoo didn't write; they stay as they are.
        trainer: arguments of `lightning.Trainer`.

    Raises:
        InputError: for data that can't be read or that the model can't learn from, before anything is written.
    """
    plotting()  # what is missing is said before the training, not after
    if mode not in MODES:
        raise InputError(f"mode is one of {', '.join(MODES)}, not {mode!r}")
    check_count(epochs, "epochs")
    if patience is not None:
        check_count(patience, "patience")
    if lora is not None and (mode != "full" or freeze):
        raise InputError(f"with lora={lora} all weights are frozen already: leave mode and freeze as they are")
    if into is not None:
        atomic.check_writable(Path(into), alone=True, overwrite=overwrite)
    if not isinstance(data, str | L.LightningDataModule):
        from datamodules.own_graphs import of_pyg

        data = of_pyg(data)
    learner = model if isinstance(model, ZooModule) else load(model)
    base = learner.name or (type(learner).__name__.lower() if isinstance(model, ZooModule) else str(model))
    given = dict(settings or {}) | ({} if root is None else {"root": str(root)})
    module = made(data, given, learner, base)
    kind = data if isinstance(data, str) else registry.name_of(type(data), registry.DATAMODULES)
    place = given.get("root") or getattr(module, "root", None) or kind
    target = Path(into) if into else Path("runs") / f"{base}-{Path(str(place)).stem}"
    plain_name(target.name, "the name of a checkpoint")
    atomic.check_writable(target, alone=True, overwrite=overwrite)
    if (target / "config.json").exists() and not fresh:
        raise InputError(f"{target} holds a result already: choose another folder by --into, or add --fresh")
    L.seed_everything(seed, verbose=False)
    module.prepare_data()
    module.setup("fit")
    module.setup("test")
    sizes = sizes_of(module)
    if not sizes.get("test", sizes.get("val")):
        raise InputError(
            f"no {counted(module)[:-1]} is held out for the test: give a test folder, or --data.test_share above 0"
        )
    learner = learner.learner_for(module)
    knobs: dict[str, Any] = {
        "mode": mode,
        "epochs": epochs,
        "lr": lr or learner.finetune_lr,
        "layer_decay": layer_decay,
    }
    architecture, old_init, transform = type(learner), init_arguments(learner), learner.transform
    old = {id(p) for p in learner.parameters()}
    learner.adapt_to(module)
    if freeze:
        learner.freeze(*freeze)
    if lora is not None:
        add_lora(learner, lora, keep=[p for p in learner.parameters() if id(p) not in old])
    report(module, sizes)
    target.parent.mkdir(parents=True, exist_ok=True)
    with Work(
        target, [base, kind, {k: str(v) for k, v in given.items()}, knobs, list(freeze), patience, seed, lora]
    ) as work:
        before = work.kept("before", lambda: learner.measure(module))
        options: dict[str, Any] = {"patience": patience, "trainer": trainer}
        runner, history = work.train("tuned", learner, module, knobs, **options)
        others: dict[str, list[dict[str, Any]]] = {"before": before}
        if scratch:
            others["scratch"] = work.kept(
                "scratch_values",
                lambda: from_scratch(work, architecture, old_init, transform, module, knobs, seed, options),
            )
        init = init_arguments(module)
        init.pop("root", None)  # what may be published names no path of ours
        told = {"root": place} | {k: v for k, v in given.items() if k != "root"}
        extra = {"freeze": list(freeze), "patience": patience, "scratch": scratch, "lora": lora}
        said = {key: value for key, value in (trainer or {}).items() if key != "callbacks"}  # objects aren't words
        command = command_of(base, kind, knobs | {"seed": seed}, {"data": told, "trainer": said}, extra)
        paired = {"name": kind, "init": init}
        with atomic.replacing(target, overwrite=overwrite) as staged:
            for file in staged.iterdir():
                file.unlink()  # nothing of an earlier result may stay
            written = staged / target.name  # `write` replaces a folder of its own
            learner.cpu().data = paired
            checkpoint.write(learner, written, name=target.name, data=paired, base_model=base, preview=False)
            with contextlib.suppress(ZooError, OSError, TypeError):  # a picture of data that is named without its place
                checkpoint.read(written).preview(written / "preview.png")
            for file in written.iterdir():
                file.replace(staged / file.name)
            written.rmdir()
            if history.path.exists():
                shutil.copyfile(history.path, staged / "history.csv")
            recipe = recipe_of(learner, paired, base, command, knobs | {"seed": seed}, sizes, counted(module))
            (staged / "recipe.yaml").write_text(recipe, encoding="utf-8")
            facts = provenance(runner, history, seed, command)
            (staged / "provenance.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
            entries = measure(staged, module, others, [work.curve("tuned"), work.curve("scratch")])
            cards.write_card(staged)
    values = {what: {e["metric"]: e["value"] for e in found} for what, found in others.items()}
    after = {e["metric"]: e["value"] for e in entries}
    return FineTuned(
        target, values["before"], after, values.get("scratch"), {e["metric"]: e["better"] for e in entries}
    )


class Work:
    """What a fine-tuning has done so far, in a hidden folder beside its result: a cut run goes on from it.

    Args:
        target: folder of the result.
        settings: a run with other ones starts anew.
    """

    def __init__(self, target: Path, settings: list[Any]) -> None:
        self.folder, self.settings = target.with_name(f".{target.name}.run"), json.dumps(settings, default=str)

    def __enter__(self) -> "Work":
        mark = self.folder / "settings.json"
        if mark.exists() and mark.read_text(encoding="utf-8") != self.settings:
            shutil.rmtree(self.folder)
        self.folder.mkdir(exist_ok=True)
        mark.write_text(self.settings, encoding="utf-8")
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: Any) -> None:
        if error is None or isinstance(error, ZooError):
            shutil.rmtree(self.folder, ignore_errors=True)

    def kept(self, name: str, measure: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
        """What `measure` found, now or before the run was cut."""
        path = self.folder / f"{name}.json"
        if not path.exists():
            path.write_text(json.dumps(measure()), encoding="utf-8")
        return json.loads(path.read_text(encoding="utf-8"))

    def train(
        self,
        name: str,
        model: ZooModule,
        data: L.LightningDataModule,
        knobs: dict[str, Any],
        *,
        patience: int | None,
        trainer: dict[str, Any] | None,
    ) -> tuple[L.Trainer, History]:
        """Fit a model, from its last saved epoch if there is one; it ends with the weights of its best epoch."""
        state, history = self.folder / f"{name}.ckpt", History(self.folder / f"{name}.csv")
        best = KeepBestHeldOut((), patience)
        calls = [history, best, Resume(state)]
        runner = fit(model, data, trainer=trainer, callbacks=calls, state=state, **knobs)
        if not history.trained:  # it was cut after its last epoch, so that no hook was called
            best.on_train_end(runner, model)
        merge_lora(model)
        return runner, history

    def curve(self, name: str) -> Path:
        return self.folder / f"{name}.csv"


def from_scratch(
    work: Work,
    architecture: type[ZooModule],
    init: dict[str, Any],
    transform: Any,
    data: L.LightningDataModule,
    knobs: dict[str, Any],
    seed: int,
    options: dict[str, Any],
) -> list[dict[str, Any]]:
    """Metrics of the same architecture, trained alike from fresh weights: all of it at one rate."""
    L.seed_everything(seed, verbose=False)
    model = architecture(**init)
    model.transform = transform
    model.from_scratch()
    model.adapt_to(data)
    alike = knobs | {"mode": "full", "layer_decay": 1.0}
    work.train("scratch", model, data, alike, **options)
    return model.cpu().eval().measure(data)


def made(
    data: str | L.LightningDataModule, given: dict[str, Any], model: ZooModule, base: str
) -> L.LightningDataModule:
    """The data module, with the settings that suit the model where nothing else is given.

    Raises:
        InputError: for a kind that the model can't learn from, with those that it can, or settings that it doesn't have.
    """
    cls = registry.datamodule_class(data) if isinstance(data, str) else type(data)
    kind = data if isinstance(data, str) else getattr(data, "name", cls.__name__)
    offers = getattr(cls, "offers", ())
    if not set(offers) & set(model.learns_from):
        raise InputError(cannot(base, model, kind, offers))
    if not isinstance(data, str):
        if given:
            raise InputError(f"a data module is given, so root and settings can't be: {', '.join(given)}")
        return data
    known = inspect.signature(cls).parameters
    if "root" in known and "root" not in given and known["root"].default is known["root"].empty:
        what = (inspect.getdoc(cls) or "").splitlines()[0].rstrip(".")
        raise InputError(f"{data} needs --data.root FILE or FOLDER (in Python root=…): {what[:1].lower()}{what[1:]}")
    if unknown := [key for key in given if key not in known]:
        raise InputError(f"{data} has no setting {', '.join(unknown)}; it knows {', '.join(known)}")
    suits = {key: value for key, value in model.data_settings(data).items() if key in known}
    try:
        return cls(**(suits | given))
    except ZooError:
        raise
    except (TypeError, ValueError) as error:  # whatever a value of another type provokes in a constructor
        raise InputError(f"{data} can't be made with {given}: {error}") from None


def cannot(base: str, model: ZooModule, kind: str, offers: Sequence[str]) -> str:
    """The sentence that says that a model can't learn from a kind of data, what it can learn from, and who could."""
    fit_for = [
        name
        for name in registry.DATAMODULES
        if set(getattr(registry.datamodule_class(name), "offers", ())) & set(model.learns_from)
        and getattr(registry.datamodule_class(name), "own", name == "image-folder")
    ]
    takes = f"it learns from {', '.join(fit_for)}" if fit_for else "it isn't made for data of your own"
    able = [
        name
        for name in registry.ARCHITECTURES
        if set(getattr(registry.architecture(name), "learns_from", ())) & set(offers)
    ]
    others = f"; models that learn from {kind}: {', '.join(able)}" if able else ""
    return f"{base} ({model.task}) can't learn from {kind}: {takes}{others}"


def counted(data: Any) -> str:
    """What a data module counts, in the plural."""
    return getattr(data, "counted", "images" if hasattr(data, "tensors") else "examples")


def sizes_of(data: Any) -> dict[str, int]:
    """Numbers of examples of the parts that a data module has."""
    if hasattr(data, "sizes"):
        return data.sizes()
    if hasattr(data, "tensors"):
        return {split: len(data.tensors(split)[0]) for split in PARTS}
    for method in ("texts", "rolls", "part"):
        if hasattr(data, method):
            rows = {split: getattr(data, method)(split) for split in PARTS}
            return {split: len(found[0]) if isinstance(found, tuple) else len(found) for split, found in rows.items()}
    if hasattr(data, "data"):
        return {split: int(data.data[f"{split}_mask"].sum()) for split in PARTS}
    return {split: len(data.tokens(split)) for split in PARTS[:2]}


def report(data: Any, sizes: dict[str, int]) -> None:
    """Say how much data there is, and what was noticed in it."""
    classes = list(getattr(data, "classes", ()) or ())
    labelled = {"labelled-images", "labelled-text", "labelled-table", "graph", "graphs", "dna"} & set(data.offers)
    start = f"{len(classes)} classes; " if classes and labelled else ""
    print(f"{start}{counted(data)}: " + ", ".join(f"{n} {split}" for split, n in sizes.items()))
    for line in getattr(data, "notes", ()):
        print(line)


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
    classes = [name.replace("$", r"\$") for name in classes]  # no formulas
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
    figure.savefig(path, dpi=90)


# The command line --------------------------------------------------------------------------------------------------------


def main(argv: list[str]) -> int:
    """The command line of `zoo finetune` and scripts/finetune.py; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="finetune.py",
        allow_abbrev=False,
        epilog="--data.KEY VALUE goes to the data module (--data.root, --data.augment, --data.test_share, …), "
        "--trainer.KEY VALUE to lightning.Trainer (--trainer.accelerator, …).",
    )
    parser.add_argument("name", help="a checkpoint: a name, a folder, or hf://owner/name")
    parser.add_argument(
        "--data",
        default="image-folder",
        help="a kind of data (default: image-folder), such as unlabelled-folder, text-file, text-folder, text-csv, pairs-tsv, "
        "graph-csv, smiles-csv, table-csv, dna-fasta, midi-folder",
    )
    parser.add_argument("--into", type=Path, help="folder of the result (default: runs/NAME-DATA)")
    parser.add_argument("--mode", choices=MODES, default="full", help="what learns (default: full)")
    parser.add_argument("--freeze", nargs="+", default=[], metavar="PART", help="parts that keep their weights")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--lr", type=float, help="learning rate of the head (default: the model's suggestion)")
    parser.add_argument("--layer-decay", type=float, default=0.7, help="how much slower each layer below learns")
    parser.add_argument(
        "--lora",
        type=int,
        metavar="RANK",
        help="GPT and BERT: learn a change of this rank beside frozen attention layers",
    )
    parser.add_argument("--patience", type=int, default=5, help="stop after so many epochs without a better value")
    parser.add_argument(
        "--no-scratch", action="store_true", help="don't train the same architecture from fresh weights"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fresh", action="store_true", help="replace an earlier result in the same folder")
    parser.add_argument(
        "--overwrite", action="store_true", help="write beside other files of the folder, which stay as they are"
    )
    options, rest = parser.parse_known_args(argv)
    keep_freed_memory()
    try:
        run(options, rest)
    except ZooError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def run(options: argparse.Namespace, rest: list[str]) -> FineTuned:
    """Fine-tune as the command line says, and print what came of it."""
    settings = overrides(rest)
    found = finetune(
        options.name,
        options.data,
        into=options.into,
        settings=settings["data"],
        mode=options.mode,
        freeze=options.freeze,
        epochs=options.epochs,
        lr=options.lr,
        layer_decay=options.layer_decay,
        lora=options.lora,
        patience=options.patience,
        scratch=not options.no_scratch,
        seed=options.seed,
        fresh=options.fresh,
        overwrite=options.overwrite,
        trainer=settings["trainer"],
    )
    for metric, value in found.after.items():
        beside = [f"{found.before[metric]:.4g} before"] if metric in found.before else []
        if found.scratch and metric in found.scratch:
            beside.append(f"{found.scratch[metric]:.4g} from scratch")
        print(f"{metric} on the held-out part: {value:.4g} ({', '.join(beside)}; {found.better[metric]} is better)")
    print(f'{found.folder}: zoo.load("{found.folder}") reads it, finetuning.png shows what was gained')
    return found


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
    told = extra or {}
    if told.get("freeze"):
        words += ["--freeze", *told["freeze"]]
    if told.get("patience", 5) != 5:
        words += ["--patience", str(told["patience"])]
    if not told.get("scratch", True):
        words.append("--no-scratch")
    if told.get("lora"):
        words += ["--lora", str(told["lora"])]
    for group, values in settings.items():
        for key, value in values.items():
            text = value if isinstance(value, str) else json.dumps(value)
            words += [f"--{group}.{key}", "FOLDER" if key == "root" else text]
    return shlex.join(words)


def measure(
    folder: Path, data: L.LightningDataModule, others: dict[str, list[dict[str, Any]]], curves: list[Path]
) -> list[dict[str, Any]]:
    """Metrics, comparison and, for images, confusions of exactly the file that was written, as files of its folder."""
    model = checkpoint.read(folder)
    entries = model.measure(data)
    sha256 = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    for entry in entries:
        entry["sha256"] = sha256
    (folder / "metrics.json").write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")
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


def model_classes(data: L.LightningDataModule) -> list[str]:
    return list(data.classes)  # type: ignore[attr-defined]  # all image data modules have it


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
    of = f" of {len(classes)} classes: {', '.join(classes)}" if classes else ""
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
