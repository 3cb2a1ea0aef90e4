"""How far a reproduced run may be from what is published."""

import pytest

from zoo.train.reproduce import tolerance


@pytest.mark.parametrize(
    ("claim", "allowed", "words"),
    [
        ({"value": 0.9, "std": 0.01, "n_seeds": 5}, 0.03, "± 0.01 (n = 5)"),
        ({"value": 500.0, "std": 0.0, "n_seeds": 5}, 0.0, "± 0 (n = 5)"),  # no spread isn't one seed
        ({"value": 0.9, "n": 10_000}, 3 * (2 * 0.9 * 0.1 / 10_000) ** 0.5, "(one seed, ± 0.013 of 10,000 examples)"),
        ({"value": 0.9}, 0.018, "(one seed, ± 2 %)"),
        ({"value": 88.0, "n": 10_000}, 1.76, "(one seed, ± 2 %)"),  # nats are no share
    ],
)
def test_the_tolerance_is_the_published_spread(claim, allowed, words):
    found = tolerance({"better": "higher"} | claim)
    assert found[0] == pytest.approx(allowed, abs=1e-3) and found[1] == words
