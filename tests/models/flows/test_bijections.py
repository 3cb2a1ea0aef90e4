"""Every invertible layer against autograd's Jacobian and its own inverse."""

import pytest
import torch

from tests.models.flows.oracles import check_bijection, shaken
from zoo.models.flows.bijections import BatchNorm, Chain, Flatten, Logit, standard_normal
from zoo.models.flows.maf import MaskedAutoregressive, autoregressive_chain
from zoo.models.flows.realnvp import AffineCoupling

MASK = torch.tensor([1, 0, 0, 1, 1])


def trained_batch_norm() -> BatchNorm:
    layer = BatchNorm(5).train()
    for _ in range(3):
        layer(3 * torch.randn(50, 5) + 1)
    return layer


@pytest.mark.parametrize(
    "make",
    [
        lambda: AffineCoupling(MASK, 8, 2),
        lambda: MaskedAutoregressive(torch.tensor([1, 2, 3, 4, 5]), 12, 2),
        lambda: MaskedAutoregressive(torch.tensor([3, 1, 5, 4, 2]), 12, 1),
        trained_batch_norm,
        lambda: Chain(AffineCoupling(MASK, 8, 1), trained_batch_norm(), AffineCoupling(1 - MASK, 8, 1)),
        lambda: autoregressive_chain(5, 3, 12, 1, batch_norm=True),
    ],
)
def test_vector_bijections(make):
    check_bijection(shaken(make()), torch.randn(4, 5))


def test_logit_of_images():
    check_bijection(Chain(Logit(0.05), Flatten((1, 2, 3))), torch.rand(4, 1, 2, 3))


def test_batch_norm_in_training_normalises_the_batch_and_counts_it():
    layer, x = BatchNorm(3).train(), 2 * torch.randn(64, 3) + 5
    z, log_det = layer(x)
    torch.testing.assert_close(z.mean(0), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(z.var(0, unbiased=False), torch.ones(3), rtol=1e-3, atol=0)
    assert log_det.shape == (64,)
    expected = -0.5 * (x.var(0, unbiased=False) + 1e-5).log().sum()
    torch.testing.assert_close(log_det, expected.expand(64))


def test_a_coupling_keeps_what_its_mask_says():
    layer, x = shaken(AffineCoupling(MASK, 8, 1)), torch.randn(4, 5)
    z, _ = layer(x)
    assert torch.equal(z[:, MASK.bool()], x[:, MASK.bool()])
    assert (z != x)[:, ~MASK.bool()].all()


@pytest.mark.parametrize("degrees", [[1, 2, 3, 4], [4, 2, 1, 3]])
def test_an_autoregressive_output_sees_only_earlier_inputs(degrees):
    degrees = torch.tensor(degrees)
    layer, x = shaken(MaskedAutoregressive(degrees, 32, 2)), torch.randn(16, 4)
    for output in layer.shift_scale(x):
        assert output.requires_grad
    # [2, 4, 16, 4]
    jacobian = torch.autograd.functional.jacobian(lambda v: torch.stack(layer.shift_scale(v)).sum(1), x)
    seen = (jacobian != 0).any(2)  # output i of μ and of α by input j
    allowed = degrees[:, None] > degrees[None, :]
    assert not (seen & ~allowed).any(), "a value leaks to itself or to an earlier one"
    assert seen[0][allowed].all(), "a dependence that the order allows is missing"


def test_standard_normal_is_that_of_torch():
    z = torch.randn(5, 7)
    torch.testing.assert_close(standard_normal(z), torch.distributions.Normal(0, 1).log_prob(z).sum(1))
