"""Latent diffusion: the code's scale, what is frozen, and a sampler that needn't clip."""

import pytest
import torch

from zoo.errors import InputError
from zoo.models.diffusion.kl_autoencoder import KLAutoencoder
from zoo.models.diffusion.latent import LatentDiffusion, k_means


def small() -> LatentDiffusion:
    torch.manual_seed(0)
    return LatentDiffusion((1, 8, 8), 8, autoencoder_width=8, latent_channels=2, timesteps=60).eval()


def test_codes_are_scaled_and_come_back():
    model, x = small(), torch.rand(4, 1, 8, 8)
    raw = model.autoencoder.encode(x)
    model.scale.fill_(2.0)
    torch.testing.assert_close(model.encode(x), raw / 2)
    torch.testing.assert_close(model.decode(model.encode(x)), model.autoencoder.reconstruct(x))


def test_the_autoencoder_stays_frozen_and_the_scale_is_stored():
    model = small().train()
    assert not any(p.requires_grad for p in model.autoencoder.parameters()) and not model.autoencoder.training
    assert all(p.requires_grad for p in model.net.parameters())
    assert "scale" in model.state_dict()


def test_a_perfect_network_draws_codes_of_any_size(monkeypatch):
    """All codes are c, far outside [-1, 1]: v = (α z − c)/σ, and nothing clips it."""
    model, c = small(), 5.0

    def v(z, t):
        alpha, sigma = model.schedule.rates(t)
        return (alpha * z - c) / sigma

    monkeypatch.setattr(model, "forward", v)
    seen = []
    monkeypatch.setattr(model, "decode", lambda z: seen.append(z) or torch.zeros(len(z), 1, 8, 8))
    model.sample(3, seed=0, steps=10)
    torch.testing.assert_close(seen[0], torch.full((3, 2, 2, 2), c), rtol=0, atol=1e-3)


def test_k_means_finds_clusters_and_keeps_lonely_centres():
    torch.manual_seed(0)
    middles = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    x = torch.cat([m + 0.1 * torch.randn(50, 2) for m in middles])
    found = torch.cdist(middles, k_means(x, 12)).min(1).values  # of twelve random starts, each cluster has one
    assert found.max() < 0.2
    assert k_means(torch.ones(5, 2), 3).isfinite().all()


def test_a_sample_draws_a_cluster_by_its_share_and_the_network_takes_it(monkeypatch):
    model, middles = (
        LatentDiffusion((1, 8, 8), 8, autoencoder_width=8, latent_channels=2, clusters=3).eval(),
        [0, 4, -4],
    )
    model.centres.copy_(torch.tensor(middles)[:, None].expand(3, 8))
    model.shares.copy_(torch.tensor([0.6, 0.4, 0.0]))

    def v(z, t, cluster):
        alpha, sigma = model.schedule.rates(t)
        return (alpha * z - model.centres[cluster].reshape(z.shape)) / sigma

    monkeypatch.setattr(model, "forward", v)
    seen = []
    monkeypatch.setattr(model, "decode", lambda z: seen.append(z) or torch.zeros(len(z), 1, 8, 8))
    model.sample(1000, seed=0, steps=5, batch_size=1000)
    shares = model.cluster_of(seen[0]).bincount(minlength=3) / 1000
    torch.testing.assert_close(shares, model.shares, rtol=0, atol=0.05)


def test_training_tells_the_network_the_cluster_of_the_code(monkeypatch):
    torch.manual_seed(0)
    model, x = LatentDiffusion((1, 8, 8), 8, autoencoder_width=8, latent_channels=2, clusters=4), torch.rand(6, 1, 8, 8)
    codes = model.autoencoder.encode(x).flatten(1)
    model.centres.copy_(codes[[5, 3, 0, 2]])
    told = []
    inner = model.forward
    monkeypatch.setattr(model, "forward", lambda z, t, cluster: told.append(cluster) or inner(z, t, cluster))
    model.loss(x)
    assert [told[0][i].item() for i in (5, 3, 0, 2)] == [0, 1, 2, 3]
    with pytest.raises(InputError, match="clusters"):
        LatentDiffusion((1, 8, 8), 8, clusters=-1)


def test_kl_is_that_of_torch():
    model, x = KLAutoencoder((1, 8, 8), 8), torch.rand(5, 1, 8, 8)
    mu, log_var = model.posterior(2 * x - 1)
    posterior = torch.distributions.Normal(mu, (0.5 * log_var).exp())
    expected = (
        torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).flatten(1).sum(1).mean()
    )
    torch.testing.assert_close(model.eval().terms(x)[1], expected)


def test_bad_input_is_refused():
    model = small()
    for call in (
        lambda: model.encode(torch.rand(1, 1, 9, 9)),
        lambda: model.sample(2, labels=torch.zeros(2)),
        lambda: model.sample(2, steps=61),
        lambda: model.sample(2, eta=2.0),
        lambda: model.decode(torch.zeros(1, 2, 3, 3)),
        lambda: model.decode(torch.full((1, *model.latent_shape), torch.nan)),
        lambda: model.autoencoder.encode(torch.full((1, *model.image_shape), 3.0)),
        lambda: KLAutoencoder((1, 6, 6)),
    ):
        with pytest.raises(InputError):
            call()
    with pytest.raises(LookupError):
        model.sample(2, sampler="euler")
