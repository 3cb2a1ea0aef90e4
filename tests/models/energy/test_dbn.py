"""Deep belief networks: the bound, the greedy layers, and a classifier that starts from them."""

import itertools

import pytest
import torch

from zoo.errors import InputError
from zoo.models.energy.dbn import DBN
from zoo.models.energy.dbn_classifier import DBNClassifier


def states(n: int) -> torch.Tensor:
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=n)))


def small() -> DBN:
    """Two layers, the second the first one turned upside down."""
    torch.manual_seed(0)
    dbn = DBN((1, 2, 2), hidden=(5, 4))
    below, above = dbn.machines
    for parameter in below.parameters():
        torch.nn.init.normal_(parameter)
    with torch.no_grad():
        above.weight.copy_(below.weight.T)
        above.visible_bias.copy_(below.hidden_bias)
        above.hidden_bias.copy_(below.visible_bias)
    return dbn


def exact(dbn: DBN) -> torch.Tensor:
    """log Z of the top machine into its place; the summed bound of all images, by enumeration of the hidden layer."""
    below, above = dbn.machines
    v, h = states(4), states(5)
    z = (-above.free_energy(h)).logsumexp(0)
    dbn.log_partition.copy_(torch.stack([z, z * 0]).detach())
    log_q = (h[None] * below.up(v)[:, None]).sum(2) - torch.nn.functional.softplus(below.up(v)).sum(1)[:, None]
    log_p = (v[:, None] * below.down(h)).sum(2) - torch.nn.functional.softplus(below.down(h)).sum(1)
    return (log_q.exp() * (log_p - above.free_energy(h) - z - log_q)).sum(1)


def test_the_bound_of_an_upturned_second_layer_is_exact_and_training_it_raises_the_bound():
    dbn = small()
    below, above = dbn.machines
    likelihood = -below.free_energy(states(4)) - (-below.free_energy(states(4))).logsumexp(0)
    torch.testing.assert_close(exact(dbn), likelihood, atol=1e-4, rtol=1e-4)
    data = states(4)[[3, 5, 9]]
    index = [3, 5, 9]
    before = exact(dbn)[index].mean().item()
    optimizer = torch.optim.SGD(above.parameters(), lr=0.1)
    for _ in range(30):  # exact likelihood of the hidden layer's samples
        h = torch.bernoulli(below.up(data.repeat(200, 1)).sigmoid()).detach()
        loss = above.free_energy(h).mean() + (-above.free_energy(states(5))).logsumexp(0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert exact(dbn)[index].mean().item() > before + 0.01


def test_elbo_is_the_bound_by_draws():
    dbn = small()
    torch.nn.init.normal_(dbn.machines[1].weight)
    expected = exact(dbn).detach()
    found = dbn.elbo(states(4).reshape(-1, 1, 2, 2), samples=4000, seed=0)
    torch.testing.assert_close(found, expected, atol=0.15, rtol=0)
    with pytest.raises(InputError, match="binary"):
        dbn.elbo(torch.rand(2, 1, 2, 2))
    with pytest.raises(InputError, match="log Z"):
        DBN((1, 2, 2), hidden=(3,)).elbo(torch.zeros(1, 1, 2, 2))


def test_layers_train_one_after_the_other():
    torch.manual_seed(0)
    dbn = DBN((1, 3, 3), hidden=(6, 5), epochs_per_layer=2)
    dbn.log_train = lambda **_: None
    batch = (torch.rand(8, 1, 3, 3), None)
    for epoch, moving in ((0, 0), (1, 0), (2, 1), (7, 1)):
        type(dbn).current_epoch = property(lambda self, epoch=epoch: epoch)
        try:
            dbn.zero_grad()
            dbn.training_step(batch, 1).backward()
        finally:
            del type(dbn).current_epoch
        assert [machine.weight.grad is not None for machine in dbn.machines] == [i == moving for i in range(2)]


def test_the_tuned_network_begins_with_the_belief_networks_features():
    torch.manual_seed(0)
    dbn = DBN((1, 6, 6), hidden=(8, 7, 9))
    for machine in dbn.machines:
        torch.nn.init.normal_(machine.weight)
        torch.nn.init.normal_(machine.hidden_bias)
    clf = DBNClassifier(image_size=(6, 6), hidden=(8, 7, 9), dropout=0.5).eval()
    clf.start_from(dbn)
    x = torch.rand(5, 1, 6, 6)
    torch.testing.assert_close(clf.features(x)["embedding"], dbn.encode(x))
    with pytest.raises(InputError, match="widths"):
        DBNClassifier(image_size=(6, 6), hidden=(8, 7)).start_from(dbn)
    with pytest.raises(InputError, match="Linear"):
        clf.start_from(torch.nn.Linear(1, 1))


def test_verbs():
    dbn = small()
    x = torch.rand(3, 1, 2, 2)
    assert dbn.encode(x).shape == (3, 4) and dbn.reconstruct(x).shape == x.shape
    with pytest.raises(InputError, match="at least one"):
        DBN(hidden=())
