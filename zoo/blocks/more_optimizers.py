"""Optimisers beside the six of `optimizers.py`: without a learning rate, with a matrix, for squares, and for flat valleys.

    AdaDelta             s ← ρ s + (1 − ρ) g²,   d = √(u + ε) / √(s + ε) · g,
                         u ← ρ u + (1 − ρ) d²,   w ← w − η d                                                (Zeiler, 2012)
    preconditioned       w ← w − η P⁻¹ g                       one step to the bottom of ½ wᵀA w with P = A and η = 1
    full AdaGrad         G ← G + g gᵀ,           w ← w − η (G^½ + ε I)⁻¹ g                  (Duchi, Hazan and Singer, 2011)
    Levenberg-Marquardt  w ← w − (JᵀJ + λ I)⁻¹ Jᵀ r            for a loss ½ ‖r(w)‖² with Jacobian J          (1944; 1963)
    SAM                  w ← w − η g(w + ρ g(w) / ‖g(w)‖)                    (Foret et al., 2021, arXiv:2010.01412)
    t / (t + 3)          φ' = w − η g(w),  w ← φ' + t / (t + r) (φ' − φ),  r = 3             (Nesterov, 1983)

The last follows the differential equation ẅ + (r/s) ẇ = −∇f(w) at times s = t √η (Su, Boyd and Candès, 2016), as plain gradient
descent follows ẇ = −∇f(w) at times s = t η.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from zoo.blocks.ode import integrate
from zoo.blocks.optimizers import Params, Rule
from zoo.errors import InputError


class AdaDelta(Rule):
    """RMSProp whose steps have the unit of the weights: their own mean size stands above the gradients'."""

    memory = ("s", "u")

    def __init__(self, params: Params, lr: float = 1.0, *, rho: float = 0.9, eps: float = 1e-6) -> None:
        super().__init__(params, {"lr": lr, "rho": rho, "eps": eps})

    def update(self, w: Tensor, g: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        rho, eps = group["rho"], group["eps"]
        state["s"].mul_(rho).add_((1 - rho) * g.square())
        step = (state["u"] + eps).sqrt() / (state["s"] + eps).sqrt() * g
        state["u"].mul_(rho).add_((1 - rho) * step.square())
        w.sub_(group["lr"] * step)


class FullAdaGrad(Rule):
    """AdaGrad with the whole matrix G of a weight's gradients, [n, n] for n numbers: for small weights alone."""

    def __init__(self, params: Params, lr: float = 1e-2, *, eps: float = 1e-10) -> None:
        super().__init__(params, {"lr": lr, "eps": eps})

    def update(self, w: Tensor, g: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        flat = g.flatten().double()
        state["G"] = state.get("G", 0) + torch.outer(flat, flat)
        values, vectors = torch.linalg.eigh(state["G"])
        along = vectors.T @ flat / (values.clamp(min=0).sqrt() + group["eps"])
        w.sub_(group["lr"] * (vectors @ along).to(w).reshape(w.shape))


class SAM(Rule):
    """Sharpness-aware minimisation: the gradient from the worst point of a small ball around the weights.

    `step` needs a closure that clears the gradients, computes the loss and its gradients; it is called twice.

    Args:
        rho: radius of the ball.
    """

    def __init__(self, params: Params, lr: float = 1e-2, *, rho: float = 0.05) -> None:
        super().__init__(params, {"lr": lr, "rho": rho})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        if closure is None:
            raise InputError(
                "SAM looks at the loss twice a step: give step() a closure that computes loss and gradients"
            )
        with torch.enable_grad():
            loss = closure()
        weights = [(w, group) for group in self.param_groups for w in group["params"] if w.grad is not None]
        norm = torch.stack([w.grad.norm() for w, _ in weights]).norm().clamp(min=1e-12)
        moves = [group["rho"] / norm * w.grad for w, group in weights]
        for (w, _), move in zip(weights, moves, strict=True):
            w.add_(move)
        with torch.enable_grad():
            closure()
        for (w, group), move in zip(weights, moves, strict=True):
            w.sub_(move)
            w.sub_(group["lr"] * w.grad)
        return loss


def preconditioned(
    gradient: Callable[[Tensor], Tensor], w: Tensor, matrix: Tensor, *, lr: float = 1.0, steps: int = 1
) -> Tensor:
    """The way [steps + 1, n] of gradient descent with P = `matrix` [n, n] from w [n]."""
    way = [w]
    for _ in range(steps):
        way.append(way[-1] - lr * torch.linalg.solve(matrix, gradient(way[-1])))
    return torch.stack(way)


def levenberg_marquardt(
    residuals: Callable[[Tensor], Tensor], w: Tensor, *, steps: int = 20, damping: float = 1e-2
) -> tuple[Tensor, list[float]]:
    """Minimise ½ ‖r(w)‖²: weights [n], and the loss before each step and at the end.

    A step that lowers the loss is kept and λ falls to a third, towards Gauss and Newton; one that doesn't is taken back and λ
    grows fourfold, towards short steps down the gradient.

    Args:
        residuals: r, [n] to [m].
        damping: the first λ.
    """
    if not damping > 0:
        raise InputError(f"damping must be above 0, not {damping!r}")
    losses = [0.5 * residuals(w).square().sum().item()]
    for _ in range(steps):
        r, jacobian = residuals(w), torch.autograd.functional.jacobian(residuals, w)
        matrix = jacobian.T @ jacobian + damping * torch.eye(len(w), dtype=w.dtype)
        tried = w - torch.linalg.solve(matrix, jacobian.T @ r)
        loss = 0.5 * residuals(tried).square().sum().item()
        better = loss < losses[-1]
        w, damping = (tried, damping / 3) if better else (w, damping * 4)
        losses.append(loss if better else losses[-1])
    return w, losses


def accelerated(gradient: Callable[[Tensor], Tensor], w: Tensor, *, lr: float, steps: int, r: float = 3.0) -> Tensor:
    """Nesterov's method with the factor t / (t + r): its way [steps + 1, n] from w [n]."""
    way, phi = [w], w
    for t in range(steps):
        after = way[-1] - lr * gradient(way[-1])
        way.append(after + t / (t + r) * (after - phi))
        phi = after
    return torch.stack(way)


def accelerated_flow(gradient: Callable[[Tensor], Tensor], w: Tensor, times: Tensor, *, r: float = 3.0) -> Tensor:
    """ẅ + (r/s) ẇ = −∇f(w) from rest at w [n], at rising times s > 0: [len(times), n]."""

    def field(state: Tensor, s: float) -> Tensor:
        place, speed = state.chunk(2)
        return torch.cat([speed, -gradient(place) - r / s * speed])

    start = torch.cat([w, -times[0] / (r + 1) * gradient(w)])  # near rest, ẇ = −s ∇f / (r + 1)
    states = [start, *integrate(field, start, times.tolist(), "rk4")]
    return torch.stack(states)[:, : len(w)]
