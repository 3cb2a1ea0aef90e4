"""The kernel distance against torchmetrics, torch-fidelity, and what unbiased means."""

import pytest
import torch
from torch import Tensor, nn

from zoo.metrics.kernel import kernel_distance


def features(n: int, dimensions: int, seed: int, shift: float = 0.0) -> Tensor:
    return torch.randn(n, dimensions, generator=torch.Generator().manual_seed(seed)) + shift


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance`")
def test_equals_torchmetrics_where_the_subset_is_the_whole():
    from torchmetrics.image.kid import KernelInceptionDistance

    x, y = features(150, 32, 0), features(150, 32, 1, 0.3)
    metric = KernelInceptionDistance(feature=Flat(), subsets=1, subset_size=150)
    metric.update(x.double(), real=True)
    metric.update(y.double(), real=False)
    theirs, _ = metric.compute()
    ours, std = kernel_distance(x, y, subsets=1, subset_size=150)
    assert ours == pytest.approx(theirs.item(), rel=1e-5)
    assert std == 0


def test_equals_torch_fidelity_where_the_subset_is_the_whole():
    from torch_fidelity.metric_kid import kid_features_to_metric

    x, y = features(200, 32, 0), features(200, 32, 1, 0.3)
    theirs = kid_features_to_metric(x, y, kid_subsets=2, kid_subset_size=200, verbose=False)
    ours, _ = kernel_distance(x, y, subsets=2, subset_size=200)
    assert ours == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-5)


def test_equals_a_double_loop():
    x, y = features(7, 3, 0).double(), features(7, 3, 1).double()

    def k(a: Tensor, b: Tensor) -> float:
        return ((a @ b).item() / 3 + 1) ** 3

    pairs = [(i, j) for i in range(7) for j in range(7)]
    within = sum(k(x[i], x[j]) + k(y[i], y[j]) for i, j in pairs if i != j) / 42
    across = sum(k(x[i], y[j]) for i, j in pairs) / 49
    assert kernel_distance(x, y, subsets=3, subset_size=7)[0] == pytest.approx(within - 2 * across, rel=1e-10)


def test_unbiased_at_every_subset_size():
    """Two draws of one distribution: the mean is zero within its error, for small subsets as for large ones."""
    x, y = features(4000, 8, 0), features(4000, 8, 1)
    for size in (20, 100, 400):
        mean, std = kernel_distance(x, y, subsets=200, subset_size=size)
        assert abs(mean) < 4 * std / 200**0.5 + 1e-3


def test_grows_with_the_shift():
    x = features(500, 16, 0)
    values = [kernel_distance(x, features(500, 16, 1, s), subsets=10, subset_size=300)[0] for s in (0, 0.1, 0.3, 1)]
    assert values == sorted(values)


def test_follows_the_seed():
    x, y = features(100, 4, 0), features(100, 4, 1)
    first = kernel_distance(x, y, subsets=3, subset_size=20, seed=1)
    assert first == kernel_distance(x, y, subsets=3, subset_size=20, seed=1)
    assert first != kernel_distance(x, y, subsets=3, subset_size=20, seed=2)


def test_bad_input_is_refused():
    x = features(50, 4, 0)
    with pytest.raises(ValueError, match="subset_size is 1000 but the sets have 50 and 50 samples"):
        kernel_distance(x, x)
    with pytest.raises(ValueError, match="4 and 5 dimensions"):
        kernel_distance(x, features(50, 5, 0), subset_size=10)
    with pytest.raises(ValueError, match="not 0 and 10"):
        kernel_distance(x, x, subsets=0, subset_size=10)
    with pytest.raises(ValueError, match="NaN"):
        kernel_distance(x, x * torch.inf, subset_size=10)


class Flat(nn.Module):
    """Passes features through, as torchmetrics wants an extractor."""

    num_features = 32

    def forward(self, x: Tensor) -> Tensor:
        return x
