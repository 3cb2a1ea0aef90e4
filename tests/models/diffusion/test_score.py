"""Score matching and Langevin dynamics where the truth has a closed form."""

import pytest
import torch

import zoo
from zoo.core import protocols
from zoo.errors import InputError
from zoo.models.diffusion.ncsn import PointNCSN
from zoo.models.diffusion.score import (
    annealed_langevin,
    chain_variance,
    denoising_loss,
    explicit_loss,
    implicit_loss,
    langevin,
    noise_levels,
    step_ratio,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gaussian(mean: float, std: float):
    return lambda x: (mean - x) / std**2


def test_implicit_and_explicit_score_matching_differ_by_a_constant():
    """J_explicit = J_implicit + E‖∇log p‖², for any two score functions the same difference."""
    std, x = 1.5, 1.5 * torch.randn(200_000, 2, generator=generator(), dtype=torch.float64)
    truth = gaussian(0.0, std)(x)
    constant = truth.square().sum(1).mean()
    for score in (gaussian(0.0, 1.0), gaussian(0.7, 2.0), lambda y: -torch.tanh(y)):
        found = explicit_loss(score, x, truth) - implicit_loss(score, x)
        torch.testing.assert_close(found, constant, rtol=0.02, atol=0)


def test_denoising_score_matching_is_least_at_the_score_of_the_noisy_data():
    """Data N(0, 1) and noise σ: the best of all linear scores −a·x has a = 1/(1 + σ²), and not the clean data's 1."""
    x, eps, sigma = torch.randn(100_000, 1, generator=generator()), torch.randn(100_000, 1, generator=generator(1)), 0.8
    slopes = torch.linspace(0.3, 1.2, 91)
    losses = torch.stack([denoising_loss(lambda y, a=a: -a * y, x, sigma, eps) for a in slopes])
    assert slopes[losses.argmin()].item() == pytest.approx(1 / (1 + sigma**2), abs=0.02)


def test_langevin_samples_the_density_and_without_noise_finds_its_mode():
    start = torch.zeros(20_000, 1)
    *_, x = langevin(gaussian(2.0, 0.5), start, 0.01, 300, generator())
    assert x.mean().item() == pytest.approx(2.0, abs=0.02) and x.std().item() == pytest.approx(0.5, abs=0.01)
    *_, x = langevin(gaussian(2.0, 0.5), start, 0.01, 300, generator(), noise=False)
    torch.testing.assert_close(x, torch.full_like(x, 2.0), rtol=0, atol=1e-3)


@pytest.mark.parametrize(("count", "steps"), [(10, 100), (100, 3), (30, 5)])
def test_steps_leave_the_noise_that_is_foretold(count, steps):
    """Data of a single point at 0: the score at level σ is −x/σ², and x must keep a variance near σ² all the way down."""
    sigmas = noise_levels(10.0, 0.1, count)
    x = sigmas[0] * torch.randn(4000, 1, generator=generator())
    states = list(annealed_langevin(lambda x, level: -x / sigmas[level] ** 2, x, sigmas, steps, generator(1)))
    assert len(states) == count
    found = (torch.stack([state.std() for state in states]) / sigmas)[count // 2 :].mean().item()
    growth = (sigmas[0] / sigmas[1]).item()
    foretold = chain_variance(torch.tensor(step_ratio(sigmas, steps)).double(), growth, steps).sqrt().item()
    assert found == pytest.approx(foretold, abs=0.02) and found == pytest.approx(1, abs=0.15)


def test_step_ratio_is_a_stable_step():
    for count in (5, 10, 100):
        assert 0 < step_ratio(noise_levels(20, 0.02, count), 5) < 1


def test_noise_levels_are_geometric():
    sigmas = noise_levels(20.0, 0.1, 10)
    assert sigmas[0].item() == pytest.approx(20) and sigmas[-1].item() == pytest.approx(0.1)
    torch.testing.assert_close(sigmas[1:] / sigmas[:-1], torch.full((9,), (0.1 / 20) ** (1 / 9)))
    for bad in ((0.1, 20.0, 10), (1.0, 0.0, 10), (1.0, 0.1, 1)):
        with pytest.raises(InputError, match="noise levels"):
            noise_levels(*bad)


def test_annealing_keeps_the_weights_that_plain_langevin_forgets():
    """With the true scores: the failure lies in the sampler, and annealing mends it."""
    data, sigmas = zoo.datamodule("two-gaussians"), noise_levels(20.0, 0.1, 10)
    x = 16 * torch.rand(1500, 2, generator=generator()) - 8
    *_, plain = langevin(data.score, x, 0.05, 1000, generator(1))
    *_, annealed = annealed_langevin(lambda x, level: data.score(x, sigmas[level].item()), x, sigmas, 100, generator(2))
    assert (plain.sum(1) < 0).double().mean().item() == pytest.approx(0.5, abs=0.06)  # the share of the start
    # ten levels and a hundred steps aren't infinitely many
    assert (annealed.sum(1) < 0).double().mean().item() == pytest.approx(0.2, abs=0.06)


def test_a_perfect_network_gives_the_true_score(monkeypatch):
    data, model = zoo.datamodule("two-gaussians"), PointNCSN(hidden_dim=8).eval()
    level, x = 4, 5 * torch.randn(20, 2)
    sigma = model.sigmas[level].item()
    monkeypatch.setattr(PointNCSN, "forward", lambda self, y, i: -sigma * data.score(y, sigma))
    torch.testing.assert_close(model.score(x, level), data.score(x, sigma))


def test_points_are_drawn_by_seed_and_bad_steps_refused():
    model = PointNCSN(hidden_dim=8).eval()
    assert isinstance(model, protocols.SamplesPoints)
    points = model.sample_points(5, seed=1, steps=2)
    assert points.shape == (5, 2) and torch.equal(points, model.sample_points(5, seed=1, steps=2))
    for annealed in (True, False):
        with pytest.raises(InputError, match="whole number of at least 1"):
            model.sample_points(5, steps=0, annealed=annealed)
