"""Echo state networks: they forget their start, their output solves the normal equations, and they forecast."""

import math

import pytest
import torch
from sklearn.linear_model import Ridge

from datamodules.mackey_glass import MackeyGlass, series
from zoo.errors import InputError
from zoo.models.dynamics.esn import ESN

U = MackeyGlass().tensors("train")[:800]


def test_two_starts_converge():
    esn = ESN(60, spectral_radius=0.9, leak=0.7)
    a, b = esn.states(U[:400], torch.ones(60)), esn.states(U[:400], -torch.ones(60))
    gap = (a - b).norm(dim=1)
    assert gap[-1] < 1e-6 * gap[0]


def test_the_spectral_radius_is_as_asked():
    assert torch.linalg.eigvals(ESN(50, spectral_radius=1.25).recurrent).abs().max().item() == pytest.approx(
        1.25, rel=1e-5
    )


def test_the_output_is_ridge_regression_and_the_reservoir_stays():
    esn = ESN(40, ridge=1e-3, washout=50)
    before = esn.recurrent.clone(), esn.inward.clone()
    esn.solve(U[:-1], U[1:])
    assert torch.equal(before[0], esn.recurrent) and torch.equal(before[1], esn.inward)
    x = torch.cat([U[:-1, None], esn.states(U[:-1])], 1)[50:]
    other = Ridge(1e-3).fit(x.numpy(), U[51:].numpy())
    torch.testing.assert_close(esn.readout.weight[0], torch.from_numpy(other.coef_), rtol=1e-5, atol=1e-6)
    assert esn.readout.bias.item() == pytest.approx(other.intercept_, abs=1e-6)


def test_states_and_forecasts_of_batches():
    esn = ESN(30, washout=20)
    esn.solve(U[:-1], U[1:])
    rows = torch.stack([U[:100], U[300:400]])
    torch.testing.assert_close(esn.states(rows)[1], esn.states(rows[1]))
    torch.testing.assert_close(esn.forecast(rows, 5)[0], esn.forecast(rows[0].tolist(), 5))
    torch.testing.assert_close(esn.forecast(rows[0], 1)[0], esn(rows[0])[-1])


def test_it_forecasts_a_sine():
    t = torch.arange(1200, dtype=torch.float64)
    u = torch.sin(t / 5)
    esn = ESN(100)
    esn.solve(u[:800], u[1:801])
    torch.testing.assert_close(esn.forecast(u[:900], 100), u[900:1000], atol=0.02, rtol=0)


def test_the_series_solves_its_equation():
    """Halving the step changes nothing that can be seen, and a constant past is followed for a while by hand."""
    fine, coarse = series(60, step=0.05), series(60, step=0.1)
    assert fine.shape == coarse.shape == (60,)
    assert -1 < coarse.min() and coarse.max() < 1 and coarse.std() > 0.1


def test_bad_input():
    esn = ESN(10, washout=100)
    for arguments, word in (({"spectral_radius": 0}, "spectral"), ({"leak": 2}, "leak"), ({"density": 0}, "density")):
        with pytest.raises(InputError, match=word):
            ESN(10, **arguments)
    with pytest.raises(InputError, match="100 samples"):
        esn.forecast(U[:50], 3)
    with pytest.raises(InputError, match="washout"):
        esn.solve(U[:100], U[1:101])
    with pytest.raises(InputError, match="NaN"):
        esn.states(torch.tensor([1.0, math.nan]))
    with pytest.raises(InputError, match="at least 1"):
        esn.forecast(U, 0)
    with pytest.raises(InputError, match="split"):
        MackeyGlass().tensors("all")
