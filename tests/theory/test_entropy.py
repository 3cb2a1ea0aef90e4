"""The rates of Markov chains to the printed digits, and what they must add up to."""

import math

import numpy as np
import pytest
import torch

from zoo.errors import InputError
from zoo.theory import entropy as theory

SKEWED = [[0.9, 0.1], [0.5, 0.5]]


@pytest.mark.parametrize(
    ("chain", "expected"),
    [
        (theory.cycle(8, 1e-4), (3.0, 0.01031, 2.98969, 0.00890)),
        (torch.full((8, 8), 1 / 8), (3.0, 3.0, 0.0, 0.0)),
        (SKEWED, (0.65002, 0.55750, 0.09253, 0.07625)),
        (np.array(SKEWED), (0.65002, 0.55750, 0.09253, 0.07625)),
    ],
)
def test_rates_to_the_printed_digits(chain, expected):
    r = theory.rates(chain)
    found = (r.entropy, r.entropy_rate, r.information_rate, r.predictive_information_rate)
    assert found == pytest.approx(expected, abs=6e-6)
    assert r.information_rate + r.predictive_information_rate + r.erasure_rate == pytest.approx(r.entropy)
    assert (r.predictive_information, r.erasure) == (r.predictive_information_rate, r.erasure_rate)


def test_the_stationary_distribution_multiplies_from_the_left():
    pi = theory.stationary(SKEWED)
    torch.testing.assert_close(pi, torch.tensor([5 / 6, 1 / 6], dtype=torch.float64))
    torch.testing.assert_close(pi @ torch.tensor(SKEWED, dtype=torch.float64), pi)


def test_predictive_information_is_a_conditional_mutual_information():
    """I(X₁; X₂ | X₀) summed over all three states of a random chain."""
    a = torch.rand(4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    a /= a.sum(1, keepdim=True)
    pi, r = theory.stationary(a), theory.rates(a)
    joint = pi[:, None, None] * a[:, :, None] * a[None]  # [past, present, future]
    given_past = sum(pi[i].item() * theory.mutual_information(joint[i] / joint[i].sum()) for i in range(4))
    assert r.predictive_information_rate == pytest.approx(given_past)
    assert r.information_rate == pytest.approx(theory.mutual_information(joint.sum(2)))


def test_entropy_and_divergence_by_hand():
    assert theory.entropy([0.5, 0.25, 0.25]) == pytest.approx(1.5)
    assert theory.entropy([1.0, 0.0]) == 0
    assert theory.kl_divergence([0.5, 0.5], [0.25, 0.75]) == pytest.approx(0.5 * math.log2(2) + 0.5 * math.log2(2 / 3))
    assert theory.kl_divergence([0.5, 0.5], [1.0, 0.0]) == math.inf
    assert theory.mutual_information([[0.5, 0], [0, 0.5]]) == pytest.approx(1)


def test_long_sequences_are_typical():
    found = theory.typical(0.2, [10, 1000, 100_000], draws=500)
    assert found.shape == (3, 500)
    spread = (found - theory.entropy([0.2, 0.8])).abs().mean(1)
    assert spread[0] > 10 * spread[2] and spread[2] < 0.01


class Bigram:
    """Knows the chain that wrote the text."""

    def perplexity(self, text: str) -> float:
        return math.exp(theory.entropy_rate(SKEWED, base=math.e))


def test_information_rate_of_a_model_of_a_markov_text():
    generator = torch.Generator().manual_seed(0)
    state, letters = 0, []
    for u in torch.rand(20_000, generator=generator).tolist():
        state = int(u >= SKEWED[state][0])
        letters.append("ab"[state])
    text = "".join(letters)
    expected = theory.rates(SKEWED).information_rate
    assert theory.information_rate(Bigram(), text, base=2) == pytest.approx(expected, abs=0.02)
    assert theory.markov_nats(text, text, 1) / math.log(2) == pytest.approx(theory.entropy_rate(SKEWED), abs=0.02)
    assert theory.markov_nats(text, text, 0) / math.log(2) == pytest.approx(theory.rates(SKEWED).entropy, abs=0.02)


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        ([[1.0]] * 2, "square"),
        ([[0.5, 0.4], [0.5, 0.5]], "row 0"),
        ([[1.5, -0.5], [0.5, 0.5]], "negative"),
        ([[1.0, 0.0], [0.0, 1.0]], "parts"),
        ([[math.nan, 0.5], [0.5, 0.5]], "NaN"),
        ([[0.5, 0.5], [1.0]], "regular"),
        ([], "dimension"),
    ],
)
def test_what_is_no_chain_is_refused_in_one_sentence(bad, word):
    with pytest.raises(InputError, match=word):
        theory.rates(bad)


def test_texts_that_hold_nothing_are_refused():
    with pytest.raises(InputError, match="two characters"):
        theory.information_rate(Bigram(), "a")
    with pytest.raises(InputError, match="scores no text"):
        theory.information_rate(object(), "abc")
