"""ZooModule: what every architecture shares beyond LightningModule, and nothing else.

It knows the facts that travel with weights (name, transform, classes), freezes parts so that they stay frozen, and saves
itself as a checkpoint folder. Everything about a method is in the method's own file.
"""

import inspect
import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import lightning as L
import torch
from torch import Tensor, nn

from zoo.core.batch import inputs_of
from zoo.core.images import Transform
from zoo.core.metric import entry
from zoo.core.own_data import OwnData
from zoo.errors import InputError

if TYPE_CHECKING:
    from zoo.index import ModelInfo
    from zoo.store.pin import Published


class _NoAdvertisement(logging.Filter):
    """Lightning's tips of other products, which it prints with every trainer."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "litlogger" not in str(record.msg) and "TPU" not in str(record.msg)


logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_NoAdvertisement())


class ZooModule(OwnData, L.LightningModule):
    """Base of all architectures. A subclass calls `super().__init__()` and then `self.save_hyperparameters()`.

    Attributes:
        task: the Hub's pipeline tag for what the architecture does, such as "image-classification".
        name: the checkpoint's name, or None for fresh weights.
        transform: the evaluation transform that the weights were trained with, or None.
        classes: names of the classes in the order of the logits, or None.
        data: {"name", "init"} of the paired data module, or None.
    """

    task: ClassVar[str] = "other"
    use: ClassVar[str] = ""  # lines of the card that use `model`; {name} and {data} are filled in
    larger_is_better: ClassVar[frozenset[str]] = frozenset({"accuracy"})  # of the values that test_step logs

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
        data = getattr(self.trainer, "datamodule", None)
        preprocess, classes = getattr(data, "preprocess", None), getattr(data, "classes", None)
        if stage == "fit" and preprocess:
            self.transform = Transform(**preprocess)
            self.classes = list(classes) if classes else None

    def teardown(self, stage: str) -> None:
        self.trained_by = None

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Train on after a verb such as `predict`, which a callback may have called and which leaves eval mode."""
        if not self.training:
            self.train()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """What travels with the weights travels with Lightning's `.ckpt` files too."""
        transform = self.transform.to_dict() if self.transform else None
        checkpoint["zoo"] = {"name": self.name, "classes": self.classes, "data": self.data, "transform": transform}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        travels = checkpoint.get("zoo", {})
        self.name, self.classes, self.data = (
            travels.get(key, getattr(self, key)) for key in ("name", "classes", "data")
        )
        if travels.get("transform"):
            self.transform = Transform(**travels["transform"])

    def twin(self) -> "ZooModule":
        """A copy of this model as it is now, in eval mode and free of any Trainer."""
        twin = type(self)(**init_arguments(self))
        twin.load_state_dict(self.state_dict())
        twin.name, twin.classes, twin.data, twin.transform = self.name, self.classes, self.data, self.transform
        return twin.to(self.device, self.dtype).eval()  # type: ignore[arg-type]  # both are set at run time

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
        """What `trainer.predict` collects: forward of the batch's inputs, whatever else the batch holds."""
        return self(inputs_of(batch))

    def golden_inputs(self) -> dict[str, Tensor]:
        """Fixed inputs whose outputs are stored with the weights; override where forward takes no image."""
        raise NotImplementedError(f"{type(self).__name__} has to define golden_inputs()")

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Outputs for `golden_inputs`, deterministic; `zoo.verify` compares them with the stored ones."""
        return {"output": self(inputs["input"])}

    def preview(self, path: Path) -> Path | None:
        """Draw the picture that the card shows; None if the architecture has none."""
        return None

    def evaluate(self, data: L.LightningDataModule) -> list[dict[str, Any]]:
        """Measure what the card claims, on the full test split and one device: a list of metric entries.

        The default runs `test_step` and turns every logged "test/..." value into an entry.
        """
        trainer = L.Trainer(devices=1, logger=False, enable_checkpointing=False, enable_model_summary=False)
        with torch.inference_mode():
            results = trainer.test(self, datamodule=data, verbose=False)[0]
        how = f"Lightning Trainer.test, whole test split, one device, {str(self.dtype).removeprefix('torch.')}"
        dataset = getattr(data, "name", type(data).__name__.lower())
        return [
            entry(dataset, "test", name, value, how, better="higher" if name in self.larger_is_better else "lower")
            for name, value in ((k.removeprefix("test/"), v) for k, v in results.items() if k.startswith("test/"))
        ]

    @property
    def card(self) -> "ModelInfo":
        """The entry of the index for these weights; LookupError for weights that were never published."""
        from zoo.index import info

        return info(self.name or "unpublished")

    def save_pretrained(self, folder: str | Path, *, base_model: str | None = None, overwrite: bool = False) -> Path:
        """Write config.json, model.safetensors and golden.safetensors to a folder that `zoo.load` reads.

        Files of the folder that the zoo didn't write stay as they are, and a link is followed.

        Args:
            base_model: the Hub repository that the model was fine-tuned from.
            overwrite: replace even a config.json or another file of our names that the zoo didn't write.

        Raises:
            InputError: for a folder that can't be written, or holds such a file.
        """
        from zoo.store.folder import write

        return write(self, Path(folder), base_model=base_model, overwrite=overwrite)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        data: L.LightningDataModule | None = None,
        recipe: str | Path | None = None,
        licence: str | None = None,
        summary: str = "",
        base_model: str | None = None,
        private: bool = False,
        token: str | None = None,
        commit_message: str | None = None,
        revision: str | None = None,
        create_pr: bool = False,
    ) -> "Published":
        """Publish this model as a Hub repository that `zoo.load("hf://owner/name")` reads.

        Args:
            data: measure the card's metrics on its test split, from exactly the file that is published.
            recipe: the YAML file that it was trained by.
            licence: the Hub's identifier of the licence of these weights, such as "apache-2.0".
            base_model: the Hub repository that it was fine-tuned from.
            private, token, commit_message, revision, create_pr: as in huggingface_hub.

        Raises:
            PublishError: in one sentence, with all that is missing.
        """
        from zoo.store.publish import push

        return push(
            self,
            repo_id,
            data=data,
            recipe=recipe,
            licence=licence,
            summary=summary,
            base_model=base_model,
            private=private,
            token=token,
            commit_message=commit_message,
            revision=revision,
            create_pr=create_pr,
        )

    # Logging ---------------------------------------------------------------------------------------------------------

    def log_train(self, **values: Tensor) -> None:
        """Log training values every `log_every_n_steps` steps; every step would make a small network about 33 % slower."""
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]  # set at run time
        if self.trainer.global_step % every == 0:
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


def init_arguments(module: Any) -> dict[str, Any]:
    """The arguments a module was made with, as plain JSON values; LightningCLI adds keys of its own to hparams."""
    known = inspect.signature(type(module)).parameters
    return json.loads(json.dumps({key: value for key, value in module.hparams.items() if key in known}))
