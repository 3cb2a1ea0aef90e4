"""The figures of the adversarial networks: games whose right answer is known, and what clipping does to a critic.

    python scripts/figures/adversarial.py games             # two minutes on one core
    python scripts/figures/adversarial.py weights           # needs wgan-mnist and wgan-gp-mnist

`games` plays with the zoo's own classes on a Gaussian, a coin and a ring of eight Gaussians, and writes docs/games.png and
docs/games.json: the densities with the discriminator before, early and after; how near that is to the best one,
p / (p + p_G); how the gradient of the saturating loss vanishes as the discriminator learns; which modes of the ring are found.
"""

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

import zoo
from zoo.adversarial.gan import GAN
from zoo.errors import ZooError
from zoo.hub import CHECKPOINTS, locate

DOCS = CHECKPOINTS.parent / "docs"
SPREAD = 0.08  # deviation of the Gaussians, in pixels' units [0, 1]


class Snapshots(L.Callback):
    """Keep samples of a game and its discriminator's curve at some epochs."""

    def __init__(self, epochs: tuple[int, ...], at: Tensor) -> None:
        self.epochs, self.at, self.seen = epochs, at, []

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.current_epoch in self.epochs:
            self.look(pl_module)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.look(pl_module)

    def look(self, model: Any) -> None:
        curve = model.discriminate(self.at[:, None, None, None]).sigmoid()
        self.seen.append((model.sample(10_000, seed=0).flatten(1), curve))
        model.train()


def play(model: GAN, x: Tensor, epochs: int, batch_size: int, callbacks: list[L.Callback]) -> GAN:
    """Train a game on points x [N, D] in [0, 1]."""
    images = x.reshape(len(x), *model.image_shape)
    loader = DataLoader(TensorDataset(images, torch.zeros(len(x))), batch_size, shuffle=True, drop_last=True)
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    L.Trainer(max_epochs=epochs, accelerator="cpu", callbacks=callbacks, **quiet).fit(model, loader)
    return model


def ring(n: int) -> Tensor:
    """Points of eight Gaussians on a circle, [n, 2] in [0, 1]."""
    angle = torch.arange(n) % 8 * (2 * math.pi / 8)
    centres = torch.stack([angle.cos(), angle.sin()], 1) * 0.35 + 0.5
    return (centres + 0.01 * torch.randn(n, 2)).clamp(0, 1)


def modes(points: Tensor) -> tuple[int, float]:
    """How many of the ring's modes hold at least a fiftieth of the points within three deviations, and the share near any."""
    angle = torch.arange(8) * (2 * math.pi / 8)
    centres = torch.stack([angle.cos(), angle.sin()], 1) * 0.35 + 0.5
    distance, nearest = torch.cdist(points, centres).min(1)
    good = distance < 0.03
    counts = torch.bincount(nearest[good], minlength=8)
    return int((counts >= len(points) / 50).sum()), good.float().mean().item()


def vanishing(model: GAN, x: Tensor, steps: int = 200) -> list[tuple[float, float]]:
    """Gradient norms of the saturating and the other loss at a fixed generator, while its discriminator learns on."""
    found = []
    optimizer = torch.optim.Adam(model.discriminator.parameters(), 1e-3)
    model.train()
    for _ in range(steps):
        fake = model.generator(torch.randn(256, model.latent_dim))
        verdict = model.discriminator(fake)
        norms = []
        for saturating in (True, False):
            model.saturating = saturating
            slopes = torch.autograd.grad(
                model.generator_loss(verdict), list(model.generator.parameters()), retain_graph=True
            )
            norms.append(math.sqrt(sum(s.square().sum().item() for s in slopes)))
        found.append((norms[0], norms[1]))
        real = 2 * x[torch.randint(len(x), (256,))].reshape(-1, *model.image_shape) - 1
        optimizer.zero_grad()
        model.critic_loss(model.discriminator(real), model.discriminator(fake.detach())).backward()
        optimizer.step()
    return found


def games() -> dict[str, Any]:
    """Play, draw docs/games.png and return what was measured."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    torch.manual_seed(0)
    figure, axes = plt.subplots(2, 3, figsize=(12, 7), layout="constrained")
    at = torch.linspace(0, 1, 200)
    x = (0.6 + SPREAD * torch.randn(6000, 1)).clamp(0, 1)
    look = Snapshots((0, 2), at)
    options = {"hidden": (64, 64), "lr": 1e-3, "critic_lr": 2e-3, "ema": 0.98, "r1": 0.01}
    gaussian = play(GAN((1, 1, 1), 4, **options), x, 60, 200, [look])
    for axis, (samples, curve), title in zip(axes[0], look.seen, ("before", "after 2 epochs", "after 60"), strict=True):
        axis.hist(x.flatten(), 60, (0, 1), density=True, alpha=0.6, color="tab:orange", label="real")
        axis.hist(samples.flatten(), 60, (0, 1), density=True, alpha=0.6, color="tab:green", label="generated")
        axis.plot(at, 10 * curve, color="tab:blue", label="10 · D(x)")
        axis.set_title(f"Gaussian, {title}")
    axes[0, 0].legend()
    samples, curve = look.seen[-1]
    density = torch.exp(-((at - 0.6) ** 2) / (2 * SPREAD**2)) / (SPREAD * math.sqrt(2 * math.pi))
    generated = torch.exp(-((at - samples.mean()) ** 2) / (2 * samples.var())) / (
        samples.std() * math.sqrt(2 * math.pi)
    )
    weight = density + generated
    off = ((curve - density / weight).abs() * weight).sum() / weight.sum()  # from p / (p + p_G), where there are points
    coins = (torch.rand(3000, 1) < 0.3).float() * 0.8 + 0.1
    flips = play(GAN((1, 1, 1), 4, **options), coins, 40, 200, []).sample(10_000, seed=0).flatten()
    axes[1, 0].hist(flips, 60, (0, 1), density=True, color="tab:green")
    axes[1, 0].set_title("coin with 30 % heads: generated values")
    points = ring(16_000)
    circle = play(GAN((1, 1, 2), 8, **options | {"hidden": (128, 128), "r1": 0.1}), points, 80, 200, [])
    drawn = circle.sample(4000, seed=0).flatten(1)
    found, near = modes(drawn)
    axes[1, 1].scatter(*points[:1000].T, s=2, color="tab:orange")
    axes[1, 1].scatter(*drawn[:1000].T, s=2, color="tab:green")
    axes[1, 1].set_title(f"ring: {found} of 8 modes, {near:.0%} of the points near one")
    axes[1, 1].set_aspect("equal")
    norms = vanishing(GAN((1, 1, 1), 4, **options), (0.9 + 0.01 * torch.randn(6000, 1)).clamp(0, 1))
    axes[1, 2].semilogy([n[0] for n in norms], label="log(1 − D)")
    axes[1, 2].semilogy([n[1] for n in norms], label="−log D")
    axes[1, 2].set(title="generator's gradient, fixed generator", xlabel="steps of the discriminator")
    axes[1, 2].legend()
    figure.savefig(DOCS / "games.png", dpi=80)
    return {
        "gaussian": {
            "mean": samples.mean().item(),
            "std": samples.std().item(),
            "real_mean": x.mean().item(),
            "real_std": x.std().item(),
            "distance_of_D_to_the_best": off.item(),
            "D_mean_at_real": gaussian.discriminate(x[:, :, None, None]).sigmoid().mean().item(),
        },
        "coin": {"heads": (flips > 0.5).float().mean().item(), "real_heads": (coins > 0.5).float().mean().item()},
        "ring": {"modes": found, "near": near},
        "gradient": {"saturating": [norms[0][0], norms[-1][0]], "non-saturating": [norms[0][1], norms[-1][1]]},
    }


def weights() -> None:
    """Histogram of the critic's weights under clipping and under the penalty, into wgan-mnist's folder and card."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
    shares = {}
    for axis, name in zip(axes, ("wgan-mnist", "wgan-gp-mnist"), strict=True):
        model = zoo.load(name)
        values = torch.cat([p.detach().flatten() for p in model.discriminator.parameters()])
        edge = model.clip if model.constraint == "clip" else values.abs().quantile(0.999).item()
        shares[name] = (values.abs() > 0.98 * model.clip).float().mean().item()
        axis.hist(values.clamp(-edge, edge), 101)
        axis.set(title=name, yscale="log", xlabel="weight of the critic")
    folder = locate("wgan-mnist")
    figure.savefig(folder / "weights.png", dpi=80)
    (folder / "extra.md").write_text(
        "## The critic's weights\n\n"
        f"Clipping drives {shares['wgan-mnist']:.0%} of the critic's weights to within 2 % of ±c; a gradient penalty has no such "
        "edge. `python scripts/figures/adversarial.py weights`\n\n![histogram](weights.png)\n",
        encoding="utf-8",
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figure", choices=("games", "weights"))
    options = parser.parse_args()
    DOCS.mkdir(exist_ok=True)
    try:
        if options.figure == "games":
            found = games()
            Path(DOCS / "games.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
            print(json.dumps(found, indent=1))
        else:
            weights()
    except ZooError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
