"""Beam search against counting everything out, and where greedy goes wrong."""

import itertools
import math

import pytest
import torch

from zoo.errors import InputError
from zoo.models.text.beam import beam_search, beam_searches

TOKENS, END = 4, 3


def chain(seed: int) -> torch.Tensor:
    """Log-probabilities [previous, next] of a Markov chain; row 4 is the start."""
    return torch.randn(5, TOKENS, generator=torch.Generator().manual_seed(seed)).mul(2).log_softmax(1)


def search(table: torch.Tensor, **options) -> list[tuple[list[int], float]]:
    return beam_search(lambda newest, state: (table[newest], state), torch.zeros(1, 1), start=4, end=END, **options)


@pytest.mark.parametrize("penalty", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_with_room_for_all_it_is_exact(seed, penalty):
    table, length = chain(seed), 5
    scores = {}
    for n in range(1, length + 1):
        for tokens in itertools.product(range(END), repeat=n - 1):
            path = (4, *tokens, END)
            value = sum(table[a, b].item() for a, b in itertools.pairwise(path))
            scores[tokens] = value / n**penalty
    best = max(scores, key=scores.get)
    tokens, score = search(table, beams=400, length=length, penalty=penalty)[0]
    assert tuple(tokens) == best and score == pytest.approx(scores[best], rel=1e-5)


def test_one_beam_is_greedy_and_more_find_what_it_misses():
    table = torch.full((5, TOKENS), -math.inf)
    table[4, :2] = torch.tensor([0.6, 0.4]).log()  # the likelier beginning …
    table[0, [0, 1, 2, 3]] = math.log(0.25)  # … leads nowhere in particular
    table[1, END] = 0.0
    table[2, END] = 0.0
    assert search(table, beams=1, length=9, penalty=0.0)[0][0][0] == 0
    tokens, score = search(table, beams=2, length=9, penalty=0.0)[0]
    assert tokens == [1] and score == pytest.approx(math.log(0.4))


def test_the_state_follows_its_beam():
    """A model that must repeat its own history: the state is the sum of all tokens."""
    table = chain(3)

    def step(newest, state):
        state = state + newest[:, None]
        return table[(state[:, 0] % 5).long()], state

    for tokens, score in beam_search(step, torch.zeros(1, 1), start=4, end=END, beams=3, length=6, penalty=0.0):
        total, value = 4, 0.0
        for token in [*tokens, END]:
            value += table[total % 5, token].item()
            total += token
        assert score == pytest.approx(value, rel=1e-5)


def test_what_does_not_end_is_cut_and_nonsense_is_refused():
    table = chain(0)
    table[:, END] = -math.inf
    assert all(len(tokens) == 6 for tokens, _ in search(table, beams=2, length=6))
    for options, word in (({"beams": 0}, "beams"), ({"length": 0}, "length"), ({"penalty": -1.0}, "penalty")):
        with pytest.raises(InputError, match=word):
            search(table, **options)
    table[4, 0] = math.nan
    with pytest.raises(InputError, match="finite"):
        search(table)


@pytest.mark.parametrize("beams", [1, 2, 5])
def test_several_searches_at_once_find_what_each_finds_alone(beams):
    """Each row of the state holds the number of its table and the sum of its tokens; searches end after unlike lengths."""
    tables = torch.stack([chain(seed) for seed in range(6)])
    tables[:, :, END] -= 1.5

    def step(newest, state):
        state = state + torch.stack([torch.zeros(len(newest)), newest], 1)
        return tables[state[:, 0].long(), (state[:, 1] % 5).long()], state

    options = {"start": 4, "end": END, "beams": beams, "penalty": 0.7}
    begin = torch.stack([torch.arange(6.0), torch.zeros(6)], 1)
    lengths = [3, 12, 7, 1, 12, 5]
    together = beam_searches(step, begin, lengths, **options)
    alone = [beam_search(step, begin[i : i + 1], length=lengths[i], **options) for i in range(6)]
    assert together == alone and len({len(found[0][0]) for found in alone}) > 2
