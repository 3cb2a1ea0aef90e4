"""Stochastic beam search on a toy whose sequences can all be listed: what is drawn, how often, and in which order."""

import itertools
import math

import pytest
import torch

from zoo.errors import InputError
from zoo.models.text.stochastic_beam import conditioned, stochastic_beam_search

FIRST = torch.tensor([0.5, 0.3, 0.2]).log()
AFTER = torch.tensor([[0.1, 0.6, 0.3], [0.8, 0.1, 0.1], [0.3, 0.3, 0.4]]).log()
END = 2  # a sequence ends with it, or after three tokens


def step(newest, state):
    return (FIRST.expand(1, 3), newest.new_zeros(1)) if state is None else (AFTER[newest[:, -1]], state)


def draw(beams: int, seed: int) -> list[tuple[tuple[int, ...], float]]:
    found = stochastic_beam_search(
        step,
        None,
        start=torch.tensor([0]),
        ended=lambda tokens: tokens[-1] == END or len(tokens) == 3,
        beams=beams,
        generator=torch.Generator().manual_seed(seed),
    )
    return [(tuple(tokens), value) for tokens, value in found]


def everything() -> dict[tuple[int, ...], float]:
    """All complete sequences with their probabilities."""
    found = {}
    for tokens in itertools.chain.from_iterable(itertools.product(range(3), repeat=n) for n in (1, 2, 3)):
        whole = tokens[-1] == END or len(tokens) == 3
        if whole and END not in tokens[:-1]:
            log_p = FIRST[tokens[0]] + sum(AFTER[a, b] for a, b in itertools.pairwise(tokens))
            found[tokens] = math.exp(log_p)
    return found


def test_as_many_beams_as_sequences_give_all_of_them_with_their_probabilities():
    known = everything()
    assert sum(known.values()) == pytest.approx(1)
    for beams in (len(known), len(known) + 20):
        found = draw(beams, 3)
        assert {tokens for tokens, _ in found} == set(known) and len(found) == len(known)
        for tokens, value in found:
            assert math.exp(value) == pytest.approx(known[tokens], rel=1e-5)


@pytest.mark.parametrize("beams", [2, 5])
def test_nothing_is_drawn_twice(beams):
    for seed in range(60):
        found = [tokens for tokens, _ in draw(beams, seed)]
        assert len(set(found)) == len(found) == beams


def test_one_beam_draws_from_the_model_and_two_without_replacement():
    known, runs = everything(), 1500
    ones, pairs = ([draw(beams, seed) for seed in range(runs)] for beams in (1, 2))
    for tokens, p in known.items():
        spread = 4 * math.sqrt(p * (1 - p) / runs)
        for drawn in (ones, pairs):  # the first of two is a draw of the model as well
            assert abs(sum(found[0][0] == tokens for found in drawn) / runs - p) < spread
        # the second of two: p(a) · p(b) / (1 − p(a)), summed over all others a
        second = sum(q * p / (1 - q) for other, q in known.items() if other != tokens)
        assert abs(sum(found[1][0] == tokens for found in pairs) / runs - second) < spread + 0.01


def test_the_largest_of_a_row_becomes_the_value_that_is_given():
    values = torch.tensor([[1.0, -2.0, -math.inf], [700.0, 3.0, 2.0]], dtype=torch.float64)
    found = conditioned(values, torch.tensor([0.5, -3.0], dtype=torch.float64))
    assert found.max(1).values.tolist() == pytest.approx([0.5, -3.0])
    assert found[0, 2] == -math.inf and not found.isnan().any()
    plain = -(math.exp(-0.5) - math.exp(-1.0) + math.exp(2.0))
    assert found[0, 1].item() == pytest.approx(-math.log(-plain))


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="beams"):
        draw(0, 0)
    options = {"start": torch.tensor([0]), "beams": 2, "generator": torch.Generator()}
    with pytest.raises(InputError, match="didn't end within 4"):
        stochastic_beam_search(step, None, ended=lambda tokens: False, length=4, **options)
    with pytest.raises(InputError, match="finite"):
        stochastic_beam_search(lambda t, s: (FIRST[None] * math.nan, s), None, ended=bool, **options)
