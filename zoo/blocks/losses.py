"""Fourteen losses for a classifier in one table (after Janocha and Czarnecki, 2017, arXiv:1702.05659), a fifteenth (Crammer and
Singer, 2001), and five for numbers.

Logits are o [N, C]; y [N, C] holds the target probabilities, σ(o) is the softmax. Hinges have no softmax: their labels are
y± = 2y - 1 in {-1, 1}, one against the rest, and o is the margin.

    l1, l2, squared_l2                      ‖y - o‖₁, ‖y - o‖₂, ‖y - o‖₂²
    expectation                             ‖y - σ(o)‖₁
    regularized_expectation, its square     ‖y - σ(o)‖₂
    chebyshev                               max_j |σ(o)_j - y_j|
    hinge, squared_hinge, cubed_hinge       Σ_j max(0, 1 - y±_j o_j)ᵖ,  p = 1, 2, 3
    multiclass_hinge                        max_j (1 - y_j + o_j) - o·y: only the worst rival counts (not of their table)
    log                                     -Σ_j y_j log σ(o)_j: cross-entropy
    squared_log                             +Σ_j y_j (log σ(o)_j)²
    tanimoto                                -σ(o)·y / (‖σ(o)‖² + ‖y‖² - σ(o)·y)
    cauchy_schwarz                          -log (σ(o)·y / (‖σ(o)‖ ‖y‖))

Departures from the printed table: the squared log loss has no leading minus (with it wrong answers earn without bound), and the
Tanimoto similarity has one (it is 1 where the answer is right). All are means over the batch.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.errors import InputError

Loss = Callable[[Tensor, Tensor], Tensor]  # logits [N, C] and target probabilities [N, C] to one value an example, [N]


def _norm(p: float, *, softmax: bool, power: int = 1) -> Loss:
    def loss(o: Tensor, y: Tensor) -> Tensor:
        difference = y - (o.softmax(1) if softmax else o)
        return torch.linalg.vector_norm(difference, p, dim=1) ** power

    return loss


def _hinge(power: int) -> Loss:
    return lambda o, y: (1 - (2 * y - 1) * o).clamp(min=0).pow(power).sum(1)


def _tanimoto(o: Tensor, y: Tensor) -> Tensor:
    p = o.softmax(1)
    common = (p * y).sum(1)
    return -common / (p.square().sum(1) + y.square().sum(1) - common)


def _cauchy_schwarz(o: Tensor, y: Tensor) -> Tensor:
    log_p = o.log_softmax(1)  # logarithms all the way: σ(o)·y may be too small for a float
    common = torch.logsumexp(log_p + y.log(), 1)
    return 0.5 * torch.logsumexp(2 * log_p, 1) + y.norm(dim=1).log() - common


LOSSES: dict[str, Loss] = {
    "log": lambda o, y: -(y * o.log_softmax(1)).sum(1),
    "l1": _norm(1, softmax=False),
    "l2": _norm(2, softmax=False),
    "squared_l2": _norm(2, softmax=False, power=2),
    "expectation": _norm(1, softmax=True),
    "regularized_expectation": _norm(2, softmax=True),
    "squared_regularized_expectation": _norm(2, softmax=True, power=2),
    "chebyshev": _norm(float("inf"), softmax=True),
    "hinge": _hinge(1),
    "squared_hinge": _hinge(2),
    "cubed_hinge": _hinge(3),
    "multiclass_hinge": lambda o, y: (1 - y + o).amax(1) - (y * o).sum(1),
    "squared_log": lambda o, y: (y * o.log_softmax(1).square()).sum(1),
    "tanimoto": _tanimoto,
    "cauchy_schwarz": _cauchy_schwarz,
}


def classification_loss(name: str, logits: Tensor, target: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Mean loss of logits [N, C] for class numbers [N] or probabilities [N, C]; a scalar.

    Args:
        name: one of `LOSSES`.
        label_smoothing: probability mass that is spread over all classes.

    Raises:
        InputError: for an unknown name; it names the losses.
    """
    if name not in LOSSES:
        raise InputError(f"loss must be one of {', '.join(LOSSES)}, not {name!r}")
    classes = logits.shape[1]
    y = F.one_hot(target, classes).to(logits.dtype) if target.ndim == 1 else target
    y = (1 - label_smoothing) * y + label_smoothing / classes
    return LOSSES[name](logits, y).mean()


def _quantile(o: Tensor, y: Tensor, level: float) -> Tensor:
    return torch.maximum(level * (y - o), (level - 1) * (y - o))


def _huber(o: Tensor, y: Tensor, knee: float) -> Tensor:
    error = (y - o).abs()
    return torch.where(error <= knee, 0.5 * error.square(), knee * (error - 0.5 * knee))


REGRESSION_LOSSES = ("mse", "mae", "huber", "quantile", "poisson")


def regression_loss(name: str, output: Tensor, target: Tensor, *, knee: float = 1.0, level: float = 0.5) -> Tensor:
    """Mean loss of real outputs o for targets y of the same shape; a scalar.

        mse        (y - o)²                     lowest at the mean of y
        mae        |y - o|                      lowest at the median: outliers count by their distance alone
        huber      ½(y - o)² up to a distance of `knee`, knee (|y - o| - ½ knee) beyond
        quantile   max(τ (y - o), (τ - 1)(y - o)), τ = `level`: lowest at that quantile; two of them make an interval
        poisson    exp(o) - y o                 counts; exp(o) is their mean

    Raises:
        InputError: for an unknown name (it names the losses), or a knee or level that makes no loss.
    """
    if output.shape != target.shape:
        raise InputError(f"outputs are {list(output.shape)} but targets {list(target.shape)}: they have one shape")
    if not knee > 0 or not 0 < level < 1:
        raise InputError(f"knee must be above 0 and level between 0 and 1, not {knee!r} and {level!r}")
    match name:
        case "mse":
            loss = (target - output).square()
        case "mae":
            loss = (target - output).abs()
        case "huber":
            loss = _huber(output, target, knee)
        case "quantile":
            loss = _quantile(output, target, level)
        case "poisson":
            loss = output.exp() - target * output
        case _:
            raise InputError(f"loss must be one of {', '.join(REGRESSION_LOSSES)}, not {name!r}")
    return loss.mean()


def binary_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """−y log σ(o) − (1 − y) log(1 − σ(o)), the mean over all values of one shape: yes or no, a pixel or an image each."""
    _same_shape(logits, target)
    return (logits.clamp(min=0) - logits * target + (-logits.abs()).exp().log1p()).mean()


def focal_loss(logits: Tensor, target: Tensor, *, gamma: float = 2.0, alpha: float | None = None) -> Tensor:
    """Binary cross-entropy times (1 − p)^γ, p the probability of what is right: what is easy counts little; a scalar.

    Args:
        gamma: 0 is binary cross-entropy.
        alpha: weight of the ones, the zeros have 1 − alpha; None for 1 each (Lin et al., 2017, arXiv:1708.02002).
    """
    _same_shape(logits, target)
    if gamma < 0 or (alpha is not None and not 0 <= alpha <= 1):
        raise InputError(f"gamma is at least 0 and alpha in 0..1, not {gamma!r} and {alpha!r}")
    if not bool(((target == 0) | (target == 1)).all()):
        raise InputError("the targets of the focal loss are 0 or 1")
    log_p = -F.softplus(-(2 * target - 1) * logits)
    weight = torch.ones_like(logits) if alpha is None else alpha * target + (1 - alpha) * (1 - target)
    return -(weight * (1 - log_p.exp()).pow(gamma) * log_p).mean()


def kl_divergence(logits: Tensor, target: Tensor) -> Tensor:
    """Σ_j y_j log(y_j / σ(o)_j) in nats, the mean over the rows [N, C]: 0 where the softmax is the target distribution."""
    _same_shape(logits, target)
    return (torch.special.xlogy(target, target) - target * logits.log_softmax(1)).sum(1).mean()


def weighted_cross_entropy(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cross-entropy of classes [N, …] for logits [N, C, …], each value weighed by its class; a scalar.

    Args:
        weight: of the classes, [C]; None for the inverse of how often each comes up in the target.
    """
    if weight is None:
        counts = torch.bincount(target.flatten(), minlength=logits.shape[1]).to(logits)
        weight = torch.where(counts > 0, 1 / counts.clamp(min=1), 0.0)
    own = logits.log_softmax(1).gather(1, target[:, None])[:, 0]
    return -(weight[target] * own).sum() / weight[target].sum()


def dice_loss(logits: Tensor, target: Tensor, *, smooth: float = 1.0) -> Tensor:
    """1 − (2 Σ p y + s) / (Σ p + Σ y + s) of maps [N, 1, …], p = σ(o); the mean over the rows. The overlap, whatever its size."""
    p, y = _maps(logits, target)
    return (1 - (2 * (p * y).sum(1) + smooth) / (p.sum(1) + y.sum(1) + smooth)).mean()


def jaccard_loss(logits: Tensor, target: Tensor, *, smooth: float = 1.0) -> Tensor:
    """1 − (Σ p y + s) / (Σ p + Σ y − Σ p y + s) of maps [N, 1, …], p = σ(o): intersection over union; the mean over the rows."""
    p, y = _maps(logits, target)
    common = (p * y).sum(1)
    return (1 - (common + smooth) / (p.sum(1) + y.sum(1) - common + smooth)).mean()


def _maps(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    _same_shape(logits, target)
    return logits.sigmoid().flatten(1), target.to(logits.dtype).flatten(1)


def _same_shape(logits: Tensor, target: Tensor) -> None:
    if logits.shape != target.shape:
        raise InputError(f"logits are {list(logits.shape)} but targets {list(target.shape)}: they have one shape")
