"""The written-out optimisers against torch.optim, step by step, and against what is known of quadratics."""

import pytest
import torch
from torch import nn

from zoo.blocks import optimizers
from zoo.blocks.initialization import initialize
from zoo.errors import InputError

PAIRS = {
    "gradient descent": (lambda p: optimizers.GradientDescent(p, 0.1), lambda p: torch.optim.SGD(p, 0.1)),
    "momentum": (
        lambda p: optimizers.Momentum(p, 0.05, momentum=0.8),
        lambda p: torch.optim.SGD(p, 0.05, momentum=0.8),
    ),
    "Nesterov": (
        lambda p: optimizers.Nesterov(p, 0.05, momentum=0.8),
        lambda p: torch.optim.SGD(p, 0.05, momentum=0.8, nesterov=True),
    ),
    "AdaGrad": (lambda p: optimizers.AdaGrad(p, 0.1), lambda p: torch.optim.Adagrad(p, 0.1)),
    "RMSProp": (
        lambda p: optimizers.RMSProp(p, 0.02, alpha=0.9),
        lambda p: torch.optim.RMSprop(p, 0.02, alpha=0.9),
    ),
    "Adam": (
        lambda p: optimizers.Adam(p, 0.02, beta2=0.99),
        lambda p: torch.optim.Adam(p, 0.02, betas=(0.9, 0.99)),
    ),
}


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2)).double()


def test_every_optimiser_is_compared():
    assert set(PAIRS) == set(optimizers.OPTIMIZERS)


@pytest.mark.parametrize("name", PAIRS)
def test_takes_the_steps_of_torch(name):
    mine, theirs = network(), network()
    steps = [make(net.parameters()) for make, net in zip(PAIRS[name], (mine, theirs), strict=True)]
    x, y = torch.randn(16, 5, dtype=torch.double), torch.randn(16, 2, dtype=torch.double)
    for _ in range(30):
        for net, optimizer in zip((mine, theirs), steps, strict=True):
            optimizer.zero_grad()
            (net(x) - y).square().mean().backward()
            optimizer.step()
        for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", PAIRS)
def test_goes_on_from_its_state_and_leaves_weights_without_gradient(name):
    net, other = network(), network()
    net[2].bias.requires_grad_(False)
    other[2].bias.requires_grad_(False)
    x = torch.randn(8, 5, dtype=torch.double)
    first, second = (PAIRS[name][0](n.parameters()) for n in (net, other))
    for step in range(6):
        if step == 3:
            fresh = PAIRS[name][0](other.parameters())
            fresh.load_state_dict(second.state_dict())
            second = fresh
        for n, optimizer in ((net, first), (other, second)):
            optimizer.zero_grad()
            loss = optimizer.step(lambda n=n: _backward(n(x).square().mean()))
            assert loss is not None
    for a, b in zip(net.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(net[2].bias, network()[2].bias)


def _backward(loss: torch.Tensor) -> torch.Tensor:
    loss.backward()
    return loss


def test_gradient_descent_shrinks_every_curvature_by_its_factor():
    curvature = torch.tensor([1.0, 4.0, 10.0], dtype=torch.double)
    w = torch.ones(3, dtype=torch.double, requires_grad=True)
    optimizer = optimizers.GradientDescent([w], 0.1)
    for _ in range(7):
        optimizer.zero_grad()
        (0.5 * curvature * w.square()).sum().backward()
        optimizer.step()
    torch.testing.assert_close(w.detach(), (1 - 0.1 * curvature) ** 7)


def test_bad_options_are_refused():
    for make, said in (
        (lambda p: optimizers.GradientDescent(p, -1.0), "lr is -1.0"),
        (lambda p: optimizers.Momentum(p, momentum=1.0), "momentum is 1.0"),
        (lambda p: optimizers.Adam(p, beta2=float("nan")), "beta2 is nan"),
    ):
        with pytest.raises(InputError, match=said):
            make([torch.zeros(2, requires_grad=True)])


def test_xavier_has_its_variance_and_keeps_that_of_a_linear_signal():
    torch.manual_seed(0)
    layer = nn.Linear(300, 500)
    for how in ("xavier_normal", "xavier_uniform"):
        initialize(layer, how, gain=3.0)
        assert layer.weight.var().item() == pytest.approx(9 * 2 / 800, rel=0.02) and not layer.bias.any()
    deep = initialize(nn.Sequential(*[nn.Linear(256, 256) for _ in range(10)]), "xavier_normal")
    assert deep(torch.randn(500, 256)).var().item() == pytest.approx(1, rel=0.3)


def test_orthogonal_weights_keep_every_length_through_many_layers():
    torch.manual_seed(0)
    deep = initialize(nn.Sequential(*[nn.Linear(32, 32) for _ in range(50)]), "orthogonal")
    x = torch.randn(7, 32, requires_grad=True)
    torch.testing.assert_close(deep(x).norm(dim=1), x.norm(dim=1), rtol=1e-3, atol=0)
    direction = torch.randn(7, 32)
    (gradient,) = torch.autograd.grad((deep(x) * direction).sum(), x)
    torch.testing.assert_close(gradient.norm(dim=1), direction.norm(dim=1), rtol=1e-3, atol=0)


def test_other_first_weights():
    net = network()
    before = net[0].weight.clone()
    assert torch.equal(initialize(net, "default")[0].weight, before)
    initialize(net, "uniform", bound=0.01)
    assert all(p.abs().max() <= 0.01 and p.any() for p in net.parameters())
    assert not any(p.any() for p in initialize(net, "zeros").parameters())
    for bad in ({"how": "xavier"}, {"how": "uniform", "bound": 0.0}, {"how": "xavier_normal", "gain": -1.0}):
        with pytest.raises(InputError):
            initialize(net, **bad)
