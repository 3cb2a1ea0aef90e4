"""Pictures of docs/themes/generators.md: a GAN for each pixel beside one for all, and ways to tell a diffusion model a label.

python scripts/figures/generators.py                 # a minute; into docs/figures; needs MNIST
"""

import math
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from pictures import main, panels
from torch import Tensor, nn
from torch.nn import functional as F

import zoo
from zoo.core.files import write_figure

# A GAN for each pixel ------------------------------------------------------------------------------------------------


class Each(nn.Module):
    """As many small perceptrons side by side as there are pixels, each with a number to read: [N, P] → [N, P]."""

    def __init__(self, pixels: int, width: int = 8) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn(pixels, width))
        self.bias = nn.Parameter(torch.randn(pixels, width) / 2)
        self.last = nn.Parameter(torch.randn(pixels, width) / width**0.5)
        self.shift = nn.Parameter(torch.zeros(pixels))

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.leaky_relu(x[..., None] * self.first + self.bias, 0.2)
        return (hidden * self.last).sum(2) + self.shift


def play(generator: nn.Module, discriminator: nn.Module, noise: Any, x: Tensor, steps: int, lr: float) -> None:
    """A game with the loss that doesn't saturate; each of the discriminator's numbers is a game of its own. It sees all pictures
    with a little noise, without which it tells them apart too soon and the generator draws one picture for ever."""
    haze = lambda pictures: pictures + 0.2 * torch.randn(pictures.shape)  # noqa: E731
    players = [torch.optim.Adam(net.parameters(), lr=lr, betas=(0.5, 0.99)) for net in (generator, discriminator)]
    for _ in range(steps):
        real = x[torch.randint(len(x), (64,))]
        made = generator(noise(64)).sigmoid()
        told = F.softplus(-discriminator(haze(real))) + F.softplus(discriminator(haze(made.detach())))
        players[1].zero_grad()
        told.sum(1).mean().backward()
        players[1].step()
        fooled = F.softplus(-discriminator(haze(made)))
        players[0].zero_grad()
        fooled.sum(1).mean().backward()
        players[0].step()


def pixels(path: Path, *, digits: Any = None, steps: int = 1500, side: int = 14) -> dict[str, Any]:
    """Digits by a GAN for each pixel, and by one GAN with an output for each."""
    images, labels = digits or zoo.datamodule("mnist").tensors("train")
    x = F.interpolate(images[labels == 0][:2000].float() / 255, (side, side), mode="area").flatten(1)
    p = x.shape[1]
    torch.manual_seed(0)
    apart = Each(p), Each(p)
    play(*apart, lambda n: torch.randn(n, p), x, steps, 2e-3)
    normal = nn.utils.parametrizations.spectral_norm
    whole = (
        nn.Sequential(
            nn.Linear(16, 128),
            nn.BatchNorm1d(128),
            nn.ReLU(),
            nn.Linear(128, 128),
            nn.BatchNorm1d(128),
            nn.ReLU(),
            nn.Linear(128, p),
        ),
        nn.Sequential(
            normal(nn.Linear(p, 128)),
            nn.LeakyReLU(0.2),
            normal(nn.Linear(128, 128)),
            nn.LeakyReLU(0.2),
            nn.Linear(128, 1),
        ),
    )
    play(*whole, lambda n: torch.randn(n, 16), x, steps, 1e-3)
    with torch.no_grad():
        made = {
            "digits": x,
            "a GAN for each pixel": apart[0](torch.randn(500, p)).sigmoid(),
            "one GAN for all": whole[0](torch.randn(500, 16)).sigmoid(),
        }
    busy = x.std(0) > 0.1
    truth = torch.corrcoef(x[:, busy].T)
    figure, axes = panels(10, 3.6, 1, 3)
    found: dict[str, Any] = {}
    for axis, (name, images) in zip(axes, made.items(), strict=True):
        shown = images[:16].reshape(4, 4, side, side).permute(0, 2, 1, 3).reshape(4 * side, 4 * side)
        axis.imshow(shown, cmap="gray", vmin=0, vmax=1)
        axis.set(title=name, xticks=[], yticks=[])
        if name != "digits":
            some = torch.corrcoef((images[:, busy] + 1e-4 * torch.randn(len(images), int(busy.sum()))).T)
            found[name] = {
                "pixel means off": (images.mean(0) - x.mean(0)).abs().mean().item(),
                "correlations off": (some - truth).abs().mean().item(),
                "nearest digit": torch.cdist(images, x).amin(1).mean().item(),
            }
    own = torch.cdist(x, x).fill_diagonal_(math.inf).amin(1).mean().item()
    found |= {
        "nearest other digit of a digit": own,
        "correlations of the digits": truth.abs().mean().item(),
        "parameters": [sum(w.numel() for net in game for w in net.parameters()) for game in (apart, whole)],
    }
    write_figure(path, figure, dpi=75)
    return found


# Ways to tell a label ------------------------------------------------------------------------------------------------

WAYS = ("not told", "concatenated", "added", "multiplied", "scale and shift")


class Guess(nn.Module):
    """A perceptron that guesses the noise of points [N, 2], told step [N] and label [N] in one of `WAYS`."""

    def __init__(self, way: str, classes: int, width: int = 64) -> None:
        super().__init__()
        self.way, self.classes = way, classes
        extra = classes if way == "concatenated" else 0
        self.layers = nn.ModuleList([nn.Linear(2 + 16 + extra, width), nn.Linear(width, width)])
        outputs = {"added": 1, "multiplied": 1, "scale and shift": 2}.get(way, 0)
        self.labels = nn.ModuleList(nn.Embedding(classes, outputs * width) for _ in self.layers) if outputs else []
        for table in self.labels:
            nn.init.normal_(table.weight, 1.0 if way == "multiplied" else 0.0, 0.1)
        self.last = nn.Linear(width, 2)

    def forward(self, x: Tensor, t: Tensor, label: Tensor) -> Tensor:
        angles = t[:, None] * math.pi * 2.0 ** torch.arange(-1, 7)
        h = torch.cat([x, angles.sin(), angles.cos()], 1)
        if self.way == "concatenated":
            h = torch.cat([h, F.one_hot(label, self.classes).float()], 1)
        for number, layer in enumerate(self.layers):
            h = layer(h)
            if self.way in ("added", "multiplied"):
                told = self.labels[number](label)
                h = h + told if self.way == "added" else h * told
            elif self.way == "scale and shift":
                scale, shift = self.labels[number](label).chunk(2, 1)
                h = h * (1 + scale) + shift
            h = F.silu(h)
        return self.last(h)


def arms(n: int, classes: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points on as many arms of a spiral as there are classes, and the arm of each."""
    label = torch.randint(classes, (n,), generator=generator)
    far = 0.3 + 1.5 * torch.rand(n, generator=generator)
    angle = 2 * math.pi * label / classes + 1.2 * far
    x = far[:, None] * torch.stack([angle.cos(), angle.sin()], 1)
    return x + 0.04 * torch.randn(n, 2, generator=generator), label


def arm_of(x: Tensor, classes: int) -> Tensor:
    """The arm that a point lies nearest to."""
    angle = torch.atan2(x[:, 1], x[:, 0]) - 1.2 * x.norm(dim=1)
    return (angle / (2 * math.pi) * classes).round().long() % classes


@torch.no_grad()
def drawn(net: Guess, label: Tensor, steps: int = 40) -> Tensor:
    """Points of given labels by steps without noise from t = 1 to 0; at t a point is cos(πt/2) x + sin(πt/2) ε."""
    x = torch.randn(len(label), 2, generator=torch.Generator().manual_seed(5))
    times = torch.linspace(0.98, 0, steps + 1) * math.pi / 2
    for now, then in pairwise(times):
        noise = net(x, (now * 2 / math.pi).expand(len(x)), label)
        clean = (x - now.sin() * noise) / now.cos()
        x = then.cos() * clean + then.sin() * noise
    return x


def conditions(path: Path, *, steps: int = 1000, seeds: int = 2, classes: int = 6) -> dict[str, Any]:
    """Diffusion of points on a spiral's arms, told the arm in five ways."""
    figure, axes = panels(12.5, 2.8, 1, len(WAYS))
    held, held_label = arms(4000, classes, torch.Generator().manual_seed(99))
    t = torch.rand(4000, generator=torch.Generator().manual_seed(98)) * 0.98
    noise = torch.randn(4000, 2, generator=torch.Generator().manual_seed(97))
    found: dict[str, Any] = {}
    for axis, way in zip(axes, WAYS, strict=True):
        losses, right = [], []
        for seed in range(seeds):
            torch.manual_seed(seed)
            generator = torch.Generator().manual_seed(seed)
            net = Guess(way, classes)
            optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
            for step in range(steps):
                for group in optimizer.param_groups:
                    group["lr"] = 3e-3 * (1 - step / steps)
                x, label = arms(256, classes, generator)
                optimizer.zero_grad()
                mixed, when, true = corrupted(x, torch.rand(256) * 0.98, torch.randn(256, 2))
                (net(mixed, when, label) - true).square().mean().backward()
                optimizer.step()
            with torch.no_grad():
                mixed, when, true = corrupted(held, t, noise)
                losses.append((net(mixed, when, held_label) - true).square().mean().item())
            label = torch.arange(1200) % classes
            x = drawn(net, label)
            right.append((arm_of(x, classes) == label).float().mean().item())
        axis.scatter(*x[:600].T, c=label[:600], s=3, cmap="tab10")
        axis.set(title=way, xticks=[], yticks=[], xlim=(-2.2, 2.2), ylim=(-2.2, 2.2), aspect="equal")
        found[way] = {
            "loss": sum(losses) / seeds,
            "on the arm asked for": sum(right) / seeds,
            "from": (min(right), max(right)),
            "parameters": sum(w.numel() for w in net.parameters()),
        }
    write_figure(path, figure, dpi=75)
    return found


def corrupted(x: Tensor, t: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Points with noise at times t, the times, and the noise."""
    angle = t[:, None] * math.pi / 2
    return angle.cos() * x + angle.sin() * noise, t, noise


PICTURES = {"pixels": pixels, "conditions": conditions}

if __name__ == "__main__":
    sys.exit(main(__doc__, PICTURES))
