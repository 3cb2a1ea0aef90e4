"""Fine-tuning's training loop: AdamW with slower layers below, the head alone, or part after part; the best epoch is kept."""

from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
from lightning.pytorch.callbacks import BaseFinetuning
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch.optim import Optimizer

from zoo.core.checks import check_count
from zoo.core.module import ZooModule
from zoo.errors import InputError
from zoo.train.callbacks import KeepBest, training_bar
from zoo.train.schedule import WarmupDecay

Mode = Literal["full", "head", "gradual"]
MODES = ("full", "head", "gradual")


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


def tune(
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
