"""Pictures to pictures: the losses by hand, what learns in which step, verbs, and a first fit."""

import lightning as L
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from zoo.blocks.edges import edge_map
from zoo.errors import InputError
from zoo.models.adversarial.cyclegan import CycleGAN
from zoo.models.adversarial.pix2pix import Pix2Pix

QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


def squares(n: int = 24) -> torch.Tensor:
    x = torch.zeros(n, 1, 8, 8)
    for i in range(n):
        x[i, :, i % 4 : i % 4 + 4, i % 3 : i % 3 + 4] = 1
    return x


def test_the_cycle_loss_is_what_its_equation_says():
    torch.manual_seed(0)
    model, x, y = CycleGAN((1, 8, 8), 4, cycle=3.0), 2 * squares(3) - 1, 1 - 2 * squares(3)
    loss, fake_x, fake_y = model.generator_loss(x, y)
    g, f = model.there, model.back
    again = (f(g(x)) - x).abs().mean() + (g(f(y)) - y).abs().mean()
    fooled = (model.of_target(g(x)) - 1).square().mean() + (model.of_source(f(y)) - 1).square().mean()
    torch.testing.assert_close(loss, fooled + 3 * again)
    torch.testing.assert_close(fake_x, f(y))
    critic = model.critic_loss(x, y, fake_x, fake_y)
    wanted = (model.of_source(x) - 1).square().mean() + model.of_source(fake_x).square().mean()
    wanted = wanted + (model.of_target(y) - 1).square().mean() + model.of_target(fake_y).square().mean()
    torch.testing.assert_close(critic, wanted)


def test_who_leaves_the_target_alone_pays_nothing_for_it():
    torch.manual_seed(0)
    model, x, y = CycleGAN((1, 8, 8), 4, cycle=3.0, identity=0.5), 2 * squares(3) - 1, 1 - 2 * squares(3)
    with_it, _, _ = model.generator_loss(x, y)
    model.identity = 0.0
    without, _, _ = model.generator_loss(x, y)
    off = (model.there(y) - y).abs().mean() + (model.back(x) - x).abs().mean()
    torch.testing.assert_close(with_it - without, 1.5 * off)


def test_cyclegan_learns_to_come_back():
    L.seed_everything(0, verbose=False)
    model, x = CycleGAN((1, 8, 8), 8, lr=2e-3), squares()
    data = DataLoader(TensorDataset(2 * x - 1, torch.zeros(24), 1 - 2 * x), batch_size=8)
    before = (model.translate(model.translate(x), to="source") - x).abs().mean()
    L.Trainer(max_epochs=25, accelerator="cpu", limit_val_batches=0, **QUIET).fit(model, data)
    assert (model.translate(model.translate(x), to="source") - x).abs().mean() < 0.5 * before
    assert not torch.equal(model.average_there.out[0].weight, model.there.out[0].weight)


def test_pix2pix_learns_to_fill_edges():
    L.seed_everything(0, verbose=False)
    model, x = Pix2Pix((1, 8, 8), 8, lr=2e-3), squares()
    before = (model.render(edge_map(x)) - x).abs().mean()
    L.Trainer(max_epochs=25, accelerator="cpu", limit_val_batches=0, **QUIET).fit(
        model, DataLoader(TensorDataset(x, torch.zeros(24)), batch_size=8)
    )
    assert (model.render(edge_map(x)) - x).abs().mean() < 0.5 * before


def test_what_makes_no_sense_is_refused():
    with pytest.raises(InputError, match="multiples of 4"):
        CycleGAN((1, 9, 8))
    with pytest.raises(InputError, match=r"0 or more, not 10\.0 and -1"):
        CycleGAN((1, 8, 8), identity=-1)
    with pytest.raises(InputError, match="multiples of 4"):
        Pix2Pix((1, 8, 8), l1=-1)
    with pytest.raises(InputError, match="'target' or 'source'"):
        CycleGAN((1, 8, 8), 4).translate(squares(1), to="nowhere")
    model = Pix2Pix((1, 8, 8), 4)
    with pytest.raises(InputError, match="0 and 1 alone"):
        model.render(torch.full((1, 1, 8, 8), 0.5))
    with pytest.raises(InputError, match="edges are"):
        model.render(torch.zeros(1, 2, 8, 8))
