"""Beam search: the likeliest sequence under a model that gives one token after another, approximately.

Of all sequences so far, the `beams` likeliest are kept and each is extended by every token; an extension that ends is set aside.
The result is ranked by

    log p(y_1 … y_n) / n^penalty

since a longer sequence is always less likely, and without the division (penalty 0) short ones would win. One beam is the greedy
choice; as many beams as there are sequences is exact.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from zoo.core.checks import check_count
from zoo.errors import InputError

Step = Callable[[Tensor, Any], tuple[Tensor, Any]]
Found = tuple[list[int], float]  # a sequence and its score


def beam_search(
    step: Step,
    state: Any,
    *,
    start: int,
    end: int,
    beams: int = 5,
    length: int = 64,
    penalty: float = 1.0,
    reorder: Callable[[Any, Tensor], Any] = lambda state, rows: state[rows],
) -> list[Found]:
    """Sequences with their scores, the best first; neither start nor end token is in them.

    Args:
        step: of the newest tokens [B] and a state of B rows: log-probabilities [B, V] of the next tokens, and the state after.
        state: the state of one row before the start token.
        length: tokens of a sequence at most; one that hasn't ended by then is cut.
        reorder: the rows of a state, [B] → [B'].

    Raises:
        InputError: for numbers out of their range, or log-probabilities with NaN.
    """
    return beam_searches(step, state, [length], start=start, end=end, beams=beams, penalty=penalty, reorder=reorder)[0]


def beam_searches(
    step: Step,
    state: Any,
    lengths: Sequence[int],
    *,
    start: int,
    end: int,
    beams: int = 5,
    penalty: float = 1.0,
    reorder: Callable[[Any, Tensor], Any] = lambda state, rows: state[rows],
) -> list[list[Found]]:
    """Results of `beam_search` for several searches at once, each with a row of the state at first and a bound of its own.

    The rows of all searches that aren't finished go through the model together.

    Raises:
        InputError: for numbers out of their range, or log-probabilities with NaN.
    """
    check_count(beams, "beams")
    for length in lengths:
        check_count(length, "length")
    if not 0 <= penalty < math.inf:
        raise InputError(f"penalty must be 0 or more, not {penalty!r}")
    searches = [Search(length, beams, penalty, end) for length in lengths]
    running = list(searches)
    newest = torch.full((len(searches),), start)
    while True:
        log_p, state = step(newest, state)
        if log_p.isnan().any():
            raise InputError(
                "the model gave logits that aren't finite: its weights are damaged or its training diverged"
            )
        best = log_p.topk(min(2 * beams, log_p.shape[1]), 1)  # at most `beams` of them end
        values, tokens = best.values.double().cpu().tolist(), best.indices.cpu().tolist()
        first, rows, chosen, going = 0, [], [], []
        for search in running:
            last = first + len(search.alive)
            kept = search.extend(values[first:last], tokens[first:last])
            if not search.finished:
                rows += [first + row for row, _ in kept]
                chosen += [token for _, token in kept]
                going.append(search)
            first = last
        if not going:
            return [search.found() for search in searches]
        running, newest = going, torch.tensor(chosen)
        state = reorder(state, torch.tensor(rows))


class Search:
    """The beams of one search: sequences that go on, and those that have ended."""

    def __init__(self, length: int, beams: int, penalty: float, end: int) -> None:
        self.length, self.beams, self.penalty, self.end = length, beams, penalty, end
        self.alive: list[list[int]] = [[]]
        self.scores = [0.0]
        self.done: list[Found] = []
        self.steps, self.finished = 0, False

    def extend(self, values: list[list[float]], tokens: list[list[int]]) -> list[tuple[int, int]]:
        """Take the best tokens of each row, with their log-probabilities; the rows and tokens that go on."""
        self.steps += 1
        candidates = [
            (score + value, row, token)
            for row, (score, some, those) in enumerate(zip(self.scores, values, tokens, strict=True))
            for value, token in zip(some, those, strict=True)
        ]
        candidates.sort(key=lambda candidate: -candidate[0])
        kept: list[tuple[int, int, float]] = []
        for value, row, token in candidates[: 2 * self.beams]:
            if value == -math.inf or len(kept) == self.beams:
                break
            if token == self.end:
                self.done.append((self.alive[row], value / self.steps**self.penalty))
            else:
                kept.append((row, token, value))
        if not kept or len(self.done) >= self.beams:
            self.finished = True
            return []
        self.alive = [[*self.alive[row], token] for row, token, _ in kept]
        self.scores = [value for *_, value in kept]
        self.finished = self.steps == self.length
        return [(row, token) for row, token, _ in kept]

    def found(self) -> list[Found]:
        """The sequences with their scores, the best first."""
        done = self.done or [  # nothing ended: what there is, cut
            (tokens, value / max(1, len(tokens)) ** self.penalty)
            for tokens, value in zip(self.alive, self.scores, strict=True)
        ]
        return sorted(done, key=lambda pair: -pair[1])[: self.beams]
