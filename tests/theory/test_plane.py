"""The information plane: exact coordinates and the bounds that they keep."""

import pytest
import torch

from zoo.errors import InputError
from zoo.theory import plane


def test_information_of_binned_activations_by_hand():
    h = torch.tensor([[-0.9], [-0.8], [0.8], [0.9]])
    p = torch.tensor([0.0, 0.0, 1.0, 1.0])
    assert plane.information(h, p, 2, -1, 1) == pytest.approx((1, 1))
    assert plane.information(h, p, 1000, -1, 1) == pytest.approx((2, 1))
    assert plane.information(h * 0, p, 2, -1, 1) == pytest.approx((0, 0))
    assert plane.information(h, torch.full((4,), 0.5), 2, -1, 1) == pytest.approx((1, 0))


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_no_layer_knows_more_than_the_input(activation):
    path = plane.follow(activation, 20, every=10)
    assert path.steps == (0, 10, 20) and path.i_xt.shape == (3, 6)
    assert (path.i_xt <= 12 + 1e-9).all() and (path.i_ty <= path.i_xy + 1e-9).all() and (path.i_ty >= 0).all()
    assert (path.i_ty <= path.i_xt + 1e-9).all() and path.loss[-1] < path.loss[0]


def test_bad_input():
    with pytest.raises(InputError, match="activation"):
        plane.follow("gelu")
    with pytest.raises(InputError, match="bins"):
        plane.information(torch.ones(2, 1), torch.ones(2), 1)
    with pytest.raises(InputError, match="noise"):
        plane.task(0)
