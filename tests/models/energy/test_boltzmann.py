"""The exact machine: its gradient, its chains, and its likelihood."""

import pytest
import torch

from zoo.errors import InputError
from zoo.models.energy.boltzmann import Boltzmann


def small(hidden: int = 2) -> Boltzmann:
    torch.manual_seed(0)
    model = Boltzmann((1, 2, 2), hidden)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    return model


def test_the_gradient_is_awake_minus_asleep_correlations():
    model = small()
    model.log_train = lambda **_: None
    x = torch.tensor([[1.0, 0, 1, 0], [1, 1, 0, 0], [0, 0, 0, 1]])
    model.training_step((x.reshape(-1, 1, 2, 2), x), 0).backward()
    with torch.no_grad():
        s = model.states(6)
        p = (-model.coupling(s)).softmax(0)
        asleep = (s * p[:, None]).T @ s
        awake = torch.zeros(6, 6)
        for v in x:
            given = (s[:, :4] == v).all(1)
            q = (-model.coupling(s[given])).softmax(0)
            awake += (s[given] * q[:, None]).T @ s[given] / len(x)
    expected = -(awake - asleep)
    torch.testing.assert_close(model.coupling.weight.grad, expected.triu(1), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(model.coupling.bias.grad, expected.diagonal(), atol=1e-5, rtol=1e-4)


def test_a_long_chain_and_exact_samples_have_the_probabilities():
    model = small()
    expected = model.log_table().exp()
    assert expected.sum().item() == pytest.approx(1, abs=1e-5)
    for images in (model.gibbs(50_000, 40, seed=0), model.sample(50_000, seed=0)):
        found = torch.bincount(model.index(images), minlength=16) / len(images)
        assert 0.5 * (found - expected).abs().sum() < 0.02


def test_log_prob_takes_images_and_rows():
    model = small()
    rows = model.states(4)
    torch.testing.assert_close(model.log_prob(rows), model.log_prob(rows.reshape(-1, 1, 2, 2)))
    torch.testing.assert_close(model.log_prob(rows), model.log_table().detach())


def test_restricted_leaves_out_the_connections_inside_a_layer():
    a = Boltzmann((1, 2, 2), 3, restricted=True).coupling.matrix()
    assert not a[:4, :4].any() and not a[4:, 4:].any() and a[:4, 4:].all()
    torch.testing.assert_close(a, a.T)


def test_bad_input():
    with pytest.raises(InputError, match="at most 20"):
        Boltzmann((1, 4, 4), 5)
    with pytest.raises(InputError, match="0 or 1"):
        small().log_prob(torch.full((1, 4), 0.5))
    with pytest.raises(InputError, match="pixels"):
        small().log_prob(torch.zeros(1, 5))
    with pytest.raises(InputError, match="hidden"):
        Boltzmann(hidden=-1)
    with pytest.raises(InputError, match="unconditional"):
        small().sample(3, labels=1)
