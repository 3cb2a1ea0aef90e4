"""Training by recipe: LightningCLI reads checkpoints/NAME/recipe.yaml, a run can be cut at any time and goes on where it was.

A recipe is a LightningCLI configuration (seed_everything, model, data, trainer, optimizer, lr_scheduler) with two more
sections: `card`, the words of the model card, and `export`, what is published of a run.
"""

import csv
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.callbacks import Callback, ProgressBar, TQDMProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities import rank_zero_info
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from zoo.atomic import sync
from zoo.errors import InputError
from zoo.module import ZooModule
from zoo.precision import bfloat16_is_slow


@dataclass
class Card:
    """The hand-written words of a model card.

    Args:
        summary: one paragraph: what it is and what it is good for.
        paper: link or citation of the method.
        limits: what it can't do.
        departures: what differs from the paper, beyond the architecture file.
    """

    summary: str
    paper: str
    limits: str
    departures: str = ""


@dataclass
class Export:
    """What is published of a run.

    Args:
        averaged: the run keeps an exponential moving average (EMAWeightAveraging), and that is what is exported.
        dtype: how the weights are stored; they are loaded as float32. "int8" has a scale for every 64 weights (zoo.int8).
        seeds: runs with seeds 0, 1, …; the first is published (never the best), all of them give mean and std.
        together: fit all seeds in one process, and evaluate them in one: for runs whose imports cost more than they do.
        fold: an argument that takes the seed's number, such as "data.fold": the seeds are the folds of a cross-validation.
    """

    averaged: bool = False
    dtype: Literal["float32", "float16", "bfloat16", "int8"] = "float32"
    seeds: int = 1
    together: bool = False
    fold: str | None = None


class WarmupDecay(LRScheduler):
    """Linear warm-up, then decay to `final` of the peak, stepped every batch; its length is the trainer's.

    Args:
        warmup: share of the run, or of each of its cycles, that warms up.
        shape: "cosine", "linear", or "constant" decay after the warm-up.
        final: the last learning rate as a share of the peak.
        restart: share of the run after which a second cycle begins, or the rising shares after which several begin (Loshchilov
            and Hutter, 2017, arXiv:1608.03983); None for one cycle. A finished run gets better so by more epochs, and need not
            be done again.
        again: peak of every further cycle as a share of the first one's.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        warmup: float = 0.05,
        shape: Literal["cosine", "linear", "constant"] = "cosine",
        final: float = 0.0,
        restart: float | list[float] | None = None,
        again: float = 1.0,
    ) -> None:
        self.restarts = [restart] if isinstance(restart, int | float) else (restart or [])
        if sorted({0, *self.restarts, 1}) != [0, *self.restarts, 1]:
            raise InputError(
                f"restart is {restart!r}; it's the share of the run before another cycle, between 0 and 1, or several that rise."
            )
        self.warmup, self.shape, self.final, self.again = warmup, shape, final, again
        self.total_steps = 1  # until `stretch`, which knows the trainer
        super().__init__(optimizer)

    def stretch(self, total_steps: int) -> None:
        """Set the length of the run."""
        self.total_steps = total_steps
        for group, lr in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = lr

    def factor(self, step: int) -> float:
        """Learning rate of a step as a share of the peak."""
        starts = [0, *(round(share * self.total_steps) for share in self.restarts)]
        cycle = sum(step >= start for start in starts[1:])
        end = [*starts[1:], self.total_steps][cycle]
        return (self.again if cycle else 1.0) * self._cycle(step - starts[cycle], end - starts[cycle])

    def _cycle(self, step: int, steps: int) -> float:
        done = min(1.0, step / max(1, steps))
        if done < self.warmup:
            return (step + 1) / (self.warmup * steps + 1)
        if self.shape == "constant":
            return 1.0
        left = 1 - (done - self.warmup) / max(1e-9, 1 - self.warmup)
        curve = left if self.shape == "linear" else 0.5 * (1 - math.cos(math.pi * left))
        return self.final + (1 - self.final) * curve

    def get_lr(self) -> list[Any]:
        return [lr * self.factor(self.last_epoch) for lr in self.base_lrs]


class Resume(Callback):
    """Save everything a run needs to go on at the end of each epoch, in one atomic file, with the random state."""

    def __init__(self, path: Path, every_seconds: float = 20.0) -> None:
        self.path, self.every_seconds = path, every_seconds
        self.last_save = time.monotonic()
        self.restored: dict[str, Any] | None = None

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        due = time.monotonic() - self.last_save > self.every_seconds
        if not (trainer.strategy.broadcast(due) or trainer.should_stop):
            return
        staged = self.path.with_suffix(".tmp")
        trainer.save_checkpoint(staged)
        if trainer.is_global_zero:
            sync(staged)
            os.replace(staged, self.path)
        self.last_save = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        return {"torch": torch.get_rng_state(), "cuda": cuda}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.restored = state

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.restored is not None:
            torch.set_rng_state(self.restored["torch"].cpu())
            if self.restored["cuda"] and torch.cuda.is_available():
                torch.cuda.set_rng_state_all(self.restored["cuda"])


class History(Callback):
    """The training curve, one row an epoch, and the seconds of training, both kept across resumed runs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, float]] = []
        self.seconds = 0.0
        self.started = time.monotonic()
        self.trained = False  # in this process

    def elapsed(self) -> float:
        return self.seconds + time.monotonic() - self.started

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.started, self.trained = time.monotonic(), True

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        values = {key: round(float(value), 6) for key, value in sorted(trainer.callback_metrics.items())}
        clock = {"epoch": trainer.current_epoch, "step": trainer.global_step, "seconds": round(self.elapsed(), 1)}
        self.rows.append(clock | values)
        if trainer.is_global_zero:
            columns = list(dict.fromkeys(key for row in self.rows for key in row))
            with self.path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, columns, lineterminator="\n")
                writer.writeheader()
                writer.writerows(self.rows)

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "seconds": self.elapsed()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows, self.seconds = state["rows"], state["seconds"]


class AdaptiveClipping(Callback):
    """Bounds every unit's gradient by its weights (Brock, De, Smith and Simonyan, 2021, arXiv:2102.06171).

    For the weights w of one output channel, its gradient g becomes λ max(|w|, 0.001) g / |g| where it is longer than that.
    Networks without normalisation need it at high learning rates. The head's gradient stays as it is, as in the paper; so
    do those of biases and gains, which are no unit's weights: a gain that begins at zero would stay there.

    Args:
        factor: λ, how large a gradient may be beside its weights.
    """

    def __init__(self, factor: float = 0.01) -> None:
        if not factor > 0:
            raise InputError(f"factor must be above 0, not {factor!r}")
        self.factor = factor

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Optimizer) -> None:
        from timm.utils.agc import adaptive_clip_grad

        units = [p for name, p in pl_module.named_parameters() if p.ndim > 1 and not name.startswith("head.")]
        adaptive_clip_grad(units, clip_factor=self.factor)


class RecipeCLI(LightningCLI):
    """LightningCLI with the sections of a recipe, step-wise schedules, and the defaults of our runs."""

    def __init__(self, recipe: Path, overrides: list[str], callbacks: list[Callback]) -> None:
        super().__init__(
            ZooModule,
            L.LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=None,
            parser_kwargs={"allow_abbrev": False},  # --trainer.max_epoch is a typo
            run=False,
            args=["--config", str(recipe), *overrides],
            trainer_defaults={
                "logger": False,  # History keeps the curve
                "enable_checkpointing": False,  # Resume keeps the state
                "enable_model_summary": False,
                "num_sanity_val_steps": 0,
                "log_every_n_steps": 50,
                "use_distributed_sampler": False,  # the loaders shard themselves
                "callbacks": [TQDMProgressBar(refresh_rate=20), *callbacks],
            },
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument("--card", type=Card)
        parser.add_argument("--export", type=Export, default=Export())
        parser.add_argument("--compile", type=Literal["no", "default", "reduce-overhead", "max-autotune"], default="no")

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        if self.config.trainer.enable_progress_bar is False:  # Lightning refuses a bar of our own then
            kept = [c for c in self.trainer_defaults["callbacks"] if not isinstance(c, ProgressBar)]
            self.trainer_defaults["callbacks"] = kept
        return super().instantiate_trainer(**kwargs)

    @staticmethod
    def configure_optimizers(lightning_module: Any, optimizer: Optimizer, lr_scheduler: Any = None) -> Any:
        if lr_scheduler is None:
            return optimizer
        if isinstance(lr_scheduler, WarmupDecay):
            lr_scheduler.stretch(int(lightning_module.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": lr_scheduler, "interval": "step"}}


def compile_parts(model: ZooModule, mode: str, backend: str = "inductor") -> None:
    """torch.compile every part of a model in place: keys and types stay. "reduce-overhead" replays CUDA graphs on a GPU.

    A recipe asks for it by `compile: default`, and only where it was measured to pay: compiling takes longer than the
    training of a small model.
    """
    if mode == "no":
        return
    for part in model.children():
        part.compile(mode=None if mode == "default" else mode, backend=backend)


def float32_is_quicker(trainer: L.Trainer) -> bool:
    """Whether a trainer is to compute with bfloat16 on a processor that takes longer with it than with float32."""
    on_cpu = isinstance(trainer.accelerator, CPUAccelerator)
    return on_cpu and str(trainer.precision).startswith("bf16") and bfloat16_is_slow("cpu")


def fit(recipe: Path, run: Path, overrides: list[str]) -> tuple[ZooModule, L.LightningDataModule, RecipeCLI, History]:
    """Train by a recipe in a run folder, from its last saved state if there is one; returns the trained model.

    A recipe's bfloat16 gives way to float32 where that is quicker, unless an override asks for a precision.
    """
    run.mkdir(parents=True, exist_ok=True)
    history, resume = History(run / "history.csv"), Resume(run / "last.ckpt")
    cli = RecipeCLI(recipe, overrides, [history, resume])
    told = any(override.startswith("--trainer.precision") for override in overrides)
    if float32_is_quicker(cli.trainer) and not told:
        rank_zero_info("This processor is slower in bfloat16 than in float32: training in float32.")
        cli = RecipeCLI(recipe, [*overrides, "--trainer.precision=32-true"], [history, resume])
    state = run / "last.ckpt"
    compile_parts(cli.model, cli.config.compile)
    ckpt_path = str(state) if state.exists() else None
    # plain values: no pickle
    cli.trainer.fit(cli.model, datamodule=cli.datamodule, ckpt_path=ckpt_path, weights_only=True)
    if not history.trained:
        # cut after its last epoch: Lightning has nothing left to do and calls no hook, yet the average or the best weights
        # are still to be put in place
        for callback in cli.trainer.callbacks:  # type: ignore[attr-defined]
            if not isinstance(callback, ProgressBar):
                callback.on_train_end(cli.trainer, cli.model)
        cli.model.on_train_end()
    return cli.model, cli.datamodule, cli, history
