"""Information bottleneck (Tishby, Pereira and Bialek, 1999, arXiv:physics/0004057) by Blahut-Arimoto iterations.

T is a summary of X that should keep the information of X about Y:    minimise I(X; T) − β I(T; Y)    over p(t | x),    T − X − Y.

    p(t | x) = p(t) exp(−β KL(p(y | x) ‖ p(y | t))) / Z(x, β)
    p(t)     = Σ_x p(x) p(t | x)
    p(y | t) = Σ_x p(y | x) p(t | x) p(x) / p(t)

Each of the three updates lowers the functional, so it falls monotonically. (One textbook prints I(X; T) in the place of the KL
in the first and leaves the third out.) Below a critical β the best summary is a constant. It is lost when 1/β is below the
squared second singular value of p(x, y) / sqrt(p(x) p(y)), the largest correlation that functions of X and Y can have.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.core.checks import is_whole
from zoo.errors import InputError
from zoo.theory.arrays import Numbers, distribution


class Bottleneck(NamedTuple):
    """A point of the bottleneck's curve.

    Attributes:
        i_xt, i_ty: I(X; T) and I(T; Y) in bits.
        encoder: p(t | x), float64 [X, T]; a row of zeros for an x of probability 0.
    """

    i_xt: float
    i_ty: float
    encoder: Tensor


def solve(
    p_xy: Numbers,
    beta: float,
    clusters: int | None = None,
    seed: int = 0,
    *,
    iterations: int = 2000,
    tolerance: float = 1e-12,
    starts: int = 1,
) -> Bottleneck:
    """I(X; T), I(T; Y) in bits, and p(t | x), at a trade-off β.

    Args:
        p_xy: joint distribution [X, Y].
        beta: worth of a bit about Y in bits about X; at most 1 gives the trivial summary.
        clusters: values that T can take; None for as many as X has.
        seed: of the random start; for large β the result depends on it.
        iterations, tolerance: stop after so many rounds, or when the functional falls by less, in nats.
        starts: random starts, of which the one with the lowest functional is returned.

    Raises:
        InputError: for a p_xy that is no joint distribution, β not above 0, or fewer than one cluster.
    """
    found = [trace(p_xy, beta, clusters, seed + i, iterations=iterations, tolerance=tolerance) for i in range(starts)]
    return min(found, key=lambda pair: pair[1][-1])[0]


def trace(
    p_xy: Numbers,
    beta: float,
    clusters: int | None = None,
    seed: int = 0,
    *,
    iterations: int = 2000,
    tolerance: float = 1e-12,
) -> tuple[Bottleneck, list[float]]:
    """As `solve` with one start, with the functional I(X; T) − β I(T; Y) in nats after every round."""
    p, beta = _checked(p_xy, beta)
    kept = p.sum(1) > 0
    joint = p[kept][:, p.sum(0) > 0]
    count = len(p) if clusters is None else clusters
    if not is_whole(count) or count < 1:
        raise InputError(f"clusters must be a whole number of at least 1, not {clusters!r}")
    px, py = joint.sum(1), joint.sum(0)
    y_given_x = joint / px[:, None]
    negative_entropy = torch.special.xlogy(y_given_x, y_given_x).sum(1, keepdim=True)  # [X, 1]
    generator = torch.Generator().manual_seed(seed)
    encoder = torch.rand(len(px), count, generator=generator, dtype=torch.float64)
    encoder /= encoder.sum(1, keepdim=True)
    functional: list[float] = []
    for _ in range(max(1, iterations)):
        pt = px @ encoder
        y_given_t = (encoder * px[:, None]).T @ y_given_x / pt.clamp(min=1e-300)[:, None]
        kl = negative_entropy - y_given_x @ y_given_t.clamp(min=1e-300).log().T  # [X, T]
        encoder = (pt.clamp(min=1e-300).log() - beta * kl).softmax(1)
        i_xt, i_ty = _information(px, py, y_given_x, encoder)
        functional.append(i_xt - beta * i_ty)
        if len(functional) > 1 and functional[-2] - functional[-1] < tolerance:
            break
    whole = torch.zeros(len(p), count, dtype=torch.float64)
    whole[kept] = encoder
    return Bottleneck(i_xt / math.log(2), i_ty / math.log(2), whole), functional


def critical_beta(p_xy: Numbers) -> float:
    """The β below which the best summary is a constant: 1 / σ₂², infinite for independent X and Y.

    σ₂ is the second singular value of p(x, y) / sqrt(p(x) p(y)) (the first is 1).

    Raises:
        InputError: for a p_xy that is no joint distribution.
    """
    p, _ = _checked(p_xy, 1.0)
    joint = p[p.sum(1) > 0][:, p.sum(0) > 0]
    values = torch.linalg.svdvals(joint / (joint.sum(1)[:, None] * joint.sum(0)).sqrt())
    return math.inf if len(values) < 2 or values[1] < 1e-12 else 1 / values[1].item() ** 2


def curve(p_xy: Numbers, betas: Numbers, clusters: int | None = None, seed: int = 0, *, starts: int = 1) -> Tensor:
    """I(X; T) and I(T; Y) in bits for each β, float64 [betas, 2]."""
    points = [solve(p_xy, float(beta), clusters, seed, starts=starts)[:2] for beta in betas]
    return torch.tensor(points, dtype=torch.float64)


def noisy_typewriter(letters: int = 64, reach: int = 16, *, itself: bool = False) -> Tensor:
    """Joint distribution [letters, letters] of a letter meant and the letter typed, on a circular keyboard.

    Each letter is typed as one of its `reach` neighbours to either side, or with `itself` also as itself, all equally often.

    Raises:
        InputError: if the neighbours don't fit on the keyboard.
    """
    if letters < 2 or reach < 1 or 2 * reach + 1 > letters:
        raise InputError(f"{reach} neighbours to either side don't fit on a keyboard of {letters} letters")
    near = [hop for hop in range(-reach, reach + 1) if hop or itself]
    p = torch.zeros(letters, letters, dtype=torch.float64)
    for hop in near:
        p[torch.arange(letters), (torch.arange(letters) + hop) % letters] = 1
    return p / p.sum()


def _checked(p_xy: Numbers, beta: float) -> tuple[Tensor, float]:
    p = distribution(p_xy, "p_xy", 2)
    beta = float(beta)
    if not (beta > 0 and math.isfinite(beta)):
        raise InputError(f"beta must be a finite number above 0, not {beta!r}")
    return p, beta


def _information(px: Tensor, py: Tensor, y_given_x: Tensor, encoder: Tensor) -> tuple[float, float]:
    """I(X; T) and I(T; Y) in nats."""
    pt = px @ encoder
    i_xt = (px[:, None] * (torch.special.xlogy(encoder, encoder) - torch.special.xlogy(encoder, pt))).sum().item()
    joint = (encoder * px[:, None]).T @ y_given_x  # [T, Y]
    i_ty = (torch.special.xlogy(joint, joint) - torch.special.xlogy(joint, pt[:, None] * py)).sum().item()
    return max(0.0, i_xt), max(0.0, i_ty)
