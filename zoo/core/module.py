"""ZooModule: what every architecture shares beyond LightningModule, and nothing else.

It knows the facts that travel with weights (name, transform, classes), freezes parts so that they stay frozen, and logs what
callbacks read. How it is read and written stands in `zoo.core.pretrained`, how it learns a person's own data in
`zoo.core.own_data`. Everything about a method is in the method's own file.
"""

import copy
import inspect
import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import lightning as L
import torch
from torch import Tensor, nn

from zoo.core.batch import inputs_of
from zoo.core.images import Transform
from zoo.core.metric import entry
from zoo.core.own_data import OwnData
from zoo.core.pretrained import Pretrained
from zoo.core.pretrained import init_arguments as init_arguments
from zoo.core.progress import watched
from zoo.core.protocols import protocols, verbs_of
from zoo.core.verbs import public
from zoo.errors import InputError

if TYPE_CHECKING:
    from zoo.index import ModelInfo


VERBS = frozenset(name for protocol in protocols().values() for name in protocol.methods())


class _NoAdvertisement(logging.Filter):
    """Lightning's tips of other products, and its notes on accelerators that aren't there, with every trainer."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not any(word in str(record.msg) for word in ("litlogger", "litmodels", "TPU", "HPU"))


logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_NoAdvertisement())
for _deprecated in (".*LeafSpec", "`torch.jit.script.* is deprecated", "`isinstance.treespec"):  # by those we depend on
    warnings.filterwarnings("ignore", _deprecated)


class ZooModule(OwnData, Pretrained):
    """Base of all architectures. A subclass calls `super().__init__()` and then `self.save_hyperparameters()`.

    Attributes:
        task: the Hub's pipeline tag for what the architecture does, such as "image-classification".
        name: the checkpoint's name, or None for fresh weights.
        transform: the evaluation transform that the weights were trained with, or None.
        classes: names of the classes in the order of the logits, or None.
        data: {"name", "init"} of the paired data module, or None.
        lr: a learning rate in place of the one that `configure_optimizers` says, which Lightning's Tuner sets, or None.
    """

    task: ClassVar[str] = "other"
    use: ClassVar[str] = ""  # lines of the card that use `model`; {name} and {data} are filled in
    lr: float | None = None  # learning rate in place of the optimiser's own; Lightning's Tuner sets it
    larger_is_better: ClassVar[frozenset[str]] = frozenset({"accuracy", "accuracy_tta"})  # of what its steps log

    dtype: torch.dtype  # type: ignore[assignment]  # Lightning's annotation allows a string, which it never gives

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, method in list(vars(cls).items()):
            if (
                inspect.isfunction(method)
                and (name in VERBS or hasattr(method, "is_verb"))
                and not name.startswith("_")
            ):
                setattr(cls, name, public(method))

    def __init__(self) -> None:
        super().__init__()
        self.name: str | None = None
        self.transform: Transform | None = None
        self.classes: list[str] | None = None
        self.data: dict[str, Any] | None = None
        self._frozen: set[str] = set()
        self.trained_by: int | None = None  # the thread whose Trainer fits this module

    # What a checkpoint needs to know ---------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Take transform and class names over from the data module at hand, so that they travel with the weights."""
        if stage == "fit":
            self.trained_by = threading.get_ident()
            self.train()  # a loaded model is in eval mode, and Lightning would train it so; what is frozen stays frozen
            if type(self).lr is None and self.lr is not None and self.automatic_optimization:
                self.configure_optimizers = partial(at_rate, self.configure_optimizers, self.lr)  # type: ignore[method-assign]
        data = getattr(self.trainer, "datamodule", None)
        preprocess, classes = getattr(data, "preprocess", None), getattr(data, "classes", None)
        if stage == "fit" and preprocess:
            self.transform = Transform(**preprocess)
            self.classes = list(classes) if classes else None

    def teardown(self, stage: str) -> None:
        self.trained_by = None
        if isinstance(configured := self.__dict__.get("configure_optimizers"), partial) and configured.func is at_rate:
            before = configured.args[0]  # of the class, or what LightningCLI has put there
            del self.configure_optimizers
            if getattr(before, "__func__", None) is not type(self).configure_optimizers:
                self.configure_optimizers = before  # type: ignore[method-assign]

    def on_train_start(self) -> None:
        """Lay the weights out in a row for what flattens them; those of convolutions are in channels_last, which is faster."""
        from lightning.pytorch.callbacks import ModelPruning

        trainer: Any = self.trainer  # Lightning sets its settings at run time
        if any(isinstance(one, ModelPruning | torch.optim.LBFGS) for one in [*trainer.callbacks, *trainer.optimizers]):
            self.to(memory_format=torch.contiguous_format)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Train on after a verb such as `predict`, which a callback may have called and which leaves eval mode."""
        if not self.training:
            self.train()

    def twin(self) -> "ZooModule":
        """A copy of this model as it is now, in eval mode and free of any Trainer; no random number is drawn for it."""
        twin = copy.deepcopy(self, {id(self._trainer): None})
        twin.trained_by = None
        return twin.eval()

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
        """What `trainer.predict` collects: forward of the batch's inputs, whatever else the batch holds.

        Raises:
            InputError: where forward takes more than the inputs: noise, times or what was written so far.
        """
        needed = [p.name for p in inspect.signature(self.forward).parameters.values() if p.default is p.empty]
        if len(needed) > 1:
            verbs = ", ".join(line.partition("(")[0] for line in verbs_of(type(self)))
            raise InputError(
                f"{type(self).__name__} predicts nothing of inputs alone, its forward takes {', '.join(needed)}: "
                f"call one of its verbs ({verbs}) on them"
            )
        return self(inputs_of(batch))

    def golden_inputs(self) -> dict[str, Tensor]:
        """Fixed inputs whose outputs are stored with the weights; override where forward takes no image."""
        raise NotImplementedError(f"{type(self).__name__} has to define golden_inputs()")

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Outputs for `golden_inputs`, deterministic; `zoo.verify` compares them with the stored ones."""
        return {"output": self(inputs["input"])}

    @property
    def example_input_array(self) -> Any:
        """Inputs that `forward` takes, which summaries, loggers of graphs and exporters ask for; None if it isn't known yet."""
        return self._example_input_array if self._example_input_array is not None else self.example()

    @example_input_array.setter
    def example_input_array(self, example: Any) -> None:
        self._example_input_array = example

    def example(self) -> Any:
        """The example where nobody has set one: the golden inputs, in the order of `forward`'s arguments."""
        try:
            return tuple(self.golden_inputs().values())
        except (InputError, NotImplementedError):
            return None

    def preview(self, path: Path) -> Path | None:
        """Draw the picture that the card shows; None if the architecture has none."""
        return None

    def evaluate(self, data: Any) -> list[dict[str, Any]]:
        """Measure what the card claims, on the full test split and one device: a list of metric entries.

        The default runs `test_step` and turns every logged "test/..." value into an entry.
        """
        quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False}
        trainer = L.Trainer(devices=1, enable_progress_bar=watched(), **quiet)
        with torch.inference_mode():
            results = trainer.test(self, datamodule=data, verbose=False)[0]
        how = f"Lightning Trainer.test, whole test split, one device, {str(self.dtype).removeprefix('torch.')}"
        dataset = getattr(data, "name", type(data).__name__.lower())
        return [
            entry(dataset, "test", name, value, how, better="higher" if name in self.larger_is_better else "lower")
            for name, value in ((k.removeprefix("test/"), v) for k, v in results.items() if k.startswith("test/"))
        ]

    @property
    def _jit_is_scripting(self) -> bool:  # type: ignore[override]
        """Whether TorchScript looks at every attribute, when Lightning gives None for a Trainer that isn't there."""
        return bool(L.LightningModule._jit_is_scripting or torch.jit._trace._trace_module_map is not None)

    @property
    def card(self) -> "ModelInfo | None":
        """The entry of the index for these weights; None for weights that were never published."""
        from zoo.index import entries

        return entries().get(self.name or "")

    def _repr_html_(self) -> str:
        """For notebooks: what the weights are and what the model can do, or its layers where the weights are fresh."""
        about = self.card._repr_html_() if self.card else f"<b>{escape(type(self).__name__)}</b>, fresh weights"
        trained = sum(p.numel() for p in self.parameters() if p.requires_grad)
        facts = f"{trained:,} trainable parameters on {self.device}, {'training' if self.training else 'eval'} mode"
        return f"{about}<p>{facts}</p><details><summary>layers</summary><pre>{escape(repr(self))}</pre></details>"

    # Logging ---------------------------------------------------------------------------------------------------------

    def log_train(self, **values: Tensor) -> None:
        """Log training values: callbacks read those of the newest step, a logger gets some every `log_every_n_steps` steps.

        `log_dict` in every step would make a small network about 33 % slower. So it is called once an epoch, and from then on
        the values in Lightning's store of results are replaced.
        """
        trainer: Any = self.trainer  # Lightning sets its settings at run time
        store, place = trainer._results, f"{self._current_fx_name}.train/"
        if all(place + key in store for key in values):
            for key, value in values.items():
                store.update_metrics(place + key, value.detach(), 1)
        else:
            self.log_dict({f"train/{key}": value.detach() for key, value in values.items()})

    # Freezing --------------------------------------------------------------------------------------------------------

    @property
    def parts(self) -> list[str]:
        """Names that `freeze` takes: the children that hold parameters, and "backbone" for all but the head."""
        names = [name for name, child in self.named_children() if any(True for _ in child.parameters())]
        return [*names, "backbone"] if "head" in names else names

    def freeze(self, *parts: str) -> "ZooModule":  # type: ignore[override]  # Lightning's takes no parts
        """Freeze parts, all without arguments: no gradient, and eval() that survives `.train()`.

        Lightning's own freeze leaves batch norm with batch statistics in training mode; here statistics and dropout are
        frozen too.

        Raises:
            InputError: for an unknown part; it names the parts.
        """
        for module, name in self._named_parts(parts):
            self._frozen.add(name)
            module.requires_grad_(False).eval()
        return self

    def unfreeze(self, *parts: str) -> "ZooModule":  # type: ignore[override]
        """Undo `freeze` for parts, all without arguments."""
        for module, name in self._named_parts(parts):
            self._frozen.discard(name)
            module.requires_grad_(True).train(self.training)
        return self

    def train(self, mode: bool = True) -> "ZooModule":
        super().train(mode)
        for name in self._frozen:
            self.get_submodule(name).eval()
        return self

    def _named_parts(self, parts: tuple[str, ...]) -> Iterator[tuple[nn.Module, str]]:
        known = self.parts
        for part in parts or [p for p in known if p != "backbone"]:
            if part not in known:
                raise InputError(f"{type(self).__name__} has no part {part!r}; its parts: {', '.join(known)}")
            for name in [p for p in known if p not in ("head", "backbone")] if part == "backbone" else [part]:
                yield self.get_submodule(name), name


def at_rate(configure: Callable[[], Any], lr: float) -> Any:
    """What `configure` gives to Lightning, with the highest of all learning rates at `lr` and the others in proportion."""
    found = configure()
    parts = found if isinstance(found, tuple | list) else [found]
    flat = [item for part in parts for item in (part if isinstance(part, tuple | list) else [part])]
    optimizers: list[Any] = []
    schedulers: list[Any] = []
    for item in flat:
        for value in item.values() if isinstance(item, dict) else [item]:
            inner = value.get("scheduler") if isinstance(value, dict) else value
            if isinstance(inner, torch.optim.Optimizer):
                optimizers.append(inner)
            elif hasattr(inner, "base_lrs"):
                schedulers.append(inner)
    factor = lr / max(
        group.get("initial_lr", group["lr"]) for optimizer in optimizers for group in optimizer.param_groups
    )
    for group in (group for optimizer in optimizers for group in optimizer.param_groups):
        group["lr"] *= factor
        if "initial_lr" in group:
            group["initial_lr"] *= factor
    for scheduler in schedulers:
        scheduler.base_lrs = [base * factor for base in scheduler.base_lrs]
    return found
