"""Picture of docs/themes/convolution.md: depth against parameters in networks that read three digits at once.

python scripts/figures/transcription.py              # five minutes on one core; into docs/figures; needs MNIST
"""

import sys
from pathlib import Path
from typing import Any

import torch
from pictures import main, panels
from torch import Tensor, nn
from torch.nn import functional as F

import zoo
from zoo.core.files import write_figure

DIGITS = 3


def strips(x: Tensor, y: Tensor, pick: Tensor) -> tuple[Tensor, Tensor]:
    """Pictures [N, 1, 28, 28·DIGITS] of digits side by side, and their labels [N, DIGITS].

    Args:
        pick: indices [N, DIGITS] of the digits x [M, 1, 28, 28].
    """
    return torch.cat(x[pick].unbind(1), dim=-1), y[pick]


def network(depth: int, width: int) -> nn.Sequential:
    """`depth` convolutions at a quarter of the size, and ten logits for each place, [N, DIGITS * 10]."""
    layers: list[nn.Module] = [nn.Conv2d(1, width, 4, 4)]  # 7 x 21 places
    for _ in range(depth):
        layers += [nn.ReLU(), nn.Conv2d(width, width, 3, padding=1)]
    return nn.Sequential(*layers, nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True), nn.Flatten(), nn.LazyLinear(DIGITS * 10))


def fitted(net: nn.Sequential, x: Tensor, y: Tensor, steps: int, seed: int) -> nn.Sequential:
    generator = torch.Generator().manual_seed(seed)
    net(strips(x, y, torch.zeros(1, DIGITS, dtype=torch.long))[0])  # the last layer takes its shape
    for layer in net:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, generator=generator)
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    falling = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=steps)
    for _ in range(steps):
        images, labels = strips(x, y, torch.randint(len(x), (64, DIGITS), generator=generator))
        optimizer.zero_grad()
        F.cross_entropy(net(images).view(-1, 10), labels.flatten()).backward()
        optimizer.step()
        falling.step()
    return net


def transcription(
    path: Path,
    *,
    parts: Any = None,
    depths: tuple[int, ...] = (0, 1, 2, 4, 8),
    widths: tuple[int, ...] = (8, 16, 32),
    steps: int = 500,
    digits: int = 5000,
) -> dict[str, Any]:
    """Share of strips whose three digits are all right, over depth and over the number of parameters."""
    if parts is None:
        data = zoo.datamodule("mnist")
        parts = data.tensors("train"), data.tensors("val")
    (x, y), (held, label) = ((images.float() / 255, labels.long()) for images, labels in parts)
    x, y = x[:digits], y[:digits]
    pick = torch.randint(len(held), (1000, DIGITS), generator=torch.Generator().manual_seed(0))
    images, labels = strips(held, label, pick)
    found: dict[int, list[tuple[int, float]]] = {}
    for width in widths:
        for depth in depths:
            torch.manual_seed(0)
            net = fitted(network(depth, width), x, y, steps, seed=0)
            with torch.no_grad():
                right = (net(images).view(-1, DIGITS, 10).argmax(-1) == labels).all(1).float().mean().item()
            found.setdefault(depth, []).append((sum(w.numel() for w in net.parameters()), right))
    figure, (left, middle, last) = panels(10, 2.9, 1, 3)
    left.imshow(torch.cat(list(images[:4, 0]), 0), cmap="gray")
    left.set(title=f"four strips of {DIGITS} digits", xticks=[], yticks=[])
    for i, width in enumerate(widths):
        middle.plot(depths, [found[depth][i][1] for depth in depths], "o-", ms=3, label=f"{width} channels")
    middle.set(title="strips read without a fault", xlabel="convolutions after the first")
    for depth in depths:
        last.plot(*zip(*found[depth], strict=True), "o-", ms=3, label=f"{depth} convolutions")
    last.set(title="the same over size", xlabel="parameters", xscale="log")
    for axis in (middle, last):
        axis.legend(frameon=False, fontsize=8)
    write_figure(path, figure, dpi=75)
    return {f"{depth} convolutions": found[depth] for depth in depths}


PICTURES = {"transcription": transcription}

if __name__ == "__main__":
    sys.exit(main(__doc__, PICTURES))
