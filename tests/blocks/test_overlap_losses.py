"""Losses of yes and no, of distributions and of overlaps, against torch's own, torchvision's and values by hand."""

import pytest
import torch
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from zoo.blocks import losses
from zoo.errors import InputError


def drawn() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return 3 * torch.randn(4, 1, 5, 5, generator=generator), (torch.rand(4, 1, 5, 5, generator=generator) < 0.3).float()


def test_binary_cross_entropy_and_focal_loss():
    o, y = drawn()
    torch.testing.assert_close(losses.binary_cross_entropy(o, y), F.binary_cross_entropy_with_logits(o, y))
    torch.testing.assert_close(losses.focal_loss(o, y, gamma=0), F.binary_cross_entropy_with_logits(o, y))
    for gamma, alpha in ((2.0, 0.25), (1.0, None)):
        theirs = sigmoid_focal_loss(o, y, alpha=-1 if alpha is None else alpha, gamma=gamma, reduction="mean")
        torch.testing.assert_close(losses.focal_loss(o, y, gamma=gamma, alpha=alpha), theirs)


def test_kl_and_weighted_cross_entropy():
    o, y = torch.randn(6, 3), torch.rand(6, 3).softmax(1)
    torch.testing.assert_close(losses.kl_divergence(o, y), F.kl_div(o.log_softmax(1), y, reduction="batchmean"))
    assert losses.kl_divergence(y.log(), y).item() == pytest.approx(0, abs=1e-6)
    classes, weight = torch.tensor([0, 0, 0, 0, 1, 2]), torch.tensor([0.25, 1.0, 1.0])
    torch.testing.assert_close(losses.weighted_cross_entropy(o, classes), F.cross_entropy(o, classes, weight))


def test_overlaps_by_hand():
    """Half of what is there is found, and as much that isn't: Dice 2·1/(2 + 2), Jaccard 1/3."""
    o = torch.tensor([[[[50.0, 50.0, -50.0, -50.0]]]])
    y = torch.tensor([[[[1.0, 0.0, 1.0, 0.0]]]])
    assert losses.dice_loss(o, y, smooth=0).item() == pytest.approx(1 - 0.5)
    assert losses.jaccard_loss(o, y, smooth=0).item() == pytest.approx(1 - 1 / 3)
    assert losses.dice_loss(o, (o > 0).float()).item() == losses.jaccard_loss(o, (o > 0).float()).item() == 0
    with pytest.raises(InputError, match="they have one shape"):
        losses.dice_loss(o, y[0])
    with pytest.raises(InputError, match="0 or 1"):
        losses.focal_loss(o, 0.5 * y)
