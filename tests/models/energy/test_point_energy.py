"""The energy model against a Gaussian, whose energy, score and normaliser are known, and what is refused."""

import math

import lightning as L
import pytest
import torch
from torch import nn

from datamodules.moons import TwoMoons
from zoo.errors import InputError
from zoo.models.energy.point_energy import PointEnergy


def bowl_alone(s: float = 0.5) -> PointEnergy:
    model = PointEnergy(hidden=(4,), bowl=s, step_size=0.01).eval()
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    return model


def test_a_bowl_alone_is_a_gaussian():
    model, x = bowl_alone(), torch.randn(20, 2)
    truth = torch.distributions.Normal(0, 0.5).log_prob(x).sum(1)
    torch.testing.assert_close(model.log_prob(x), truth, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(model.score(x), -x / 0.25)
    assert model.log_normaliser().item() == pytest.approx(math.log(2 * math.pi * 0.25), abs=1e-4)


def test_langevin_dynamics_settles_where_the_density_is():
    points = bowl_alone().sample_points(4000, seed=0)
    assert points.mean(0).abs().max() < 0.05 and (points.std(0) - 0.5).abs().max() < 0.03


def test_score_is_the_gradient_of_the_log_density():
    torch.manual_seed(0)
    model, x = PointEnergy(hidden=(8,)), torch.randn(5, 2, requires_grad=True)
    (gradient,) = torch.autograd.grad((-model(x) - model.log_normaliser().detach()).sum(), x)
    torch.testing.assert_close(model.score(x), gradient)


def test_training_sinks_the_energy_at_the_data():
    L.seed_everything(0, verbose=False)
    data = TwoMoons(batch_size=100, train_size=1000, noise=0.2)
    model = PointEnergy(hidden=(32, 32), chains=100, steps=5, step_size=5e-3)
    x = data.tensors("val")[0]
    before = -model.log_prob(x).mean()
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    L.Trainer(max_epochs=12, accelerator="cpu", limit_val_batches=0, **quiet).fit(model, datamodule=data)
    assert -model.log_prob(x).mean() < before - 0.5


def test_what_makes_no_sense_is_refused():
    for bad in ({"box": (1.0, 0.0)}, {"bowl": 0.0}, {"fresh": 2.0}):
        with pytest.raises(InputError, match="box goes up"):
            PointEnergy(**bad)
    with pytest.raises(InputError, match="3 coordinates"):
        PointEnergy(3).log_prob(torch.zeros(1, 3))
    with pytest.raises(InputError, match="finite"):
        PointEnergy().energy(torch.full((1, 2), float("nan")))
