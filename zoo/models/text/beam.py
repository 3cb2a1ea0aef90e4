"""Beam search: the likeliest sequence under a model that gives one token after another, approximately.

Of all sequences so far, the `beams` likeliest are kept and each is extended by every token; an extension that ends is set aside.
The result is ranked by

    log p(y_1 … y_n) / n^penalty

since a longer sequence is always less likely, and without the division (penalty 0) short ones would win. One beam is the greedy
choice; as many beams as there are sequences is exact.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from zoo.core.checks import check_count
from zoo.errors import InputError

Step = Callable[[Tensor, Any], tuple[Tensor, Any]]


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
) -> list[tuple[list[int], float]]:
    """Sequences with their scores, the best first; neither start nor end token is in them.

    Args:
        step: of the newest tokens [B] and a state of B rows: log-probabilities [B, V] of the next tokens, and the state after.
        state: the state of one row before the start token.
        length: tokens of a sequence at most; one that hasn't ended by then is cut.
        reorder: the rows of a state, [B] → [B'].

    Raises:
        InputError: for numbers out of their range, or log-probabilities with NaN.
    """
    check_count(beams, "beams")
    check_count(length, "length")
    if not 0 <= penalty < math.inf:
        raise InputError(f"penalty must be 0 or more, not {penalty!r}")
    alive: list[list[int]] = [[]]
    scores = torch.zeros(1, dtype=torch.float64)
    newest = torch.tensor([start])
    done: list[tuple[list[int], float]] = []
    for n in range(1, length + 1):
        log_p, state = step(newest, state)
        if log_p.isnan().any():
            raise InputError(
                "the model gave logits that aren't finite: its weights are damaged or its training diverged"
            )
        total = scores[:, None] + log_p.double().cpu()  # [B, V]
        width = total.shape[1]
        best = total.flatten().topk(min(2 * beams, total.numel()))  # at most `beams` of them end
        kept: list[tuple[int, int, float]] = []
        for value, place in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            row, token = divmod(place, width)
            if value == -math.inf or len(kept) == beams:
                break
            if token == end:
                done.append((alive[row], value / n**penalty))
            else:
                kept.append((row, token, value))
        if not kept or len(done) >= beams:
            break
        alive = [[*alive[row], token] for row, token, _ in kept]
        scores = torch.tensor([value for *_, value in kept], dtype=torch.float64)
        newest = torch.tensor([token for _, token, _ in kept])
        state = reorder(state, torch.tensor([row for row, *_ in kept]))
    if not done:  # nothing ended: what there is, cut
        done = [
            (tokens, value / max(1, len(tokens)) ** penalty)
            for tokens, value in zip(alive, scores.tolist(), strict=True)
        ]
    return sorted(done, key=lambda pair: -pair[1])[:beams]
