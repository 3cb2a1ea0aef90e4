"""What dropout does beyond training throughout: doubt about an answer, and dropout in one phase of the training alone.

Monte-Carlo dropout (Gal and Ghahramani, 2016, arXiv:1506.02142) goes on dropping units when it predicts. Each draw is another
network, ŷ_t, and their mean and spread stand for a posterior:

    y* = 1/T Σ_t ŷ_t(x),    Var(y*) ≈ 1/T Σ_t ŷ_t² - y*²

Early dropout (Liu et al., 2023, arXiv:2303.01500) drops in the first part of the training, where it makes the gradients of
different batches agree, so that a network that underfits fits better; late dropout begins where early dropout ends.
"""

from collections.abc import Callable
from typing import Literal

import lightning as L
import torch
from torch import Tensor, nn

from zoo.core.checks import check_count
from zoo.errors import InputError

DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)


def dropouts(model: nn.Module) -> list[nn.Module]:
    """The dropout layers of a model that drop anything.

    Raises:
        InputError: if there is none.
    """
    found: list[nn.Module] = [module for module in model.modules() if isinstance(module, DROPOUTS) and module.p > 0]
    if not found:
        raise InputError(f"{type(model).__name__} has no dropout above 0: make it with one")
    return found


@torch.no_grad()
def monte_carlo(
    model: nn.Module, x: Tensor, samples: int = 100, *, seed: int = 0, call: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """Outputs of `samples` networks with other units dropped, [samples, N, …]; the rest of the model is in eval mode.

    Args:
        call: what to compute, `model` itself if not given.
    """
    check_count(samples, "samples")
    layers, was_training = dropouts(model), model.training
    model.eval()
    try:
        for layer in layers:
            layer.train()
        with torch.random.fork_rng(devices=[x.device] if x.is_cuda else []):
            torch.manual_seed(seed)
            return torch.stack([(call or model)(x) for _ in range(samples)])
    finally:
        model.train(was_training)


class PhasedDropout(L.Callback):
    """Dropout in one phase of the training only, as a callback of a recipe.

    Args:
        phase: "early" drops up to the share `until` of the epochs, "late" from then on.
        until: between 0 and 1.
    """

    def __init__(self, phase: Literal["early", "late"] = "early", until: float = 0.5) -> None:
        if phase not in ("early", "late") or not 0 < until < 1:
            raise InputError(f"phase must be early or late and until between 0 and 1, not {phase!r} and {until!r}")
        self.phase, self.until = phase, until
        self.rates: list[float] = []

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.max_epochs or trainer.max_epochs < 1:
            raise InputError("PhasedDropout needs max_epochs: it has to know when a phase ends")
        layers = [module for module in pl_module.modules() if isinstance(module, DROPOUTS)]
        if not self.rates:
            self.rates = [layer.p for layer in layers]
        early = trainer.current_epoch < self.until * trainer.max_epochs
        for layer, rate in zip(layers, self.rates, strict=True):
            layer.p = rate if early == (self.phase == "early") else 0.0

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        layers = [module for module in pl_module.modules() if isinstance(module, DROPOUTS)]
        for layer, rate in zip(layers, self.rates, strict=False):
            layer.p = rate

    def state_dict(self) -> dict[str, list[float]]:
        return {"rates": self.rates}

    def load_state_dict(self, state: dict[str, list[float]]) -> None:
        self.rates = state["rates"]
