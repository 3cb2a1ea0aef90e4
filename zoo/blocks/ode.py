"""Integrating a velocity field: from noise to data and back, and the density along the way.

A field v(x, t) moves a point along dx/dt = v. It moves probability with it, and the log-density of a moving point changes by

    d log p_t(x_t) / dt = − div v(x_t, t)                                          (instantaneous change of variables)

so one integration from data to noise gives log p(data) = log p(noise) + ∫ div v dt (Chen et al., 2018, arXiv:1806.07366). The
divergence of a network is estimated without bias by εᵀ (∂v/∂x) ε with random signs ε, one backward pass (Hutchinson, 1989).
"""

import itertools
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from zoo.errors import UnknownNameError

Velocity = Callable[[Tensor, float], Tensor]
Divergence = Callable[[Velocity, Tensor, float], tuple[Tensor, Tensor]]


def euler(v: Velocity, x: Tensor, t: float, h: float) -> Tensor:
    """One call a step, error of first order."""
    return x + h * v(x, t)


def midpoint(v: Velocity, x: Tensor, t: float, h: float) -> Tensor:
    """Two calls a step, second order."""
    return x + h * v(x + h / 2 * v(x, t), t + h / 2)


def heun(v: Velocity, x: Tensor, t: float, h: float) -> Tensor:
    """Two calls a step, second order: the trapezoidal rule."""
    slope = v(x, t)
    return x + h / 2 * (slope + v(x + h * slope, t + h))


def rk4(v: Velocity, x: Tensor, t: float, h: float) -> Tensor:
    """Four calls a step, fourth order: the classical Runge-Kutta method."""
    a = v(x, t)
    b = v(x + h / 2 * a, t + h / 2)
    c = v(x + h / 2 * b, t + h / 2)
    d = v(x + h * c, t + h)
    return x + h / 6 * (a + 2 * b + 2 * c + d)


SOLVERS = {"euler": euler, "heun": heun, "midpoint": midpoint, "rk4": rk4}
CALLS = {"euler": 1, "heun": 2, "midpoint": 2, "rk4": 4}  # of the field, in each step


def solver(name: str) -> Callable[[Velocity, Tensor, float, float], Tensor]:
    """A step by the name of its method; LookupError that names the known ones."""
    if name not in SOLVERS:
        raise UnknownNameError("ODE solver", name, SOLVERS)
    return SOLVERS[name]


def integrate(v: Velocity, x: Tensor, times: Sequence[float], method: str = "heun") -> Iterator[Tensor]:
    """The states of dx/dt = v(x, t) at times[1], times[2], …, from x at times[0]."""
    step = solver(method)
    for t, after in itertools.pairwise(times):
        x = step(v, x, t, after - t)
        yield x


def exact_divergence(v: Velocity, x: Tensor, t: float) -> tuple[Tensor, Tensor]:
    """v(x, t) and its divergence [N], by one backward pass for each coordinate: for a few dimensions."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        out = v(x, t)
        flat = out.flatten(1)
        parts = [
            torch.autograd.grad(flat[:, i].sum(), x, retain_graph=True, materialize_grads=True)[0].flatten(1)[:, i]
            for i in range(flat.shape[1])
        ]
    return out.detach(), torch.stack(parts).sum(0)


def hutchinson(probe: Tensor) -> Divergence:
    """The estimate by a fixed probe of random signs, in the shape of x; fixed, it leaves the path deterministic."""

    def divergence(v: Velocity, x: Tensor, t: float) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            out = v(x, t)
            (pulled,) = torch.autograd.grad((out * probe).sum(), x, materialize_grads=True)
        return out.detach(), (pulled * probe).flatten(1).sum(1)

    return divergence


def integrate_density(
    v: Velocity, x: Tensor, times: Sequence[float], method: str, divergence: Divergence
) -> tuple[Tensor, Tensor]:
    """The state at the last time, and ∫ div v dt along the path, [N]: point and integral move as one system."""
    shape, n = x.shape, len(x)

    def joint(state: Tensor, t: float) -> Tensor:
        out, rate = divergence(v, state[:, :-1].reshape(shape), t)
        return torch.cat([out.reshape(n, -1), rate[:, None]], dim=1)

    state = torch.cat([x.reshape(n, -1), x.new_zeros(n, 1)], dim=1)
    for state in integrate(joint, state, times, method):  # noqa: B007, B020
        pass
    return state[:, :-1].reshape(shape), state[:, -1]
