"""Dropout at prediction and in one phase of training."""

import lightning as L
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from zoo.blocks.dropout import PhasedDropout, monte_carlo
from zoo.errors import InputError
from zoo.models.mlp.regression import RegressionMLP


def test_the_draws_have_the_mean_and_variance_of_a_dropped_sum():
    net = nn.Sequential(nn.Dropout(0.25), nn.Linear(3, 1, bias=False))
    nn.init.ones_(net[1].weight)
    x = torch.tensor([[1.0, 2.0, 3.0]])
    draws = monte_carlo(net.train(), x, 20_000)
    assert draws.shape == (20_000, 1, 1) and net.training
    assert draws.mean().item() == pytest.approx(6, abs=0.05)
    assert draws.var().item() == pytest.approx(0.25 / 0.75 * 14, rel=0.05)  # p / (1 - p) Σ x²


def test_batch_norm_stays_as_it_is_and_the_seed_counts():
    net = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Linear(3, 1)).eval()
    x, state = torch.randn(8, 3), torch.get_rng_state()
    first, again, other = (monte_carlo(net, x, 5, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert not net[0].running_mean.any() and not net[1].training and torch.equal(state, torch.get_rng_state())
    with pytest.raises(InputError, match="no dropout"):
        monte_carlo(nn.Linear(3, 1), x)


@pytest.mark.parametrize(("phase", "wanted"), [("early", [0.3, 0.3, 0, 0]), ("late", [0, 0, 0.3, 0.3])])
def test_phases(phase, wanted, tmp_path):
    model, seen = RegressionMLP(2, hidden=(4,), dropout=0.3), []

    class Note(L.Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            seen.append(pl_module.body[2].p)

    rows = DataLoader(TensorDataset(torch.randn(8, 2), torch.randn(8, 1)), batch_size=8)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    callbacks = [PhasedDropout(phase), Note()]
    L.Trainer(max_epochs=4, callbacks=callbacks, default_root_dir=tmp_path, enable_model_summary=False, **quiet).fit(
        model, rows
    )
    assert seen == wanted and model.body[2].p == 0.3
    for bad in ({"phase": "middle"}, {"until": 1.0}):
        with pytest.raises(InputError):
            PhasedDropout(**bad)
