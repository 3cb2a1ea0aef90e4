"""Flows of points: densities that integrate to one, samples that follow them, and training in both directions."""

import math

import pytest
import torch

import zoo
from tests.models.flows.oracles import shaken
from zoo.core import protocols
from zoo.errors import InputError
from zoo.models.flows.maf import MAF
from zoo.models.flows.point_flow import PointFlow
from zoo.models.flows.realnvp import RealNVP


def flows() -> list[PointFlow]:
    torch.manual_seed(0)
    mixed = RealNVP(2, 4, hidden_dim=8, base_components=3)
    return [shaken(RealNVP(2, 4, hidden_dim=8)), shaken(MAF(2, 3, hidden_dim=8)), shaken(mixed)]


def grid(low: float, high: float, n: int) -> tuple[torch.Tensor, float]:
    axis = torch.linspace(low, high, n)
    return torch.cartesian_prod(axis, axis), ((high - low) / (n - 1)) ** 2


@pytest.mark.parametrize("flow", flows())
def test_density_integrates_to_one(flow):
    points, area = grid(-12, 12, 401)
    assert (flow.log_prob(points).double().exp().sum() * area).item() == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("flow", flows())
def test_samples_follow_the_density(flow):
    """The mean of −log p over samples is the entropy that the density itself has."""
    points, area = grid(-12, 12, 401)
    log_p = flow.log_prob(points).double()
    entropy = -(log_p.exp() * log_p).sum() * area
    drawn = -flow.log_prob(flow.sample_points(20_000, seed=0)).double()
    assert drawn.mean().item() == pytest.approx(entropy.item(), abs=4 * (drawn.std() / math.sqrt(20_000)).item())


@pytest.mark.parametrize("flow", flows())
def test_codes_come_back_and_seeds_count(flow):
    assert isinstance(flow, protocols.SamplesPoints) and isinstance(flow, protocols.Scores)
    x = torch.randn(100, 2)
    torch.testing.assert_close(flow.decode(flow.encode(x)), x, rtol=0, atol=1e-4)
    assert torch.equal(flow.sample_points(3, seed=1), flow.sample_points(3, seed=1))
    assert not torch.equal(flow.sample_points(3, seed=1), flow.sample_points(3, seed=2))
    path = flow.interpolate(x[0], x[1], steps=5)
    torch.testing.assert_close(path[[0, -1]], x[:2], rtol=0, atol=1e-4)
    for bad in (torch.zeros(3, 3), torch.full((1, 2), float("nan"))):
        with pytest.raises(InputError):
            flow.log_prob(bad)
    with pytest.raises(InputError, match="at least 1"):
        flow.sample_points(0)
    with pytest.raises(InputError, match="steps must be"):
        flow.interpolate(x[0], x[1], steps=0)


def test_a_fresh_flow_is_the_prior():
    x = torch.randn(10, 2)
    expected = torch.distributions.Normal(0, 1).log_prob(x).sum(1)
    for flow in (RealNVP(2, 4), MAF(2, 3, batch_norm=False)):
        torch.testing.assert_close(flow.log_prob(x), expected)


def test_reverse_kl_fits_an_energy_without_data():
    """The target is a Gaussian known up to its normaliser Z; at the optimum the loss is −log Z."""
    torch.manual_seed(0)
    flow, mean, std = RealNVP(2, 2, hidden_dim=8, depth=1), torch.tensor([1.0, -2.0]), torch.tensor([0.5, 2.0])
    optimizer = torch.optim.Adam(flow.parameters(), lr=1e-2)

    def energy(x: torch.Tensor) -> torch.Tensor:
        return 0.5 * ((x - mean) / std).square().sum(1)

    for _ in range(250):
        loss = flow.reverse_kl(energy, 64)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    log_z = math.log(2 * math.pi) + std.log().sum().item()
    with torch.no_grad():
        assert flow.reverse_kl(energy, 20_000).item() == pytest.approx(-log_z, abs=0.05)
    points = flow.sample_points(5000, seed=0)
    torch.testing.assert_close(points.mean(0), mean, rtol=0, atol=0.15)
    torch.testing.assert_close(points.std(0), std, rtol=0.1, atol=0)


@pytest.mark.parametrize("make", [lambda: RealNVP(1), lambda: RealNVP(2, 0), lambda: MAF(1), lambda: MAF(2, 0)])
def test_sizes_that_make_no_flow_are_refused(make):
    with pytest.raises(InputError, match="not"):
        make()


@pytest.mark.parametrize("name", ["moons", "two-gaussians"])
def test_the_known_density_integrates_to_one_and_fits_its_points(name):
    data = zoo.datamodule(name)
    size = 2.4 if name == "moons" else 11.0
    points, area = grid(-size, size, 101)
    p = data.log_density(points.double())
    assert (p.exp().sum() * area).item() == pytest.approx(1, abs=2e-3)
    entropy, x = -(p.exp() * p.clamp(min=-1e3)).sum() * area, data.tensors("test")[0]
    assert -data.log_density(x.double()).mean().item() == pytest.approx(entropy.item(), abs=0.05)


def test_splits_are_fixed_and_disjoint():
    a, b = zoo.datamodule("moons", seed=1), zoo.datamodule("moons", seed=2)
    for split, n in (("train", 10_000), ("val", 2000), ("test", 10_000)):
        assert torch.equal(a.tensors(split)[0], b.tensors(split)[0]) and len(a.tensors(split)[0]) == n
    assert not torch.isin(a.tensors("test")[0][:, 0], a.tensors("train")[0][:, 0]).all()
    with pytest.raises(InputError, match="'train', 'val' or 'test'"):
        a.tensors("all")
    with pytest.raises(InputError, match="noise"):
        zoo.datamodule("moons", noise=0.0)
    with pytest.raises(InputError, match="batch_size"):
        zoo.datamodule("moons", batch_size=0)


def test_score_of_the_mixture_is_autograds():
    data, x = zoo.datamodule("two-gaussians"), (4 * torch.randn(50, 2)).double().requires_grad_()
    for sigma in (0.0, 3.0):
        (gradient,) = torch.autograd.grad(data.log_density(x, sigma).sum(), x)
        torch.testing.assert_close(data.score(x, sigma).detach(), gradient)


def test_a_learnt_base_equals_torch_s_mixture_and_learns_from_its_own_term():
    torch.manual_seed(0)
    base, z = RealNVP(2, 2, hidden_dim=8, base_components=3).base, torch.randn(7, 2)
    assert base is not None
    from torch import distributions

    parts = distributions.Independent(distributions.Normal(base.means, base.log_scales.exp()), 1)
    mixture = distributions.MixtureSameFamily(distributions.Categorical(logits=base.weights), parts)
    torch.testing.assert_close(base.log_prob(z), mixture.log_prob(z))
    drawn = base.draw(20_000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn.mean(0), mixture.mean.detach(), atol=0.05, rtol=0)
    with pytest.raises(InputError, match="base_components=0"):
        RealNVP(2, 2, base_components=2).reverse_kl(lambda x: x.square().sum(1), 10)
