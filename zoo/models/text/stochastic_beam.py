"""Stochastic beam search: k different sequences drawn from a model at once (Kool, van Hoof and Welling, 2019, arXiv:1903.06059).

Adding Gumbel noise to all log-probabilities and taking the k largest draws k sequences without replacement (the Gumbel-top-k
trick). There are far too many sequences for that, but a subtree's largest perturbed value is again Gumbel, around the
log-probability of its prefix; so the values can be drawn from the root downwards, each child's on the condition that their
largest is the parent's, and only the k prefixes with the largest values can hold any of the k largest leaves:

    G̃_child ~ Gumbel(φ_child),  Z = max G̃,      G_child = −log(exp(−G_parent) − exp(−Z) + exp(−G̃_child))

With one beam it is ancestral sampling; with as many as there are sequences, all of them in a random order.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from zoo.core.checks import check_count
from zoo.errors import InputError
from zoo.models.text.beam import Step

Found = tuple[list[int], float]


def stochastic_beam_search(
    step: Step,
    state: Any,
    *,
    start: Tensor,
    ended: Callable[[list[int]], bool],
    beams: int,
    generator: torch.Generator,
    length: int = 4096,
    reorder: Callable[[Any, Tensor], Any] = lambda state, rows: state[rows],
) -> list[Found]:
    """At most `beams` different sequences with their log-probabilities, in the order in which they were drawn.

    Args:
        step: of the newest tokens [B, T] and a state of B rows: log-probabilities [B, V] of the next token, and the state after.
        state: the state of one row before the start tokens.
        start: the tokens [T] that the sequences go on from; they aren't repeated.
        ended: whether a sequence is complete.
        length: tokens of a sequence at most.
        reorder: the rows of a state, [B] → [B'].

    Raises:
        InputError: for numbers out of their range, log-probabilities with NaN, or sequences that don't end.
    """
    check_count(beams, "beams")
    alive: list[list[int]] = [[]]
    phi, perturbed = torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    done: list[tuple[list[int], float, float]] = []  # tokens, log-probability, perturbed value
    newest = start[None]
    for _ in range(check_count(length, "length")):
        log_p, state = step(newest, state)
        log_p = log_p.double().cpu()
        if log_p.isnan().any():
            raise InputError(
                "the model gave logits that aren't finite: its weights are damaged or its training diverged"
            )
        child = phi[:, None] + log_p  # [B, V]
        noise = torch.rand(child.shape, dtype=torch.float64, generator=generator).clamp(min=1e-300)
        values = conditioned(child - (-noise.log()).log(), perturbed)
        best = values.flatten().topk(min(beams, values.numel()))
        # sequences that ended compete with the new prefixes for the k places
        places = sorted([*best.values.tolist(), *(value for *_, value in done)], reverse=True)[:beams]
        done = [entry for entry in done if entry[2] >= places[-1]]
        rows, grown = [], []
        for value, place in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            if value < places[-1] or value == -math.inf:
                break
            row, token = divmod(place, values.shape[1])
            tokens = [*alive[row], token]
            if ended(tokens):
                done.append((tokens, child[row, token].item(), value))
            else:
                rows.append((row, token, value))
                grown.append(tokens)
        if not rows:
            return [(tokens, log) for tokens, log, _ in sorted(done, key=lambda entry: -entry[2])]
        alive = grown
        phi = torch.stack([child[row, token] for row, token, _ in rows])
        perturbed = torch.tensor([value for *_, value in rows], dtype=torch.float64)
        newest = torch.tensor([[token] for _, token, _ in rows])
        state = reorder(state, torch.tensor([row for row, *_ in rows]))
    raise InputError(f"a sequence didn't end within {length} tokens: allow for more")


def conditioned(values: Tensor, largest: Tensor) -> Tensor:
    """Gumbel values [B, V] on the condition that the largest of each row is `largest` [B], stably."""
    z = values.max(1, keepdim=True).values
    gap = (values - z).clamp(max=0)
    v = largest[:, None] - values + torch.log(-torch.expm1(gap))  # −∞ at the largest itself
    return largest[:, None] - v.clamp(min=0) - torch.log1p((-v.abs()).exp())
