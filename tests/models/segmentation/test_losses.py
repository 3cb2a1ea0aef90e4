"""The five losses by hand on 2 x 2 pixels, and what must hold for all of them."""

import math

import pytest
import torch
from torch.nn import functional as F

from zoo.errors import InputError
from zoo.models.segmentation.losses import LOSSES, segmentation_loss

P = torch.tensor([[0.9, 0.2], [0.6, 0.3]])  # probability of the object in four pixels
T = torch.tensor([[1, 0], [1, 1]])
BINARY = P.logit()[None, None]  # one map [1, 1, 2, 2]
TWO = torch.stack([1 - P, P]).log()[None]  # softmax over two classes gives P back


def test_binary_cross_entropy_by_hand():
    by_hand = -(math.log(0.9) + math.log(0.8) + math.log(0.6) + math.log(0.3)) / 4
    assert segmentation_loss("bce", BINARY, T[None, None].float()).item() == pytest.approx(by_hand, rel=1e-5)
    assert segmentation_loss("cce", TWO, T[None]).item() == pytest.approx(by_hand, rel=1e-5)


def test_dice_and_jaccard_by_hand():
    overlap, size = 0.9 + 0.6 + 0.3, (0.9 + 0.2 + 0.6 + 0.3) + 3
    dice = segmentation_loss("dice", BINARY, T[None, None].float()).item()
    jaccard = segmentation_loss("jaccard", BINARY, T[None, None].float()).item()
    assert dice == pytest.approx(1 - 2 * overlap / size, abs=1e-5)
    assert jaccard == pytest.approx(1 - overlap / (size - overlap), abs=1e-5)
    d = 1 - dice
    assert 1 - jaccard == pytest.approx(d / (2 - d), abs=1e-6)  # IoU = D / (2 - D)


def test_gradient_of_soft_dice():
    p = P.clone()[None, None].requires_grad_()
    t = T[None, None].float()
    (gradient,) = torch.autograd.grad(segmentation_loss("dice", p.logit(), t), p)
    overlap, size = (P * T).sum(), P.sum() + T.sum()
    torch.testing.assert_close(-gradient[0, 0], 2 * T / size - 2 * overlap / size**2, atol=1e-4, rtol=1e-4)


def test_weights_count_by_class():
    weights = torch.tensor([2.0, 0.5])
    terms = [(0.5, 0.9), (2.0, 0.8), (0.5, 0.6), (0.5, 0.3)]
    by_hand = sum(-w * math.log(p) for w, p in terms) / sum(w for w, _ in terms)
    assert segmentation_loss("weighted-cce", TWO, T[None], weights=weights).item() == pytest.approx(by_hand, rel=1e-5)
    torch.testing.assert_close(
        segmentation_loss("weighted-cce", TWO, T[None], weights=weights), F.cross_entropy(TWO, T[None], weights)
    )
    inverse = segmentation_loss("weighted-cce", TWO, T[None]).item()  # 1 of 4 and 3 of 4 pixels: each class half
    assert inverse == pytest.approx(
        -(math.log(0.8) + (math.log(0.9) + math.log(0.6) + math.log(0.3)) / 3) / 2, rel=1e-5
    )


@pytest.mark.parametrize("name", [*LOSSES, "bce+dice"])
def test_ignored_pixels_have_no_gradient_and_nothing_else_is_zero(name):
    logits = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    y = torch.randint(3, (2, 4, 4), generator=torch.Generator().manual_seed(1))
    y[:, :2] = 11
    segmentation_loss(name, logits, y, ignore_index=11).backward()
    assert not logits.grad[:, :, :2].any() and logits.grad[:, :, 2:].abs().sum() > 0
    nothing = segmentation_loss(name, logits, torch.full_like(y, 11), ignore_index=11)
    assert nothing.item() == 0 and nothing.requires_grad


def test_a_right_answer_costs_less_than_a_wrong_one():
    y = torch.randint(3, (1, 6, 6), generator=torch.Generator().manual_seed(0))
    right = 16 * F.one_hot(y, 3).movedim(-1, 1).float() - 8
    for name in LOSSES:
        assert segmentation_loss(name, right, y) < 0.05 < segmentation_loss(name, -right, y)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(InputError, match="one of bce"):
        segmentation_loss("hinge", TWO, T[None])
    with pytest.raises(InputError, match="class 7"):
        segmentation_loss("cce", TWO, torch.full((1, 2, 2), 7))
    with pytest.raises(InputError, match="targets"):
        segmentation_loss("cce", TWO, T[None, :1])
