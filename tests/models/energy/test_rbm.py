"""Restricted Boltzmann machines small enough to enumerate, and scikit-learn's for the same weights."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.neural_network import BernoulliRBM
from torch import Tensor

from zoo.errors import InputError
from zoo.models.energy.rbm import RBM, Machine, log_partition, pseudo_likelihood


def small(visible: int = 6, hidden: int = 4, scale: float = 1.0) -> Machine:
    torch.manual_seed(0)
    machine = Machine(visible, hidden)
    for parameter in machine.parameters():
        torch.nn.init.normal_(parameter, std=scale)
    return machine


def states(n: int) -> Tensor:
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=n)))


def log_z(machine: Machine) -> Tensor:
    return (-machine.free_energy(states(machine.weight.shape[0]))).logsumexp(0)


def test_conditionals_and_free_energy_follow_from_the_energy():
    machine, v, h = small(3, 2), states(3), states(2)
    energy = -(v @ machine.visible_bias)[:, None] - h @ machine.hidden_bias - v @ machine.weight @ h.T  # [8, 4]
    torch.testing.assert_close(machine.free_energy(v), -(-energy).logsumexp(1))
    p = (-energy).softmax(1)  # p(h | v)
    torch.testing.assert_close(machine.up(v).sigmoid(), p @ h)
    torch.testing.assert_close(machine.down(h).sigmoid(), (-energy).softmax(0).T @ v)


def test_agrees_with_scikit_learn():
    machine, v = small(), states(6)
    other = BernoulliRBM(4)
    other.components_ = machine.weight.detach().T.numpy()
    other.intercept_hidden_ = machine.hidden_bias.detach().numpy()
    other.intercept_visible_ = machine.visible_bias.detach().numpy()
    with torch.no_grad():
        np.testing.assert_allclose(machine.free_energy(v), other._free_energy(v.numpy()), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(machine.up(v).sigmoid(), other.transform(v.numpy()), rtol=1e-5)


@pytest.mark.parametrize("hidden", [12, 16])
def test_annealed_importance_sampling_finds_the_enumerated_log_z(hidden):
    machine = small(10, hidden, 0.7)
    found, error = log_partition(machine, torch.zeros(10), 1000, 100, seed=0)
    assert found == pytest.approx(log_z(machine).item(), abs=0.2) and error < 0.1


def test_the_loss_has_the_gradient_of_contrastive_divergence():
    machine = small()
    v, fantasy = states(6)[3:20], states(6)[30:47]
    (machine.free_energy(v).mean() - machine.free_energy(fantasy).mean()).backward()
    with torch.no_grad():
        up, down = machine.up(v).sigmoid(), machine.up(fantasy).sigmoid()
        expected = -(v.T @ up / len(v) - fantasy.T @ down / len(fantasy))
    torch.testing.assert_close(machine.weight.grad, expected)
    torch.testing.assert_close(machine.visible_bias.grad, fantasy.mean(0) - v.mean(0))
    torch.testing.assert_close(machine.hidden_bias.grad, down.mean(0) - up.mean(0))


def test_a_long_chain_has_the_distribution():
    machine = small(3, 2)
    v = machine.gibbs(torch.zeros(20_000, 3), 30, torch.Generator().manual_seed(0))[0]
    found = torch.bincount((v @ torch.tensor([4.0, 2.0, 1.0])).long(), minlength=8) / len(v)
    expected = (-machine.free_energy(states(3))).softmax(0)
    assert 0.5 * (found - expected).abs().sum() < 0.02


def test_pseudo_likelihood_by_definition():
    machine = small(4, 3)
    v, log_p = states(4), -machine.free_energy(states(4)).detach()
    flipped = [(v + torch.eye(4)[i]) % 2 for i in range(4)]
    expected = sum(-torch.log1p((-machine.free_energy(w).detach() - log_p).exp()) for w in flipped)
    torch.testing.assert_close(pseudo_likelihood(machine, v), expected)


def trained() -> RBM:
    torch.manual_seed(0)
    rbm = RBM((1, 2, 3), hidden=3, temperatures=500, runs=100)
    torch.nn.init.normal_(rbm.machine.weight)
    return rbm


def test_log_prob_is_normalised():
    rbm = trained()
    images = states(6).reshape(-1, 1, 2, 3)
    with pytest.raises(InputError, match="estimate_log_partition"):
        rbm.log_prob(images)
    rbm.estimate_log_partition()
    assert rbm.log_prob(images).exp().sum().item() == pytest.approx(1, abs=0.05)
    torch.testing.assert_close(rbm.log_prob(states(6)), rbm.log_prob(images))


def test_verbs_and_bad_input():
    rbm = trained()
    images = torch.rand(5, 1, 2, 3)
    assert rbm.encode(images).shape == (5, 3) and rbm.reconstruct(images).shape == images.shape
    assert torch.equal(rbm.sample(4, 20, seed=1), rbm.sample(4, steps=20, seed=1))
    with pytest.raises(InputError, match="binary"):
        rbm.free_energy(images)
    with pytest.raises(InputError, match="pixels"):
        rbm.free_energy(torch.zeros(2, 5))
    with pytest.raises(InputError, match="steps"):
        rbm.sample(4, 0)
    with pytest.raises(InputError, match="hidden"):
        RBM(hidden=0)


def test_training_raises_the_exact_likelihood():
    torch.manual_seed(0)
    rbm = RBM((1, 2, 3), hidden=8, chains=200)
    rbm.log_train = lambda **_: None
    kinds = torch.tensor([[1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]]).float()
    batch = kinds.repeat(40, 1).reshape(-1, 1, 2, 3)
    optimizer = torch.optim.SGD(rbm.parameters(), lr=0.3)
    found = []
    for _ in range(700):
        found.append((-rbm.machine.free_energy(kinds) - log_z(rbm.machine)).mean().item())
        optimizer.zero_grad()
        rbm.training_step((batch, batch), 0).backward()
        optimizer.step()
    assert found[0] == pytest.approx(-6 * torch.tensor(2.0).log().item(), abs=0.1)
    assert found[-1] > -1.7  # four kinds have an entropy of 1.386 nats, independent pixels reach 1.817
