"""Attention by random features beside the exact one."""

import pytest
import torch

from zoo.blocks.attention import attend, attend_linearly, directions
from zoo.errors import InputError


def test_many_random_features_give_exact_attention_and_orthogonal_ones_do_sooner():
    generator = torch.Generator().manual_seed(0)
    q, k, v = (scale * torch.randn(1, 2, 20, 8, generator=generator) for scale in (0.5, 0.5, 1))
    exact = attend(q, k, v)

    def error(count: int, orthogonal: bool) -> float:
        guesses = [
            attend_linearly(q, k, v, directions(count, 8, orthogonal=orthogonal, seed=seed)) for seed in range(20)
        ]
        return torch.stack([(guess - exact).square().mean() for guess in guesses]).mean().item()

    assert error(2048, True) < 2e-4 < error(32, True) < error(32, False)


def test_directions_are_orthogonal_in_blocks_and_one_value_everywhere_comes_back():
    w = directions(10, 4)
    torch.testing.assert_close(w[:4] @ w[:4].T, torch.diag(w[:4].square().sum(1)), atol=1e-5, rtol=0)
    q = 30 * torch.randn(1, 1, 5, 4)  # far beyond what exp holds
    torch.testing.assert_close(attend_linearly(q, q, torch.ones(1, 1, 5, 4), w), torch.ones(1, 1, 5, 4))
    with pytest.raises(InputError, match="count"):
        directions(0, 4)
