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
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=400, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = -model.elbo(x).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    with torch.no_grad():
        assert model.elbo(x).mean().item() == pytest.approx(highest, abs=2e-3)
        assert model.log_prob(x).mean().item() == pytest.approx(highest, abs=2e-3)
        directions = torch.nn.functional.normalize(model.decoder.weight, dim=0)
        assert (axes.T @ directions).abs().amax(0).min() > 0.999  # the axes themselves, not only their plane
