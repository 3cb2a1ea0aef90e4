"""DeepLab: atrous convolution, the three heads, and the random field."""

import pytest
import torch
from torch.nn import functional as F
from torchvision.models.segmentation.deeplabv3 import DeepLabHead

from zoo.errors import InputError
from zoo.models.segmentation.crf import mean_field
from zoo.models.segmentation.deeplabv3 import DeepLabV3

SMALL = {"num_classes": 3, "in_channels": 1, "widths": (8, 8, 8, 8), "rates": (1, 2, 3)}


def test_an_atrous_convolution_is_one_with_zeros_between_its_taps():
    x, weight = torch.randn(1, 2, 12, 12).double(), torch.randn(3, 2, 3, 3).double()
    spread = torch.zeros(3, 2, 7, 7).double()
    spread[:, :, ::3, ::3] = weight
    torch.testing.assert_close(F.conv2d(x, weight, dilation=3, padding=3), F.conv2d(x, spread, padding=3))


@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
def test_any_size(version):
    model = DeepLabV3(**SMALL, version=version).eval()
    for size in ((1, 1), (17, 30), (32, 64)):
        assert model(torch.randn(2, 1, *size)).shape == (2, 3, *size)


def test_one_picture_can_be_trained_on():
    model = DeepLabV3(**SMALL).train()
    assert model(torch.randn(1, 1, 16, 16)).shape == (1, 3, 16, 16)


def test_the_head_is_torchvision_s():
    model = DeepLabV3(**SMALL).eval()
    theirs = DeepLabHead(8, 3, [1, 2, 3]).eval()
    theirs.load_state_dict(model.head.state_dict())
    x = torch.randn(1, 1, 32, 32)
    features = model.stages(model.stem(F.pixel_unshuffle(x, 2)))
    expected = F.interpolate(theirs(features), (32, 32), mode="bilinear", align_corners=False)
    torch.testing.assert_close(model(x), expected)


def test_it_sees_far_without_losing_places():
    """One output pixel of a map of an eighth depends on inputs far further away than eight pixels."""
    model, x = DeepLabV3(**SMALL, version="v1").double().eval(), torch.randn(1, 1, 96, 96).double().requires_grad_()
    model(x)[0, 0, 48, 48].backward()
    rows = (x.grad[0, 0].abs() > 0).any(1).nonzero()[:, 0]
    assert rows.max() - rows.min() > 60


def test_the_random_field_mends_a_lonely_pixel_and_keeps_an_edge():
    x = torch.zeros(1, 1, 24, 24)
    x[..., 12:] = 1.0  # two halves that look different
    logits = torch.zeros(1, 2, 24, 24)
    logits[:, 0, :, :12], logits[:, 1, :, 12:] = 1.5, 1.5
    logits[0, :, 6, 5] = torch.tensor([0.0, 1.0])  # one pixel of the left half is taken for the right one
    found = mean_field(logits, x).argmax(1)[0]
    assert (found[:, :12] == 0).all() and (found[:, 12:] == 1).all()
    torch.testing.assert_close(mean_field(logits, x).exp().sum(1), torch.ones(1, 24, 24))
    torch.testing.assert_close(mean_field(logits, x, rounds=0), logits.log_softmax(1))


def test_what_makes_no_sense_is_refused():
    for init in ({"version": "v4"}, {"widths": (4, 4)}, {"rates": ()}, {"crf": -1}):
        with pytest.raises(InputError):
            DeepLabV3(**(SMALL | init))
