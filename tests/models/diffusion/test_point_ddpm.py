"""Diffusion of points against a Gaussian, whose best denoiser is known: the bound, its weights, and the one-step failure."""

import pytest
import torch
from torch import Tensor

from zoo.errors import InputError
from zoo.models.diffusion.point_ddpm import PointDDPM

MEAN, SPREAD = 0.3, 0.5


def perfect(timesteps: int = 400, prediction: str = "eps") -> PointDDPM:
    """A model that knows the best guess for data from N(0.3, 0.5²)."""
    model = PointDDPM(1, 8, timesteps=timesteps, prediction=prediction)

    def best(x_t: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = model.rates(t)
        x_0 = MEAN + alpha * SPREAD**2 / (alpha**2 * SPREAD**2 + sigma**2) * (x_t - alpha * MEAN)
        eps = (x_t - alpha * x_0) / sigma
        return {"x0": x_0, "eps": eps, "v": alpha * eps - sigma * x_0}[prediction]

    model.forward = best
    return model


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_the_bound_of_a_perfect_denoiser_is_the_sum_of_its_errors_and_below_the_log_likelihood(prediction):
    model = perfect(prediction=prediction)
    x = MEAN + SPREAD * torch.randn(500, 1, generator=torch.Generator().manual_seed(0))
    truth = torch.distributions.Normal(MEAN, SPREAD).log_prob(x).sum(1).mean().item()
    alpha_bar = model.schedule.alpha_bar.double()
    error = SPREAD**2 * (1 - alpha_bar) / (alpha_bar * SPREAD**2 + 1 - alpha_bar)  # the least mean square at each step
    variance = (1 - alpha_bar[0]) / alpha_bar[0]
    prior = 0.5 * (alpha_bar[-1] * (SPREAD**2 + MEAN**2) - alpha_bar[-1] - (1 - alpha_bar[-1]).log())
    last = -error[0] / (2 * variance) - 0.5 * (2 * torch.pi * variance).log()
    expected = (last - (model.weights() * error[1:]).sum() - prior).item()
    found = model.elbo(x, draws=8).mean().item()
    assert found == pytest.approx(expected, abs=0.06)
    assert truth - 0.7 < expected < truth


def test_weights_of_the_two_views_agree_with_the_posteriors():
    model = PointDDPM(timesteps=50, schedule="linear")
    alpha_bar = model.schedule.alpha_bar.double()
    beta = 1 - alpha_bar[1:] / alpha_bar[:-1]
    for t in (1, 10, 49):
        before, now, b = alpha_bar[t - 1], alpha_bar[t], beta[t - 1]
        variance = b * (1 - before) / (1 - now)  # of q(x_{t-1} | x_t, x_0)
        pull = before.sqrt() * b / (1 - now)  # of x_0 in its mean
        assert model.weights()[t - 1].item() == pytest.approx((pull**2 / (2 * variance)).item(), rel=1e-6)
        by_eps = b**2 / (2 * variance * (1 - b) * (1 - now))  # the published weight of an error of ε
        assert (model.weights()[t - 1] * (1 - now) / now).item() == pytest.approx(by_eps.item(), rel=1e-6)


def test_weighted_losses_of_all_views_are_equal():
    x, losses = torch.randn(64, 1, generator=torch.Generator().manual_seed(1)), []
    for prediction in ("eps", "x0", "v"):
        model = perfect(50, prediction)
        model.weighting = "elbo"
        losses.append(model.loss(x, torch.Generator().manual_seed(0)).item())
    assert losses[1:] == pytest.approx(losses[:1] * 2, rel=1e-3)


def test_many_steps_give_the_distribution_and_one_its_mean():
    model = perfect()
    many, one = (model.sample_points(4000, seed=0, steps=steps) for steps in (400, 1))
    assert many.mean().item() == pytest.approx(MEAN, abs=0.03) and many.std().item() == pytest.approx(SPREAD, rel=0.05)
    assert one.mean().item() == pytest.approx(MEAN, abs=0.03) and one.std().item() < 0.05


def test_what_makes_no_sense_is_refused():
    with pytest.raises(InputError, match="prediction"):
        PointDDPM(prediction="score")
    with pytest.raises(InputError, match="weighting"):
        PointDDPM(weighting="none")
    with pytest.raises(InputError, match="finite"):
        PointDDPM().elbo(torch.zeros(3, 2))
