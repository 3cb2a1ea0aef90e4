"""The Fréchet distance between two sets of features (Heusel et al., 2017, arXiv:1706.08500), here of our own classifiers: FCD.

Each set is summed up by a Gaussian, and the distance is the cost of the cheapest plan that moves one into the other (the
squared 2-Wasserstein distance),

    d² = ‖μ₁ − μ₂‖² + tr Σ₁ + tr Σ₂ − 2 tr (Σ₁Σ₂)^½

Departures from the paper: the features are those of a small classifier of the data set at hand, so values compare only
between models that were measured with the same extractor. The trace term needs no matrix square root of a product that is not
symmetric, as the common implementations take: with factors Σ = L Lᵀ the eigenvalues of Σ₁Σ₂ are the squared singular values of
L₁ᵀ L₂, which exist for rank-deficient covariances too and are accurate where the product's own eigenvalues have lost half their
digits.
"""

import warnings

import torch
from torch import Tensor

from zoo.errors import InputError, ZooWarning
from zoo.metrics.features import check_features


def gaussian_statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [D] and covariance [D, D] of features [N, D], in float64. Warns if N <= D, where the covariance is singular.

    Raises:
        InputError: for fewer than two samples, another shape, or values that are not finite.
    """
    x = check_features(features)
    n, dimensions = x.shape
    if n <= dimensions:
        warnings.warn(
            f"{n} samples leave a covariance of {dimensions} dimensions singular and the Fréchet distance far too "
            f"large: use more than {dimensions}, better ten times as many",
            category=ZooWarning,
            stacklevel=2,
        )
    mean = x.mean(0)
    own = x.data_ptr() != features.data_ptr()  # a copy already: a second one would take longer than the product
    centred = (x.sub_(mean) if own else x - mean).numpy()
    product = centred.T @ centred  # NumPy sees one matrix twice, and works out half of it
    return mean, torch.from_numpy(product) / (n - 1)


def frechet_distance(mean1: Tensor, covariance1: Tensor, mean2: Tensor, covariance2: Tensor) -> float:
    """Squared Fréchet distance between two Gaussians, in float64.

    Shapes:
        means: [D]; covariances: [D, D], symmetric and positive semi-definite.

    Raises:
        InputError: for shapes that don't fit, or matrices that are no covariances.
    """
    dimensions = mean1.shape
    for mean, covariance in ((mean1, covariance1), (mean2, covariance2)):
        if mean.ndim != 1 or mean.shape != dimensions or covariance.shape != (*dimensions, *dimensions):
            shapes = [list(t.shape) for t in (mean1, covariance1, mean2, covariance2)]
            raise InputError(f"the statistics must have the shapes [D], [D, D], [D], [D, D], not {shapes}")
    shift = (mean1.double() - mean2.double()).square().sum()
    cross = torch.linalg.svdvals(_factor(covariance1).T @ _factor(covariance2)).sum()
    distance = shift + covariance1.double().trace() + covariance2.double().trace() - 2 * cross
    return max(0.0, distance.item())  # rounding can leave -1e-14 for equal Gaussians


def _factor(covariance: Tensor) -> Tensor:
    """L with L Lᵀ = covariance: Cholesky's, or where that is nearly singular the eigenvectors times the eigenvalues' roots.

    Eigenvalues within the rounding error count as zero.
    """
    covariance = covariance.double()
    if not torch.isfinite(covariance).all() or not torch.allclose(covariance, covariance.T, atol=1e-10, rtol=1e-8):
        raise InputError("a covariance must be finite and symmetric")
    lower, failed = torch.linalg.cholesky_ex(covariance)
    if not failed and lower.diagonal().square().min() > 1e-10 * covariance.diagonal().max():
        return lower  # a tenth of the time of the eigenvectors
    values, vectors = torch.linalg.eigh(covariance)
    if values[0] < -1e-6 * values[-1].abs().clamp(min=1e-12):
        raise InputError(f"a covariance has no negative eigenvalues, this one has {values[0]:.3g}")
    noise = len(values) * torch.finfo(values.dtype).eps * values[-1]  # its root would be a million times larger
    return vectors * torch.where(values > noise, values, 0).sqrt()
