"""The Fréchet distance against closed forms, scipy's matrix square root, torchmetrics and torch-fidelity."""

import warnings

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor, nn

from zoo.metrics.frechet import frechet_distance, gaussian_statistics


def gaussian(dimensions: int, seed: int, rank: int | None = None) -> tuple[Tensor, Tensor]:
    """A mean and a random covariance of some rank."""
    generator = torch.Generator().manual_seed(seed)
    factor = torch.randn(dimensions, rank or 2 * dimensions, generator=generator, dtype=torch.float64)
    return torch.randn(dimensions, generator=generator, dtype=torch.float64), factor @ factor.T / factor.shape[1]


def features(n: int, dimensions: int, seed: int, shift: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(dimensions, dimensions, generator=generator)
    return torch.relu(torch.randn(n, dimensions, generator=generator) @ mix + shift)


def test_statistics_are_those_of_numpy_in_float64():
    x = features(300, 20, 0) + 1e4  # where float32 sums would lose the variance
    mean, covariance = gaussian_statistics(x)
    assert mean.dtype == covariance.dtype == torch.float64
    np.testing.assert_allclose(mean, x.numpy().astype(np.float64).mean(0), rtol=1e-12)
    np.testing.assert_allclose(covariance, np.cov(x.numpy().astype(np.float64), rowvar=False), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dimensions", [1, 7, 128])
def test_equals_scipy_sqrtm(dimensions):
    (m1, c1), (m2, c2) = gaussian(dimensions, 0), gaussian(dimensions, 1)
    root = scipy.linalg.sqrtm((c1 @ c2).numpy())
    expected = float((m1 - m2).square().sum() + c1.trace() + c2.trace()) - 2 * np.trace(root).real
    assert frechet_distance(m1, c1, m2, c2) == pytest.approx(expected, rel=1e-9)


def test_equal_covariances_leave_the_distance_of_the_means():
    (m1, c), (m2, _) = gaussian(30, 0), gaussian(30, 1)
    assert frechet_distance(m1, c, m2, c) == pytest.approx((m1 - m2).square().sum().item(), rel=1e-12)


def test_commuting_covariances_have_a_closed_form():
    basis = torch.linalg.qr(torch.randn(12, 12, dtype=torch.float64))[0]
    a, b = torch.rand(12, dtype=torch.float64), torch.rand(12, dtype=torch.float64)
    zero = torch.zeros(12, dtype=torch.float64)
    found = frechet_distance(zero, (basis * a) @ basis.T, zero, (basis * b) @ basis.T)
    assert found == pytest.approx((a.sqrt() - b.sqrt()).square().sum().item(), rel=1e-10)


@pytest.mark.parametrize("rank", [1, 5, 19])
def test_rank_deficient_covariances(rank):
    """A Gaussian on a plane has distance 0 to itself, and to its double the closed form (√2 − 1)² tr Σ."""
    m, c = gaussian(20, 0, rank)
    assert frechet_distance(m, c, m, c) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(m, c, m, 2 * c) == pytest.approx((2**0.5 - 1) ** 2 * c.trace().item(), rel=1e-7)


def test_distance_to_a_point_is_the_trace():
    m, c = gaussian(9, 0)
    assert frechet_distance(m, c, m, torch.zeros(9, 9)) == pytest.approx(c.trace().item(), rel=1e-12)


def test_symmetric_and_scales_with_the_square():
    (m1, c1), (m2, c2) = gaussian(15, 0, 4), gaussian(15, 1)
    there = frechet_distance(m1, c1, m2, c2)
    assert frechet_distance(m2, c2, m1, c1) == pytest.approx(there, rel=1e-9)
    assert frechet_distance(3 * m1, 9 * c1, 3 * m2, 9 * c2) == pytest.approx(9 * there, rel=1e-9)


def test_equals_torchmetrics_with_our_extractor():
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(feature=Projection(), input_img_size=(1, 28, 28)).set_dtype(torch.float64)
    real, fake = ((torch.rand(400, 1, 28, 28) ** power * 255).byte() for power in (1, 2))
    metric.update(real, real=True)
    metric.update(fake, real=False)
    x, y = Projection()(real), Projection()(fake)
    ours = frechet_distance(*gaussian_statistics(x), *gaussian_statistics(y))
    assert ours == pytest.approx(metric.compute().item(), rel=1e-6)


def test_equals_torch_fidelity():
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    x, y = features(500, 24, 0), features(400, 24, 1, shift=0.5)
    pair = [fid_features_to_statistics(f) for f in (x, y)]
    theirs = fid_statistics_to_metric(*pair, verbose=False)["frechet_inception_distance"]
    assert frechet_distance(*gaussian_statistics(x), *gaussian_statistics(y)) == pytest.approx(theirs, rel=1e-6)


def test_too_few_samples_warn():
    with pytest.warns(UserWarning, match="20 samples leave a covariance of 20 dimensions singular"):
        gaussian_statistics(features(20, 20, 0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gaussian_statistics(features(21, 20, 0))


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (torch.rand(1, 4), "at least 2 samples are needed, not 1"),
        (torch.rand(5, 4, 3), r"shape \[N, D\], not \[5, 4, 3\]"),
        (torch.full((5, 4), torch.nan), "NaN or infinite"),
    ],
)
def test_bad_features_are_refused(x, words):
    with pytest.raises(ValueError, match=words):
        gaussian_statistics(x)


def test_bad_statistics_are_refused():
    m, c = torch.zeros(3), torch.eye(3)
    with pytest.raises(ValueError, match=r"\[3\], \[3, 3\], \[4\], \[3, 3\]"):
        frechet_distance(m, c, torch.zeros(4), c)
    with pytest.raises(ValueError, match="no negative eigenvalues, this one has -1"):
        frechet_distance(m, c, m, -c)
    with pytest.raises(ValueError, match="finite and symmetric"):
        frechet_distance(m, c, m, c * torch.nan)
    with pytest.raises(ValueError, match="finite and symmetric"):
        frechet_distance(m, c, m, torch.triu(torch.ones(3, 3)))


class Projection(nn.Module):
    """A fixed feature extractor of uint8 images, as torchmetrics wants one."""

    num_features = 16

    def forward(self, x: Tensor) -> Tensor:
        weight = torch.randn(784, self.num_features, generator=torch.Generator().manual_seed(0))
        return torch.relu(x.flatten(1).float() / 255 @ weight)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_statistics_leave_the_features_as_they_are(dtype):
    features = 3 + torch.randn(50, 4, dtype=dtype, generator=torch.Generator().manual_seed(0))
    before = features.clone()
    mean, covariance = gaussian_statistics(features)
    assert torch.equal(features, before)
    torch.testing.assert_close(covariance, torch.cov(before.double().T))
    torch.testing.assert_close(mean, before.double().mean(0))
