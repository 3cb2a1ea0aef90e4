"""VGG and MobileNetV2 against torchvision's networks from the same weights, and their sizes."""

import pytest
import torch
from torch import nn
from torchvision import models

from tests.models.convnets.test_resnet import copy_in_order, shaken
from zoo.errors import InputError
from zoo.models.convnets.mobilenet import Depthwise, MobileNetV2, eights
from zoo.models.convnets.vgg import CONVOLUTIONS, VGG


def test_vgg_features_equal_torchvision():
    reference = shaken(models.vgg11_bn(init_weights=False).features)
    model = VGG().eval()
    stages = nn.ModuleList([model.stage1, model.stage2, model.stage3, model.stage4, model.stage5])
    copy_in_order(reference, stages)
    x = torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(model.features(x)["stage5"], reference(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("depth", "batch_norm"), [(11, False), (11, True), (13, False), (16, True), (19, False)])
def test_whole_vgg_has_the_layers_and_shapes_of_torchvision(depth, batch_norm):
    with torch.device("meta"):  # half a gigabyte of weights each
        reference = getattr(models, f"vgg{depth}{'_bn' if batch_norm else ''}")(init_weights=False)
        model = VGG(1000, depth=depth, batch_norm=batch_norm, classifier="mlp")
    assert [p.shape for p in model.state_dict().values()] == [p.shape for p in reference.state_dict().values()]
    assert sum(CONVOLUTIONS[depth]) + 3 == depth


def test_vgg_mlp_classifier_is_torchvision_s():
    """Linear, ReLU, dropout, twice, then the head: in the same order as theirs."""
    with torch.device("meta"):
        reference, model = models.vgg11(init_weights=False), VGG(1000, batch_norm=False, classifier="mlp")
    kinds = [type(layer) for layer in (*model.neck[2:], model.head)]
    assert kinds == [type(layer) for layer in reference.classifier]


def test_vgg_with_one_linear_layer():
    with torch.device("meta"):
        assert sum(p.numel() for p in VGG().parameters()) == 9_231_114


def test_vgg_depths():
    with pytest.raises(InputError, match="11, 13, 16, 19"):
        VGG(depth=12)


@pytest.mark.parametrize("width", [1.0, 0.35])
def test_mobilenet_equals_torchvision(width):
    reference = shaken(models.mobilenet_v2(num_classes=7, width_mult=width))
    model = MobileNetV2(7, resolution="imagenet", width=width).eval()
    copy_in_order(reference, model)
    x = torch.randn(1, 3, 48, 48)
    with torch.inference_mode():
        torch.testing.assert_close(model(x), reference(x), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [7, 8])
def test_a_stride_taken_afterwards_changes_nothing(stride, size):
    layer = Depthwise(8, 8, 3, stride, 1, groups=8, bias=False, dtype=torch.float64)
    x = torch.randn(2, 8, size, size, dtype=torch.float64, requires_grad=True)
    results = []
    for training in (True, False):
        y = layer.train(training)(x)
        results.append((y, *torch.autograd.grad(y.square().sum(), [x, layer.weight])))
    torch.testing.assert_close(*results)


def test_mobilenet_for_small_images():
    with torch.device("meta"):
        model = MobileNetV2()
        assert sum(p.numel() for p in model.parameters()) == 2_236_682
        assert list(model.features(torch.zeros(1, 3, 32, 32))["last"].shape) == [1, 1280, 4, 4]


def test_channels_are_multiples_of_eight_and_never_much_fewer_than_asked():
    for channels in (1, 7, 11.2, 12, 16, 33.6, 56, 91):
        assert eights(channels) % 8 == 0 and eights(channels) >= 0.9 * channels
