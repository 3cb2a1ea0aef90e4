"""Networks that are written down, not learnt: what threshold units can compute.

    any Boolean function     f(x) = Sign(Σ_k Sign(u_k · x − (n − 1)) + K − 1)        u_1 … u_K: the inputs of ±1 where f is +1
    a polygon                f(x) = 1 if Σ_e step(a_e · x − b_e) = number of its edges, else 0
    a Lipschitz function     Σ_cells f(centre) · 1[x in cell],     error at most L · half a cell

One hidden layer is enough for each, but the first may need 2ⁿ units, and the last as many as there are cells: existence
isn't economy. (One textbook prints the outer offset as n − 1. A unit that fires adds 2 to the −K of all silent ones, so it
must be K − 1.)
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.errors import InputError
from zoo.theory.arrays import Numbers, array, points


def sign(x: Tensor) -> Tensor:
    """+1 from 0 on, −1 below."""
    return torch.where(x >= 0, 1.0, -1.0).to(torch.float64)


@dataclass(frozen=True)
class SignNet:
    """Two layers of sign units.

    Attributes:
        weight: [K, n], the inputs u_k that the hidden units answer to.
        offset: of the output unit.
    """

    weight: Tensor
    offset: float

    def __call__(self, x: Numbers) -> Tensor:
        """±1 [N] of inputs [N, n] of ±1."""
        x = points(x, "x")
        if x.shape[1] != self.weight.shape[1]:
            raise InputError(f"inputs have {self.weight.shape[1]} coordinates, not {x.shape[1]}")
        if (x.abs() != 1).any():
            raise InputError("inputs are −1 or +1")
        hidden = sign(x @ self.weight.T - (self.weight.shape[1] - 1))
        return sign(hidden.sum(1) + self.offset)


def sign_network(
    table: Sequence[int] | Mapping[tuple[int, ...], int] | Callable[..., int], inputs: int | None = None
) -> SignNet:
    """A network of sign units that computes a Boolean function exactly.

    Args:
        table: the outputs ±1 (or 0 and 1) for all inputs in counting order, −1 counting as 0; or a mapping from inputs to
            outputs; or a function of `inputs` arguments of ±1.
        inputs: n, needed for a function.

    Raises:
        InputError: for a table whose length is no power of 2, or other values.
    """
    if callable(table):
        if not inputs or inputs < 1:
            raise InputError("a function needs its number of inputs: sign_network(f, inputs=2)")
        values = [int(table(*x)) for x in itertools.product((-1, 1), repeat=inputs)]
    elif isinstance(table, Mapping):
        width = len(next(iter(table), ()))
        try:
            values = [int(table[x]) for x in itertools.product((-1, 1), repeat=width)]
        except KeyError as missing:
            raise InputError(f"the table has no output for the input {missing}") from None
    else:
        values = [int(v) for v in table]
    n = int(math.log2(len(values))) if values else 0
    if not values or 2**n != len(values) or n < 1:
        raise InputError(f"a truth table has 2, 4, 8 … outputs, not {len(values)}")
    if not set(values) <= {-1, 0, 1}:
        raise InputError(f"outputs are −1 and 1 (or 0 and 1), not {sorted(set(values))}")
    rows = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=n)), dtype=torch.float64)
    chosen = rows[torch.tensor([v == 1 for v in values])]
    return SignNet(chosen, len(chosen) - 1.0)


def polygon(corners: Numbers) -> Callable[[Numbers], Tensor]:
    """The indicator of a convex polygon with corners [K, 2]: one threshold unit an edge, one that asks for all of them.

    Raises:
        InputError: for fewer than three corners, or corners that don't turn one way.
    """
    c = array(corners, "corners", 2)
    if c.shape[1] != 2 or len(c) < 3:
        raise InputError(f"a polygon has at least three corners [K, 2], not {list(c.shape)}")
    edge = c.roll(-1, 0) - c
    after = edge.roll(-1, 0)
    turns = edge[:, 0] * after[:, 1] - edge[:, 1] * after[:, 0]
    if not ((turns > 0).all() or (turns < 0).all()):
        raise InputError("the corners of a convex polygon turn one way: give them in order")
    normal = torch.stack([-edge[:, 1], edge[:, 0]], 1) * turns[0].sign()  # inwards
    offset = (normal * c).sum(1)

    def indicator(x: Numbers) -> Tensor:
        """1 inside and on the edge, 0 outside, [N] of points [N, 2]."""
        fired = (points(x, "x") @ normal.T - offset >= -1e-12).sum(1)
        return (fired >= len(c)).to(torch.float64)

    return indicator


@dataclass(frozen=True)
class Staircase:
    """A sum of steps that is constant on each of equal cells.

    Attributes:
        edges: [cells + 1]; values: [cells].
    """

    edges: Tensor
    values: Tensor

    def __call__(self, x: Numbers) -> Tensor:
        """Values [N] at points [N]; beyond the interval those of the outer cells."""
        x = array(x, "x").flatten()
        steps = (x[:, None] >= self.edges[1:-1]).to(torch.float64)  # one threshold unit an inner edge
        return self.values[0] + steps @ self.values.diff()


def staircase(f: Callable[[float], float], low: float, high: float, slope: float, error: float) -> Staircase:
    """A one-layer threshold network within `error` of a function whose slope is at most `slope` on [low, high].

    Raises:
        InputError: for an empty interval, or a slope or error that isn't above 0.
    """
    if not low < high or not slope > 0 or not error > 0:
        raise InputError(
            f"low must be below high, slope and error above 0, not {low!r}, {high!r}, {slope!r}, {error!r}"
        )
    cells = max(1, math.ceil((high - low) * slope / (2 * error)))  # a cell's half width times the slope is the error
    edges = torch.linspace(low, high, cells + 1, dtype=torch.float64)
    middle = (edges[1:] + edges[:-1]) / 2
    return Staircase(edges, torch.tensor([float(f(x)) for x in middle.tolist()], dtype=torch.float64))
