"""Shapley values against the worked games, the axioms, and captum's."""

import itertools

import numpy as np
import pytest
import torch

from zoo.errors import InputError
from zoo.explain import shapley

BOOK = {"": 0, "1": 100, "2": 125, "3": 50, "12": 270, "13": 375, "23": 350, "123": 500}


def book(coalition: frozenset[int]) -> float:
    return BOOK["".join(str(player) for player in sorted(coalition))]


def garment(coalition: frozenset[str]) -> float:
    return 1.0 if "all" in coalition else 0.5 if coalition else 0.0


def cookies(coalition: frozenset[str]) -> float:
    return {frozenset(): 0, frozenset(["Lisa"]): 30, frozenset(["David"]): 20}.get(coalition, 40)


@pytest.mark.parametrize(
    ("game", "players", "values"),
    [
        (garment, ["all", "half"], [0.75, 0.25]),
        (book, [1, 2, 3], [970 / 6, 970 / 6, 1060 / 6]),
        (cookies, ["Lisa", "David"], [25, 15]),
    ],
)
def test_worked_games(game, players, values):
    assert shapley.exact(game, players) == dict(zip(players, values, strict=True))
    by_kernel = shapley.kernel(game, players)
    assert [by_kernel[player] for player in players] == pytest.approx(values, rel=1e-9)


def random_game(players: int, seed: int = 0):
    worth = np.random.default_rng(seed).normal(size=2**players)
    return lambda coalition: float(worth[sum(1 << player for player in coalition)])


def test_exact_is_the_mean_over_all_orders():
    game, players = random_game(5), range(5)
    mean = dict.fromkeys(players, 0.0)
    for order in itertools.permutations(players):
        for place, player in enumerate(order):
            mean[player] += (game(frozenset(order[: place + 1])) - game(frozenset(order[:place]))) / 120
    assert shapley.exact(game, players) == pytest.approx(mean)


def test_efficiency_dummy_and_symmetry():
    game = random_game(6)
    values = shapley.exact(game, range(6))
    assert sum(values.values()) == pytest.approx(game(frozenset(range(6))) - game(frozenset()))
    # player 9 adds nothing, 7 and 8 add the same as each other
    lazy = shapley.exact(lambda s: len(s & {7, 8}) ** 2 + game(s & frozenset(range(3))), [0, 1, 2, 7, 8, 9])
    assert lazy[9] == 0 and lazy[7] == lazy[8] == 2


def test_sampled_values_add_up_and_their_error_falls_as_the_root():
    values = shapley.sampled(book, [1, 2, 3], 2000, 0)
    assert sum(values.values()) == pytest.approx(500)
    assert abs(values[1] - 970 / 6) < 5
    errors = []
    for orders in (50, 5000):
        runs = [shapley.sampled(book, [1, 2, 3], orders, seed)[1] - 970 / 6 for seed in range(12)]
        errors.append(np.sqrt(np.mean(np.square(runs))))
    assert 4 < errors[0] / errors[1] < 25  # ten times
    assert shapley.sampled(book, [1, 2, 3], 20, 7) == shapley.sampled(book, [1, 2, 3], 20, 7)


def test_kernel_equals_enumeration_and_its_samples_come_near():
    game = random_game(8, 3)
    exact = shapley.exact(game, range(8))
    assert shapley.kernel(game, range(8)) == pytest.approx(exact, abs=1e-9)
    additive = {i: float(i) for i in range(20)}
    assert shapley.kernel(lambda s: sum(s), range(20), samples=200) == pytest.approx(additive, abs=1e-8)
    near = shapley.kernel(game, range(8), samples=120)
    assert sum(near.values()) == pytest.approx(sum(exact.values()))
    assert max(abs(near[i] - exact[i]) for i in range(8)) < 1


def test_captum_gives_the_same():
    captum = pytest.importorskip("captum.attr")
    masks = {"".join(map(str, (i for i in (1, 2, 3) if bits >> (i - 1) & 1))): bits for bits in range(8)}
    table = torch.zeros(8)
    for key, bits in masks.items():
        table[bits] = BOOK[key]

    def game(x: torch.Tensor) -> torch.Tensor:
        return table[(x * torch.tensor([1, 2, 4])).sum(1).long()]

    values = captum.ShapleyValues(game).attribute(torch.ones(1, 3), baselines=0)
    assert values[0].tolist() == pytest.approx(list(shapley.exact(book, [1, 2, 3]).values()), rel=1e-5)


def test_waterfall_ends_at_the_output(tmp_path):
    path = shapley.waterfall([3.0, -1.0, 0.5], 10.0, ["a", "b", "c"], tmp_path / "bars.png")
    assert path.stat().st_size > 3000
    with pytest.raises(InputError, match="3 values but 2 names"):
        shapley.waterfall([3.0, -1.0, 0.5], 10.0, ["a", "b"], tmp_path / "bars.png")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: shapley.exact(len, range(17)), "17 players.*sampled-shapley or kernel-shap"),
        (lambda: shapley.exact(len, []), "at least one player"),
        (lambda: shapley.exact(len, ["a", "a"]), "'a' comes up twice"),
        (lambda: shapley.exact(lambda s: float("nan"), ["a"]), "finite number"),
        (lambda: shapley.exact(lambda s: None, ["a"]), "has to give a number"),
        (lambda: shapley.sampled(len, "ab", 0, 0), "orders must be"),
    ],
)
def test_bad_games(call, said):
    with pytest.raises(InputError, match=said):
        call()
