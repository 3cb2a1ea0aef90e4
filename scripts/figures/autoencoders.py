"""The figures of the models with a code, drawn from published checkpoints.

    python scripts/figures/autoencoders.py latent             # ae-fashion-mnist: its codes by class
    python scripts/figures/autoencoders.py reconstructions    # PCA and autoencoders at equal dimension, in ae-mnist's card
    python scripts/figures/autoencoders.py interpolations     # between test images, through the codes of each model
    python scripts/figures/autoencoders.py rate-distortion    # trains six small β-VAEs, about two minutes on one core
    python scripts/figures/autoencoders.py hand               # cvae-mnist: one code, ten digits

Each writes a picture and extra.md into the folder of the checkpoint it belongs to; `scripts/cards.py` puts that into the card.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import zoo
from zoo.core.files import write_figure, write_json
from zoo.core.images import save_grid
from zoo.core.precision import quick_precision
from zoo.core.samples import sample_split
from zoo.errors import one_sentence
from zoo.store.cards import write_section
from zoo.store.hub import locate

BETAS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


def pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def note(name: str, title: str, text: str, picture: str, command: str, drawn: Sequence[str] = ()) -> None:
    """Write the card's own section, of a picture that published models have drawn."""
    body = f"## {title}\n\n{text} `python scripts/figures/autoencoders.py {command}`\n\n![{title.lower()}]({picture})\n"
    write_section(locate(name), body, measured_on=drawn)


def latent(name: str = "ae-fashion-mnist") -> None:
    """Codes of the test split by class, beside the decoded plane."""
    plt, model = pyplot(), zoo.load(name)
    x, y = zoo.datamodule(name).tensors("test")
    z = model.encode(x.float() / 255)
    figure, axis = plt.subplots(figsize=(7, 6), layout="constrained")
    for k, label in enumerate(model.classes):
        axis.scatter(*z[y == k].T, s=3, alpha=0.6, color=plt.get_cmap("tab10")(k), label=label)
    low, high = z.quantile(0.01, 0), z.quantile(0.99, 0)
    axis.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    axis.legend(markerscale=4, fontsize=8)
    write_figure(locate(name) / "latent.png", figure, dpi=80)
    text = "Codes of the 10,000 test images by class (the middle 98 % of each coordinate). The first picture decodes the plane."
    note(name, "The latent plane", text, "latent.png", "latent", [name])


def reconstructions() -> None:
    """Test images, and what PCA and the deep autoencoder make of them, thirty numbers each."""
    x = sample_split("mnist")[0][:16].float() / 255
    names = ("pca-mnist", "ae-mnist")
    rows = [x, *(zoo.load(name).reconstruct(x) for name in names)]
    save_grid(torch.cat(rows), locate("ae-mnist") / "against-pca.png", columns=16)
    text = "Test images (top), from 30 principal components (middle) and from this model's 30 numbers (bottom)."
    note("ae-mnist", "Against PCA", text, "against-pca.png", "reconstructions", names)


def interpolations() -> None:
    """Paths between two test images, one row for each model."""
    x = sample_split("mnist")[0].float() / 255
    y = sample_split("mnist")[1]
    a, b = x[y == 3][0], x[y == 8][0]
    names = [n for n in ("pca-mnist", "ae-mnist", "vae-mnist", "infovae-mnist", "vqvae-mnist") if finished(n)]
    save_grid(
        torch.cat([zoo.load(n).interpolate(a, b, steps=12) for n in names]),
        locate("vae-mnist") / "paths.png",
        columns=12,
    )
    text = f"Between two test images, on the straight line between their codes; top to bottom {', '.join(names)}."
    note("vae-mnist", "Interpolation", text, "paths.png", "interpolations", names)


def hand() -> None:
    """Eight codes, each drawn as all ten digits."""
    model = zoo.load("cvae-mnist")
    z = model.prior(8, 0).repeat_interleave(10, 0)
    save_grid(model.decode(z, labels=torch.arange(80) % 10), locate("cvae-mnist") / "hand.png", columns=10)
    text = "Each row is one code, drawn as the ten digits."
    note("cvae-mnist", "One hand a row", text, "hand.png", "hand", ["cvae-mnist"])


def rate_distortion(epochs: int = 12) -> None:
    """Rate and distortion on the test split of VAEs that differ in β alone, with the line on which the bound is constant."""
    import lightning as L

    from zoo.models.autoencoders.vae import VAE

    plt, data = pyplot(), zoo.datamodule("mnist", normalize=False, batch_size=500)
    x = data.tensors("test")[0].float() / 255
    points = []
    for beta in BETAS:
        L.seed_everything(0, verbose=False)
        model = VAE(latent_dim=10, hidden=(256, 256), beta=beta)
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        trainer = L.Trainer(
            max_epochs=epochs, precision=quick_precision(), limit_val_batches=0, enable_model_summary=False, **quiet
        )
        trainer.fit(model, datamodule=data)
        ll, kl = model.elbo(model.binarize(x, seed=0), seed=0)
        points.append({"beta": beta, "rate": kl.mean().item(), "distortion": -ll.mean().item()})
        print(points[-1], flush=True)
    folder = locate("beta-vae-mnist")
    write_json(folder / "rate-distortion.json", points, indent=1)
    figure, axis = plt.subplots(figsize=(6, 4.5), layout="constrained")
    axis.plot([p["rate"] for p in points], [p["distortion"] for p in points], "o-")
    for p in points:
        axis.annotate(f"β = {p['beta']:g}", (p["rate"], p["distortion"]), (5, 5), textcoords="offset points")
    best = min(p["rate"] + p["distortion"] for p in points)
    axis.plot([0, best], [best, 0], ":", color="grey", label=f"rate + distortion = {best:.1f}")
    rates, distortions = [p["rate"] for p in points], [p["distortion"] for p in points]
    axis.set(xlabel="rate (nats)", ylabel="distortion (nats)", xlim=(0, 1.2 * max(rates)))
    axis.set_ylim(0.9 * min(distortions), 1.05 * max(distortions))
    axis.legend()
    write_figure(folder / "rate-distortion.png", figure, dpi=80)
    text = (
        "Rate and distortion of binarised test images for VAEs with ten numbers and 256 hidden units that differ in β alone "
        f"({epochs} epochs, one seed). The dotted line is where their sum, the bound, is that of the best."
    )
    note("beta-vae-mnist", "Rate and distortion", text, "rate-distortion.png", "rate-distortion")


def finished(name: str) -> bool:
    return (Path(__file__).parents[2] / "checkpoints" / name / "metrics.json").exists()


FIGURES = {
    "latent": latent,
    "reconstructions": reconstructions,
    "interpolations": interpolations,
    "rate-distortion": rate_distortion,
    "hand": hand,
}


@one_sentence
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures", nargs="+", choices=FIGURES)
    options = parser.parse_args()
    for figure in options.figures:
        FIGURES[figure]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
