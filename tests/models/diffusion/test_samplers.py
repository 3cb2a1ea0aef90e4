"""The samplers against diffusers' schedulers on the same schedule, and against what theory says of them."""

import math

import pytest
import torch
from torch import Tensor

from zoo.errors import InputError, UnknownNameError
from zoo.models.diffusion.samplers import SAMPLERS, sampler
from zoo.models.diffusion.schedule import NoiseSchedule

diffusers = pytest.importorskip("diffusers")
STEPS = 20


def schedule_and_betas() -> tuple[NoiseSchedule, list[float]]:
    schedule = NoiseSchedule(1000, "cosine")
    alpha_bar = schedule.alpha_bar.double()
    previous = torch.cat([torch.ones(1, dtype=torch.float64), alpha_bar[:-1]])
    return schedule, (1 - alpha_bar / previous).tolist()


def guess(x: Tensor, t: int) -> Tensor:
    """Any smooth function of x and t stands in for a network."""
    return torch.tanh(0.7 * x + math.sin(t / 100))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def ours(name: str, x: Tensor, schedule: NoiseSchedule, steps: int = STEPS, eta: float = 0.0) -> Tensor:
    *_, result = sampler(name)(guess, x, schedule, steps, eta, generator())
    return result


def theirs(scheduler, x: Tensor, **options) -> Tensor:
    scheduler.set_timesteps(STEPS)
    for t in scheduler.timesteps.tolist():
        x = scheduler.step(guess(x, t), t, x, **options).prev_sample
    return x


COMMON = {"prediction_type": "sample", "timestep_spacing": "trailing"}


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim_equals_diffusers(eta):
    schedule, betas = schedule_and_betas()
    x = torch.randn(4, 1, 8, 8)
    reference = diffusers.DDIMScheduler(trained_betas=betas, clip_sample=False, **COMMON)
    expected = theirs(reference, x, eta=eta, generator=generator())
    torch.testing.assert_close(ours("ddim", x, schedule, eta=eta), expected, rtol=0, atol=1e-5)


def test_ancestral_equals_diffusers():
    schedule, betas = schedule_and_betas()
    x = torch.randn(4, 1, 8, 8)
    reference = diffusers.DDPMScheduler(trained_betas=betas, clip_sample=False, variance_type="fixed_small", **COMMON)
    expected = theirs(reference, x, generator=generator())
    torch.testing.assert_close(ours("ancestral", x, schedule), expected, rtol=0, atol=1e-5)


def test_dpm_solver_equals_diffusers():
    schedule, betas = schedule_and_betas()
    x = torch.randn(4, 1, 8, 8)
    reference = diffusers.DPMSolverMultistepScheduler(
        trained_betas=betas, algorithm_type="dpmsolver++", solver_order=2, final_sigmas_type="zero", **COMMON
    )
    torch.testing.assert_close(ours("dpm-solver++", x, schedule), theirs(reference, x), rtol=0, atol=1e-5)


def test_schedules_equal_diffusers():
    for shape, name in (("linear", "linear"), ("cosine", "squaredcos_cap_v2")):
        reference = diffusers.DDPMScheduler(beta_schedule=name).alphas_cumprod
        torch.testing.assert_close(NoiseSchedule(1000, shape).alpha_bar, reference, rtol=1e-4, atol=1e-6)


def test_ancestral_is_ddim_with_full_noise_step_by_step():
    """One step from the same state has the same mean and the same spread: the two samplers are one distribution."""
    schedule, _ = schedule_and_betas()
    x = torch.randn(2, 1, 8, 8)
    for name, other in (("ancestral", "ddim"), ("ddim", "ancestral")):
        a = next(iter(sampler(name)(guess, x, schedule, 1000, 1.0, generator())))
        b = next(iter(sampler(other)(guess, x, schedule, 1000, 1.0, generator())))
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


class Gaussian:
    """Data N(mean, std²): the best guess of x_0 and the end of the probability-flow ODE are known in closed form."""

    mean, std = 0.3, 0.25

    def __init__(self) -> None:
        self.schedule = NoiseSchedule(1000, "cosine")

    def guess(self, x: Tensor, t: int) -> Tensor:
        alpha_bar = self.schedule.alpha_bar[t]
        gain = alpha_bar.sqrt() * self.std**2 / (alpha_bar * self.std**2 + 1 - alpha_bar)
        return self.mean + gain * (x - alpha_bar.sqrt() * self.mean)

    def end(self, x: Tensor) -> Tensor:
        alpha_bar = self.schedule.alpha_bar[-1]
        spread = (alpha_bar * self.std**2 + 1 - alpha_bar).sqrt()
        return self.mean + self.std * (x - alpha_bar.sqrt() * self.mean) / spread

    def sample(self, name: str, x: Tensor, steps: int) -> Tensor:
        *_, samples = sampler(name)(self.guess, x, self.schedule, steps, 0.0, generator())
        return samples


@pytest.mark.parametrize("name", ["ddim", "dpm-solver++", "heun", "ancestral"])
def test_recovers_a_gaussian(name):
    samples = Gaussian().sample(name, torch.randn(20_000, 1, 1, 1), steps=500)
    assert samples.mean().item() == pytest.approx(Gaussian.mean, abs=0.01)
    assert samples.std().item() == pytest.approx(Gaussian.std, rel=0.04)


def test_order_of_convergence_on_the_exact_solution():
    """Halving the steps' size halves the error of a first-order sampler and quarters that of a second-order one."""
    data, x = Gaussian(), torch.randn(1000, 1, 1, 1)
    error = {
        (name, steps): (data.sample(name, x, steps) - data.end(x)).abs().mean().item()
        for name in ("ddim", "heun", "dpm-solver++")
        for steps in (10, 20, 40)
    }
    for steps in (10, 20):
        assert error["ddim", steps] / error["ddim", 2 * steps] == pytest.approx(2, rel=0.35)
        assert error["heun", steps] / error["heun", 2 * steps] > 2.5
    assert error["dpm-solver++", 20] < 0.5 * error["ddim", 20]
    assert error["heun", 20] < 0.5 * error["ddim", 20]


def test_every_sampler_runs_one_step_and_refuses_none():
    schedule = NoiseSchedule(10, "linear")
    for name in SAMPLERS:
        assert ours(name, torch.randn(1, 1, 4, 4), schedule, steps=1).isfinite().all()
        for steps in (0, -3, 11, 2.5):
            with pytest.raises(InputError, match="from 1 to 10"):
                ours(name, torch.randn(1, 1, 4, 4), schedule, steps=steps)


def test_unknown_sampler_names_the_known_ones():
    with pytest.raises(UnknownNameError, match="ddim"):
        sampler("dimm")


def test_schedule_preserves_variance_and_ends_in_noise():
    schedule = NoiseSchedule(1000, "cosine")
    alpha, sigma = schedule.rates(torch.arange(1000))
    torch.testing.assert_close(alpha**2 + sigma**2, torch.ones_like(alpha))
    assert (alpha[1:] < alpha[:-1]).all()
    assert alpha[0] > 0.999
    assert alpha[-1] < 0.01
