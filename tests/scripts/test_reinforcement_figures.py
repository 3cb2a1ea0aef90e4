"""The pictures of agents that belong to no checkpoint, on tiny settings, and the facts that they show."""

import pytest

from tests.scripts.test_figures import script

pytest.importorskip("gymnasium")


@pytest.fixture(scope="module")
def figures():
    return script("reinforcement")


def test_the_cat_has_the_values_of_its_equations(figures, tmp_path):
    values = figures.chain(tmp_path / "chain.png")
    assert [values[name] for name in ("hunting", "hungry", "affectionate")] == pytest.approx([-24.435, -10.232, 6.141])
    assert [values[name] for name in ("relaxed", "confused", "sleeping")] == pytest.approx([2.124, 0.687, 0])
    figures.loop(tmp_path / "loop.png")
    assert all(10_000 < path.stat().st_size < 200_000 for path in tmp_path.glob("*.png"))


def test_returns_vary_more_than_one_step_estimates(figures, tmp_path):
    found = figures.estimates(tmp_path / "a.png", runs=8, length=40)
    assert found["Monte Carlo"]["early deviation"] > found["TD(0)"]["early deviation"]
    assert found["Monte Carlo"]["bias"] < found["TD(0)"]["bias"]


def test_a_baseline_keeps_the_mean_and_takes_variance(figures, tmp_path):
    found = figures.variance(tmp_path / "a.png", episodes=64, fits=60)
    assert found["variance"]["G − b(s)"] < 0.5 * found["variance"]["return G"]
    assert found["gap of the means"] < 0.6  # of 64 episodes


def test_a_gate_lets_pass_what_wins(figures, tmp_path):
    found = figures.gating(tmp_path / "a.png", epochs=2, seeds=1, width=4)
    assert set(found) == {"the latest network plays", "only a network that wins may play"}
    assert 0 <= found["only a network that wins may play"]["passed"] <= 1
