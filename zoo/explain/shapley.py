"""Shapley values: what each player adds to a game, averaged over all orders in which the players can arrive.

    φ_i = 1/M Σ_{S ⊆ M∖i} C(M−1, |S|)⁻¹ (v(S ∪ i) − v(S))           over subsets (Shapley, 1953)
        = E_orders [v(before i, and i) − v(before i)]               over orders: the same number
        = argmin_φ Σ_S π(S) (v(S) − v(∅) − Σ_{i∈S} φ_i)²            with Σ φ_i = v(M) − v(∅)

where the last line weighs a coalition of s players by π = (M − 1) / (C(M, s) s (M − s)) (Kernel SHAP: Lundberg and Lee, 2017,
arXiv:1705.07874). The first is exact and needs 2^M values of the game, the second and third can be sampled.

A game is a function of a frozenset of players. For a model the players are features, tokens or segments of an image: a
coalition keeps its players' values, and the others take those of a baseline.
"""

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import numpy as np

from zoo.core.files import write_figure
from zoo.errors import InputError

MOST = 16  # players whose subsets are all counted: 65,536 values of the game
Player = TypeVar("Player", bound=Hashable)
Worth = Callable[[np.ndarray], np.ndarray]  # of coalitions bool [N, M], a number for each, [N]


def exact(game: Callable[[frozenset[Player]], float], players: Iterable[Player]) -> dict[Player, float]:
    """The Shapley value of every player, over all subsets: {player: value} in the unit of the game.

    Values that are exact in floating point give exact sums; one division and rounding follow.

    Args:
        game: what a coalition, a frozenset of players, is worth. The empty one need not be worth 0.
        players: up to 16 different ones.

    Raises:
        InputError: for more players, the same one twice, none, or a game that isn't a finite number for some coalition.

    >>> garment = exact(lambda s: 1.0 if "all" in s else 0.5 if s else 0.0, ["all", "half"])
    >>> garment["all"], garment["half"]
    (0.75, 0.25)
    """
    names = check_players(players, most=MOST)
    worth = [_value(game, frozenset(_members(names, code))) for code in range(2 ** len(names))]
    return dict(zip(names, from_subsets(worth), strict=True))


def from_subsets(worth: Sequence[float]) -> list[float]:
    """Shapley values [M] out of the values of all 2^M coalitions; bit i of a coalition's place says that i is in it."""
    m = len(worth).bit_length() - 1
    sizes = [code.bit_count() for code in range(len(worth))]
    values = []
    for i in range(m):
        gains: list[list[float]] = [[] for _ in range(m)]  # by the size of the coalition that i joins
        for code in range(len(worth)):
            if not code >> i & 1:
                gains[sizes[code]] += [worth[code | 1 << i], -worth[code]]
        shares = (Fraction(math.fsum(gain)) / (m * math.comb(m - 1, s)) for s, gain in enumerate(gains))
        values.append(float(sum(shares)))
    return values


def sampled(
    game: Callable[[frozenset[Player]], float], players: Iterable[Player], orders: int = 1000, seed: int = 0
) -> dict[Player, float]:
    """Shapley values out of random orders of arrival: {player: value}. The error falls as 1/√orders.

    The values add up to v(all) − v(nobody) after any number of orders, since every order hands all of it out.

    Args:
        game: what a coalition, a frozenset of players, is worth; asked once for each coalition that comes up.
        players: different ones, any number.
        orders: number of orders drawn.
        seed: the same seed gives the same values.

    Raises:
        InputError: for the same player twice, none, or orders that are no whole number of at least 1.
    """
    names = check_players(players)
    _check_count(orders, "orders")
    known: dict[frozenset[Player], float] = {}

    def worth(coalition: frozenset[Player]) -> float:
        if coalition not in known:
            known[coalition] = _value(game, coalition)
        return known[coalition]

    rng = np.random.default_rng(seed)
    total = dict.fromkeys(names, 0.0)
    for _ in range(orders):
        before: frozenset[Player] = frozenset()
        for place in rng.permutation(len(names)):
            after = before | {names[place]}
            total[names[place]] += worth(after) - worth(before)
            before = after
    return {name: value / orders for name, value in total.items()}


def kernel(
    game: Callable[[frozenset[Player]], float], players: Iterable[Player], samples: int | None = None, seed: int = 0
) -> dict[Player, float]:
    """Shapley values by the weighted regression of Kernel SHAP: {player: value}.

    Args:
        game: what a coalition, a frozenset of players, is worth.
        players: different ones.
        samples: coalitions drawn; by default all of them where there are 2,048 or fewer, else 2,048.
        seed: the same seed gives the same values.

    Raises:
        InputError: as `sampled`.
    """
    names = check_players(players)

    def worth(coalitions: np.ndarray) -> np.ndarray:
        found = (_value(game, frozenset(n for n, there in zip(names, row, strict=True) if there)) for row in coalitions)
        return np.array(list(found), dtype=float)

    return dict(zip(names, kernel_values(worth, len(names), samples, seed).tolist(), strict=True))


def kernel_values(worth: Worth, m: int, samples: int | None = None, seed: int = 0) -> np.ndarray:
    """Kernel SHAP for a game of many coalitions at once: Shapley values [M], which add up to v(all) − v(nobody).

    Where `samples` covers all coalitions they are all taken and the values are exact; else pairs of a coalition and its
    complement are drawn by the kernel's weights, so that the regression needs no further weights.
    """
    if samples is not None:
        _check_count(samples, "samples")
    empty, full = worth(np.array([[False] * m, [True] * m]))
    if m == 1:
        return np.array([full - empty])
    count = samples or 2048
    if 2**m - 2 <= count:
        codes = np.arange(1, 2**m - 1)
        coalitions = (codes[:, None] >> np.arange(m) & 1).astype(bool)
        size = coalitions.sum(1)
        weight = np.array([(m - 1) / (math.comb(m, int(s)) * s * (m - s)) for s in size])
    else:
        rng = np.random.default_rng(seed)
        chance = np.array(
            [1 / (s * (m - s)) for s in range(1, m)]
        )  # of a size: its C(M, s) coalitions times the kernel
        size = rng.choice(np.arange(1, m), size=-(-count // 2), p=chance / chance.sum())
        half = rng.random((len(size), m)).argsort(1).argsort(1) < size[:, None]
        coalitions = np.concatenate([half, ~half])
        weight = np.ones(len(coalitions))
    return _solve(coalitions.astype(float), worth(coalitions) - empty, weight, full - empty)


def _solve(z: np.ndarray, y: np.ndarray, weight: np.ndarray, total: float) -> np.ndarray:
    """argmin Σ weight (y − z φ)² under Σ φ = total: the last player's value is put in terms of the others'."""
    design, answer = z[:, :-1] - z[:, -1:], y - z[:, -1] * total
    root = np.sqrt(weight)
    first = np.linalg.lstsq(design * root[:, None], answer * root, rcond=None)[0]
    return np.append(first, total - first.sum())


def waterfall(
    values: Sequence[float], base: float, names: Sequence[str], path: str | Path, *, most: int = 10, unit: str = ""
) -> Path:
    """Draw how the values lead from the base to the output, a bar each; the smallest ones beyond `most` as one bar.

    Bars are drawn from the base upwards, the largest last, so that the topmost ends at base + Σ values.

    Raises:
        InputError: where there aren't as many names as values.
    """
    if len(values) != len(names):
        raise InputError(f"there are {len(values)} values but {len(names)} names: give one for each")
    import matplotlib

    matplotlib.use("Agg", force=False)
    from matplotlib.figure import Figure

    from zoo.core.drawing import verbatim

    order = sorted(range(len(values)), key=lambda i: abs(values[i]))
    rest = order[: max(0, len(order) - most)]
    bars = [(f"{len(rest)} others", math.fsum(values[i] for i in rest))] if rest else []
    bars += [(names[i], float(values[i])) for i in order[len(rest) :]]
    figure = Figure(figsize=(6.4, 0.9 + 0.34 * len(bars)), layout="constrained")
    axis = figure.subplots()
    at = base
    for row, (_, value) in enumerate(bars):
        axis.barh(row, value, left=at, color="#d62839" if value >= 0 else "#255c99", height=0.7)
        axis.annotate(
            f"{value:+.3g}", (max(at, at + value), row), xytext=(3, 0), textcoords="offset points", va="center"
        )
        axis.plot(
            [at + value] * 2, [row - 0.35, row + 1.35 if row + 1 < len(bars) else row + 0.35], color="0.5", lw=0.8
        )
        at += value
    axis.axvline(base, color="0.6", lw=0.8, ls=":")
    axis.set_yticks(range(len(bars)), [verbatim(name) for name, _ in bars], fontsize=8)
    axis.set_xlabel(verbatim(f"from the base {base:.4g} to the output {at:.4g} {unit}".rstrip()), fontsize=9)
    axis.margins(x=0.15)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    path = Path(path)
    write_figure(path, figure, dpi=90)
    return path


def check_players(players: Iterable[Player], *, most: int | None = None) -> list[Player]:
    """The players as a list.

    Raises:
        InputError: for none, the same one twice, or more than `most`.
    """
    names = list(players)
    if not names:
        raise InputError("a game needs at least one player, there is none")
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"the player {twice!r} comes up twice: each may come up once")
    if most is not None and len(names) > most:
        raise InputError(
            f"{len(names)} players have 2^{len(names)} coalitions, exact values take {most} players at most: "
            "use sampled-shapley or kernel-shap, or fewer players"
        )
    return names


def _members(names: Sequence[Player], code: int) -> Iterable[Player]:
    return (name for i, name in enumerate(names) if code >> i & 1)


def _value(game: Callable[[frozenset[Player]], float], coalition: frozenset[Player]) -> float:
    try:
        value = float(game(coalition))
    except (TypeError, KeyError) as error:
        raise InputError(
            f"the game has to give a number for each coalition (a frozenset), for {set(coalition) or '{}'} it raised {error!r}"
        ) from error
    if not math.isfinite(value):
        raise InputError(f"the game is {value} for {set(coalition) or '{}'}: it has to be a finite number")
    return value


def _check_count(n: int, what: str) -> None:
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise InputError(f"{what} must be a whole number of at least 1, not {n!r}")
