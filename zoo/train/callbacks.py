"""The callbacks of the recipes: what is saved, what is kept, what bounds a gradient."""

import contextlib
import csv
import math
import os
import platform
import time
from io import StringIO
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, ProgressBar, TQDMProgressBar
from torch.optim import Optimizer

from zoo.core.files import sync, write_text
from zoo.core.progress import bar, watched
from zoo.errors import InputError


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
        staged = self.path.with_suffix(".tmp")  # of this run alone, which owns its folder
        try:
            trainer.save_checkpoint(staged)
            if trainer.is_global_zero:
                sync(staged)
                os.replace(staged, self.path)
        except (OSError, RuntimeError) as error:  # torch's own writer turns a full disk into a RuntimeError
            staged.unlink(missing_ok=True)
            raise InputError(
                f"the state of the run can't be saved to {self.path} ({error}): free some space and run the same "
                "command; it goes on from the state before"
            ) from None
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
    """The training curve, one row an epoch, the seconds of training and what it ran on, all kept across resumed runs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, float]] = []
        self.parts: list[dict[str, Any]] = []  # a run that went on on another machine has several
        self.seconds = 0.0
        self.started = time.monotonic()
        self.trained = False  # in this process

    def elapsed(self) -> float:
        return self.seconds + time.monotonic() - self.started

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.started, self.trained = time.monotonic(), True
        here = machine(trainer)
        if not self.parts or {key: self.parts[-1].get(key) for key in here} != here:
            self.parts.append({"epochs": 0, "seconds": 0.0} | here)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.parts[-1]["epochs"] += 1
        earlier = sum(part["seconds"] for part in self.parts[:-1])
        self.parts[-1]["seconds"] = round(self.elapsed() - earlier, 1)
        values = {key: round(float(value), 6) for key, value in sorted(trainer.callback_metrics.items())}
        clock = {"epoch": trainer.current_epoch, "step": trainer.global_step, "seconds": round(self.elapsed(), 1)}
        self.rows.append(clock | values)
        if trainer.is_global_zero:
            columns = list(dict.fromkeys(key for row in self.rows for key in row))
            text = StringIO()
            writer = csv.DictWriter(text, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
            write_text(self.path, text.getvalue())

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "seconds": self.elapsed(), "parts": self.parts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows, self.seconds, self.parts = state["rows"], state["seconds"], state.get("parts", [])


def machine(trainer: L.Trainer) -> dict[str, Any]:
    """What a run's numbers depend on beside its recipe: processor, precision, versions."""
    on_gpu = trainer.strategy.root_device.type == "cuda"
    return {
        "hardware": torch.cuda.get_device_name() if on_gpu else cpu_name(),
        "devices": trainer.world_size if on_gpu else torch.get_num_threads(),
        "precision": str(trainer.precision),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "lightning": L.__version__,
    }


def cpu_name() -> str:
    """The processor's model name where Linux tells it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


class LogLines(ProgressBar):
    """The progress of a training whose output goes to a file: one plain line a minute."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: Any = None

    def disable(self) -> None: ...

    def enable(self) -> None: ...

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        steps = trainer.estimated_stepping_batches
        if trainer.is_global_zero:
            self.shown = bar("training", int(steps) if math.isfinite(steps) else None)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any, **__: Any) -> None:
        if self.shown is not None:
            # a game of two networks takes two steps a batch, an agent many: there the batches are counted
            done = trainer.global_step if pl_module.automatic_optimization else trainer.fit_loop.total_batch_idx + 1
            self.shown.update(done - self.shown.n)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.shown is not None:
            self.shown.close()


def training_bar(refresh_rate: int) -> ProgressBar:
    """Lightning's bar where somebody looks, lines in a log."""
    return TQDMProgressBar(refresh_rate=refresh_rate) if watched() else LogLines()


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


class KeepBest(Callback):
    """At the end of training, put back the weights of the epoch with the best validation values.

    Args:
        monitor: logged values in order of importance, "+" in front where larger is better, "-" where smaller is.
            A later one decides where the earlier ones are equal; where all are equal, the later epoch wins.
        patience: stop after so many epochs without a better one; None trains all of them.
    """

    def __init__(self, monitor: tuple[str, ...] = ("+val/accuracy", "-val/loss"), patience: int | None = None) -> None:
        self.monitor, self.patience = tuple(monitor), patience
        self.best: tuple[float, ...] | None = None
        self.epoch = -1
        self.improved = -1  # the last epoch that was better, not only as good
        self.weights: dict[str, torch.Tensor] = {}

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        values = trainer.callback_metrics
        score = tuple((1 if key[0] == "+" else -1) * float(values[key[1:]]) for key in self.monitor)
        if self.best is None or score > self.best:
            self.improved = trainer.current_epoch
        if self.best is None or score >= self.best:
            self.best, self.epoch = score, trainer.current_epoch
            self.weights = {key: value.detach().clone() for key, value in pl_module.state_dict().items()}
        if self.patience is not None and trainer.current_epoch - self.improved >= self.patience:
            trainer.should_stop = True

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.weights:
            pl_module.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "epoch": self.epoch, "weights": self.weights, "improved": self.improved}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.epoch, self.weights = state["best"], state["epoch"], state["weights"]
        self.improved = state.get("improved", self.epoch)
