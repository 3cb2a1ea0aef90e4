"""The further optimisers against torch.optim, closed forms and a differential equation; both penalties against their minima."""

import pytest
import torch
from scipy.special import jv
from torch import nn

from zoo.blocks import more_optimizers, shrinkage
from zoo.errors import InputError

CURVATURE = torch.tensor([[3.0, 1.0], [1.0, 20.0]], dtype=torch.float64)


def downhill(w: torch.Tensor) -> torch.Tensor:
    return CURVATURE @ w


def start() -> torch.Tensor:
    return torch.tensor([2.0, -1.0], dtype=torch.float64)


def test_adadelta_takes_the_steps_of_torch():
    nets = []
    for make in (
        lambda p: more_optimizers.AdaDelta(p, 0.7, rho=0.8, eps=1e-5),
        lambda p: torch.optim.Adadelta(p, 0.7, rho=0.8, eps=1e-5),
    ):
        torch.manual_seed(0)
        net, x = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double(), torch.randn(9, 3).double()
        optimizer = make(net.parameters())
        for _ in range(20):
            optimizer.zero_grad()
            (net(x) - x.sum(1, keepdim=True)).square().mean().backward()
            optimizer.step()
        nets.append(net)
    for one, other in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_full_adagrad_doesn_t_care_how_the_axes_are_turned_and_the_diagonal_one_does():
    turn = torch.linalg.qr(torch.randn(2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))[0]
    ends = []
    for rotation in (torch.eye(2, dtype=torch.float64), turn):
        w = nn.Parameter(rotation @ start())
        optimizer = more_optimizers.FullAdaGrad([w], 0.3)
        for _ in range(15):
            optimizer.zero_grad()
            (0.5 * (rotation.T @ w) @ CURVATURE @ (rotation.T @ w)).backward()
            optimizer.step()
        ends.append(rotation.T @ w.detach())
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-5, atol=1e-6)


def test_full_adagrad_on_one_number_is_adagrad():
    found = []
    for make in (lambda p: more_optimizers.FullAdaGrad(p, 0.2), lambda p: torch.optim.Adagrad(p, 0.2)):
        w = nn.Parameter(torch.tensor([3.0], dtype=torch.float64))
        optimizer = make([w])
        for _ in range(10):
            optimizer.zero_grad()
            w.square().sum().backward()
            optimizer.step()
        found.append(w.item())
    assert found[0] == pytest.approx(found[1], rel=1e-8)


def test_sam_steps_by_the_gradient_at_the_worst_point_of_the_ball():
    w = nn.Parameter(start())
    optimizer = more_optimizers.SAM([w], 0.01, rho=0.1)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = 0.5 * w @ CURVATURE @ w
        loss.backward()
        return loss

    g = downhill(start())
    expected = start() - 0.01 * downhill(start() + 0.1 * g / g.norm())
    assert optimizer.step(closure).item() == pytest.approx(0.5 * (start() @ g).item())
    torch.testing.assert_close(w.detach(), expected)
    with pytest.raises(InputError, match="closure"):
        optimizer.step()


def test_the_right_preconditioner_arrives_in_one_step():
    way = more_optimizers.preconditioned(downhill, start(), CURVATURE)
    torch.testing.assert_close(way[-1], torch.zeros(2, dtype=torch.float64), atol=1e-12, rtol=0)
    plain = more_optimizers.preconditioned(downhill, start(), torch.eye(2, dtype=torch.float64), lr=0.05)
    torch.testing.assert_close(plain[1], start() - 0.05 * downhill(start()))


def test_levenberg_marquardt_fits_a_curve_that_is_known():
    x = torch.linspace(0, 2, 20, dtype=torch.float64)
    truth = torch.tensor([1.5, 0.7, -0.3], dtype=torch.float64)
    curve = lambda w: w[0] * (w[1] * x).exp() + w[2]  # noqa: E731
    found, losses = more_optimizers.levenberg_marquardt(
        lambda w: curve(w) - curve(truth), torch.ones(3, dtype=torch.float64), steps=40
    )
    torch.testing.assert_close(found, truth, rtol=1e-5, atol=1e-5)
    assert losses == sorted(losses, reverse=True)
    # for a linear fit, nothing but least squares
    design = torch.stack([x, torch.ones_like(x)], 1)
    line, _ = more_optimizers.levenberg_marquardt(lambda w: design @ w - x**2, torch.zeros(2, dtype=torch.float64))
    torch.testing.assert_close(line, torch.linalg.lstsq(design, (x**2)[:, None]).solution[:, 0], rtol=1e-4, atol=1e-5)


def test_acceleration_follows_its_differential_equation_which_ends_in_a_bessel_function():
    one = lambda w: 4 * w  # noqa: E731  # f = 2 w²
    w, lr, steps = torch.tensor([1.0], dtype=torch.float64), 1e-4, 400
    way = more_optimizers.accelerated(one, w, lr=lr, steps=steps)
    times = torch.linspace(1e-3, steps * lr**0.5, 2000, dtype=torch.float64)
    flow = more_optimizers.accelerated_flow(one, w, times)
    at = times[-1].item() * 2  # √4 s
    exact = 2 * jv(1, at) / at
    assert flow[-1].item() == pytest.approx(exact, abs=1e-4)
    assert way[-1].item() == pytest.approx(exact, abs=0.02)


def test_acceleration_beats_descent_on_a_long_valley():
    valley = torch.tensor([1.0, 50.0], dtype=torch.float64)
    w = torch.tensor([-4.0, 1.0], dtype=torch.float64)
    fast = more_optimizers.accelerated(lambda w: valley * w, w, lr=0.02, steps=100)[-1]
    slow = more_optimizers.preconditioned(
        lambda w: valley * w, w, torch.eye(2, dtype=torch.float64), lr=0.02, steps=100
    )[-1]
    assert (valley * fast**2).sum() < 0.1 * (valley * slow**2).sum()


@pytest.mark.parametrize("alpha", [0.0, 0.5, 5.0])
def test_l2_shrinks_each_eigenvector_by_lambda_over_lambda_plus_alpha(alpha):
    best = start()
    values, vectors = torch.linalg.eigh(CURVATURE)
    w = shrinkage.ridge(CURVATURE, best, alpha)
    torch.testing.assert_close(vectors.T @ w, values / (values + alpha) * (vectors.T @ best))
    torch.testing.assert_close(shrinkage.ridge_factors(CURVATURE, alpha), values / (values + alpha))
    torch.testing.assert_close(CURVATURE @ (w - best) + alpha * w, torch.zeros(2, dtype=torch.float64))  # no slope left


def test_l1_takes_the_same_length_off_and_makes_zeros():
    hessian = torch.diag(torch.tensor([1.0, 4.0, 2.0], dtype=torch.float64))
    best = torch.tensor([0.5, -2.0, 1.0], dtype=torch.float64)
    w = shrinkage.lasso(hessian, best, 1.0)
    torch.testing.assert_close(w, shrinkage.soft_threshold(best, 1.0 / hessian.diagonal()))
    assert w[0] == 0 and w[1].item() == pytest.approx(-1.75)
    with pytest.raises(InputError, match="alpha"):
        shrinkage.lasso(hessian, best, -1.0)
