"""Training by recipe: LightningCLI reads checkpoints/NAME/recipe.yaml, a run can be cut at any time and goes on where it was.

A recipe is a LightningCLI configuration (seed_everything, model, data, trainer, optimizer, lr_scheduler) with two more
sections: `card`, the words of the model card, and `export`, what is published of a run.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lightning as L
from lightning.fabric.utilities.cloud_io import _load as read_saved
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.callbacks import Callback, ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities import rank_zero_info
from torch.optim import Optimizer

from zoo.core.module import ZooModule
from zoo.core.precision import bfloat16_is_slow
from zoo.errors import InputError
from zoo.train.callbacks import History, Resume, training_bar
from zoo.train.schedule import WarmupDecay


@dataclass
class Card:
    """The hand-written words of a model card.

    Args:
        summary: one paragraph: what it is and what it is good for.
        paper: link or citation of the method.
        limits: what it can't do.
        departures: what differs from the paper, beyond the architecture file.
        chosen: on what data settings were chosen, and what was known of the test part then.
    """

    summary: str
    paper: str
    limits: str
    departures: str = ""
    chosen: str = ""


@dataclass
class Export:
    """What is published of a run.

    Args:
        averaged: the run keeps an exponential moving average (EMAWeightAveraging), and that is what is exported.
        dtype: how the weights are stored; they are loaded as float32. "int8" has a scale for every 64 weights (zoo.store.int8).
        seeds: runs with seeds 0, 1, …; the first is published (never the best), all of them give mean and std.
        together: fit all seeds in one process, and evaluate them in one: for runs whose imports cost more than they do.
        fold: an argument that takes the seed's number, such as "data.fold": the seeds are the folds of a cross-validation.
    """

    averaged: bool = False
    dtype: Literal["float32", "float16", "bfloat16", "int8"] = "float32"
    seeds: int = 1
    together: bool = False
    fold: str | None = None


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
                "callbacks": [training_bar(20), *callbacks],
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
            lr_scheduler.stretch(lightning_module.trainer.estimated_stepping_batches)
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


def check_state(path: Path) -> None:
    """Refuse a saved state that no run wrote, in place of whatever Lightning would make of it.

    Raises:
        InputError: if the file is there and can't be read as one.
    """
    if not path.exists():
        return
    try:
        state: Any = read_saved(path, map_location="cpu", weights_only=True)  # as Lightning does: plain tensors only
        sound = isinstance(state, dict) and {"state_dict", "epoch", "loops"} <= state.keys()
    except Exception as error:  # no zip file, or one without the records of torch
        raise InputError(
            f"{path} is damaged ({type(error).__name__}): remove it to start anew, or put an undamaged copy in its place"
        ) from None
    if not sound:
        raise InputError(f"{path} is no saved state of a run: remove it to start anew")


def fit(recipe: Path, run: Path, overrides: list[str]) -> tuple[ZooModule, L.LightningDataModule, RecipeCLI, History]:
    """Train by a recipe in a run folder, from its last saved state if there is one; returns the trained model.

    A recipe's bfloat16 gives way to float32 where that is quicker, unless an override asks for a precision.
    """
    run.mkdir(parents=True, exist_ok=True)
    history, resume = History(run / "history.csv"), Resume(run / "last.ckpt")
    cli = RecipeCLI(recipe, overrides, [history, resume])
    given = any(override.startswith("--trainer.precision") for override in overrides)
    if float32_is_quicker(cli.trainer) and not given:
        rank_zero_info("This processor is slower in bfloat16 than in float32: training in float32.")
        cli = RecipeCLI(recipe, [*overrides, "--trainer.precision=32-true"], [history, resume])
    state = run / "last.ckpt"
    check_state(state)
    compile_parts(cli.model, cli.config.compile)
    ckpt_path = str(state) if state.exists() else None
    # plain values: no pickle
    cli.trainer.fit(cli.model, datamodule=cli.datamodule, ckpt_path=ckpt_path, weights_only=True)
    if not history.trained:
        # cut after its last epoch: Lightning has nothing left to do and calls no hook, yet the average or the best weights
        # are still to be put in place
        trainer: Any = cli.trainer  # Lightning sets its callbacks at run time
        for callback in trainer.callbacks:
            if not isinstance(callback, ProgressBar):
                callback.on_train_end(cli.trainer, cli.model)
        cli.model.on_train_end()
    return cli.model, cli.datamodule, cli, history
