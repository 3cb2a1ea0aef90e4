"""Faster R-CNN: torchvision's answers from the same weights, its code of boxes, and the shifted classes."""

import pytest
import torch
from torchvision.models.detection._utils import BoxCoder

from zoo.errors import InputError
from zoo.models.detection.faster_rcnn import FasterRCNN

SMALL = {
    "num_classes": 2,
    "in_channels": 3,
    "widths": (8, 8),
    "stem": 8,
    "depth": 0,
    "anchors": (16,),
    "head_width": 16,
}


def build(**init):
    torch.manual_seed(0)
    return FasterRCNN(**(SMALL | init)).eval()


def test_boxes_are_torchvision_s_from_the_same_weights():
    model, x = build(proposals=30), torch.rand(2, 3, 64, 96)
    theirs = model.net
    theirs.roi_heads.score_thresh = 0.0
    theirs.transform.image_mean, theirs.transform.image_std = [0.0] * 3, [1.0] * 3
    theirs.transform.min_size, theirs.transform.max_size, theirs.transform.size_divisible = (64,), 96, 16
    with torch.no_grad():
        expected, found = theirs(list(x)), model.boxes(x, 0.0)
    for a, b in zip(expected, found, strict=True):
        torch.testing.assert_close(a["boxes"], b["boxes"])
        torch.testing.assert_close(a["scores"], b["scores"])
        assert torch.equal(a["labels"] - 1, b["labels"]) and set(b["labels"].tolist()) <= {0, 1}


def test_a_box_is_coded_and_decoded():
    low = torch.rand(20, 2) * 50
    boxes = torch.cat([low, low + 5 + torch.rand(20, 2) * 30], 1)
    anchors = boxes + torch.randn(20, 4)
    coder = BoxCoder((1.0, 1.0, 1.0, 1.0))
    code = coder.encode_single(boxes, anchors)
    torch.testing.assert_close(coder.decode_single(code, anchors), boxes, atol=1e-3, rtol=1e-4)
    side, anchor_side = boxes[:, 2:] - boxes[:, :2], anchors[:, 2:] - anchors[:, :2]
    middle, anchor_middle = (boxes[:, 2:] + boxes[:, :2]) / 2, (anchors[:, 2:] + anchors[:, :2]) / 2
    by_hand = torch.cat([(middle - anchor_middle) / anchor_side, (side / anchor_side).log()], 1)
    torch.testing.assert_close(code, by_hand, atol=1e-4, rtol=1e-4)


def test_a_picture_without_boxes_teaches_that_nothing_is_there():
    model = build().train()
    model.log_train = lambda **_: None
    loss = model.training_step((torch.rand(2, 3, 64, 64), torch.full((2, 3, 5), -1.0)), 0)
    assert torch.isfinite(loss) and loss > 0
    loss.backward()


def test_what_makes_no_sense_is_refused():
    with pytest.raises(InputError, match="anchors"):
        build(anchors=())
    with pytest.raises(InputError, match="multiples of 16"):
        build().boxes(torch.rand(1, 3, 60, 64), 0.1)
