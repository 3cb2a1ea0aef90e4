"""Hand-written gradients against autograd and against the published loops, the solution, and what is refused."""

import lightning as L
import pytest
import torch

import zoo
from datamodules.gates import TABLES, LogicGate
from zoo.errors import InputError
from zoo.models.mlp.backprop import BackpropMLP


@pytest.mark.parametrize(("inputs", "hidden", "n"), [(2, 2, 4), (3, 5, 7), (2, 1, 1)])
def test_gradients_equal_autograd(inputs, hidden, n):
    torch.manual_seed(0)
    model, x, t = (
        BackpropMLP(inputs, hidden, init=1.0).double(),
        torch.randn(n, inputs).double(),
        torch.rand(n, 1).double(),
    )
    loss = model.backward_by_hand(x, t)
    found = [p.grad.clone() for p in model.parameters()]
    expected = 0.5 * (t - model(x)).square().sum()
    torch.testing.assert_close(loss, expected.detach())
    for one, other in zip(found, torch.autograd.grad(expected, list(model.parameters())), strict=True):
        torch.testing.assert_close(one, other)


def test_a_step_is_the_sum_over_units_of_the_textbook():
    torch.manual_seed(1)
    model, alpha, x, t = BackpropMLP(), 0.7, torch.tensor([1.0, 0.0]), 1.0
    v, w = model.first.weight.T.tolist(), model.head.weight[0].tolist()
    z = model.hidden(x[None])[0].tolist()
    y = model(x[None]).item()
    delta = (t - y) * y * (1 - y)
    wanted_w = [w[j] + alpha * delta * z[j] for j in range(2)]
    wanted_v = [[v[i][j] + alpha * delta * w[j] * z[j] * (1 - z[j]) * x[i].item() for j in range(2)] for i in range(2)]
    model.backward_by_hand(x[None], torch.tensor([[t]]))
    torch.optim.SGD(model.parameters(), lr=alpha).step()
    torch.testing.assert_close(model.head.weight[0], torch.tensor(wanted_w))
    torch.testing.assert_close(model.first.weight.T, torch.tensor(wanted_v))


def test_learns_exclusive_or(tmp_path):
    torch.manual_seed(0)
    model, data = BackpropMLP(), LogicGate("xor", repeats=2500)
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    L.Trainer(max_epochs=1, accelerator="cpu", **quiet).fit(model, datamodule=data)
    x, t = data.table()
    assert model.predict(x) == t.int().tolist() == [0, 1, 1, 0]
    assert model.preview(tmp_path / "a.png").stat().st_size > 1000


def test_tables_are_the_operators():
    for a, b in ((0, 0), (0, 1), (1, 0), (1, 1)):
        row = 2 * a + b
        assert [TABLES[gate][row] for gate in ("and", "or", "xor", "nand")] == [a & b, a | b, a ^ b, 1 - (a & b)]
    assert len(LogicGate(batch_size=1, repeats=3).train_dataloader()) == 12


def test_what_makes_no_sense_is_refused():
    for bad in ({"gate": "nor"}, {"batch_size": 3}, {"repeats": 0}):
        with pytest.raises(InputError, match=next(iter(bad))):
            LogicGate(**bad)
    with pytest.raises(InputError, match="init"):
        BackpropMLP(init=0.0)
    model = zoo.create("backprop-mlp")
    for bad, word in (([1.0, 0.0, 1.0], "2 numbers a row"), ([float("inf"), 0.0], "infinite")):
        with pytest.raises(InputError, match=word):
            model.predict(bad)
