"""What the shared suites can't know about PCA and probabilistic PCA: closed forms, scikit-learn, and each other."""

import lightning as L
import pytest
import torch
from sklearn.decomposition import PCA as SklearnPCA
from torch.utils.data import DataLoader, TensorDataset

from zoo.core.samples import sample_split
from zoo.errors import InputError
from zoo.models.autoencoders.coder import importance_weighted
from zoo.models.autoencoders.pca import PCA, Moments, largest_angle, leading_plane
from zoo.models.autoencoders.ppca import PPCA, closed_form, expectation_maximisation

QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


@pytest.fixture(scope="module")
def digits() -> torch.Tensor:
    return sample_split("mnist")[0][:400].double().flatten(1) / 255  # [400, 784]


def small_digits(digits: torch.Tensor) -> torch.Tensor:
    """Every second pixel of the middle: [400, 100]."""
    return digits.reshape(-1, 28, 28)[:, 4:24:2, 4:24:2].flatten(1)


def fitted(model: L.LightningModule, x: torch.Tensor) -> L.LightningModule:
    images = x.float().reshape(-1, 1, 28, 28)
    loader = DataLoader(TensorDataset(images, torch.zeros(len(images))), batch_size=150)
    L.Trainer(max_epochs=1, accelerator="cpu", **QUIET).fit(model, loader)
    return model


def test_moments_are_those_of_the_whole_whatever_the_batches(digits):
    moments = Moments(784)
    for part in digits.split(77):
        moments.add(part)
    mean, covariance = moments.mean_and_covariance()
    torch.testing.assert_close(mean, digits.mean(0))
    torch.testing.assert_close(covariance, torch.cov(digits.T, correction=0), rtol=0, atol=1e-12)
    with pytest.raises(InputError, match="no data"):
        Moments(3).mean_and_covariance()


def test_pca_equals_scikit_learn_and_its_error_is_the_sum_of_the_other_eigenvalues(digits):
    model, reference = fitted(PCA(latent_dim=12), digits).eval(), SklearnPCA(12, svd_solver="full").fit(digits.numpy())
    found = model.reconstruct(digits.float().reshape(-1, 1, 28, 28)).flatten(1)
    expected = torch.from_numpy(reference.inverse_transform(reference.transform(digits.numpy()))).clamp(0, 1)
    torch.testing.assert_close(found, expected.float(), rtol=0, atol=1e-4)
    error = (model(digits.float().reshape(-1, 1, 28, 28)).flatten(1) - digits).square().sum(1).mean().item()
    assert error == pytest.approx(model.variances[12:].sum().item(), rel=1e-4)
    z = model.encode(digits.float().reshape(-1, 1, 28, 28))
    torch.testing.assert_close(torch.cov(z.T, correction=0), model.variances[:12].diag(), rtol=0, atol=2e-4)


def test_largest_angle_of_planes_that_are_known():
    e = torch.eye(4)
    assert largest_angle(e[:, :2], e[:, [1, 0]] * 3) == pytest.approx(0, abs=1e-12)
    tilted = torch.stack([e[:, 0], e[:, 1] + 0.01 * e[:, 2]], 1)
    assert largest_angle(e[:, :2], tilted) == pytest.approx(0.01, rel=1e-3)
    assert largest_angle(e[:, :2], e[:, 2:]) == pytest.approx(torch.pi / 2)


def test_ppca_scores_as_scikit_learn_to_a_millionth(digits):
    x = small_digits(digits)  # fewer pixels than images, for scikit-learn means σ² over min(N, D) eigenvalues
    reference = SklearnPCA(10, svd_solver="full").fit(x.numpy())
    model = PPCA((1, 10, 10), 10).double()
    model.solve(x.mean(0), torch.cov(x.T))  # over N − 1, as it does there
    found = model.log_density(x)
    torch.testing.assert_close(found, torch.from_numpy(reference.score_samples(x.numpy())), rtol=1e-6, atol=1e-6)
    assert found.mean().item() == pytest.approx(reference.score(x.numpy()), rel=1e-6)
    assert model.variance.item() == pytest.approx(reference.noise_variance_, rel=1e-9)


def test_em_climbs_to_the_closed_form(digits):
    x = small_digits(digits)
    covariance = torch.cov(x.T, correction=0)
    likelihood, planes = [], []
    for weight, variance in (
        closed_form(covariance, 5),
        expectation_maximisation(covariance, 5, 2000),
        expectation_maximisation(covariance, 5, 3),
    ):
        model = PPCA((1, 10, 10), 5).double()
        model.decoder.weight.data, model.decoder.bias.data, model.variance.data = weight, x.mean(0), variance
        likelihood.append(model.log_density(x).mean().item())
        planes.append(weight)
    assert likelihood[1] == pytest.approx(likelihood[0], rel=1e-6) and likelihood[2] < likelihood[0] - 0.1
    assert largest_angle(planes[0], planes[1]) < 1e-3
    # W up to a rotation
    torch.testing.assert_close(planes[0] @ planes[0].T, planes[1] @ planes[1].T, rtol=0, atol=1e-4)


def test_the_posterior_mean_is_the_conditional_mean_of_the_joint_gaussian(digits):
    model = PPCA(latent_dim=4).double()
    model.solve(digits.mean(0), torch.cov(digits.T))
    weight, variance = model.decoder.weight, model.variance
    c = weight @ weight.T + variance * torch.eye(784, dtype=torch.float64)
    expected = (digits - digits.mean(0)) @ torch.linalg.solve(c, weight)
    mean, covariance = model.posterior(digits)
    torch.testing.assert_close(mean, expected, rtol=0, atol=1e-9)
    torch.testing.assert_close(
        covariance, torch.eye(4, dtype=torch.float64) - weight.T @ torch.linalg.solve(c, weight), rtol=0, atol=1e-9
    )


def test_samples_have_the_mean_and_spread_of_the_density():
    model = PPCA((1, 4, 4), 3).double()
    basis = torch.linalg.qr(torch.randn(16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))[0]
    covariance = basis @ torch.diag(torch.linspace(0.001, 0.01, 16, dtype=torch.float64)) @ basis.T
    model.solve(torch.full((16,), 0.5, dtype=torch.float64), covariance)
    x = model.float().sample(40_000, seed=0).flatten(1)
    c = model.decoder.weight @ model.decoder.weight.T + model.variance * torch.eye(16)
    torch.testing.assert_close(x.mean(0), torch.full((16,), 0.5), rtol=0, atol=3e-3)
    torch.testing.assert_close(torch.cov(x.T), c.detach(), rtol=0, atol=5e-4)


def test_importance_weighting_reaches_the_exact_likelihood_of_ppca():
    """With the prior as proposal, the estimator knows nothing of the posterior; it still has to find log p(x)."""
    torch.manual_seed(0)
    model = PPCA((1, 3, 3), 2)
    model.variance.data.fill_(0.3)
    x = torch.rand(6, 9)

    def log_weights(count: int) -> torch.Tensor:
        z = torch.randn(count, 2)
        pixels = model.pixels(z).flatten(1)  # [count, 9]
        return torch.distributions.Normal(pixels[:, None], model.variance.sqrt()).log_prob(x).sum(2)  # [count, 6]

    exact = model.log_density(x.double())
    bound = [importance_weighted(log_weights, samples, 1000).double() for samples in (1, 100_000)]
    torch.testing.assert_close(bound[1], exact, rtol=0, atol=0.02)
    assert (bound[0] - exact).abs().mean() > 0.05


def test_bad_input():
    with pytest.raises(InputError, match="unconditional"):
        PPCA().sample(2, labels=torch.zeros(2))
    with pytest.raises(InputError, match="below the 784 pixels"):
        PPCA(latent_dim=784)
    with pytest.raises(InputError, match="at least 1"):
        PPCA(latent_dim=0)
    with pytest.raises(InputError, match="closed"):
        PPCA(method="svd")
    with pytest.raises(InputError, match="785"):
        PCA(latent_dim=785)
    with pytest.raises(InputError, match="finite floating-point"):
        PPCA().log_prob(torch.full((1, 1, 28, 28), 2.0))


def test_leading_plane_is_that_of_pca(digits):
    model = fitted(PCA(latent_dim=5), digits)
    mean, plane = leading_plane(digits, 5)
    assert largest_angle(plane, model.decoder.weight.detach()) < 1e-3
    torch.testing.assert_close(model.decoder.bias.detach(), mean.float())
