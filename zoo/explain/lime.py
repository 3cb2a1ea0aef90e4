"""LIME: a simple model that agrees with a complicated one near one input (Ribeiro et al., 2016, arXiv:1602.04938).

    ξ(x) = argmin_g  Σ_z π(z) (f(z) − g(z'))² + Ω(g),      π(z) = exp(−D(x, z)² / σ²)

Six steps: take the point (1); describe it by bits, a segment, word or condition being there or not (2); draw bits (3); turn
each draw back into an input and ask the model (4); weigh the draws by how near they are (5); fit a line with few weights (6).

Ω keeps K weights: those that enter first on the path of the Lasso, fitted again without it (K-Lasso).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from zoo.errors import InputError, MissingExtraError
from zoo.explain.gradients import Function, captum, quietly


@dataclass
class Fit:
    """A line near a point: weights [M] (0 for what K-Lasso left out), its value where all bits are 0, and R² on the draws."""

    weights: Tensor
    intercept: float
    r2: float


@dataclass
class Steps:
    """What the six steps made: bits [N, M], the model's answers [N], nearness [N] and the line."""

    bits: Tensor
    answers: Tensor
    nearness: Tensor
    line: Fit


def nearness(distance: Tensor, width: float) -> Tensor:
    """π = exp(−D² / σ²) of distances [N]."""
    return (-(distance / width).square()).exp()


def k_lasso(bits: Tensor, answers: Tensor, weight: Tensor, k: int | None = None) -> Fit:
    """A weighted line with K weights at most.

    Args:
        bits: [N, M]; answers, weight: [N].
        k: weights that are kept; None for all.
    """
    z, y, w = (t.double().numpy() for t in (bits, answers, weight))
    total = w.sum()
    centre, level = (w[:, None] * z).sum(0) / total, float((w * y).sum() / total)
    root = np.sqrt(w)
    design, answer = (z - centre) * root[:, None], (y - level) * root
    chosen = np.arange(z.shape[1])
    if k is not None and k < z.shape[1]:
        try:
            from sklearn.linear_model import lars_path
        except ImportError:
            raise MissingExtraError("K-Lasso", "scikit-learn", "explain") from None
        _, _, path = lars_path(design, answer, method="lasso")  # [M, knots]
        counts = (path != 0).sum(0)
        knot = int(np.nonzero(counts <= k)[0][-1])
        chosen = np.nonzero(path[:, knot])[0]
    weights = np.zeros(z.shape[1])
    if len(chosen):
        weights[chosen] = np.linalg.lstsq(design[:, chosen], answer, rcond=1e-10)[0]
    left = answer - design @ weights
    spread = float((answer**2).sum())
    r2 = 1 - float((left**2).sum()) / spread if spread > 1e-18 else 1.0
    return Fit(torch.from_numpy(weights).float(), level - float(centre @ weights), r2)


def _line(k: int | None, kept: list[Any]) -> Any:
    """K-Lasso as a model that captum's LIME fits; it keeps what it saw."""
    captum()
    from captum._utils.models.model import Model

    class Line(Model):
        def fit(self, train_data: Any, **_: Any) -> None:
            rows = [tuple(t.detach().cpu() for t in batch) for batch in train_data]
            bits, answers, weight = (torch.cat(column) for column in zip(*rows, strict=True))
            self.line = k_lasso(bits.flatten(1), answers.flatten(), weight.flatten(), k)
            kept.append(Steps(bits.flatten(1), answers.flatten(), weight.flatten(), self.line))

        def representation(self) -> Tensor:
            return self.line.weights[None]

        def __call__(self, x: Tensor) -> Tensor:
            return x @ self.line.weights + self.line.intercept

    return Line()


def segments(
    f: Function,
    x: Tensor,
    baseline: Tensor,
    parts: Tensor,
    samples: int = 500,
    *,
    k: int | None = None,
    width: float = 0.5,
) -> Steps:
    """LIME for an input whose parts can be absent: an image's segments, a text's words. captum draws and asks.

    Args:
        f: points [N, …] → [N]; x, baseline: [1, …].
        parts: the part that each number of x[0] belongs to, int64 0 … M − 1.
        samples: draws, each part there or not by a coin.
        k: weights that are kept; None for all.
        width: σ; the distance is the share of the parts that are absent.

    Returns:
        the draws and the line; its weight for a part says how much the output rises while the part is there.
    """
    kept: list[Steps] = []

    def near(_: Any, __: Any, bits: Tensor, **___: Any) -> Tensor:
        return nearness((1 - bits.float()).mean(1), width)

    tool = captum().Lime(f, interpretable_model=_line(k, kept), similarity_func=near)
    with torch.no_grad(), quietly():
        tool.attribute(
            x,
            baselines=baseline,
            feature_mask=parts[None],
            n_samples=samples,
            perturbations_per_eval=64,
            return_input_shape=False,
        )
    return kept[0]


def row(
    f: Function, x: Tensor, scale: Tensor, samples: int = 500, *, k: int | None = None, width: float | None = None
) -> Steps:
    """LIME for a row of numbers: Gaussian draws around it, a line in the numbers themselves.

    Args:
        f: points [N, F] → [N]; x: [1, F].
        scale: deviation of each number in the data, [F]; draws deviate by as much.
        width: σ in deviations; by default 0.75 √F.

    Returns:
        the draws (z − x) / scale as bits, and the line; a weight is what the output gains with one deviation more of
        that number.
    """
    width = 0.75 * x.shape[1] ** 0.5 if width is None else width
    kept: list[Steps] = []

    def draw(_: Any, **__: Any) -> Tensor:
        return torch.randn_like(x)

    def near(_: Any, __: Any, z: Tensor, **___: Any) -> Tensor:
        return nearness(z.norm(dim=1), width)

    tool = captum().LimeBase(
        f, _line(k, kept), near, draw, perturb_interpretable_space=True,
        from_interp_rep_transform=lambda z, _, **__: x + z * scale, to_interp_rep_transform=None,
    )  # fmt: skip
    with torch.no_grad(), quietly():
        tool.attribute(x, n_samples=samples, perturbations_per_eval=64)
    return kept[0]


def tabular(
    f: Callable[[np.ndarray], np.ndarray],
    x: ArrayLike,
    data: ArrayLike,
    names: list[str] | None = None,
    *,
    samples: int = 1000,
    k: int | None = None,
    width: float | None = None,
    seed: int = 0,
) -> list[tuple[str, float]]:
    """LIME's conditions for a row: [("petal width <= 0.30", weight), …], the largest absolute weight first.

    Each number becomes a bit: whether it lies between the same quartiles of the data as the row's own. A draw takes each
    number from the data's rows, all apart, and f is asked about it.

    Args:
        f: rows [N, F] → [N], the probability of the class that is explained.
        x: the row, [F]; data: rows that it is one of, [N, F].
        names: of the numbers.
        k: conditions that are kept; None for all.
        width: σ; the distance is the root of the number of bits that differ. By default 0.75 √F.

    Raises:
        InputError: if row, data and names don't agree.
    """
    row_, rows = np.asarray(x, dtype=float).reshape(-1), np.asarray(data, dtype=float)
    count = len(row_)
    if rows.ndim != 2 or rows.shape[1] != count or len(rows) < 4:
        raise InputError(f"data is rows [N, {count}] with four or more of them, not {list(rows.shape)}")
    names = names or [f"x{i}" for i in range(count)]
    if len(names) != count:
        raise InputError(f"there are {count} numbers but {len(names)} names: give one for each")
    edges = np.quantile(rows, [0.25, 0.5, 0.75], axis=0)  # [3, F]
    bins = np.stack([np.searchsorted(edges[:, i], rows[:, i]) for i in range(count)], 1)
    own = np.array([np.searchsorted(edges[:, i], row_[i]) for i in range(count)])
    rng = np.random.default_rng(seed)
    pick = rng.integers(len(rows), size=(samples, count))
    drawn = np.take_along_axis(rows, pick, 0)
    bits = np.take_along_axis(bins, pick, 0) == own
    drawn[0], bits[0] = row_, True  # the row itself is one of the draws
    answers = np.asarray(f(drawn), dtype=float).reshape(-1)
    if len(answers) != samples:
        raise InputError(f"f gives a number for each of {samples} rows, not {len(answers)}")
    distance = torch.from_numpy(np.sqrt((~bits).sum(1)).astype(np.float32))
    near = nearness(distance, 0.75 * count**0.5 if width is None else width)
    line = k_lasso(torch.from_numpy(bits).float(), torch.from_numpy(answers), near, k)
    found = [(condition(names[i], edges[:, i], int(own[i])), float(line.weights[i])) for i in range(count)]
    return sorted((pair for pair in found if pair[1] != 0), key=lambda pair: -abs(pair[1]))


def condition(name: str, edges: np.ndarray, place: int) -> str:
    """A quarter of the data in words, such as "3.00 < sepal width <= 3.30"."""
    if place == 0:
        return f"{name} <= {edges[0]:.2f}"
    if place == len(edges):
        return f"{name} > {edges[-1]:.2f}"
    return f"{edges[place - 1]:.2f} < {name} <= {edges[place]:.2f}"
