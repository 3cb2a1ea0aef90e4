"""The linear VAE's bound meets the likelihood of probabilistic PCA, and finds its axes."""

import pytest
import torch

from zoo.theory.linear_vae import LinearVAE, best_likelihood


def vectors() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64, generator=generator))[0]
    scale = torch.tensor([3.0, 1.5, 0.5, 0.4, 0.4, 0.3], dtype=torch.float64)
    return torch.randn(400, 6, dtype=torch.float64, generator=generator) * scale @ axes.T + 1


def test_the_bound_is_below_the_likelihood_and_meets_it_where_it_is_highest():
    torch.manual_seed(0)
    x = vectors()
    model = LinearVAE(6, 2).double()
    highest, axes = best_likelihood(x, 2)
    assert (model.elbo(x) <= model.log_prob(x) + 1e-9).all()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for step in range(4000):
        for group in optimizer.param_groups:
            group["lr"] = 0.03 * (1 - step / 4000)
        optimizer.zero_grad()
        (-model.elbo(x).mean()).backward()
        optimizer.step()
    with torch.no_grad():
        assert model.elbo(x).mean().item() == pytest.approx(highest, abs=2e-3)
        assert model.log_prob(x).mean().item() == pytest.approx(highest, abs=2e-3)
        directions = torch.nn.functional.normalize(model.decoder.weight, dim=0)
        assert (axes.T @ directions).abs().amax(0).min() > 0.999  # the axes themselves, not only their plane
