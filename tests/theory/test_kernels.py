"""Kernels to the printed digits, against their features, and against networks of finite width."""

import math

import numpy as np
import pytest
import torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF

from zoo.blocks import kernels as blocks
from zoo.errors import InputError, UnknownNameError
from zoo.theory import kernels

X, Y = (1, 0.5, -0.2), (0.3, -0.8, 0.6)


@pytest.mark.parametrize(
    ("layers", "nngp", "ntk"), [(1, 0.27396, 0.17703), (2, 0.52455, 0.62620), (3, 0.67730, 1.08174)]
)
def test_wide_networks_to_the_printed_digits(layers, nngp, ntk):
    assert kernels.nngp(X, Y, layers).item() == pytest.approx(nngp, abs=6e-6)
    assert kernels.ntk(X, Y, layers).item() == pytest.approx(ntk, abs=6e-6)
    assert kernels.nngp(X, X, layers).item() == pytest.approx(1.29)
    assert kernels.ntk(X, X, layers).item() == pytest.approx((layers + 1) * 1.29)


def test_lists_arrays_and_tensors_give_the_same_matrices():
    x = np.random.default_rng(0).normal(size=(4, 3))
    k = kernels.ntk(x, x[:2].tolist(), 2)
    assert k.shape == (4, 2) and k.dtype == torch.float64
    torch.testing.assert_close(k, kernels.ntk(torch.from_numpy(x), torch.from_numpy(x[:2]), 2))
    torch.testing.assert_close(kernels.nngp(x, None, 0), torch.from_numpy(x @ x.T))
    assert torch.linalg.eigvalsh(kernels.ntk(x, x, 3)).min() > 0


def test_the_polynomial_kernel_is_an_inner_product_of_its_features():
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for offset in (0.0, 1.0):
        phi = kernels.polynomial_features(x, offset)
        torch.testing.assert_close(phi @ phi.T, kernels.polynomial(x, x, 2, offset))


def test_random_networks_have_these_covariances_and_gradients():
    pair = torch.tensor([X, Y], dtype=torch.float64)
    outputs = torch.stack([kernels.output(kernels.network(3, 200, 2, seed), pair) for seed in range(1500)])
    torch.testing.assert_close(outputs.T @ outputs / 1500, kernels.nngp(pair, pair, 2), atol=0.12, rtol=0)
    tangent = torch.stack([kernels.empirical_ntk(kernels.network(3, 400, 2, seed), pair) for seed in range(30)])
    torch.testing.assert_close(tangent.mean(0), kernels.ntk(pair, pair, 2), atol=0.15, rtol=0)


def test_the_wider_the_network_the_more_linear_its_training():
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x /= x.norm(dim=1, keepdim=True)
    y, drifts, gaps = torch.sin(3 * x[:, 0]), [], []
    for width in (32, 512):
        weights = kernels.network(3, width, 2, seed=0)
        before = kernels.empirical_ntk(weights, x)
        rate = 0.5 / torch.linalg.eigvalsh(before)[-1].item()
        after, path = kernels.train_network(weights, x, y, rate, 100)
        drifts.append(((kernels.empirical_ntk(after, x) - before).norm() / before.norm()).item())
        gaps.append((path[-1] - kernels.linear_dynamics(before, path[0], y, 100 * rate)).norm() / path[0].norm())
    assert drifts[1] < drifts[0] / 2 and drifts[1] < 0.05 and gaps[1] < 0.05


def test_linear_dynamics_by_hand():
    k = torch.diag(torch.tensor([1.0, 2.0]))
    found = kernels.linear_dynamics(k, [1.0, 1.0], [0.0, 3.0], math.log(2))
    torch.testing.assert_close(found, torch.tensor([0.5, 3 - 2 / 4], dtype=torch.float64))


def test_regression_agrees_with_scikit_learn():
    x, new = np.linspace(0, 3, 7)[:, None], np.linspace(-1, 4, 9)[:, None]
    t = np.sin(x[:, 0])
    other = GaussianProcessRegressor(RBF(0.7), alpha=0.01, optimizer=None).fit(x, t)
    mean, deviation = other.predict(new, return_std=True)
    found = kernels.regress(kernels.rbf(x, x, 0.7), kernels.rbf(x, new, 0.7), np.ones(9), t, noise=0.01)
    np.testing.assert_allclose(found[0], mean, atol=1e-8)
    np.testing.assert_allclose(found[1], deviation**2, atol=1e-8)


def test_brownian_paths_have_growing_variance_and_independent_steps():
    t = torch.linspace(0, 1, 50)
    paths = kernels.draw(kernels.brownian(t, t), 4000, seed=0)
    assert not paths[:, 0].abs().max() > 1e-6
    torch.testing.assert_close(paths.var(0), t.double(), atol=0.06, rtol=0)
    steps = paths.diff(dim=1)
    assert abs((steps[:, 10] * steps[:, 30]).mean() / steps[:, 10].var()) < 0.06


def test_bad_input():
    with pytest.raises(InputError, match="coordinates"):
        kernels.ntk([1.0, 2.0], [1.0, 2.0, 3.0], 1)
    with pytest.raises(InputError, match="layers"):
        kernels.nngp(X, Y, -1)
    with pytest.raises(InputError, match="NaN"):
        kernels.nngp([math.nan], [1.0], 1)
    with pytest.raises(InputError, match="scale"):
        kernels.rbf(X, Y, 0)
    with pytest.raises(InputError, match="singular"):
        kernels.regress([[1.0, 1.0], [1.0, 1.0]], [[1.0], [1.0]], [1.0], [0.0, 1.0])
    with pytest.raises(InputError, match="negative eigenvalue"):
        kernels.draw([[1.0, 2.0], [2.0, 1.0]])
    with pytest.raises(UnknownNameError, match="ntk"):
        blocks.kernel("ntkk", torch.ones(1, 1), torch.ones(1, 1))
