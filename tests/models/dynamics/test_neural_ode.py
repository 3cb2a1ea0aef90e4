"""Solvers of known order, linear fields, gradients by two ways, and time that runs back."""

import math

import pytest
import torch

from datamodules.pendulum import Pendulum, free_fall, pendulum
from zoo.blocks.ode import integrate
from zoo.errors import InputError
from zoo.models.dynamics.neural_ode import NeuralODE

A = torch.tensor([[0.0, 1.0], [-2.0, -0.3]])


def linear() -> NeuralODE:
    """A network without hidden layers: dx/dt = A x."""
    model = NeuralODE(2, ())
    with torch.no_grad():
        model.field[0].weight.copy_(A)
        model.field[0].bias.zero_()
    return model


def test_a_linear_field_is_followed_as_the_matrix_exponential_says():
    x, times = torch.tensor([[1.0, 0.5], [0.0, -1.0]]), [0.0, 0.3, 1.0, 2.5]
    found = linear().solve(x, times)
    expected = torch.stack([x @ torch.linalg.matrix_exp(A * t).T for t in times], 1)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(linear().solve(x[0], times), found[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("midpoint", 2), ("heun", 2), ("rk4", 4)])
def test_halving_the_step_divides_the_error_by_two_to_the_order(method, order):
    x, a = torch.tensor([[1.0, 0.5]], dtype=torch.float64), A.double()
    exact = x @ torch.linalg.matrix_exp(a).T
    errors = []
    for steps in (20, 40):
        *_, end = integrate(lambda s, _: s @ a.T, x, [i / steps for i in range(steps + 1)], method)
        errors.append((end - exact).norm().item())
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.2)


def test_time_runs_back():
    torch.manual_seed(0)
    model, x = NeuralODE(), torch.randn(5, 2)
    end = model.solve(x, [0.0, 1.5])[:, -1]
    torch.testing.assert_close(model.solve(end, [1.5, 0.0])[:, -1], x, atol=1e-3, rtol=1e-3)


def test_the_adjoint_finds_the_back_propagated_gradient():
    from torchdiffeq import odeint_adjoint

    torch.manual_seed(0)
    model, x, times = NeuralODE().double(), torch.randn(4, 2).double(), torch.linspace(0, 1, 41).double()

    class Field(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = model.field

        def forward(self, t: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
            return self.net(state)

    weights = list(model.parameters())
    end = odeint_adjoint(Field(), x, times[[0, -1]], rtol=1e-9, atol=1e-9)[-1]
    adjoint = torch.autograd.grad(end.square().sum(), weights)
    plain = torch.autograd.grad(model.path(x, times.tolist())[:, -1].square().sum(), weights)
    for a, b in zip(adjoint, plain, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_trajectories_obey_their_equations():
    data = Pendulum(trajectories=2, step=0.01, seconds=1.0)
    x = data.tensors("train").double()
    slope = (x[:, 2:] - x[:, :-2]) / 0.02
    torch.testing.assert_close(slope, pendulum(x[:, 1:-1]), atol=2e-2, rtol=0)
    fall = Pendulum(system="free-fall", trajectories=1).simulate(torch.tensor([[10.0, 0.0]]), 20)
    assert fall[0, -1, 0].item() == pytest.approx(10 - 9.81 / 2, abs=1e-6) and free_fall(fall).shape == fall.shape
    states, times = next(iter(data.train_dataloader()))
    assert states.shape[1:] == (11, 2) and times.shape == (11,)


def test_forecasts_continue_a_trajectory():
    model, x = linear(), torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(0))
    found = model.forecast(x, 5, step=0.1)
    assert found.shape == (3, 5, 2)
    torch.testing.assert_close(found[:, 0], x[:, -1] @ torch.linalg.matrix_exp(A * 0.1).T, atol=1e-4, rtol=1e-4)


def test_bad_input():
    model = linear()
    for times in ([0.0, 1.0, 0.5], [0.0], [0.0, math.nan]):
        with pytest.raises(InputError, match="times"):
            model.solve(torch.zeros(2), times)
    with pytest.raises(InputError, match="state"):
        model.solve(torch.zeros(3), [0.0, 1.0])
    with pytest.raises(InputError, match="NaN"):
        model.solve(torch.tensor([math.nan, 0.0]), [0.0, 1.0])
    with torch.no_grad():
        model.field[0].weight.copy_(200 * torch.eye(2))
    with pytest.raises(InputError, match="solution"):
        model.solve(torch.ones(2), [0.0, 10.0])
    with pytest.raises(InputError, match="system"):
        Pendulum(system="moon")
