"""The range test on a problem whose largest stable rate is known."""

import lightning as L
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from zoo.blocks.lr_finder import find_lr
from zoo.errors import InputError


class Bowl(L.LightningModule):
    """A loss 50 |w|²: gradient descent shrinks w by 1 - 100 lr in every step, and diverges from lr = 0.02 on."""

    def __init__(self) -> None:
        super().__init__()
        self.w = torch.nn.Parameter(torch.ones(3))

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        return 50 * self.w.square().sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1.0)


class Data(L.LightningDataModule):
    def train_dataloader(self) -> DataLoader:
        return DataLoader(TensorDataset(torch.zeros(4, 1)), batch_size=2)


def test_the_rate_is_below_the_one_that_diverges_and_the_weights_stay():
    model = Bowl().eval()
    found = find_lr(model, Data(), steps=60, trainer={"accelerator": "cpu"})
    assert 1e-5 < found.lr < 0.02 and found.lr in found.rates
    assert min(found.losses) < 0.5 * max(found.losses[:-1]) < found.losses[-1] and len(found.rates) == len(found.losses)
    assert torch.equal(model.w, torch.ones(3)) and not model.training


@pytest.mark.parametrize("options", [{"lowest": 0.0}, {"lowest": 2.0}, {"steps": 0}, {"steps": 3}])
def test_what_makes_no_sense_is_named(options):
    with pytest.raises(InputError, match=r"lowest|steps"):
        find_lr(Bowl(), Data(), **{"trainer": {"accelerator": "cpu"}} | options)
