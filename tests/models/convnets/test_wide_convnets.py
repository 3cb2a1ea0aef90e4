"""DenseNet and ResNeXt against torchvision, the all-convolutional network's sizes, fractional pooling against torch's."""

from itertools import pairwise

import pytest
import torch
from torch import nn
from torchvision import models

from tests.models.convnets.test_resnet import copy_in_order, shaken
from zoo.errors import InputError
from zoo.models.convnets.allconv import AllConv
from zoo.models.convnets.densenet import DenseNet
from zoo.models.convnets.fractional import FractionalMaxPool, FractionalNet, window_starts
from zoo.models.convnets.resnext import ResNeXt


def test_densenet_equals_torchvision():
    torch.manual_seed(0)
    reference = shaken(models.DenseNet(8, (2, 3), num_init_features=16, num_classes=7))
    model = DenseNet(7, growth_rate=8, blocks=(2, 3), stem="imagenet", stem_channels=16).eval()
    copy_in_order(reference, model)
    x = torch.randn(2, 3, 40, 40)
    with torch.inference_mode():
        torch.testing.assert_close(model(x), reference(x), rtol=1e-4, atol=1e-4)


def test_resnext_equals_torchvision():
    torch.manual_seed(0)
    options = {"layers": [1, 2, 1, 1], "groups": 4, "width_per_group": 8}
    reference = shaken(models.ResNet(models.resnet.Bottleneck, num_classes=7, **options))
    model = ResNeXt(7, blocks=(1, 2, 1, 1), cardinality=4, path_width=8, stem="imagenet").eval()
    copy_in_order(reference, model)
    x = torch.randn(2, 3, 40, 40)
    with torch.inference_mode():
        torch.testing.assert_close(model(x), reference(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("model", "init", "parameters"),
    [
        (DenseNet, {}, 176_122),
        (DenseNet, {"blocks": (16, 16, 16)}, 769_162),  # 0.8 M in the paper's table
        (ResNeXt, {}, 5_646_666),
        (ResNeXt, {"path_width": 64}, 34_426_698),  # 34.4 M in the paper's table
        (AllConv, {"batch_norm": False}, 1_369_738),  # 1.37 M in the paper
        (AllConv, {}, 1_370_986),
        (FractionalNet, {}, 1_540_954),
    ],
)
def test_sizes(model, init, parameters):
    with torch.device("meta"):
        assert sum(p.numel() for p in model(**init).parameters()) == parameters


def test_all_convolutional_network_pools_nowhere_but_at_its_end():
    with torch.device("meta"):
        model = AllConv()
        stages = model.features(torch.zeros(2, 3, 32, 32))
    assert [list(stages[f"stage{i}"].shape[1:]) for i in (1, 2, 3)] == [[96, 16, 16], [192, 8, 8], [192, 8, 8]]
    assert not any(isinstance(m, nn.MaxPool2d | nn.AvgPool2d) for m in model.modules())


@pytest.mark.parametrize("u", [0.0, 0.3, 0.5, 0.97])
def test_fractional_pooling_equals_torch(u, monkeypatch):
    x = torch.randn(2, 3, 32, 23)
    out = [int(size / 2**0.5) for size in x.shape[2:]]
    reference = nn.FractionalMaxPool2d(2, output_size=out, _random_samples=torch.full((2, 3, 2), u))
    monkeypatch.setattr(torch, "rand", lambda *_, **__: torch.tensor(u))
    torch.testing.assert_close(FractionalMaxPool(2**0.5).train()(x), reference(x))


@pytest.mark.parametrize("size", [4, 11, 32])
def test_windows_cover_the_side_and_advance_by_one_or_two(size):
    drawn = {tuple(window_starts(size, int(size / 2**0.5), u / 20).tolist()) for u in range(20)}
    for starts in drawn:
        steps = {b - a for a, b in pairwise(starts)}
        assert starts[0] == 0 and starts[-1] == size - 2 and steps <= {1, 2}
    assert len(drawn) > 1 or size == 4  # another draw is another deformation


def test_fractional_network_answers_alike_outside_training():
    torch.manual_seed(0)
    model, x = FractionalNet(width=4, poolings=3, dropout=0.0), torch.randn(2, 3, 16, 16)
    model(x)
    assert not torch.equal(model(x), model(x))
    assert torch.equal(model.eval()(x), model(x))


def test_mean_over_draws_of_the_windows():
    torch.manual_seed(0)
    model, x = FractionalNet(width=4, poolings=3, dropout=0.0).eval(), torch.randn(2, 3, 16, 16)
    mean = model.mean_logits(x, "draws")
    assert torch.equal(mean, model.mean_logits(x, "draws"))  # the same draws each time
    assert torch.equal(model(x), model.mean_logits(x, "none")) and not torch.allclose(mean, model(x))
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, FractionalMaxPool):
            module.generator = generator
    torch.testing.assert_close(mean, sum(model(x) for _ in range(12)) / 12)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(InputError, match="too small for 6 poolings"):
        FractionalNet()(torch.zeros(1, 3, 16, 16))
    with pytest.raises(InputError, match="above 1 and at most 2"):
        FractionalMaxPool(2.5)
    with pytest.raises(InputError, match="at least one layer"):
        DenseNet(blocks=())
    with pytest.raises(InputError, match="at least one block"):
        ResNeXt(blocks=(3, 0))
    with pytest.raises(InputError, match="cifar or imagenet"):
        DenseNet(stem="mnist")
    with pytest.raises(InputError, match="cardinality"):
        ResNeXt(cardinality=0)
