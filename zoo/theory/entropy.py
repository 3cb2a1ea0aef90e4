"""How much a process surprises and how much it predicts (Shannon, 1948; Abdallah and Plumbley, 2009).

For a stationary Markov chain with transition matrix A (rows sum to 1) and stationary distribution π = π A, in bits:

    H = −Σ_i π_i log π_i                          entropy of one state
    H_r = −Σ_i π_i Σ_j a_ij log a_ij              entropy rate: surprise when the past is known
    IR = H − H_r = I(past; present)               information rate: what the past predicts of the present
    PIR = H_r(A²) − H_r(A) = I(present; future | past)      predictive information rate: what the present adds about the future
    erasure = H_r − PIR = H(present | past, future)         what neither side predicts

and H = IR + PIR + erasure. A constant and a coin both have no information to offer (IR = 0 and PIR = 0); what lies between does.
(One textbook prints π = A π, which is right only for matrices whose columns sum to 1.)
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zoo.errors import InputError
from zoo.theory.arrays import Numbers, array, distribution


@dataclass(frozen=True)
class Rates:
    """Rates of a stationary Markov chain, in bits a step.

    Attributes:
        stationary: π, probabilities of the states.
        entropy: H of one state.
        entropy_rate: H_r, of a state given all before it.
        information_rate: IR = H − H_r.
        predictive_information_rate: PIR = H_r(A²) − H_r(A).
        erasure_rate: H_r − PIR, of a state given all before and after it.
    """

    stationary: tuple[float, ...]
    entropy: float
    entropy_rate: float
    information_rate: float
    predictive_information_rate: float
    erasure_rate: float

    @property
    def predictive_information(self) -> float:
        """The predictive information rate, by its shorter name."""
        return self.predictive_information_rate

    @property
    def erasure(self) -> float:
        """The erasure rate, by its shorter name."""
        return self.erasure_rate


def entropy(p: Numbers, base: float = 2.0) -> float:
    """H(p) = −Σ p log p of a distribution of any shape, in bits for base 2.

    Raises:
        InputError: for negative values, or a sum that isn't 1.
    """
    return _entropy(distribution(p, "p")) / math.log(base)


def _entropy(p: Tensor) -> float:
    return -torch.special.xlogy(p, p).sum().item() + 0.0


def kl_divergence(p: Numbers, q: Numbers, base: float = 2.0) -> float:
    """KL(p ‖ q) = Σ p log(p / q), the extra length of a code made for q: infinite where q is 0 and p isn't."""
    p, q = distribution(p, "p"), distribution(q, "q")
    if p.shape != q.shape:
        raise InputError(f"p and q have the shapes {list(p.shape)} and {list(q.shape)}; they must be the same")
    return (torch.special.xlogy(p, p) - torch.special.xlogy(p, q)).sum().item() / math.log(base)


def mutual_information(joint: Numbers, base: float = 2.0) -> float:
    """I(X; Y) of a joint distribution p(x, y) [X, Y], in bits for base 2."""
    p = distribution(joint, "the joint distribution", 2)
    return max(0.0, _entropy(p.sum(0)) + _entropy(p.sum(1)) - _entropy(p)) / math.log(base)


def transitions(A: Numbers) -> Tensor:
    """A checked transition matrix, float64 [N, N].

    Raises:
        InputError: if it isn't square, or a row isn't a distribution.
    """
    a = array(A, "the transition matrix", 2)
    if a.shape[0] != a.shape[1]:
        raise InputError(f"a transition matrix is square, not {list(a.shape)}")
    if a.min() < 0:
        raise InputError(f"the transition matrix holds the negative probability {a.min():.6g}")
    off = (a.sum(1) - 1).abs()
    if off.max() > 1e-6:
        row = int(off.argmax())
        raise InputError(f"row {row} of the transition matrix sums to {a[row].sum():.6g}, not to 1")
    return a / a.sum(1, keepdim=True)


def stationary(A: Numbers) -> Tensor:
    """The stationary distribution π = π A, float64 [N].

    Raises:
        InputError: if there are several: the chain has parts that don't reach each other.
    """
    a = transitions(A)
    n = len(a)
    system = torch.cat([a.T - torch.eye(n, dtype=a.dtype), torch.ones(1, n, dtype=a.dtype)])
    if n > 1 and torch.linalg.svdvals(system[:-1])[-2] < 1e-12:
        raise InputError(
            "the chain falls into parts that don't reach each other: it has no single stationary distribution"
        )
    target = torch.zeros(n + 1, 1, dtype=a.dtype)
    target[-1] = 1
    pi = torch.linalg.lstsq(system, target, driver="gelsd").solution[:, 0].clamp(min=0)
    return pi / pi.sum()


def entropy_rate(A: Numbers, base: float = 2.0) -> float:
    """H_r of a stationary Markov chain, in bits a step for base 2."""
    a = transitions(A)
    return _rate(a, stationary(a)) / math.log(base)


def _rate(a: Tensor, pi: Tensor) -> float:
    return -(pi[:, None] * torch.special.xlogy(a, a)).sum().item() + 0.0


def rates(A: Numbers) -> Rates:
    """All rates of a stationary Markov chain with transition matrix A [N, N], in bits a step.

    Raises:
        InputError: for a matrix that isn't square, whose rows aren't distributions, or whose chain has several stationary
            distributions.
    """
    a = transitions(A)
    pi = stationary(a)
    h, rate, two_steps = (value / math.log(2) for value in (_entropy(pi), _rate(a, pi), _rate(a @ a, pi)))
    predictive = max(0.0, two_steps - rate)
    return Rates(tuple(pi.tolist()), h, rate, max(0.0, h - rate), predictive, max(0.0, rate - predictive))


def cycle(n: int = 8, noise: float = 1e-4) -> Tensor:
    """A chain that steps from each of n states to the next one, and with probability `noise` to each of the others.

    Raises:
        InputError: for fewer than two states, or probabilities outside [0, 1].
    """
    if n < 2 or not 0 <= noise * (n - 1) <= 1:
        raise InputError(
            f"a cycle takes at least 2 states and noise of at most 1 over all others, not {n} and {noise!r}"
        )
    a = torch.full((n, n), noise, dtype=torch.float64)
    a[torch.arange(n), (torch.arange(n) + 1) % n] = 1 - (n - 1) * noise
    return a


def typical(p: float, lengths: Numbers, draws: int = 1000, seed: int = 0) -> Tensor:
    """−(1/n) log₂ p(x₁ … x_n) of `draws` sequences of coins with probability p at every length n, [lengths, draws].

    By the asymptotic equipartition property it tends to H(p): nearly all sequences that occur are about equally likely.

    Raises:
        InputError: for p outside (0, 1), or lengths below 1.
    """
    if not 0 < p < 1:
        raise InputError(f"p must be between 0 and 1, not {p!r}")
    n = array(lengths, "lengths", 1)
    if n.min() < 1:
        raise InputError(f"a sequence has at least one coin, not {n.min():g}")
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for length in n.long().tolist():
        ones = torch.binomial(torch.full((draws,), float(length)), torch.tensor(p).expand(draws), generator=generator)
        rows.append(-(ones.double() * math.log2(p) + (length - ones.double()) * math.log2(1 - p)) / length)
    return torch.stack(rows)


def markov_nats(train: str, text: str, order: int = 1, add: float = 0.01) -> float:
    """Mean −log p of the characters of `text` in nats under a Markov chain of an order, counted on `train`.

    Args:
        order: characters of context; 0 takes the characters as independent.
        add: added to every count, over the characters of both texts.

    Raises:
        InputError: for a text that is no longer than the order, or `add` not above 0.
    """
    if order < 0 or len(text) <= order or len(train) <= order or not add > 0:
        raise InputError("both texts must be longer than the order, which is at least 0, and `add` above 0")
    alphabet = len(set(train) | set(text))
    counts: dict[str, dict[str, int]] = {}
    for i in range(order, len(train)):
        row = counts.setdefault(train[i - order : i], {})
        row[train[i]] = row.get(train[i], 0) + 1
    sums = {context: sum(row.values()) for context, row in counts.items()}
    total = 0.0
    for i in range(order, len(text)):
        context = text[i - order : i]
        seen = counts.get(context, {}).get(text[i], 0)
        total -= math.log((seen + add) / (sums.get(context, 0) + add * alphabet))
    return total / (len(text) - order)


def information_rate(model: Any, text: str, *, reference: str | None = None, base: float = math.e) -> float:
    """Information rate of a text under a language model, in nats a character (base 2: bits).

    It is the mean −log p of the characters taken as independent, less that under the model, which knows what came before: the
    error of a predictor is worth so much less than the symbols themselves.

    Args:
        model: a character model of the zoo (`perplexity(text)`).
        text: held-out text; its first character isn't scored.
        reference: text whose character frequencies price the independent characters; None for those of `text` itself.

    Raises:
        InputError: for a text of fewer than two characters, or a model that can't score text.
    """
    if len(text) < 2:
        raise InputError("a text needs at least two characters: the first one is only read")
    if not hasattr(model, "perplexity"):
        raise InputError(f"{type(model).__name__} scores no text: take a character model such as gpt-shakespeare")
    if reference is None:
        counts = torch.tensor([text.count(c) for c in sorted(set(text))], dtype=torch.float64)
        independent = _entropy(counts / len(text))
    else:
        independent = markov_nats(reference, text, 0)
    return (independent - math.log(model.perplexity(text))) / math.log(base)
