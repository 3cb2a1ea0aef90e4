"""What a model states of data that a person brings: which kinds it can learn from, how they should come, how it is measured.

`zoo.finetune` asks these questions and knows no family. A data module answers with `offers`, the words for what its batches hold:

    images, labelled-images     TensorDataModule          characters, pieces     a text, by what the model reads
    labelled-text, pairs        texts with a class, or with a translation          rolls     piano rolls
    masks, boxes                DenseDataModule
    graph, graphs, molecules    PyG's Data and Batch      table, labelled-table  rows of numbers         dna   bound sequences

A model learns from a data module if a word of `learns_from` is among them.
"""

from typing import Any, ClassVar

import lightning as L
import torch
from torch import nn

from zoo.core.images import Transform
from zoo.core.metric import entry
from zoo.core.pretrained import init_arguments
from zoo.errors import InputError

FOLDERS_OF_IMAGES = ("image-folder", "unlabelled-folder")


class OwnData(L.LightningModule):
    """The part of `ZooModule` that `zoo.finetune` talks to. A family overrides what differs.

    Attributes:
        learns_from: what the batches of its data modules hold, see above; empty for models that aren't fine-tuned.
        finetune_lr: learning rate of the head, or of all of a model without one, where nothing else is said.
    """

    learns_from: ClassVar[tuple[str, ...]] = ()
    finetune_lr: ClassVar[float] = 1e-3

    def data_settings(self, kind: str) -> dict[str, Any]:
        """Arguments for the data module of this name that suit the model, such as its transform or its vocabulary."""
        shape = getattr(self, "image_shape", None)
        if kind not in FOLDERS_OF_IMAGES or shape is None or shape[0] not in (1, 3):
            return {}
        mode, channels = ("L", 1) if shape[0] == 1 else ("RGB", 3)  # a generator takes pixels in [0, 1] of its own size
        return {"transform": Transform(list(shape[1:]), mode, [0.0] * channels, [1.0] * channels)}

    def learner_for(self, data: Any) -> Any:
        """The model that learns this data: itself, or one that is built on it, such as a classifier on a language model."""
        return self

    def adapt_to(self, data: Any) -> None:
        """Take the classes, features or characters of a data module: new tensors where they are others.

        Raises:
            InputError: for data that the model can't take.
        """
        shape, found = getattr(self, "image_shape", None), getattr(data, "image_shape", None)
        if shape is None or found is None:
            return
        name = getattr(self, "name", None) or type(self).__name__
        if tuple(shape) != tuple(found):
            raise InputError(
                f"{name} makes images of {list(shape)}, the data has {list(found)}: put them into an image-folder, which "
                "resizes, or make a model of that size by zoo.create(…, image_shape=…)"
            )
        known = self.hparams.get("num_classes") or 0
        if known and known != len(data.classes):
            raise InputError(
                f"{name} draws one of {known} classes, the data has {len(data.classes)}: make a fresh model by "
                f"zoo.create(…, num_classes={len(data.classes)}), or take one without classes"
            )

    def from_scratch(self) -> None:
        """What has to be done with fresh weights before they learn, such as to unfreeze what is frozen by design."""

    def take_fresh(self, *, as_if: dict[str, Any] | None = None, **changed: Any) -> None:
        """Change some of the arguments that the model was made with: tensors whose shapes depend on them are fresh, all others
        stay. Says in one line which are fresh.

        Args:
            as_if: arguments that aren't changed, but whose tensors are fresh all the same.
        """
        fresh = type(self)(**{**init_arguments(self), **changed})
        other: Any = type(self)(**{**init_arguments(self), **changed, **as_if}) if as_if else fresh
        replaced: list[str] = []
        for path, module in fresh.named_modules():
            mine = self.get_submodule(path)
            own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
            shaped = other.get_submodule(path)
            if all(getattr(mine, name).shape == getattr(shaped, name).shape for name, _ in own):
                continue
            names = [name for name, tensor in own if tensor is not None]
            replaced += [f"{path}.{name}".lstrip(".") for name in names]
            if path and not any(True for _ in module.children()):
                parent, _, last = path.rpartition(".")
                setattr(self.get_submodule(parent), last, module.to(self.device))
            else:
                for name in names:
                    setattr(mine, name, getattr(module, name).to(self.device))
        for key, value in changed.items():
            self.hparams[key] = value
            if key in self.__dict__:
                setattr(self, key, value)
        if replaced:
            name = getattr(self, "name", None) or type(self).__name__
            print(f"{name}: new tensors {', '.join(replaced[:6])}{', …' if len(replaced) > 6 else ''}")

    def train_groups(self, lr: float, layer_decay: float) -> list[dict[str, Any]]:
        """Parameter groups for an optimiser: the last part learns at `lr`, each one below `layer_decay` times as fast."""
        if (param_groups := getattr(self, "param_groups", None)) is not None:
            return param_groups(lr, layer_decay=layer_decay)
        layers: list[nn.Module] = []
        for child in self.children():
            layers += list(child) if isinstance(child, nn.ModuleList) else [child]
        layers = [layer for layer in layers if any(p.requires_grad for p in layer.parameters())]
        seen: set[int] = set()
        groups: list[dict[str, Any]] = []
        for depth, layer in enumerate(reversed(layers)):  # a tied weight learns as the highest layer that has it
            fresh = [p for p in layer.parameters() if p.requires_grad and id(p) not in seen]
            seen.update(id(p) for p in fresh)
            if fresh:
                groups.append({"lr": lr * layer_decay**depth, "params": fresh})
        loose = [p for p in self.parameters() if p.requires_grad and id(p) not in seen]
        return [*groups, {"lr": lr, "params": loose}] if loose else groups

    def measure(self, data: Any) -> list[dict[str, Any]]:
        """Metric entries on the held-out part of a person's own data, by `test_step`, or by `validation_step` without one."""
        from zoo.core.module import ZooModule

        tests = type(self).test_step is not L.LightningModule.test_step
        quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        trainer = L.Trainer(devices=1, enable_model_summary=False, **quiet)
        assert isinstance(self, ZooModule)
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(0)  # views and hidden places are drawn: always the same ones
            if tests:
                results = trainer.test(self, datamodule=data, verbose=False)[0]
            else:
                results = trainer.validate(self, datamodule=HeldOut(data), verbose=False)[0]
        name = str(getattr(data, "name", type(data).__name__.lower()))
        how = f"held-out part, one device, {str(self.dtype).removeprefix('torch.')}"
        found = {key.partition("/")[2]: float(value) for key, value in results.items()}
        return [
            entry(name, "test", key, value, how, better="higher" if key in self.larger_is_better else "lower")
            for key, value in found.items()
        ]


class HeldOut(L.LightningDataModule):
    """A data module whose test part is validated on, for models without a `test_step`."""

    def __init__(self, data: L.LightningDataModule) -> None:
        super().__init__()
        self.data = data

    def val_dataloader(self) -> Any:
        return self.data.test_dataloader()

    def __getattr__(self, name: str) -> Any:
        if name == "data":
            raise AttributeError(name)
        return getattr(self.data, name)
