"""Points that a model should draw beside those that it draws, and how far two sets of points are apart."""

from typing import Any

import torch
from torch import Tensor

from zoo.errors import UnknownNameError


def real_points(data: dict[str, Any] | None, n: int) -> Tensor | None:
    """Fresh points [n, D] of the distribution that a model was trained on; None where its data were drawn from none.

    Args:
        data: the name and the arguments of a data module, as a model's `data` has them.
    """
    from zoo import registry

    if data is None:
        return None
    try:
        draw = getattr(registry.datamodule_class(data["name"])(**data["init"]), "draw", None)
    except UnknownNameError:
        return None
    points: Tensor | None = draw(n, seed=3)[0] if draw else None
    return points


def draw_beside(axes: Any, drawn: Tensor, data: dict[str, Any] | None) -> None:
    """Scatter drawn points [N, 2] on the first of two axes of matplotlib, and as many real ones, if any, on the other."""
    shown = {"samples": drawn.cpu(), "real points": real_points(data, len(drawn))}
    for axis, (title, points) in zip(axes, shown.items(), strict=True):
        if points is None:
            axis.set_axis_off()
        else:
            axis.scatter(*points.T, s=1.5, linewidths=0, color="0.2")
            axis.set(title=title, xlabel="$x_1$")


def wasserstein(a: Tensor, b: Tensor, directions: int = 64) -> float:
    """W₁ of equally many points a, b [N, D]: of the line exactly, else the mean over random directions."""
    d = a.shape[1]
    if d > 1:
        axes = torch.randn(d, directions, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    else:
        axes = torch.ones(1, 1, dtype=torch.float64)
    axes = axes / axes.norm(dim=0)
    return (((a.double() @ axes).sort(0)[0]) - ((b.double() @ axes).sort(0)[0])).abs().mean().item()
