"""Optimal transport: the least work that turns one distribution into another (Monge, 1781; Kantorovich, 1942).

    primal   min_π Σ_ij c_ij π_ij          with marginals Σ_j π_ij = p_i,  Σ_i π_ij = q_j,  π ≥ 0
    dual     max_φ,ψ Σ_i p_i φ_i + Σ_j q_j ψ_j     with φ_i + ψ_j ≤ c_ij

Both are linear programs with one value. Monge asked for a map, which can't split mass; Kantorovich's plan can. With c = |x −
y|^ν the value to the power 1/ν is the Wasserstein distance W_ν; on the line it is that of the sorted points, and for ν = 1 a
function of slope at most 1 attains the dual (Kantorovich and Rubinstein), which is what the critic of a Wasserstein GAN
looks for.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.errors import InputError, MissingExtraError
from zoo.theory.arrays import Numbers, array, distribution, points


class Plan(NamedTuple):
    """A solution of the primal: its cost, and what moves where, float64 [N, M]."""

    cost: float
    plan: Tensor


class Potentials(NamedTuple):
    """A solution of the dual: its value, and the potentials float64 [N] and [M]."""

    value: float
    phi: Tensor
    psi: Tensor


def primal(p: Numbers, q: Numbers, cost: Numbers) -> Plan:
    """The cheapest plan between distributions p [N] and q [M] with costs [N, M].

    Raises:
        InputError: for distributions that aren't any, or costs of another shape.
    """
    p, q, c = _checked(p, q, cost)
    n, m = c.shape
    rows = np.kron(np.eye(n), np.ones(m))
    columns = np.kron(np.ones(n), np.eye(m))
    found = _linprog()(
        c.numpy().ravel(), A_eq=np.vstack([rows, columns]), b_eq=np.concatenate([p, q]), bounds=(0, None)
    )
    return Plan(float(found.fun), torch.from_numpy(found.x).reshape(n, m))


def dual(p: Numbers, q: Numbers, cost: Numbers) -> Potentials:
    """The best prices: what the dual is worth, and its potentials.

    Raises:
        InputError: as `primal`.
    """
    p, q, c = _checked(p, q, cost)
    n, m = c.shape
    below = np.hstack([np.kron(np.eye(n), np.ones((m, 1))), np.kron(np.ones((n, 1)), np.eye(m))])
    bounds = [(0.0, 0.0)] + [(None, None)] * (n + m - 1)  # a constant can move between the potentials: φ_0 = 0
    found = _linprog()(-np.concatenate([p, q]), A_ub=below, b_ub=c.numpy().ravel(), bounds=bounds)
    x = torch.from_numpy(found.x)
    return Potentials(-float(found.fun), x[:n], x[n:])


def wasserstein(x: Numbers, y: Numbers, order: float = 1.0) -> float:
    """W_order between two sets of points [N] or [N, D] and [M] or [M, D], each point of equal weight.

    On the line and for sets of one size it is exact by sorting; else it is a linear program, for a few hundred points.

    Raises:
        InputError: for an order below 1, or points of different dimensions.
    """
    if not order >= 1:
        raise InputError(f"order must be at least 1, not {order!r}")
    a, b = array(x, "x"), array(y, "y")
    if a.ndim == 1 and b.ndim == 1 and len(a) == len(b):
        return (a.sort().values - b.sort().values).abs().pow(order).mean().item() ** (1 / order)
    a, b = (t[:, None] if t.ndim == 1 else points(t, "points") for t in (a, b))
    if a.shape[1] != b.shape[1]:
        raise InputError(f"x has points of {a.shape[1]} coordinates, y of {b.shape[1]}")
    p, q = torch.full((len(a),), 1 / len(a)), torch.full((len(b),), 1 / len(b))
    return max(0.0, primal(p, q, torch.cdist(a, b) ** order).cost) ** (1 / order)


def c_transform(phi: Numbers, cost: Numbers) -> Tensor:
    """φᶜ_j = min_i (c_ij − φ_i) [M]: the best second potential beside a first one [N]."""
    f, c = array(phi, "phi", 1), array(cost, "cost", 2)
    if len(f) != len(c):
        raise InputError(f"phi has {len(f)} values, the costs {len(c)} rows")
    return (c - f[:, None]).amin(0)


def _checked(p: Numbers, q: Numbers, cost: Numbers) -> tuple[Tensor, Tensor, Tensor]:
    p, q, c = distribution(p, "p", 1), distribution(q, "q", 1), array(cost, "cost", 2)
    if c.shape != (len(p), len(q)):
        raise InputError(f"costs must be [{len(p)}, {len(q)}], as p and q are long, not {list(c.shape)}")
    return p, q, c


def _linprog() -> Any:
    try:
        from scipy.optimize import linprog
    except ImportError:
        raise MissingExtraError("optimal transport", "scipy", "explain") from None
    return linprog
