"""A body with two heads."""

import pytest
import torch
from torch import nn

from zoo.blocks.heads import Heads
from zoo.errors import InputError


def test_gradients_of_all_heads_add_up_in_the_body():
    torch.manual_seed(0)
    net = Heads(nn.Linear(4, 3), {"class": nn.Linear(3, 2), "turn": nn.Linear(3, 1)})
    x = torch.randn(5, 4)

    def slope(weights: dict[str, float]) -> torch.Tensor:
        found = {task: out.square().mean() for task, out in net(x).items()}
        return torch.autograd.grad(net.loss(found, weights), net.body.weight)[0]

    both = slope({"turn": 3.0})
    torch.testing.assert_close(both, slope({"turn": 0.0}) + 3 * slope({"class": 0.0}))


def test_what_has_no_head_is_named():
    net = Heads(nn.Identity(), {"class": nn.Identity()})
    with pytest.raises(InputError, match="'turn'"):
        net.loss({"turn": torch.zeros(())})
    with pytest.raises(InputError, match="no head"):
        Heads(nn.Identity(), {})
