"""The choice of the next token from its logits: greedy, temperature, top-k and nucleus sampling.

    p_i ∝ exp(logit_i / temperature)   among the k most likely tokens (top-k), or
                                       among the fewest tokens that hold the probability p (nucleus; Holtzman et al., 2020)

Temperature 0 is the limit: always the most likely token (the first of equals).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.core.checks import check_count
from zoo.errors import InputError


@dataclass(frozen=True)
class Choice:
    """How to choose a token.

    Args:
        temperature: 0 for greedy; below 1 sharpens, above 1 flattens the distribution.
        top_k: choose among so many of the most likely tokens.
        top_p: choose among the fewest tokens whose probabilities reach it, in (0, 1].
        vocab_size: number of tokens there are, the bound of top_k.

    Raises:
        InputError: for a value out of its range.
    """

    temperature: float
    top_k: int | None
    top_p: float | None
    vocab_size: int

    def __post_init__(self) -> None:
        if not _number(self.temperature) or not 0 <= self.temperature < math.inf:
            raise InputError(f"temperature must be 0 (greedy) or more, not {self.temperature!r}")
        if self.top_k is not None and check_count(self.top_k, "top_k") > self.vocab_size:
            raise InputError(
                f"top_k is {self.top_k}, but there are {self.vocab_size} tokens: give at most that, or None"
            )
        if self.top_p is not None and (not _number(self.top_p) or not 0 < self.top_p <= 1):
            raise InputError(f"top_p must be above 0 and at most 1, not {self.top_p!r}")

    def probabilities(self, logits: Tensor) -> Tensor:
        """What the token is drawn from, float64 [V] on the CPU.

        Raises:
            InputError: if the logits hold NaN or infinity.
        """
        logits = logits.double().cpu()  # the same draws on every device
        if not math.isfinite(logits.sum().item()):
            raise InputError(
                "the model gave logits that aren't finite: its weights are damaged or its training diverged"
            )
        if self.temperature == 0:
            return torch.zeros_like(logits).index_fill_(0, logits.argmax(), 1)
        scaled = (logits - logits.max()) / self.temperature  # at most 0: a tiny temperature can't overflow
        if self.top_k is not None:
            scaled = torch.full_like(scaled, -math.inf).scatter(
                0, (best := scaled.topk(self.top_k)).indices, best.values
            )
        probability = scaled.softmax(0)
        if self.top_p is not None:
            value, index = probability.sort(descending=True, stable=True)
            before = value.cumsum(0) - value  # a token stays if those before it don't reach top_p yet
            probability = torch.zeros_like(probability).scatter(0, index, value * (before < self.top_p))
        return probability / probability.sum()

    def draw(self, logits: Tensor, generator: torch.Generator) -> int:
        """A token for logits [V]."""
        return int(torch.multinomial(self.probabilities(logits), 1, generator=generator))


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
