"""Fine-tuning: the network of a checkpoint learns a person's own data, by `zoo.finetune` or `zoo finetune`.

The model states what it can learn from and how it is measured (`zoo.core.own_data`); nothing here knows a family. What is
learnt is measured on held-out data from exactly the file that is written, beside the model as it came and beside the same
architecture trained from scratch on the same data. The folder is one like any other: `zoo.load` reads it, `zoo.verify` checks
it, `zoo publish` publishes it. A run that was cut goes on by the same command.
"""

import contextlib
import inspect
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L

from zoo import registry
from zoo.api import load
from zoo.blocks.lora import add_lora, merge_lora
from zoo.core.checks import check_count
from zoo.core.files import plain_name, write_json, write_text
from zoo.core.module import ZooModule, init_arguments
from zoo.errors import InputError, ZooError
from zoo.store import atomic, cards
from zoo.store import folder as checkpoint
from zoo.train.callbacks import History, Resume
from zoo.train.experiment import provenance
from zoo.train.finetuning_report import command_of, measure, plotting, recipe_text
from zoo.train.fitting import MODES, KeepBestHeldOut, Mode, tune

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
        epochs, lr, layer_decay: see `zoo.train.fitting.tune`.
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
        settings = {"root": place} | {k: v for k, v in given.items() if k != "root"}
        extra = {"freeze": list(freeze), "patience": patience, "scratch": scratch, "lora": lora}
        said = {key: value for key, value in (trainer or {}).items() if key != "callbacks"}  # objects aren't words
        command = command_of(base, kind, knobs | {"seed": seed}, {"data": settings, "trainer": said}, extra)
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
            recipe = recipe_text(learner, paired, base, command, knobs | {"seed": seed}, sizes, counted(module))
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
        write_text(mark, self.settings)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: Any) -> None:
        if error is None or isinstance(error, ZooError):
            shutil.rmtree(self.folder, ignore_errors=True)

    def kept(self, name: str, measure: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
        """What `measure` found, now or before the run was cut."""
        path = self.folder / f"{name}.json"
        if not path.exists():
            write_json(path, measure())
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
        runner = tune(model, data, trainer=trainer, callbacks=calls, state=state, **knobs)
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


def counted(data: object) -> str:
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
