"""Batch norm alone learns, and what doesn't learn is as it was drawn."""

import lightning as L
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import zoo
from zoo.blocks.normalization import BatchNormOnly
from zoo.errors import InputError

QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


def fit(model: L.LightningModule, **options: bool) -> None:
    data = DataLoader(TensorDataset(torch.randn(8, 1, 28, 28), torch.arange(8)), batch_size=4)
    L.Trainer(max_epochs=1, accelerator="cpu", callbacks=[BatchNormOnly(**options)], **QUIET).fit(model, data)


@pytest.mark.parametrize("head", [False, True])
def test_batch_norm_alone_learns(head):
    torch.manual_seed(0)
    model = zoo.create("lenet5", batch_norm=True)
    model.stage1[0].weight.requires_grad_(False)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    fit(model, head=head)
    norms = {name for name, module in model.named_modules() if isinstance(module, torch.nn.BatchNorm2d)}
    expected = {f"{name}.{key}" for name in norms for key in ("weight", "bias")}
    expected |= {"head.weight", "head.bias"} if head else set()
    assert {name for name, p in model.named_parameters() if not torch.equal(p, before[name])} == expected
    assert [name for name, p in model.named_parameters() if not p.requires_grad] == ["stage1.0.weight"]


def test_without_batch_norm_it_says_so():
    with pytest.raises(InputError, match="LeNet5 has no batch norm"):
        fit(zoo.create("lenet5", batch_norm=False))
