"""The information plane of a network in training (Shwartz-Ziv and Tishby, 2017, arXiv:1703.00810; Saxe et al., 2018).

Twelve bits X, all 4,096 inputs equally likely, a fixed noisy rule p(y | x), and a network 12-10-7-5-4-3-2. A layer's
activations h, sorted into bins, are a random variable T that X determines, so both coordinates are exact:

    I(X; T) = H(T),     I(T; Y) = H(Y) − Σ_t p(t) H(Y | t) ≤ I(X; Y)

First both grow ("fitting"). Later I(X; T) may fall ("compression"): the papers see it with tanh, whose activations saturate into
the outer bins, and not with ReLU, which learns as well. So it depends on the nonlinearity, the bins and the task.
Bins of each layer's own range are no data-processing chain: for ReLU a later layer can have the larger I(X; T).
"""

import itertools
import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import InputError

WIDTHS = (10, 7, 5, 4, 3)


@dataclass(frozen=True)
class Path:
    """The way of all layers through the plane.

    Attributes:
        steps: training steps, [S].
        i_xt, i_ty: I(X; T) and I(T; Y) in bits, float64 [S, layers], the output last.
        i_xy: I(X; Y) in bits, which no layer exceeds.
        loss: cross-entropy in nats, [S].
    """

    steps: tuple[int, ...]
    i_xt: Tensor
    i_ty: Tensor
    i_xy: float
    loss: tuple[float, ...]


def task(noise: float = 4.0, seed: int = 0) -> tuple[Tensor, Tensor]:
    """All inputs [4096, 12] of ±1, and p(y = 1 | x) [4096] of a fixed rule: a noisy sign of a random quadratic form.

    Args:
        noise: steepness of the sigmoid; the larger, the less noise.
    """
    if not noise > 0:
        raise InputError(f"noise must be above 0, not {noise!r}")
    x = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=12)))
    generator = torch.Generator().manual_seed(seed)
    linear, square = torch.randn(12, generator=generator), torch.randn(12, 12, generator=generator)
    score = x @ linear + 0.5 * ((x @ square) * x).sum(1)
    score = (score - score.median()) / score.std()
    return x, (noise * score).sigmoid()


def information(
    h: Tensor, p: Tensor, bins: int = 30, low: float | None = None, high: float | None = None
) -> tuple[float, float]:
    """I(X; T) and I(T; Y) in bits of activations h [N, D] sorted into bins, for equally likely inputs with p(y = 1 | x) = p [N].

    Args:
        bins: equal bins of each unit between `low` and `high`; None for the least and the largest activation.

    Raises:
        InputError: for fewer than two bins, or activations that aren't finite.
    """
    if bins < 2:
        raise InputError(f"bins must be at least 2, not {bins!r}")
    if not h.isfinite().all():
        raise InputError("the activations hold NaN or infinite values")
    low = h.min().item() if low is None else low
    high = h.max().item() if high is None else high
    cell = ((h - low) / max(high - low, 1e-12) * bins).long().clamp(0, bins - 1)
    _, index, counts = torch.unique(cell, dim=0, return_inverse=True, return_counts=True)
    share = counts.double() / len(h)
    one = torch.zeros(len(counts), dtype=torch.float64).index_add_(0, index, p.double()) / counts
    i_xt = -(share * share.log2()).sum().item()
    return i_xt, _binary(p.double().mean()).item() - (share * _binary(one)).sum().item()


def _binary(p: Tensor) -> Tensor:
    """Entropy in bits of a coin."""
    return -(torch.special.xlogy(p, p) + torch.special.xlogy(1 - p, 1 - p)) / math.log(2)


def follow(
    activation: Literal["tanh", "relu"] = "tanh",
    steps: int = 4000,
    *,
    every: int = 100,
    lr: float = 2e-3,
    bins: int = 30,
    seed: int = 0,
    batch_size: int = 512,
) -> Path:
    """Train the network by Adam on endlessly many noisy labels and follow its layers through the plane.

    Raises:
        InputError: for an unknown activation, or steps below 1.
    """
    if activation not in ("tanh", "relu"):
        raise InputError(f"activation must be 'tanh' or 'relu', not {activation!r}")
    if steps < 1 or every < 1:
        raise InputError(f"steps and every must be at least 1, not {steps!r} and {every!r}")
    x, p = task()
    generator = torch.Generator().manual_seed(seed)
    layers = []
    for before, after in itertools.pairwise((12, *WIDTHS, 2)):
        layer = nn.Linear(before, after)
        nn.init.trunc_normal_(layer.weight, std=before**-0.5, generator=generator)
        nn.init.zeros_(layer.bias)
        layers.append(layer)
    bend = torch.tanh if activation == "tanh" else torch.relu
    target = torch.stack([1 - p, p], 1)  # the mean over the noise: one draw of it would be learnt by heart in the end

    def run(h: Tensor) -> list[Tensor]:
        stages = []
        for layer in layers[:-1]:
            h = bend(layer(h))
            stages.append(h)
        return [*stages, layers[-1](h)]

    optimizer = torch.optim.Adam([w for layer in layers for w in layer.parameters()], lr=lr)
    marks, places, losses = [], [], []
    for step in range(steps + 1):
        if step % every == 0 or step == steps:
            with torch.no_grad():
                *hidden, logits = run(x)
                ranges = (-1.0, 1.0) if activation == "tanh" else (None, None)
                found = [information(h, p, bins, *ranges) for h in hidden]
                found.append(information(logits.softmax(1), p, bins, 0.0, 1.0))
                losses.append(F.cross_entropy(logits, target).item())
            marks.append(step)
            places.append(found)
        index = torch.randint(len(x), (batch_size,), generator=generator)
        optimizer.zero_grad()
        F.cross_entropy(run(x[index])[-1], target[index]).backward()
        optimizer.step()
    table = torch.tensor(places, dtype=torch.float64)  # [S, layers, 2]
    i_xy = (_binary(p.double().mean()) - _binary(p.double()).mean()).item()
    return Path(tuple(marks), table[..., 0], table[..., 1], i_xy, tuple(losses))
