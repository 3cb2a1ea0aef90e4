"""The pictures of docs/theory.md: information, coding, kernels, memories and circuits, from `zoo.theory` and its rows.

python scripts/figures/theory.py               # two minutes; into docs/theory
python scripts/figures/theory.py coding maps   # some of them
"""

import argparse
import math
import sys
from pathlib import Path
from typing import Any

import torch

from zoo.core.files import write_figure
from zoo.errors import ZooError, one_sentence
from zoo.theory import bits_back, bottleneck, circuits, entropy, kernels, plane

DOCS = Path(__file__).parents[2] / "docs" / "theory"


def _figure(width: float, height: float) -> Any:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def information(path: Path, *, draws: int = 300, betas: int = 12, iterations: int = 300) -> dict[str, Any]:
    """Typical sequences, rates of chains between a cycle and a coin, and the bottleneck of the noisy typewriter."""
    figure = _figure(12, 3.4)
    left, middle, right = figure.subplots(1, 3)
    lengths = [2**i for i in range(1, 14)]
    found = entropy.typical(0.2, lengths, draws=draws)
    h = entropy.entropy([0.2, 0.8])
    left.plot(lengths, found[:, :40], color="C0", lw=0.5, alpha=0.4)
    left.axhline(h, color="black", lw=1, label=f"H = {h:.3f} bits")
    left.set(xscale="log", xlabel="coins n", ylabel="−(1/n) log₂ p", title="typical sequences, p = 0.2")
    left.legend(frameon=False)
    noise = torch.logspace(-5, math.log10(1 / 8), 30)
    chains = [entropy.rates(entropy.cycle(8, eps)) for eps in noise.tolist()]
    for key, name in (
        ("entropy_rate", "entropy rate"),
        ("information_rate", "information rate"),
        ("predictive_information_rate", "predictive information rate"),
    ):
        middle.plot(noise, [getattr(chain, key) for chain in chains], label=name)
    middle.set(
        xscale="log", xlabel="probability of each wrong step", ylabel="bits a step", title="a cycle of eight states"
    )
    middle.legend(frameon=False, fontsize=8)
    p = bottleneck.noisy_typewriter()
    values = torch.logspace(math.log10(2.5), math.log10(40), betas).tolist()
    curve = torch.tensor([bottleneck.solve(p, beta, 64, 0, iterations=iterations)[:2] for beta in values])
    right.plot(curve[:, 0], curve[:, 1], "o-", ms=3)
    right.axhline(1, color="black", lw=0.8, ls=":")
    right.set(xlabel="I(X; T) in bits", ylabel="I(T; Y) in bits", title="bottleneck of the noisy typewriter")
    write_figure(path, figure, dpi=80)
    return {"entropy": h, "critical beta": bottleneck.critical_beta(p), "last": curve[-1].tolist()}


def coding(path: Path) -> dict[str, Any]:
    """Two ways to send a number from two Gaussians, by their distance."""
    figure = _figure(8, 3)
    left, right = figure.subplots(1, 2)
    means = torch.linspace(0, 3, 31).tolist()
    table = torch.tensor([bits_back.two_gaussians(mean) for mean in means])
    left.plot(means, table[:, 0], label="likelier Gaussian named")
    left.plot(means, table[:, 1], label="bits back")
    left.plot(means, table[:, 2], "k:", label="entropy of the source")
    left.set(xlabel="half the distance of the means", ylabel="bits a number", title="code lengths")
    left.legend(frameon=False, fontsize=8)
    x = torch.linspace(-4, 4, 401, dtype=torch.float64)
    both = torch.stack([0.5 * torch.distributions.Normal(m, 1.0).log_prob(x).exp() for m in (-1.0, 1.0)])
    likelier = both.amax(0)
    right.plot(x, both.sum(0), color="black", label="source")
    right.plot(x, likelier, color="C0", label="what the shortest codeword assumes")
    right.fill_between(x, likelier, both.sum(0), color="C0", alpha=0.2)
    right.set(title="means ±1", xlabel="x", ylim=(0, 0.3))
    right.legend(frameon=False, fontsize=8)
    write_figure(path, figure, dpi=80)
    return {str(m): bits_back.two_gaussians(m) for m in (0.0, 0.5, 1.0, 2.0)}


def processes(path: Path, *, paths: int = 1000, networks: int = 500) -> dict[str, Any]:
    """Gaussian processes: Brownian motion, two kernels, regression; and the output of random networks by width."""
    figure = _figure(13, 5.4)
    axes = figure.subplots(2, 3).ravel()
    t = torch.linspace(0, 1, 100)
    motion = kernels.draw(kernels.brownian(t, t), paths, seed=0)
    axes[0].plot(t, motion[:200].T, color="C0", lw=0.3, alpha=0.3)
    share = (motion.abs() <= 2 * t.sqrt() + 1e-6).double().mean()
    axes[0].plot(t, 2 * t.sqrt(), "k--", t, -2 * t.sqrt(), "k--", lw=1)
    axes[0].set(title=f"Brownian motion; {share:.1%} within ±2 √t")
    x = torch.linspace(-3, 3, 120)[:, None]
    for axis, name, kernel in (
        (axes[1], "RBF", kernels.rbf),
        (axes[2], "Ornstein-Uhlenbeck", kernels.ornstein_uhlenbeck),
    ):
        axis.plot(x, kernels.draw(kernel(x, x), 2, seed=1).T)
        axis.set(title=f"two draws, {name} kernel")
    known = torch.tensor([-2.5, -1.6, -1.1, 0.2, 0.6, 1.9])[:, None]
    label = known[:, 0].sin() + 0.1 * torch.randn(6, generator=torch.Generator().manual_seed(0))
    mean, variance = kernels.regress(
        kernels.rbf(known, known), kernels.rbf(known, x), torch.ones(len(x)), label, noise=0.01
    )
    axes[3].fill_between(x[:, 0], mean - 2 * variance.sqrt(), mean + 2 * variance.sqrt(), alpha=0.25, label="function")
    wide = (variance + 0.01).sqrt()
    axes[3].plot(x, mean + 2 * wide, "C0:", x, mean - 2 * wide, "C0:", lw=1)
    axes[3].plot(x, mean, "C0", x, x.sin(), "k:", known, label, "ko", ms=4)
    axes[3].set(title="regression, ±2 deviations")
    point = torch.tensor([[1.0, 0.5, -0.2]], dtype=torch.float64)
    kurtosis = {}
    for width in (1, 4, 256):
        z = torch.stack([kernels.output(kernels.network(3, width, 1, seed), point)[0] for seed in range(networks)])
        axes[4].hist(z.numpy(), bins=40, range=(-5, 5), density=True, histtype="step", label=f"width {width}")
        kurtosis[width] = (((z - z.mean()) / z.std()) ** 4).mean().item()
    z = torch.linspace(-5, 5, 200)
    axes[4].plot(z, torch.distributions.Normal(0, 1.29**0.5).log_prob(z).exp(), "k:", label="limit")
    axes[4].set(title="output of random networks")
    axes[4].legend(frameon=False, fontsize=8)
    data = torch.randn(8, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    data /= data.norm(dim=1, keepdim=True)
    y, drift = torch.sin(3 * data[:, 0]), {}
    for width in (16, 64, 256):
        weights = kernels.network(3, width, 2, seed=0)
        before = kernels.empirical_ntk(weights, data)
        rate = 0.5 / torch.linalg.eigvalsh(before)[-1].item()
        after, path_ = kernels.train_network(weights, data, y, rate, 200)
        drift[width] = ((kernels.empirical_ntk(after, data) - before).norm() / before.norm()).item()
        line = [kernels.linear_dynamics(before, path_[0], y, rate * i)[0].item() for i in range(0, 201, 10)]
        axes[5].plot(path_[:, 0], label=f"width {width}: the kernel moves by {drift[width]:.0%}")
        axes[5].plot(range(0, 201, 10), line, "k.", ms=2)
    axes[5].set(title="training, and its linear model (dots)", xlabel="steps", ylabel="output at one point")
    axes[5].legend(frameon=False, fontsize=8)
    write_figure(path, figure, dpi=72)
    return {"kurtosis": kurtosis, "drift": drift}


def maps(path: Path) -> dict[str, Any]:
    """The self-organising map of digits: distances between prototypes, and where the classes lie."""
    import zoo

    som: Any = zoo.load("som-mnist")
    figure = _figure(8, 3.6)
    left, right = figure.subplots(1, 2)
    ridges = som.umatrix()
    figure.colorbar(left.imshow(ridges, cmap="bone"), ax=left)
    left.set(title="distance to the neighbours", xticks=[], yticks=[])
    label = som.votes.argmax(1).reshape(som.rows, som.columns)
    right.imshow(label, cmap="tab10", vmin=0, vmax=9, alpha=0.6)
    for row in range(som.rows):
        for column in range(som.columns):
            right.text(column, row, str(int(label[row, column])), ha="center", va="center", fontsize=6)
    right.set(title="majority class of each unit", xticks=[], yticks=[])
    write_figure(path, figure, dpi=80)
    return {"units": som.votes.shape[0], "classes": len(label.unique())}


def memories(path: Path, *, sizes: tuple[int, ...] = (500, 1000), tested: int = 30) -> dict[str, Any]:
    """Overlap of recalled random patterns with the stored ones, by load."""
    from zoo.models.energy.hopfield import overlap

    loads = (0.06, 0.10, 0.12, 0.138, 0.15, 0.16, 0.18, 0.20)
    figure = _figure(6, 3)
    axis = figure.subplots()
    table: dict[str, Any] = {}
    for size in sizes:
        table[str(size)] = [overlap(size, load, tested=tested) for load in loads]
        axis.plot(loads, table[str(size)], "o-", ms=3, label=f"{size} units")
    axis.axvline(0.138, color="black", lw=0.8, ls=":")
    axis.set(xlabel="patterns a unit", ylabel="overlap after recall", title="capacity of Hebb's rule")
    axis.legend(frameon=False)
    write_figure(path, figure, dpi=80)
    return table


def written(path: Path) -> dict[str, Any]:
    """Networks that are written down: a polygon, and staircases under a Lipschitz function."""
    figure = _figure(8, 3)
    left, right = figure.subplots(1, 2)
    corners = torch.tensor([[0.1, 0.2], [0.9, 0.1], [1.0, 0.7], [0.5, 1.0], [0.0, 0.7]])
    grid = torch.linspace(-0.2, 1.2, 141)
    inside = circuits.polygon(corners)(torch.cartesian_prod(grid, grid)).reshape(141, 141).T
    left.imshow(inside, origin="lower", extent=(-0.2, 1.2, -0.2, 1.2), cmap="Blues")
    left.set(title="five edges, one unit each")
    x = torch.linspace(0, 6, 1201, dtype=torch.float64)
    right.plot(x, x.sin(), "k", lw=1)
    errors = {}
    for error in (0.5, 0.1):
        net = circuits.staircase(math.sin, 0, 6, 1.0, error)
        errors[error] = (net(x) - x.sin()).abs().max().item()
        right.plot(x, net(x), lw=1, label=f"{len(net.values)} cells: error {errors[error]:.2f} ≤ {error}")
    right.legend(frameon=False, fontsize=8)
    right.set(title="a staircase under a sine")
    write_figure(path, figure, dpi=80)
    return {"errors": errors, "area": inside.mean().item()}


def planes(path: Path, *, steps: int = 4000, every: int = 100) -> dict[str, Any]:
    """Layers on their way through the information plane, with tanh and with ReLU."""
    figure = _figure(9, 3.6)
    found: dict[str, Any] = {}
    for axis, activation in zip(figure.subplots(1, 2, sharey=True), ("tanh", "relu"), strict=True):
        way = plane.follow(activation, steps, every=every)  # type: ignore[arg-type]
        for layer in range(way.i_xt.shape[1]):
            axis.plot(way.i_xt[:, layer], way.i_ty[:, layer], "-", color=f"C{layer}", lw=0.8)
            axis.scatter(way.i_xt[:, layer], way.i_ty[:, layer], c=range(len(way.steps)), cmap="viridis", s=9, zorder=2)
        axis.axhline(way.i_xy, color="black", lw=0.8, ls=":")
        axis.set(title=f"{activation}, {steps} steps", xlabel="I(X; T) in bits")
        found[activation] = {"I(X;T)": way.i_xt[-1].tolist(), "I(T;Y)": way.i_ty[-1].tolist()}
    figure.axes[0].set(ylabel="I(T; Y) in bits")
    write_figure(path, figure, dpi=80)
    return found


FIGURES = {
    "information": information,
    "coding": coding,
    "processes": processes,
    "maps": maps,
    "memories": memories,
    "circuits": written,
    "plane": planes,
}


@one_sentence
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"some of {', '.join(FIGURES)}; all without")
    options = parser.parse_args()
    DOCS.mkdir(exist_ok=True)
    for name in options.names or FIGURES:
        if name not in FIGURES:
            raise ZooError(f"there is no figure {name!r}; there are {', '.join(FIGURES)}")
        print(name, FIGURES[name](DOCS / f"{name}.png"), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
