"""ODE solvers, velocity fields and the densities along them, where a Gaussian makes everything known."""

import math

import pytest
import torch

import zoo
from zoo.blocks.ode import SOLVERS, exact_divergence, hutchinson, integrate, integrate_density, solver
from zoo.core import protocols
from zoo.errors import InputError, UnknownNameError
from zoo.models.diffusion.flow_matching import FlowMatching
from zoo.models.diffusion.score_sde import ScoreSDE

M, S = 0.3, 0.4  # the data: every pixel N(M, S²)
SHAPE = (1, 4, 4)


def gaussian_sde(monkeypatch, S: float = S) -> ScoreSDE:
    """The SDE with what a perfect network would say."""
    model = ScoreSDE(SHAPE, 8, patch=1).eval()

    def v(x, phi):
        alpha, sigma = (rate.reshape(-1, 1, 1, 1).to(x) for rate in (phi.cos(), phi.sin()))
        standard = (x - alpha * M) / (alpha**2 * S**2 + sigma**2)
        return alpha * sigma * standard - sigma * (M + alpha * S**2 * standard)

    monkeypatch.setattr(model, "forward", v)
    return model


def gaussian_flow(monkeypatch, S: float = S) -> FlowMatching:
    """The mean velocity between noise and the Gaussian: E[x − ε | x_t]."""
    model = FlowMatching(SHAPE, 8, patch=1).eval()

    def velocity(x, t):
        t = t.reshape(-1, 1, 1, 1).to(x)
        variance = (1 - t) ** 2 + t**2 * S**2
        return M + (t * S**2 - (1 - t)) * (x - t * M) / variance

    monkeypatch.setattr(model, "forward", velocity)
    return model


both = pytest.mark.parametrize("make", [gaussian_sde, gaussian_flow])


@pytest.mark.parametrize(("name", "order"), [("euler", 1), ("heun", 2), ("midpoint", 2), ("rk4", 4)])
def test_solvers_have_their_order(name, order):
    """dx/dt = −x + sin t: halving the step divides the error by 2^order."""
    x = torch.tensor([1.0], dtype=torch.float64)
    exact = 1.5 * math.exp(-1) + (math.sin(1) - math.cos(1)) / 2

    def error(steps: int) -> float:
        times = torch.linspace(0, 1, steps + 1, dtype=torch.float64).tolist()
        *_, end = integrate(lambda y, t: -y + math.sin(t), x, times, name)
        return abs(end.item() - exact)

    assert math.log2(error(8) / error(16)) == pytest.approx(order, abs=0.25)
    with pytest.raises(UnknownNameError, match="rk4"):
        solver("rk5")
    assert set(SOLVERS) == {"euler", "heun", "midpoint", "rk4"}


def test_divergence_is_the_trace_of_the_jacobian_and_its_estimate_has_no_bias():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 4)).double()
    x = torch.randn(3, 4, dtype=torch.float64)
    out, exact = exact_divergence(lambda y, t: net(y), x, 0.0)
    jacobians = torch.stack([torch.autograd.functional.jacobian(net, one) for one in x])
    torch.testing.assert_close(exact, jacobians.diagonal(dim1=1, dim2=2).sum(1))
    torch.testing.assert_close(out, net(x).detach())
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * 4)  # all sixteen probes
    estimates = torch.stack([hutchinson(p.expand(3, 4))(lambda y, t: net(y), x, 0.0)[1] for p in signs])
    torch.testing.assert_close(estimates.mean(0), exact)


@both
def test_the_ode_takes_noise_to_the_data_and_back(make, monkeypatch):
    model = make(monkeypatch)
    z = torch.randn(500, *SHAPE)
    x = model.trajectory(z, steps=200, method="heun")[-1]
    torch.testing.assert_close(x, M + S * z, rtol=0, atol=0.03)  # the map between Gaussians is affine
    images = ((x + 1) / 2).clamp(0.01, 0.99)
    torch.testing.assert_close(model.decode(model.encode(images, steps=100), steps=100), images, rtol=0, atol=0.01)


@both
def test_the_density_along_the_ode_is_that_of_the_gaussian(make, monkeypatch):
    model = make(monkeypatch)
    x = M + S * torch.randn(6, *SHAPE)
    exact = torch.distributions.Normal(M, S).log_prob(x).flatten(1).sum(1)
    for divergence in (
        exact_divergence,
        hutchinson(torch.ones(6, *SHAPE)),
    ):  # diagonal Jacobian: the probe is exact too
        z, integral = integrate_density(model.velocity, x, model.times(200, backwards=True), "heun", divergence)
        found = torch.distributions.Normal(0, 1).log_prob(z).flatten(1).sum(1) + integral
        torch.testing.assert_close(found, exact, rtol=0, atol=0.15)


@both
@pytest.mark.parametrize("spread", [S, 0.004], ids=["wide", "half a grey level"])
def test_bits_per_dim_of_images_are_those_of_the_density(make, spread, monkeypatch):
    """−log₂ of the density in grey levels: p(y) = 2 p(x) of pixels in [0, 1], and 256 levels.

    A border that is always black is as narrow as the second case: even steps of the solver were wrong there by bits.
    """
    model = make(monkeypatch, spread)
    x = (((M + spread * torch.randn(200, *SHAPE)).clamp(-1, 1) + 1) / 2 * 255).round() / 255
    y = (255 * x + torch.rand(x.shape)) / 256
    phi = model.data_time if isinstance(model, ScoreSDE) else 0.0
    alpha, sigma = math.cos(phi), math.sin(phi)
    density = torch.distributions.Normal(alpha * M, math.hypot(alpha * spread, sigma))
    exact = density.log_prob(2 * y - 1).mean() + math.log(2) - math.log(256)
    assert model.bits_per_dim(x).mean().item() == pytest.approx(-exact.item() / math.log(2), abs=0.02)


@pytest.mark.parametrize("sampler", ["pc", "sde", "ode"])
def test_samplers_of_the_sde_draw_the_gaussian(sampler, monkeypatch):
    model = gaussian_sde(monkeypatch)
    images = model.sample(1500, seed=0, sampler=sampler, steps=100, batch_size=1500)
    x = 2 * images - 1  # clipped at ±1, 1.75 standard deviations up: compare the median and the lower quartile
    assert x.median().item() == pytest.approx(M, abs=0.03)
    assert x.quantile(0.25).item() == pytest.approx(M - 0.6745 * S, abs=0.04)


def test_rates_preserve_variance_and_follow_beta():
    model = ScoreSDE(SHAPE, 8, patch=1)
    t = torch.linspace(0.01, 1, 50, dtype=torch.float64).requires_grad_()
    alpha, sigma = model.rates(t)
    torch.testing.assert_close(alpha**2 + sigma**2, torch.ones_like(t))
    (slope,) = torch.autograd.grad(alpha.log().sum(), t)
    expected = torch.tensor([-0.5 * model.beta(float(s)) for s in t.detach()], dtype=torch.float64)
    torch.testing.assert_close(slope, expected)
    torch.testing.assert_close(model.angle(t).cos(), alpha)


def test_the_angle_turns_the_flow_of_the_sde_into_its_own(monkeypatch):
    """dx/dt = −½β (x + s), as the paper has it, is v times the speed of the angle."""
    model, x = gaussian_sde(monkeypatch), torch.randn(5, *SHAPE)
    for at in (0.01, 0.2, 0.7, 1.0):
        t = torch.tensor(at).requires_grad_()
        phi = model.angle(t)
        (speed,) = torch.autograd.grad(phi, t)
        flow = -0.5 * model.beta(at) * (x + model.score(x, at))
        torch.testing.assert_close(speed * model.velocity(x, phi.item()), flow, rtol=1e-3, atol=1e-3)


def test_few_steps_of_the_sde_leave_no_noise(monkeypatch):
    """Ten steps draw pixels that are all but certain to less than a grey level; even steps in t left a hundred of noise."""
    x = 2 * gaussian_sde(monkeypatch, 0.002).sample(500, seed=0, steps=10) - 1
    assert (x - M).square().mean().sqrt().item() < 2 / 255


def test_flow_matching_learns_the_mean_velocity():
    """With a network that can't see t or x, the best guess is the mean of x − ε: the mean of the data."""
    model, x = FlowMatching(SHAPE, 8, patch=1), torch.rand(5000, *SHAPE) ** 2
    constants = torch.linspace(-0.5, 0.5, 41)
    losses = []
    for c in constants:
        model.forward = lambda x_t, t, c=c: torch.full_like(x_t, float(c))  # type: ignore[method-assign]
        losses.append(model.loss(x, torch.Generator().manual_seed(0)))
    assert constants[torch.stack(losses).argmin()].item() == pytest.approx((2 * x - 1).mean().item(), abs=0.03)


@pytest.mark.parametrize("make", [lambda: FlowMatching((1, 8, 8), 8), lambda: ScoreSDE((1, 8, 8), 8)])
def test_verbs_and_what_they_refuse(make):
    model, x = make().eval(), torch.rand(2, 1, 8, 8)
    assert isinstance(model, protocols.Samples) and isinstance(model, protocols.Scores)
    assert torch.equal(model.sample(3, seed=1, steps=2, batch_size=2), model.sample(3, seed=1, steps=2, batch_size=2))
    assert model.interpolate(x[0], x[1], steps=3).shape == (3, 1, 8, 8)
    for call in (
        lambda: model.sample(2, labels=torch.zeros(2)),
        lambda: model.sample(2, steps=0),
        lambda: model.log_prob(torch.rand(2, 1, 4, 4)),
        lambda: model.encode(3 * x),
        lambda: model.interpolate(x[0], torch.rand(1, 4, 4)),
        lambda: model.interpolate(x[0], x[1], steps=0),
        lambda: model.decode(torch.zeros(2, 1, 8, 4)),
        lambda: model.decode(torch.full((2, 1, 8, 8), torch.nan)),
    ):
        with pytest.raises(InputError):
            call()
    with pytest.raises(LookupError, match=r"Known|Did you mean"):
        model.sample(2, **({"method": "rk5"} if isinstance(model, FlowMatching) else {"sampler": "pd"}))


@pytest.mark.parametrize("options", [{"snr": float("nan")}, {"snr": 0.0}, {"corrections": -1}, {"corrections": 1.5}])
def test_bad_corrections_are_refused(options):
    with pytest.raises(InputError, match="corrections is a whole number"):
        ScoreSDE((1, 8, 8), 8).sample(2, **options)


def test_bad_betas_are_refused():
    with pytest.raises(zoo.errors.ZooError, match="beta"):
        ScoreSDE(SHAPE, 8, beta_min=2.0, beta_max=1.0)
