"""What a model makes of one feature over all of the data: PDP, ICE, ALE, permutation importance, trees as surrogates.

    ICE_n(v) = f(x_n with feature j set to v)            one curve a row (Goldstein et al., 2015, arXiv:1309.6392)
    PDP(v)   = mean_n ICE_n(v)                           their mean (Friedman, 2001)
    ALE(v)   = Σ_{bins up to v} mean over the rows in the bin of f(upper edge) − f(lower edge), centred
                                                         (Apley and Zhu, 2020, arXiv:1612.08468)

PDP and ICE ask the model about rows that need not exist, where features go together; ALE moves each row no further than
its bin.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from zoo.core.checks import is_whole
from zoo.errors import InputError, MissingExtraError

Predict = Callable[[np.ndarray], Any]


def ice(
    model: Any, data: ArrayLike, feature: int, grid: ArrayLike | None = None, *, most: int = 50
) -> tuple[np.ndarray, np.ndarray]:
    """A curve for every row: the grid [G] and outputs [N, G].

    Args:
        model: a model of the zoo for rows of numbers, one with `predict` as scikit-learn's, or a function of rows [N, F]
            → [N].
        data: rows [N, F].
        feature: its column.
        grid: values to set it to; by default its distinct values, or `most` quantiles where there are more.

    Raises:
        InputError: for data that are no rows of numbers, or a column that isn't there.
    """
    rows = check_rows(data, feature)
    points = np.unique(rows[:, feature]) if grid is None else np.asarray(grid, dtype=float).reshape(-1)
    if grid is None and len(points) > most:
        points = np.unique(np.quantile(rows[:, feature], np.linspace(0, 1, most)))
    many = np.repeat(rows, len(points), axis=0)
    many[:, feature] = np.tile(points, len(rows))
    return points, ask(model, many).reshape(len(rows), len(points))


def pdp(
    model: Any, data: ArrayLike, feature: int, grid: ArrayLike | None = None, *, most: int = 50
) -> tuple[np.ndarray, np.ndarray]:
    """The partial dependence on a feature: the grid [G] and the mean output [G]. Arguments as `ice`."""
    points, curves = ice(model, data, feature, grid, most=most)
    return points, curves.mean(0)


def ale(model: Any, data: ArrayLike, feature: int, bins: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Accumulated local effects of a feature: the bins' edges [G] and the effect at each [G], whose mean over the rows is 0.

    Args:
        bins: quantiles that the feature is cut into; fewer where values repeat.

    Raises:
        InputError: as `ice`, and for a feature that never changes.
    """
    rows = check_rows(data, feature)
    edges = np.unique(np.quantile(rows[:, feature], np.linspace(0, 1, bins + 1)))
    if len(edges) < 2:
        raise InputError(f"feature {feature} is {edges[0]:.3g} in every row: there is nothing to accumulate")
    place = np.clip(np.searchsorted(edges, rows[:, feature], side="left"), 1, len(edges) - 1)
    low, high = rows.copy(), rows.copy()
    low[:, feature], high[:, feature] = edges[place - 1], edges[place]
    rise = ask(model, high) - ask(model, low)
    count = np.bincount(place, minlength=len(edges))[1:]
    local = np.bincount(place, weights=rise, minlength=len(edges))[1:] / np.maximum(count, 1)
    effect = np.concatenate([[0.0], local.cumsum()])
    middle = (effect[1:] + effect[:-1]) / 2
    return edges, effect - (middle * count).sum() / count.sum()


def permutation_importance(
    model: Any, data: ArrayLike, y: ArrayLike, *, repeats: int = 10, seed: int = 0
) -> np.ndarray:
    """How much the mean squared error rises when a feature's column is shuffled, [F] (Breiman, 2001); scikit-learn's.

    Args:
        y: targets [N].

    Raises:
        InputError: if rows and targets don't agree.
    """
    try:
        from sklearn.inspection import permutation_importance as importance
    except ImportError:
        raise MissingExtraError("permutation importance", "scikit-learn", "explain") from None
    rows, target = check_rows(data), np.asarray(torch.as_tensor(y), dtype=float).reshape(-1)
    if len(rows) != len(target):
        raise InputError(f"there are {len(rows)} rows but {len(target)} targets")

    class Estimator:
        def fit(self, *_: Any) -> "Estimator":
            return self

    def score(_: Any, x: np.ndarray, t: np.ndarray) -> float:
        return -float(np.square(ask(model, np.asarray(x)) - t).mean())

    return importance(Estimator(), rows, target, scoring=score, n_repeats=repeats, random_state=seed).importances_mean


def entropy(labels: ArrayLike) -> float:
    """H = −Σ p log₂ p of labels [N], in bits: 1 for two classes that are equally often, 0 for one class."""
    _, counts = np.unique(np.asarray(labels).reshape(-1), return_counts=True)
    if not len(counts):
        raise InputError("there are no labels to take the entropy of")
    share = counts / counts.sum()
    return float(-(share * np.log2(share)).sum()) + 0.0


def information_gain(labels: ArrayLike, right: Any) -> float:
    """Information gain of a split of labels [N], in bits: their entropy less the mean of both sides; `right` is bool [N]."""
    labels, side = np.asarray(labels).reshape(-1), np.asarray(right, dtype=bool).reshape(-1)
    parts = [labels[side], labels[~side]]
    return entropy(labels) - sum(len(part) / len(labels) * entropy(part) for part in parts if len(part))


def tree(data: ArrayLike, labels: ArrayLike, *, depth: int | None = 3, seed: int = 0) -> Any:
    """scikit-learn's decision tree that splits by entropy, fitted to rows [N, F] and labels [N]: a model that shows its rules."""
    try:
        from sklearn.tree import DecisionTreeClassifier
    except ImportError:
        raise MissingExtraError("a decision tree", "scikit-learn", "explain") from None
    return DecisionTreeClassifier(criterion="entropy", max_depth=depth, random_state=seed).fit(
        check_rows(data), np.asarray(labels)
    )


def surrogate(
    model: Any, data: ArrayLike, *, depth: int = 3, names: Sequence[str] | None = None, seed: int = 0
) -> tuple[Any, float, str]:
    """A small tree that imitates a model on the data: the tree, its fidelity (R² against the model's outputs), its rules
    as text.

    The fidelity says how far the rules can be taken for the model's.
    """
    try:
        from sklearn.tree import DecisionTreeRegressor, export_text
    except ImportError:
        raise MissingExtraError("a surrogate tree", "scikit-learn", "explain") from None
    rows = check_rows(data)
    answers = ask(model, rows)
    found = DecisionTreeRegressor(max_depth=depth, random_state=seed).fit(rows, answers)
    return found, float(found.score(rows, answers)), export_text(found, feature_names=list(names) if names else None)


def ask(model: Any, rows: np.ndarray, batch: int = 8192) -> np.ndarray:
    """A model's number for each row [N, F] → [N]: of a model of the zoo, of scikit-learn's, or of a function."""
    from torch import nn

    found = []
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        if isinstance(model, nn.Module):
            x = torch.as_tensor(part, dtype=torch.float32)
            with torch.no_grad():
                answer: Any = getattr(model, "predict", model)
                y = answer(x)
        elif hasattr(model, "predict"):
            y = model.predict(part)
        else:
            y = model(part)
        found.append(
            np.asarray(y.detach().cpu() if isinstance(y, Tensor) else y, dtype=float).reshape(len(part), -1)[:, 0]
        )
    return np.concatenate(found)


def check_rows(data: ArrayLike, feature: int | None = None) -> np.ndarray:
    """Rows of numbers float64 [N, F].

    Raises:
        InputError: for anything else, or a column that isn't there.
    """
    try:
        rows = np.array(data.detach().cpu() if isinstance(data, Tensor) else data, dtype=float)
    except (TypeError, ValueError):
        raise InputError(f"data is rows of numbers [N, F], not {type(data).__name__}") from None
    if rows.ndim != 2 or not rows.size:
        raise InputError(f"data is rows of numbers [N, F] with at least one row, not {list(rows.shape)}")
    if not np.isfinite(rows).all():
        raise InputError("the data hold NaN or infinite values: clean them before the call")
    if feature is not None and (not is_whole(feature) or not 0 <= feature < rows.shape[1]):
        raise InputError(f"feature must be a whole number in 0..{rows.shape[1] - 1}, not {feature!r}")
    return rows
