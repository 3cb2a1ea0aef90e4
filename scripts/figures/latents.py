"""Pictures of docs/themes/latents.md: densities without networks, codes in the plane, denoising as a field, codes that collapse.

python scripts/figures/latents.py                    # two minutes; into docs/figures
"""

import math
import sys
from pathlib import Path
from typing import Any

import torch
from pictures import main, panels
from torch import Tensor, nn

import zoo
from zoo.core.files import write_figure
from zoo.core.samples import sample_split
from zoo.models.autoencoders.vae import VAE, rates
from zoo.theory.linear_vae import LinearVAE, best_likelihood


def densities(path: Path, *, points: int = 300, rounds: int = 60) -> dict[str, Any]:
    """One sample, three estimates of its density, and the inverse transform that draws from one of them."""
    generator = torch.Generator().manual_seed(0)
    which = torch.rand(points, generator=generator) < 0.35
    x = torch.where(
        which, -1.5 + 0.4 * torch.randn(points, generator=generator), 1 + 0.8 * torch.randn(points, generator=generator)
    )
    at = torch.linspace(-4, 4, 400)
    truth = 0.35 * normal(at, -1.5, 0.4) + 0.65 * normal(at, 1.0, 0.8)
    width = 1.06 * x.std() * points**-0.2  # Silverman's rule
    kernel = normal(at[:, None], x, float(width)).mean(1)
    share, mean, spread = torch.tensor([0.5, 0.5]), torch.tensor([-1.0, 0.5]), torch.tensor([1.0, 1.0])
    course = []
    for _ in range(rounds):  # expectation and maximisation
        each = share * normal(x[:, None], mean, spread)
        course.append(each.sum(1).log().mean().item())
        own = each / each.sum(1, keepdim=True)
        total = own.sum(0)
        share, mean = total / points, (own * x[:, None]).sum(0) / total
        spread = ((own * (x[:, None] - mean) ** 2).sum(0) / total).sqrt()
    mixture = (share * normal(at[:, None], mean, spread)).sum(1)
    figure, (left, middle, right) = panels(13, 3.2, 1, 3)
    left.hist(x.tolist(), bins=24, range=(-4, 4), density=True, color="0.85", label="histogram")
    for y, style, label in ((truth, "k--", "truth"), (kernel, "C0", "kernels"), (mixture, "C1", "two Gaussians")):
        left.plot(at, y, style, label=label)
    left.legend(frameon=False, fontsize=8)
    left.set(title=f"{points} points")
    middle.plot(course, color="C1")
    middle.set(title="log-likelihood of the mixture by EM", xlabel="round", ylabel="nats a point")
    cumulative = mixture.cumsum(0) / mixture.sum()
    u = torch.rand(4000, generator=generator)
    drawn = at[torch.searchsorted(cumulative, u).clamp(max=len(at) - 1)]
    right.plot(at, cumulative, color="black")
    right.hist(drawn.tolist(), bins=60, range=(-4, 4), weights=[1 / 400] * len(drawn), color="C1", alpha=0.6)
    for v in (0.15, 0.5, 0.85):
        place = at[torch.searchsorted(cumulative, torch.tensor(v))]
        right.plot([-4, place, place], [v, v, 0], ":", color="0.4", lw=1)
    right.set(title="x = F⁻¹(u): draws from the mixture", ylim=(0, 1.02))
    write_figure(path, figure, dpi=70)
    error = lambda y: ((y - truth).abs().sum() * (at[1] - at[0])).item()  # noqa: E731
    return {
        "off, kernels": error(kernel),
        "off, mixture": error(mixture),
        "shares": share.tolist(),
        "rises": course == sorted(course),
    }


def normal(x: Tensor, mean: Any, spread: Any) -> Tensor:
    return (-0.5 * ((x - mean) / spread) ** 2).exp() / (spread * math.sqrt(2 * math.pi))


def plane(path: Path, *, steps: int = 600) -> dict[str, Any]:
    """Packaged digits as two numbers each: by principal components, and by a perceptron that learns to undo itself."""
    x, y = sample_split("mnist")
    x = x.float().flatten(1) / 255
    centred = x - x.mean(0)
    axes = torch.linalg.svd(centred, full_matrices=False)[2][:2]
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(784, 128), nn.GELU(), nn.Linear(128, 32), nn.GELU(), nn.Linear(32, 2))
    decoder = nn.Sequential(
        nn.Linear(2, 32), nn.GELU(), nn.Linear(32, 128), nn.GELU(), nn.Linear(128, 784), nn.Sigmoid()
    )
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=2e-3)
    for _ in range(steps):
        pick = torch.randint(len(x), (128,))
        loss = (decoder(encoder(x[pick])) - x[pick]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        codes = {"two principal components": centred @ axes.T, "a perceptron's two numbers": encoder(x)}
        errors = {
            "principal components": (centred - centred @ axes.T @ axes).square().mean().item(),
            "perceptron": (decoder(encoder(x)) - x).square().mean().item(),
        }
    figure, frames = panels(9.5, 4.2, 1, 2)
    near = {}
    for axis, (title, z) in zip(frames, codes.items(), strict=True):
        axis.scatter(*z.T, c=y, cmap="tab10", s=8)
        axis.set(title=title, xticks=[], yticks=[])
        distance = torch.cdist(z, z).fill_diagonal_(torch.inf)
        near[title] = (y[distance.argmin(1)] == y).float().mean().item()
    write_figure(path, figure, dpi=70)
    return {"errors": errors, "neighbour of the same class": near}


def field(path: Path, *, steps: int = 800, noise: float = 0.25) -> dict[str, Any]:
    """Where a denoiser of points on a curve moves every place of the plane."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 128), nn.GELU(), nn.Linear(128, 128), nn.GELU(), nn.Linear(128, 2))
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    curve = lambda t: torch.stack([t.cos(), 0.6 * (2 * t).sin()], 1)  # noqa: E731
    for _ in range(steps):
        clean = curve(2 * math.pi * torch.rand(256))
        loss = (net(clean + noise * torch.randn_like(clean)) - clean).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    side = torch.linspace(-1.6, 1.6, 21)
    grid = torch.cartesian_prod(side, side)
    line = curve(torch.linspace(0, 2 * math.pi, 400))
    with torch.no_grad():
        move = net(grid) - grid
        gap = torch.cdist(grid, line).min(1).values
        after = torch.cdist(net(grid), line).min(1).values
        close = gap < 0.5
    figure, axis = panels(4.6, 4.4)
    axis.quiver(*grid.T, *move.T, color="0.4", angles="xy", scale_units="xy", scale=1, width=0.003)
    axis.plot(*line.T, color="tab:red", lw=1.2)
    axis.set(title="g(f(x)) − x", xticks=[], yticks=[])
    write_figure(path, figure, dpi=80)
    return {"distance before": gap[close].mean().item(), "after": after[close].mean().item()}


def information(path: Path, *, name: str = "vae-mnist", images: int = 1000) -> dict[str, Any]:
    """The rate of a trained VAE, number by number of its code, and what part of it is mutual information."""
    model = zoo.load(name)
    x, _ = sample_split("mnist")
    x = model.binarize(x[:images].float() / 255, seed=0)
    with torch.no_grad():
        mean, log_var = model.posterior(x)
        z = mean + (0.5 * log_var).exp() * torch.randn(mean.shape, generator=torch.Generator().manual_seed(0))
        own = rates(mean, log_var).mean(0)
        log_q = -0.5 * (((z[:, None] - mean) ** 2 / log_var.exp()) + log_var + math.log(2 * math.pi)).sum(2)  # [N, N]
        marginal = log_q.logsumexp(1) - math.log(len(x))  # of the aggregated posterior
        conditional = log_q.diagonal()
        prior = -0.5 * (z**2 + math.log(2 * math.pi)).sum(1)
    rate, known = own.sum().item(), (conditional - marginal).mean().item()
    figure, axis = panels(6, 3.2)
    axis.bar(range(len(own)), own.sort(descending=True).values, color="0.4")
    axis.set(xlabel="numbers of the code, the busiest first", ylabel="rate, nats")
    write_figure(path, figure, dpi=75)
    return {
        "rate R": rate,
        "I(X; Z), at most log N": known,
        "log N": math.log(len(x)),
        "KL(q(z) ‖ p(z)), at least": (marginal - prior).mean().item(),
        "numbers in use": int((own > 0.1).sum()),
    }


def collapse(path: Path, *, steps: int = 400, latent_dim: int = 16) -> dict[str, Any]:
    """How many numbers of a code stay in use: plain, with a rate that warms up, with free nats, with four times the rate."""
    x, _ = sample_split("mnist")
    x = x.float() / 255
    ways: dict[str, dict[str, Any]] = {
        "plain": {},
        "warm-up": {"rate_warmup": steps // 2},
        "free nats": {"free_nats": 0.5},
        "β = 4": {"beta": 4.0},
    }
    figure, axis = panels(6, 3.2)
    found = {}
    for name, options in ways.items():
        torch.manual_seed(0)
        model = VAE(latent_dim=latent_dim, hidden=(128,), **options)
        optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
        for step in range(steps):
            pick = x[torch.randint(len(x), (64,))]
            weight = min(1.0, (step + 1) / model.rate_warmup) if model.rate_warmup else 1.0
            loss = model.loss((torch.rand(pick.shape) < pick).float(), weight=weight)["loss"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            own = rates(*model.posterior(x)).mean(0).sort(descending=True).values
        axis.plot(own, "o-", ms=3, label=name)
        found[name] = {"in use": int((own > 0.1).sum()), "rate": own.sum().item()}
    axis.set(xlabel="numbers of the code, the busiest first", ylabel="rate, nats")
    axis.legend(frameon=False)
    write_figure(path, figure, dpi=75)
    return found


def linear(path: Path, *, steps: int = 1500) -> dict[str, Any]:
    """The bound of a linear VAE climbs to the likelihood of probabilistic PCA, and its columns to the principal axes."""
    generator = torch.Generator().manual_seed(0)
    scale = torch.tensor([3.0, 1.5, 0.5, 0.4, 0.4, 0.3], dtype=torch.float64)
    x = torch.randn(500, 6, dtype=torch.float64, generator=generator) * scale
    highest, axes = best_likelihood(x, 2)
    torch.manual_seed(0)
    model = LinearVAE(6, 2).double()
    optimizer, course = torch.optim.Adam(model.parameters(), lr=0.02), []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 0.02 * (1 - step / steps)
        loss = -model.elbo(x).mean()
        with torch.no_grad():
            columns = nn.functional.normalize(model.decoder.weight, dim=0)
            aligned = (axes.T @ columns).abs().amax(0).min().item()
            course.append((-loss.item(), model.log_prob(x).mean().item(), aligned))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    values = torch.tensor(course)
    figure, (left, right) = panels(9, 3.2, 1, 2)
    left.plot(values[:, 1], label="log-likelihood")
    left.plot(values[:, 0], label="its bound")
    left.axhline(highest, color="black", lw=0.8, ls=":", label="the highest, closed form")
    left.set(xlabel="step", ylabel="nats a point", ylim=(highest - 4, highest + 0.5))
    left.legend(frameon=False, fontsize=8)
    right.plot(values[:, 2])
    right.set(xlabel="step", ylabel="|cos| to the nearest principal axis", ylim=(0, 1.02))
    write_figure(path, figure, dpi=75)
    return {"highest": highest, "bound": course[-1][0], "aligned": course[-1][2]}


PICTURES = {
    "densities": densities,
    "plane": plane,
    "field": field,
    "information": information,
    "collapse": collapse,
    "linear": linear,
}

if __name__ == "__main__":
    sys.exit(main(__doc__, PICTURES))
