"""Optimal transport: primal equals dual, and the line by sorting."""

import pytest
import torch
from scipy.stats import wasserstein_distance

from zoo.errors import InputError
from zoo.theory import transport


def problem() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    p, q, c = (
        torch.rand(5, generator=generator),
        torch.rand(4, generator=generator),
        torch.rand(5, 4, generator=generator),
    )
    return p / p.sum(), q / q.sum(), c


def test_primal_equals_dual():
    p, q, c = problem()
    plan, prices = transport.primal(p, q, c), transport.dual(p, q, c)
    assert plan.cost == pytest.approx(prices.value)
    torch.testing.assert_close(plan.plan.sum(1), p.double(), atol=1e-7, rtol=1e-5)
    torch.testing.assert_close(plan.plan.sum(0), q.double(), atol=1e-7, rtol=1e-5)
    assert (prices.phi[:, None] + prices.psi <= c + 1e-9).all()
    best = transport.c_transform(prices.phi, c)
    assert ((best - prices.psi) * q).sum().item() == pytest.approx(0, abs=1e-7)


def test_the_line_by_sorting_by_program_and_by_scipy():
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(20, generator=generator), 2 * torch.randn(20, generator=generator) + 1
    found = transport.wasserstein(x, y)
    assert found == pytest.approx(wasserstein_distance(x.numpy(), y.numpy()), rel=1e-5)
    assert transport.wasserstein(x[:, None], y[:, None]) == pytest.approx(found, rel=1e-5)
    assert transport.wasserstein(x, y[:13]) == pytest.approx(wasserstein_distance(x.numpy(), y[:13].numpy()), rel=1e-5)
    assert transport.wasserstein([0.0, 1.0], [3.0, 4.0], order=2) == pytest.approx(3)


def test_a_plan_splits_mass_where_a_map_cannot():
    plan = transport.primal([1.0], [0.5, 0.5], [[1.0, 3.0]])
    assert plan.cost == pytest.approx(2) and plan.plan.tolist() == [[0.5, 0.5]]


def test_bad_input():
    with pytest.raises(InputError, match="sums"):
        transport.primal([0.5], [1.0], [[1.0]])
    with pytest.raises(InputError, match="costs"):
        transport.dual([1.0], [1.0], [[1.0, 2.0]])
    with pytest.raises(InputError, match="order"):
        transport.wasserstein([0.0], [1.0], 0.5)
