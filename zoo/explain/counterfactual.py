"""Counterfactuals and recourse: the smallest change of an input that gives another answer (Wachter et al., 2018,
arXiv:1711.00399).

    argmin_x'  λ (f(x') − y')² + Σ_j |x'_j − x_j| / MAD_j

The median absolute deviation MAD puts all numbers into one currency, and the absolute value keeps most of them as they
are. λ grows until f(x') is as near to y' as asked. Recourse is the same with numbers that a person can't change held
fixed, and with limits.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zoo.core.checks import as_numbers
from zoo.errors import InputError
from zoo.explain.gradients import Function


@dataclass(frozen=True)
class Counterfactual:
    """A changed input.

    Attributes:
        x: the input after the change, as given.
        change: x less the input before.
        output: f after the change.
        distance: Σ |change_j| / MAD_j.
        reached: whether |output − wanted| is within the tolerance.
        changed: indices of the numbers that changed.
    """

    x: Tensor
    change: Tensor
    output: float
    distance: float
    reached: bool
    changed: list[int]


def median_absolute_deviation(data: Tensor) -> Tensor:
    """median |x − median x| of each column of rows [N, F], [F]; 1 where it is 0."""
    data = as_numbers(data, "rows of data").float()
    deviation = (data - data.median(0).values).abs().median(0).values
    return deviation.where(deviation > 0, torch.ones_like(deviation))


def counterfactual(
    f: Function,
    x: Tensor,
    wanted: float,
    mad: Tensor | None = None,
    *,
    tolerance: float | None = None,
    fixed: Tensor | None = None,
    lower: Tensor | None = None,
    upper: Tensor | None = None,
    start: Tensor | None = None,
    rounds: int = 24,
    steps: int = 120,
) -> Counterfactual:
    """The nearest input, by MAD-weighted absolute change, for which f is `wanted`.

    Found by proximal gradient steps with a line search: a step along the squared error's gradient, then every change
        shrinks towards 0
    by the same amount, so that most of them are 0. λ doubles from round to round until f is near enough.

    Args:
        f: points [N, …] → [N], differentiable; x: [1, …].
        mad: as x[0], or one number; 1 by default.
        tolerance: how near f must come; by default 0.2 % of the way, and 1e-4 at least.
        fixed: bool as x[0], True for numbers that stay.
        lower, upper: limits as x[0], or one number for all.
        start: another point to start from, for a second, different answer.

    Raises:
        InputError: if every number is fixed, or f isn't finite.
    """
    x = x.detach()
    scale = torch.as_tensor(1.0 if mad is None else mad, dtype=x.dtype, device=x.device).expand_as(x)
    free = torch.ones_like(x) if fixed is None else (~torch.as_tensor(fixed, device=x.device).bool()).to(x).expand_as(x)
    if not free.any():
        raise InputError("every number is fixed: let at least one change")
    low = torch.as_tensor(-torch.inf if lower is None else lower, dtype=x.dtype, device=x.device)
    high = torch.as_tensor(torch.inf if upper is None else upper, dtype=x.dtype, device=x.device)

    def value(u: Tensor) -> Tensor:
        return f(x + u * scale)[0]

    def fit(u: Tensor) -> Tensor:  # within the limits, and what is fixed stays
        return (((x + u * scale).clamp(low, high) - x) / scale) * free

    u = fit(torch.zeros_like(x) if start is None else (start.detach() - x) / scale)
    with torch.no_grad():
        now = float(value(torch.zeros_like(x)))
    if not torch.isfinite(torch.tensor(now)):
        raise InputError("the model's output isn't finite for this input")
    near = max(1e-4, 0.002 * abs(wanted - now)) if tolerance is None else tolerance
    weight, rate = 1.0 / max(near, abs(wanted - now) / 4), 1.0
    found, best = float("inf"), u.clone()
    for _ in range(rounds):
        for _ in range(steps):
            v = u.detach().requires_grad_()
            loss = weight * (value(v) - wanted).square()
            (slope,) = torch.autograd.grad(loss, v)
            slope, before = slope * free, float(loss.detach())
            rate = min(rate * 2, 1e6)
            for _ in range(60):  # halve until the squared error lies below its quadratic bound
                step = u - rate * slope
                new = fit(step.sign() * (step.abs() - rate).clamp(min=0))
                move = new - u
                with torch.no_grad():
                    ahead = weight * (value(new) - wanted).square()
                bound = before + float((slope * move).sum() + move.square().sum() / (2 * rate))
                if float(ahead) <= bound + 1e-9:
                    break
                rate /= 2
            done = float(move.abs().max()) < 1e-7 * max(1.0, float(u.abs().max()))
            u = new.detach()
            if done:
                break
        with torch.no_grad():
            error = abs(float(value(u)) - wanted)
        if error < found:
            found, best = error, u
        if error <= near:
            break
        weight *= 2
    with torch.no_grad():
        output = float(value(best))
    change = best * scale
    return Counterfactual(
        x + change, change, output, float(best.abs().sum()), abs(output - wanted) <= near * (1 + 1e-6),
        (change.flatten().abs() > 1e-9).nonzero().flatten().tolist(),
    )  # fmt: skip


def recourse(
    f: Function,
    x: Tensor,
    wanted: float,
    changeable: list[int],
    mad: Tensor | None = None,
    **limits: Any,
) -> Counterfactual:
    """As `counterfactual` for a row [1, F], where only the numbers with these indices can change.

    Args:
        limits: lower and upper of `counterfactual`.

    Raises:
        InputError: for an index that the row doesn't have.
    """
    count = x.shape[1]
    if not changeable or any(not 0 <= i < count for i in changeable):
        raise InputError(f"changeable holds numbers in 0..{count - 1}, one at least, not {changeable!r}")
    fixed = torch.ones(count, dtype=torch.bool)
    fixed[list(changeable)] = False
    return counterfactual(f, x, wanted, mad, fixed=fixed, **limits)


def diverse(
    f: Function, x: Tensor, wanted: float, data: Tensor, count: int = 3, mad: Tensor | None = None, *, seed: int = 0
) -> list[Counterfactual]:
    """Several answers, each started from another row of the data [N, F] for which f is nearest to what is wanted."""
    with torch.no_grad():
        order = (f(data) - wanted).abs().argsort()[: max(count * 4, count)]
    pick = order[torch.randperm(len(order), generator=torch.Generator().manual_seed(seed))[:count]]
    found = [counterfactual(f, x, wanted, mad, start=data[i : i + 1]) for i in pick.tolist()]
    return sorted((one for one in found if one.reached), key=lambda one: one.distance)
