"""The losses against closed values, torch's own, and what every loss must do: fall on the way to the right answer."""

import math

import pytest
import torch
from torch.nn import functional as F

from zoo.blocks.losses import LOSSES, classification_loss
from zoo.errors import InputError

O = torch.tensor([[0.0, 0.0], [0.0, math.log(3.0)]], dtype=torch.double)  # softmax: (1/2, 1/2) and (1/4, 3/4)  # noqa: E741
Y = torch.tensor([0, 1])
BY_HAND = {
    "log": (math.log(2), math.log(4 / 3)),
    "l1": (1.0, math.log(3) - 1),
    "l2": (1.0, math.log(3) - 1),
    "squared_l2": (1.0, (math.log(3) - 1) ** 2),
    "expectation": (1.0, 0.5),
    "regularized_expectation": (math.sqrt(0.5), math.sqrt(0.125)),
    "squared_regularized_expectation": (0.5, 0.125),
    "chebyshev": (0.5, 0.25),
    "hinge": (2.0, 1.0),  # log 3 is beyond the margin, 0 is short of it by 1
    "squared_hinge": (2.0, 1.0),
    "cubed_hinge": (2.0, 1.0),
    "multiclass_hinge": (1.0, 0.0),
    "squared_log": (math.log(2) ** 2, math.log(4 / 3) ** 2),
    "tanimoto": (-0.5 / (0.5 + 1 - 0.5), -0.75 / (0.625 + 1 - 0.75)),
    "cauchy_schwarz": (-math.log(0.5 / math.sqrt(0.5)), -math.log(0.75 / math.sqrt(0.625))),
}


def test_there_are_fourteen_and_one():
    assert set(LOSSES) == set(BY_HAND) and len(LOSSES) == 15


def test_the_multiclass_hinge_is_torch_s_with_the_worst_rival_alone():
    torch.manual_seed(0)
    o, y = torch.randn(8, 2), torch.arange(8) % 2  # with one rival, all rivals are the worst
    torch.testing.assert_close(classification_loss("multiclass_hinge", o, y), 2 * F.multi_margin_loss(o, y))


@pytest.mark.parametrize("name", LOSSES)
def test_by_hand(name):
    for i in (0, 1):
        found = classification_loss(name, O[i : i + 1], Y[i : i + 1])
        assert found.item() == pytest.approx(BY_HAND[name][i], abs=1e-12)
    assert classification_loss(name, O, Y).item() == pytest.approx(sum(BY_HAND[name]) / 2)
    assert torch.equal(classification_loss(name, O, Y), classification_loss(name, O, F.one_hot(Y, 2).double()))


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_is_finite_and_leads_to_the_right_class(name):
    torch.manual_seed(0)
    o, y = (0.1 * torch.randn(6, 4, dtype=torch.double)).requires_grad_(), torch.arange(6) % 4  # not saturated
    assert torch.autograd.gradcheck(lambda logits: classification_loss(name, logits, y), o)
    optimizer = torch.optim.SGD([o], lr=0.3)
    for _ in range(600):
        optimizer.zero_grad()
        classification_loss(name, o, y).backward()
        optimizer.step()
    assert (o.argmax(1) == y).all()


@pytest.mark.parametrize("name", LOSSES)
def test_a_sure_wrong_answer_gives_no_nan(name):
    o = torch.tensor([[200.0, -200.0, 0.0]], requires_grad=True)
    loss = classification_loss(name, o, torch.tensor([1]))
    loss.backward()
    assert loss.isfinite() and o.grad.isfinite().all()
    assert loss > classification_loss(name, -o, torch.tensor([1]))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_log_is_cross_entropy(smoothing):
    torch.manual_seed(0)
    o, y = torch.randn(8, 5), torch.arange(8) % 5
    expected = F.cross_entropy(o, y, label_smoothing=smoothing)
    torch.testing.assert_close(classification_loss("log", o, y, label_smoothing=smoothing), expected)


def test_an_unknown_loss_is_refused():
    with pytest.raises(InputError, match="tanimoto"):
        classification_loss("logg", O, Y)
