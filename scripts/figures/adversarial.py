"""The figures of the adversarial networks: games whose right answer is known, and what clipping does to a critic.

    python scripts/figures/adversarial.py games             # needs gan-bell, gan-coin and gan-ring; half a minute on one core
    python scripts/figures/adversarial.py weights           # needs wgan-mnist and wgan-gp-mnist

`games` plays gan-bell's recipe again and draws its densities and discriminator before, early and after, how near that is to the
best one, p / (p + p_G), what the coin and the ring came to, and how the gradient of the saturating loss vanishes while the
discriminator learns. Picture, games.json and extra.md go into the folder of gan-bell, those of `weights` into wgan-mnist's;
`scripts/cards.py` puts them into the cards.
"""

import argparse
import json
import math
import sys
from typing import Any

import lightning as L
import torch
import yaml
from torch import Tensor

import zoo
from datamodules.bumps import Bell
from zoo.core.files import write_figure, write_text
from zoo.errors import one_sentence
from zoo.models.adversarial.point_gan import PointGAN
from zoo.store.cards import write_section
from zoo.store.hub import locate


class Snapshots(L.Callback):
    """Keep points of a game and its discriminator's verdict at the start of some epochs and at the end."""

    def __init__(self, epochs: tuple[int, ...], at: Tensor) -> None:
        self.epochs, self.at = epochs, at
        self.seen: list[tuple[Tensor, Tensor]] = []

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.current_epoch in self.epochs:
            self.look(pl_module)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.look(pl_module)

    def look(self, model: Any) -> None:
        self.seen.append((model.sample_points(10_000, seed=0)[:, 0], model.verdict(self.at[:, None])))
        model.train()


def play(name: str, callbacks: list[L.Callback]) -> None:
    """The game of a published recipe, once more."""
    recipe = yaml.safe_load((locate(name) / "recipe.yaml").read_text(encoding="utf-8"))
    L.seed_everything(0, verbose=False)
    model, data = PointGAN(**recipe["model"]["init_args"]), zoo.datamodule(name)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = L.Trainer(
        max_epochs=recipe["trainer"]["max_epochs"],
        accelerator="cpu",
        limit_val_batches=0,
        callbacks=callbacks,
        enable_model_summary=False,
        **quiet,
    )
    trainer.fit(model, datamodule=data)


def vanishing(steps: int = 600) -> list[tuple[float, float]]:
    """Gradient norms of the saturating and the other loss at a fixed generator, while its discriminator learns on."""
    found = []
    torch.manual_seed(0)
    model = PointGAN(2, 4, hidden=(64, 64)).train()
    x = 0.9 + 0.02 * torch.randn(6000, 1, 1, 2)  # a corner of the plane where a fresh generator draws nothing
    optimizer = torch.optim.Adam(model.discriminator.parameters(), 1e-3)
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
        real = x[torch.randint(len(x), (256,))]
        optimizer.zero_grad()
        model.critic_loss(model.discriminator(real), model.discriminator(fake.detach())).backward()
        optimizer.step()
    return found


def normal(at: Tensor, mean: float, std: float) -> Tensor:
    return torch.exp(-((at - mean) ** 2) / (2 * std**2)) / (std * math.sqrt(2 * math.pi))


def games() -> None:
    """Play, draw and measure, into gan-bell's folder."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    at = torch.linspace(-1, 1, 400)
    look = Snapshots((0, 2), at)
    play("gan-bell", [look])
    figure, axes = plt.subplots(2, 3, figsize=(12, 7), layout="constrained")
    truth = normal(at, Bell.centres[0][0], Bell.spread)
    for axis, (points, curve), when in zip(axes[0], look.seen, ("before", "after 2 epochs", "after"), strict=True):
        axis.plot(at, truth, color="tab:orange", label="p, real")
        axis.hist(points, 80, (-1, 1), density=True, alpha=0.6, color="tab:green", label="generated")
        best = truth / (truth + normal(at, points.mean().item(), points.std().item()))
        axis.plot(at, best, ":", color="tab:blue", label="best D, for a normal p_G")
        axis.plot(at, curve, color="tab:blue", label="D(x)")
        axis.set_title(f"one Gaussian, {when}")
    axes[0, 0].legend(fontsize=8)
    points, curve = look.seen[-1]
    generated = normal(at, points.mean().item(), points.std().item())
    off = ((curve - truth / (truth + generated)).abs() * (truth + generated)).sum() / (truth + generated).sum()
    coin = zoo.load("gan-coin").sample_points(10_000, seed=0)[:, 0]
    heads = (coin > 0).float().mean().item()
    axes[1, 0].hist(coin, 80, (-1, 1), density=True, color="tab:green")
    axes[1, 0].set_title(f"coin with 30 % heads: {heads:.1%} generated")
    data, drawn = zoo.datamodule("gan-ring"), zoo.load("gan-ring").sample_points(10_000, seed=0)
    index, near = data.nearest(drawn)
    modes = int((torch.bincount(index[near], minlength=8) >= len(drawn) / 32).sum())
    axes[1, 1].scatter(*data.tensors("test")[0][:2000].T, s=2, color="tab:orange")
    axes[1, 1].scatter(*drawn[:2000].T, s=2, color="tab:green")
    axes[1, 1].set_title(f"ring: {modes} of 8 modes, {near.float().mean():.0%} of the points near one")
    axes[1, 1].set_aspect("equal")
    norms = vanishing()
    axes[1, 2].semilogy([n[0] for n in norms], label="log(1 − D)")
    axes[1, 2].semilogy([n[1] for n in norms], label="−log D")
    axes[1, 2].set(title="generator's gradient, fixed generator", xlabel="steps of the discriminator")
    axes[1, 2].legend()
    folder = locate("gan-bell")
    write_figure(folder / "games.png", figure, dpi=80)
    found = {
        "mean": points.mean().item(),
        "std": points.std().item(),
        "distance_of_D_to_the_best": off.item(),
        "heads": heads,
        "modes": modes,
        "near": near.float().mean().item(),
        "gradient_saturating": [norms[0][0], norms[-1][0]],
        "gradient_non_saturating": [norms[0][1], norms[-1][1]],
    }
    print(text := json.dumps(found, indent=1))
    write_text(folder / "games.json", text + "\n")
    write_section(
        folder,
        "## Games whose right answer is known\n\n"
        "Top: the densities and the discriminator in this game. At the end the points are "
        f"{points.mean():.3f} ± {points.std():.3f}, of real ones {Bell.centres[0][0]} ± {Bell.spread}, and D is on average "
        f"{off:.3f} from p / (p + p_G), the best there is. Below: gan-coin, gan-ring, and the gradient of a fixed generator "
        f"while D learns on. That of log(1 − D) goes from {norms[0][0]:.2g} to {norms[-1][0]:.2g}, that of −log D from "
        f"{norms[0][1]:.2g} to {norms[-1][1]:.2g}. "
        "`python scripts/figures/adversarial.py games`\n\n![the games](games.png)\n",
        measured_on=["gan-coin", "gan-ring"],
    )


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
        shares[name] = (values.abs() > 0.98 * edge).float().mean().item()
        axis.hist(values[values.abs() <= edge], 101)
        axis.set(title=name, yscale="log", xlabel="weight of the critic", ylabel="number of weights")
    folder = locate("wgan-mnist")
    write_figure(folder / "weights.png", figure, dpi=80)
    write_section(
        folder,
        "## The critic's weights\n\n"
        f"Clipping drives {shares['wgan-mnist']:.0%} of the critic's weights to within 2 % of ±c; a gradient penalty has no such "
        "edge. `python scripts/figures/adversarial.py weights`\n\n![histogram](weights.png)\n",
        measured_on=list(shares),
    )


@one_sentence
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figure", choices=("games", "weights"))
    options = parser.parse_args()
    {"games": games, "weights": weights}[options.figure]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
