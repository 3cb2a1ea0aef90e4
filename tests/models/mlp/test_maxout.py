"""Maxout units: the functions they can be, the paper's size, and the length of their pieces."""

import pytest
import torch
from torch import nn

from zoo.errors import InputError
from zoo.models.mlp.maxout import Maxout, MaxoutLayer


def unit(*slopes: float) -> nn.Module:
    layer = MaxoutLayer(1, 1, len(slopes))
    nn.init.zeros_(layer.linear.bias)
    layer.linear.weight.data = torch.tensor(slopes)[:, None]
    return layer


def test_a_unit_can_be_relu_the_absolute_value_or_linear():
    x = torch.linspace(-2, 2, 9)[:, None]
    torch.testing.assert_close(unit(0.0, 1.0)(x), x.relu())
    torch.testing.assert_close(unit(-1.0, 1.0)(x), x.abs())
    torch.testing.assert_close(unit(3.0)(x), 3 * x)


def test_pieces_belong_to_their_unit():
    layer, x = MaxoutLayer(4, 3, 5), torch.randn(2, 4)
    lines = (x @ layer.linear.weight.T + layer.linear.bias).reshape(2, 3, 5)
    torch.testing.assert_close(layer(x), lines.max(2).values)


def test_the_paper_s_size():
    assert sum(p.numel() for p in Maxout().parameters()) == 784 * 1200 + 1200 + 240 * 1200 + 1200 + 2410


def test_what_makes_no_sense_is_refused():
    with pytest.raises(InputError, match="pieces"):
        Maxout(pieces=0)
    with pytest.raises(InputError, match="max_norm"):
        Maxout(max_norm=-1)
