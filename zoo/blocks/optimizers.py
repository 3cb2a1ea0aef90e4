"""Six optimisers written out, one rule each; they take the very steps of torch.optim.

With the gradient g of the loss at the weights w, the learning rate η, and everything by element:

    gradient descent   w ← w - η g
    momentum           φ ← μ φ + g,              w ← w - η φ                      (Polyak, 1964)
    Nesterov           φ ← μ φ + g,              w ← w - η (g + μ φ)              (Nesterov, 1983)
    AdaGrad            s ← s + g²,               w ← w - η g / (√s + ε)           (Duchi, Hazan and Singer, 2011)
    RMSProp            s ← α s + (1 - α) g²,     w ← w - η g / (√s + ε)           (Hinton, 2012)
    Adam               m ← β₁ m + (1 - β₁) g,    s ← β₂ s + (1 - β₂) g²,
                       w ← w - η m̂ / (√ŝ + ε),   m̂ = m / (1 - β₁ᵗ),  ŝ = s / (1 - β₂ᵗ)    (Kingma and Ba, 2015)

The first three differ in what they remember of earlier gradients, the last three give each weight a step of its own. Adam's m and
s begin at 0 and are too small at first, by the factor that its hats take back; t counts from 1.

Departures from the textbook: momentum decays by μ (printed without, it remembers every gradient for ever), and Nesterov's rule is
the one for a constant μ, in PyTorch's form, that evaluates the gradient at w itself.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from zoo.errors import InputError

Params = Iterable[Tensor] | Iterable[dict[str, Any]]


class Rule(Optimizer):
    """What the six share: a loop over the weights that have a gradient, and memory that begins at zero.

    A subclass names what it remembers and writes its equation as `update`.
    """

    memory: tuple[str, ...] = ()

    def __init__(self, params: Params, options: dict[str, float]) -> None:
        for name, value in options.items():
            if not 0 <= value or (name not in ("lr", "eps") and not value < 1):
                raise InputError(
                    f"{name} is {value!r}; it must be 0 or more{'' if name in ('lr', 'eps') else ', below 1'}"
                )
        super().__init__(params, options)

    def update(self, w: Tensor, g: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        """Change the weights w in place by their gradient g."""
        raise NotImplementedError

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for w in group["params"]:
                if w.grad is None:
                    continue
                state = self.state[w]
                if not state:
                    state["t"] = 0
                    state.update({name: torch.zeros_like(w) for name in self.memory})
                state["t"] += 1
                self.update(w, w.grad, group, state)
        return loss


class GradientDescent(Rule):
    """Down the gradient; stochastic where the gradient is a batch's."""

    def __init__(self, params: Params, lr: float = 1e-3) -> None:
        super().__init__(params, {"lr": lr})

    def update(self, w: Tensor, g: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        w.sub_(group["lr"] * g)


class Momentum(Rule):
    """A heavy ball: what the gradients agree on adds up to 1 / (1 - momentum) steps, what they don't cancels."""

    memory = ("phi",)

    def __init__(self, params: Params, lr: float = 1e-3, *, momentum: float = 0.9) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    def update(self, w: Tensor, g: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        state["phi"].mul_(group["momentum"]).add_(g)
        w.sub_(group["lr"] * state["phi"])


class Nesterov(Momentum):
    """Momentum that looks one step ahead."""

    def update(self, w: Tensor, g: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        state["phi"].mul_(group["momentum"]).add_(g)
        w.sub_(group["lr"] * (g + group["momentum"] * state["phi"]))


class AdaGrad(Rule):
    """Smaller steps for weights with large gradients so far; the steps only ever get smaller."""

    memory = ("s",)

    def __init__(self, params: Params, lr: float = 1e-2, *, eps: float = 1e-10) -> None:
        super().__init__(params, {"lr": lr, "eps": eps})

    def update(self, w: Tensor, g: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        state["s"].add_(g.square())
        w.sub_(group["lr"] * g / (state["s"].sqrt() + group["eps"]))


class RMSProp(Rule):
    """AdaGrad that forgets: a running mean of squares in place of their sum."""

    memory = ("s",)

    def __init__(self, params: Params, lr: float = 1e-3, *, alpha: float = 0.99, eps: float = 1e-8) -> None:
        super().__init__(params, {"lr": lr, "alpha": alpha, "eps": eps})

    def update(self, w: Tensor, g: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        state["s"].mul_(group["alpha"]).add_((1 - group["alpha"]) * g.square())
        w.sub_(group["lr"] * g / (state["s"].sqrt() + group["eps"]))


class Adam(Rule):
    """RMSProp with momentum, both without the bias of a beginning at zero."""

    memory = ("m", "s")

    def __init__(
        self, params: Params, lr: float = 1e-3, *, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8
    ) -> None:
        super().__init__(params, {"lr": lr, "beta1": beta1, "beta2": beta2, "eps": eps})

    def update(self, w: Tensor, g: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        beta1, beta2, t = group["beta1"], group["beta2"], state["t"]
        state["m"].mul_(beta1).add_((1 - beta1) * g)
        state["s"].mul_(beta2).add_((1 - beta2) * g.square())
        m, s = state["m"] / (1 - beta1**t), state["s"] / (1 - beta2**t)
        w.sub_(group["lr"] * m / (s.sqrt() + group["eps"]))


OPTIMIZERS: dict[str, Callable[..., Rule]] = {
    "gradient descent": GradientDescent,
    "momentum": Momentum,
    "Nesterov": Nesterov,
    "AdaGrad": AdaGrad,
    "RMSProp": RMSProp,
    "Adam": Adam,
}
