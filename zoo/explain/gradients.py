"""Attribution by gradients: what a small change of each number does, and what the way from a baseline adds up to.

    saliency              φ = ∂f/∂x, shown as |φ|                                       (Simonyan et al., 2014,
    arXiv:1312.6034) gradient × input      φ = x · ∂f/∂x
    integrated gradients  φ = (x − b) · ∫₀¹ ∂f(b + α (x − b))/∂x dα              (Sundararajan et al., 2017, arXiv:1703.01365)
    expected gradients    the mean of these over baselines drawn from data       (Erion et al., 2021, arXiv:1906.10670)
    DeepLIFT              slopes Δy/Δx against a baseline in place of gradients  (Shrikumar et al., 2017, arXiv:1704.02685)

Integrated gradients are complete: Σ φ = f(x) − f(b). That holds on every part of the way, too, so that the error of a
part can be read off without knowing its integral: `integrated_gradients` halves the parts that are furthest from complete.

All functions take f: points [N, …] → [N], a point x [1, …] and where there is one a baseline of x's shape. captum does
the work.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from zoo.core.checks import is_whole
from zoo.errors import IncompleteError, InputError, MissingExtraError

Function = Callable[[Tensor], Tensor]
COMPLETE = 0.01  # the largest relative gap that a method which promises completeness may leave
RULES = ("gausslegendre", "riemann_right", "riemann_left", "riemann_middle", "riemann_trapezoid")


def captum(part: str = "attr") -> Any:
    """The captum package that does the work.

    Raises:
        MissingExtraError: if it isn't installed.
    """
    import importlib

    try:
        return importlib.import_module(f"captum.{part}")
    except ImportError:
        raise MissingExtraError("explaining a model", "captum", "explain") from None


@contextmanager
def quietly() -> Iterator[None]:
    """Without captum's warnings on hooks and on inputs that now require a gradient."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def saliency(f: Function, x: Tensor) -> Tensor:
    """∂f/∂x with its sign, as x; a linear function gives w. A saliency map shows its absolute value."""
    with quietly():
        return captum().Saliency(f).attribute(_leaf(x), abs=False).detach()


def gradient_x_input(f: Function, x: Tensor) -> Tensor:
    """x · ∂f/∂x, as x; a linear function gives w · x. x itself is left as it is."""
    with quietly():
        return captum().InputXGradient(f).attribute(_leaf(x)).detach()


def smoothgrad(f: Function, x: Tensor, *, samples: int = 25, noise: float = 0.15) -> Tensor:
    """The mean gradient at x with Gaussian noise of so much of its range (Smilkov et al., 2017, arXiv:1706.03825), as x."""
    deviation = noise * float(x.max() - x.min())
    tool = captum().NoiseTunnel(captum().Saliency(f))
    with quietly():
        return tool.attribute(
            _leaf(x), nt_type="smoothgrad", nt_samples=samples, nt_samples_batch_size=25, stdevs=deviation, abs=False
        ).detach()


def integrated_gradients(
    f: Function, x: Tensor, baseline: Tensor, steps: int | None = None, *, rule: str = "gausslegendre", batch: int = 64
) -> Tensor:
    """Integrated gradients along the straight line from the baseline to x, as x.

    Args:
        steps: points of the rule on the whole way. By default as many as make the values complete to 0.4 % on the whole
            way and to 2 % on each
            part of it: 32, then twice as many on the parts that are furthest from complete, up to some 4,000.
        rule: "gausslegendre", or a Riemann sum: "riemann_right" is (x − b) · Σ_k ∂f(b + k/m (x − b))/∂x / m, k = 1 … m.
        batch: points that f takes at once.

    Raises:
        InputError: for another rule, or steps that are no whole number of at least 1.
    """
    if rule not in RULES:
        raise InputError(f"rule is one of {', '.join(RULES)}, not {rule!r}")
    if steps is not None and (not is_whole(steps) or steps < 1):
        raise InputError(f"the number of steps must be a whole number of at least 1, not {steps!r}")
    tool = captum().IntegratedGradients(f)

    def on(start: Tensor, end: Tensor, count: int) -> Tensor:
        with quietly():
            values = tool.attribute(end, start, n_steps=count, method=rule, internal_batch_size=max(batch, len(end)))
        return values.detach()

    if steps is not None:
        return on(baseline, x, steps)
    way = x - baseline

    def at(share: Tensor) -> Tensor:
        return baseline + share.reshape(-1, *[1] * (x.ndim - 1)).to(x) * way

    with torch.no_grad():
        ends = _evaluate(f, at(torch.tensor([0.0, 1.0])), batch)
    total = float(ends[1] - ends[0])
    wanted = COMPLETE / 2.5 * max(abs(total), 1e-3 * float(ends.abs().max()), 1e-12)
    parts = [_Part(0.0, 1.0, 32, on(baseline, x, 32), total)]
    spent = 32
    while abs(sum(part.gap for part in parts)) > wanted or max(abs(part.gap) for part in parts) > 5 * wanted:
        if spent >= 4096:
            break
        parts.sort(key=lambda part: abs(part.gap))
        worst = [parts.pop() for _ in range(min(4, len(parts)))]
        middles = [(part.start + part.end) / 2 for part in worst]
        with torch.no_grad():
            inner = _evaluate(
                f,
                at(torch.tensor([e for p, m in zip(worst, middles, strict=True) for e in (p.start, m, p.end)])),
                batch,
            )
        for i, (part, middle) in enumerate(zip(worst, middles, strict=True)):
            first, mid, last = inner[3 * i : 3 * i + 3].tolist()
            for start, end, rise in ((part.start, middle, mid - first), (middle, part.end, last - mid)):
                points = at(torch.tensor([start, end]))
                parts.append(_Part(start, end, 32, on(points[:1], points[1:], 32), rise))
                spent += 32
    return torch.stack([part.values for part in parts]).sum(0)


class _Part:
    """A stretch of the way with its values, and how far they are from the rise of f on it."""

    def __init__(self, start: float, end: float, steps: int, values: Tensor, rise: float) -> None:
        self.start, self.end, self.steps, self.values = start, end, steps, values
        self.gap = float(values.double().sum()) - rise


def _evaluate(f: Function, points: Tensor, batch: int) -> Tensor:
    return torch.cat([f(part).double().cpu() for part in points.split(batch)])


def expected_gradients(f: Function, x: Tensor, baselines: Tensor, samples: int = 200) -> Tensor:
    """The mean of integrated gradients over baselines [B, …], each at a random place of its way (captum's GradientShap),
    as x.

    Where the number of samples allows it, each baseline is drawn equally often.
    """
    with quietly():
        tool = captum().GradientShap(f)
        values, left = torch.zeros_like(x), samples
        while left > 0:
            count = min(left, 64)
            values = (
                values + count / samples * tool.attribute(_leaf(x), baselines, n_samples=count, stdevs=0.0).detach()
            )
            left -= count
    return values


def deeplift(module: nn.Module, x: Tensor, baseline: Tensor) -> Tensor:
    """DeepLIFT's values against a baseline, as x; against several baselines [B, …] their mean, which is DeepSHAP.

    The module gives [N] for points [N, …]. A rule exists for ReLU and its kin, max-pooling and softmax; with others, or
    where two layers compete in a max-pool, the values need not be complete.

    Raises:
        IncompleteError: where they miss f(x) − f(b) by more than one per cent.
    """
    with quietly():
        if len(baseline) == 1:
            values = captum().DeepLift(module).attribute(_leaf(x), baseline).detach()
        else:
            values = captum().DeepLiftShap(module).attribute(_leaf(x), baseline).detach()
    with torch.no_grad():
        rise = float(module(x).double().mean() - module(baseline).double().mean())
    check_complete(values, rise, "DeepLIFT" if len(baseline) == 1 else "DeepSHAP")
    return values


def guided_backprop(module: nn.Module, x: Tensor) -> Tensor:
    """Gradients that only pass ReLUs where they are positive (Springenberg et al., 2015, arXiv:1412.6806), as x.

    A picture of the image's edges more than of the model: it hardly changes when the weights are randomised
    (`checks.cascade`).

    Raises:
        InputError: for a network without a ReLU.
    """
    if not any(isinstance(layer, nn.ReLU) for layer in module.modules()):
        raise InputError("guided backprop changes the gradient of ReLUs, and this network has none: use saliency")
    with quietly():
        return captum().GuidedBackprop(module).attribute(_leaf(x)).detach()


def gap_of(values: Tensor, rise: float) -> float:
    """|Σ values − rise| / |rise|: how far values are from complete. Where nothing rises, it is the sum alone."""
    missing = abs(float(values.double().sum()) - rise)
    return missing / abs(rise) if abs(rise) > 1e-9 else missing


def check_complete(values: Tensor, rise: float, method: str) -> None:
    """Raises IncompleteError where values miss the rise by more than one per cent."""
    gap = gap_of(values, rise)
    if gap > COMPLETE:
        raise IncompleteError(
            f"{method} isn't complete on this network: its values add up to {float(values.sum()):.3f}, "
            f"the output rises by {rise:.3f} (gap {gap:.1%}): use integrated-gradients"
        )


def _leaf(x: Tensor) -> Tensor:
    return x.detach().clone().requires_grad_()
