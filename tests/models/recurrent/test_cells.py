"""The spelled-out cells against torch's fused layers, and the GRU's conventions against each other."""

import pytest
import torch
from torch import nn

from zoo.errors import InputError
from zoo.models.recurrent.cells import GRUCell, LSTMCell, RNNCell, unroll

PAIRS = [(RNNCell, nn.RNN, nn.RNNCell), (GRUCell, nn.GRU, nn.GRUCell), (LSTMCell, nn.LSTM, nn.LSTMCell)]


@pytest.mark.parametrize(("ours", "fused", "single"), PAIRS)
def test_equals_torch_in_values_and_gradients(ours, fused, single):
    layer = fused(5, 7, batch_first=True).double()
    cell = ours.from_layer(layer)
    x = torch.randn(3, 9, 5, dtype=torch.float64, requires_grad=True)
    expected, found = layer(x)[0], unroll(cell, x)
    torch.testing.assert_close(found, expected)
    weight = torch.randn_like(expected)
    wanted = torch.autograd.grad((expected * weight).sum(), [x, *layer.parameters()])
    given = torch.autograd.grad((found * weight).sum(), [x, *cell.parameters()])
    for a, b in zip(given, wanted, strict=True):
        torch.testing.assert_close(a, b)
    single(5, 7).load_state_dict(ours(5, 7).state_dict())  # and it has the names of torch's single cells


def test_a_state_can_be_handed_in():
    layer = nn.LSTM(5, 7, batch_first=True)
    x, h, c = torch.randn(3, 4, 5), torch.randn(3, 7), torch.randn(3, 7)
    torch.testing.assert_close(unroll(LSTMCell.from_layer(layer), x, (h, c)), layer(x, (h[None], c[None]))[0])


def gru_pair(**second: str) -> tuple[GRUCell, GRUCell]:
    first, other = GRUCell(5, 7), GRUCell(5, 7, **second)
    other.load_state_dict(first.state_dict())
    return first, other


def test_the_two_roles_of_z_are_one_model_with_negated_weights():
    keep, take = gru_pair(update="take")
    x = torch.randn(3, 9, 5)
    assert not torch.allclose(unroll(keep, x), unroll(take, x), atol=1e-3)
    with torch.no_grad():
        for parameter in take.parameters():
            parameter[7:14].neg_()  # 1 − σ(a) = σ(−a)
    torch.testing.assert_close(unroll(keep, x), unroll(take, x))


def test_the_two_places_of_r_agree_only_where_u_is_diagonal():
    after, before = gru_pair(reset="before")
    x = torch.randn(3, 9, 5)
    assert (unroll(after, x) - unroll(before, x)).abs().max() > 1e-3  # weights of one don't serve the other
    with torch.no_grad():
        for cell in (after, before):
            cell.weight_hh[14:] = torch.diag(torch.linspace(-1, 1, 7))
            cell.bias_hh[14:] = 0  # which r multiplies in one and not in the other
    torch.testing.assert_close(unroll(after, x), unroll(before, x))


def test_wrong_arguments():
    for make in (lambda: GRUCell(5, 7, reset="never"), lambda: GRUCell(5, 7, update="swap"), lambda: RNNCell(0, 7)):
        with pytest.raises(InputError):
            make()
