"""AlexNet against torchvision, Inception's module against its parts and its sizes, timm's networks under our head."""

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F
from torchvision import models

from tests.models.convnets.test_resnet import copy_in_order, shaken
from zoo.errors import InputError, UnknownNameError
from zoo.models.convnets.alexnet import AlexNet
from zoo.models.convnets.inception import Inception, Module
from zoo.models.convnets.timm_backbone import TimmBackbone


def test_alexnet_equals_torchvision():
    reference = models.alexnet(num_classes=7, dropout=0.5).eval()
    model = AlexNet(7, resolution="imagenet", norm="none", hidden_dim=4096).eval()
    copy_in_order(reference, model)
    x = torch.randn(1, 3, 96, 96)
    with torch.inference_mode():
        torch.testing.assert_close(model(x), reference(x), rtol=1e-4, atol=1e-4)


def test_alexnet_for_small_images():
    with torch.device("meta"):
        model = AlexNet()
        assert sum(p.numel() for p in model.parameters()) == 6_459_466
        stages = model.features(torch.zeros(1, 3, 32, 32))
    assert list(stages["conv5"].shape) == [1, 256, 4, 4] and stages["embedding"].shape == (1, 1024)


def test_local_response_norm_is_the_paper_s():
    model = AlexNet(norm="lrn").eval()
    layer = next(m for m in model.modules() if isinstance(m, nn.LocalResponseNorm))
    a = torch.rand(1, 64, 1, 1)
    energy = torch.stack([a[0, max(0, c - 2) : c + 3, 0, 0].square().sum() for c in range(64)])
    torch.testing.assert_close(layer(a)[0, :, 0, 0], a[0, :, 0, 0] / (2 + 1e-4 * energy) ** 0.75)
    assert sum(isinstance(m, nn.LocalResponseNorm) for m in model.modules()) == 2


def test_inception_module_concatenates_its_branches():
    torch.manual_seed(0)
    module = shaken(Module(5, 2, 3, 4, 1, 6, 7))
    x = torch.randn(2, 5, 9, 9)
    y = module(x)
    assert y.shape == (2, 2 + 4 + 6 + 7, 9, 9)

    def unit(layer: nn.Sequential, h: torch.Tensor) -> torch.Tensor:
        weight = layer[0].weight
        return layer[1](F.conv2d(h, weight, padding=weight.shape[-1] // 2)).relu()

    parts = [
        unit(module.one, x),
        unit(module.three[1], unit(module.three[0], x)),
        unit(module.five[1], unit(module.five[0], x)),
        unit(module.pooled[1], F.max_pool2d(x, 3, 1, 1)),
    ]
    torch.testing.assert_close(y, torch.cat(parts, 1))
    assert [module.three[1][0].kernel_size, module.five[1][0].kernel_size] == [(3, 3), (5, 5)]


def test_inception_s_size_and_resolutions():
    with torch.device("meta"):
        model = Inception()
        stages = model.features(torch.zeros(1, 3, 32, 32))
    assert sum(p.numel() for p in model.parameters()) == 239_834
    assert [stages[f"stage{i}"].shape[-1] for i in (1, 2, 3)] == [32, 16, 8]


@pytest.mark.parametrize(
    ("backbone", "options"),
    [("efficientnet_b0", None), ("mixer_s32_224", {"img_size": 64})],
)
def test_timm_s_logits_are_reached_by_its_own_head(backbone, options):
    torch.manual_seed(0)
    reference = timm.create_model(backbone, num_classes=5, **(options or {})).eval()
    model = TimmBackbone(5, backbone=backbone, options=options).eval()
    copy_in_order(reference, nn.ModuleList([model.backbone, model.head]))
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(model(x), reference(x), rtol=1e-4, atol=1e-4)


def test_a_small_efficientnet_is_b0_at_scale_one():
    """The same blocks with the same weights at scale 1; half the scale keeps the map of 4×4."""
    from zoo.models.convnets.timm_backbone import small_efficientnet

    b0, ours = timm.create_model("efficientnet_b0"), small_efficientnet(1.0)
    assert [(k, v.shape) for k, v in ours.state_dict().items()] == [(k, v.shape) for k, v in b0.state_dict().items()]
    model = TimmBackbone(backbone="efficientnet_c32").eval()
    assert model.features(torch.randn(1, 3, 32, 32))["last"].shape == (1, 640, 4, 4)


def test_the_embedding_of_a_timm_network_is_dropped_once():
    """Of ones, a share of `dropout` vanishes; twice would be more, and the rest larger."""
    model = TimmBackbone(backbone="resnet10t", dropout=0.5).train()
    model.backbone.forward_features = lambda x: torch.ones(64, 512, 1, 1)
    embedding = model.features(torch.zeros(64, 3, 32, 32))["embedding"]
    assert set(embedding.unique().tolist()) == {0.0, 2.0}
    assert 0.45 < (embedding == 0).float().mean() < 0.55


@pytest.mark.parametrize(("backbone", "channels"), [("xception_c32", 256), ("nfnet_c32", 512)])
@pytest.mark.parametrize("size", [16, 32])
def test_small_networks_halve_three_times_after_a_stem_that_keeps_all_pixels(backbone, channels, size):
    model = TimmBackbone(backbone=backbone).eval()
    seen = {}
    model.backbone.stem.register_forward_hook(lambda *call: seen.update(stem=call[-1].shape[-2:]))
    last = model.features(torch.randn(1, 3, size, size))["last"]
    assert seen["stem"] == (size, size) and last.shape == (1, channels, size // 8, size // 8)


def test_an_nfnet_needs_no_normalisation_to_stay_in_bounds():
    """Its blocks take part from the start, and noise comes out of them neither vanished nor exploded."""
    model = TimmBackbone(backbone="nfnet_c32").eval()
    assert not [m for m in model.modules() if isinstance(m, nn.BatchNorm2d | nn.LayerNorm | nn.GroupNorm)]
    x = torch.randn(32, 3, 32, 32)
    stem, stages = model.backbone.stem, model.backbone.stages
    before = stages(stem(x))
    assert 0.1 < before.std() < 3
    for block in (block for stage in stages for block in stage):
        nn.init.zeros_(block.skipinit_gain)
    assert not torch.allclose(stages(stem(x)), before, atol=0.01)


@pytest.mark.parametrize(("backbone", "channels"), [("mixer_c4_32", 256), ("gmlp_c4_32", 128)])
def test_perceptrons_for_small_images_see_patches_of_four_pixels(backbone, channels):
    model = TimmBackbone(backbone=backbone).eval()
    assert model.features(torch.randn(1, 3, 32, 32))["last"].shape == (1, 64, channels)
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 10)


def test_timm_is_asked_for_nothing_but_an_architecture():
    with pytest.raises(UnknownNameError, match="efficientnet_b0"):
        TimmBackbone(backbone="efficientnet_b00")
    for hostile in ("hf-hub:somebody/model", "local-dir:/somewhere"):
        with pytest.raises(UnknownNameError):
            TimmBackbone(backbone=hostile)
    for key in ("pretrained", "pretrained_cfg", "checkpoint_path"):
        with pytest.raises(InputError, match=key):
            TimmBackbone(options={key: "x"})
    with pytest.raises(InputError, match="nonsense"):
        TimmBackbone(options={"nonsense": 3})


def test_what_makes_no_sense_is_refused():
    with pytest.raises(InputError, match="cifar or imagenet"):
        AlexNet(resolution="mnist")
    with pytest.raises(InputError, match="norm"):
        AlexNet(norm="layer")
    with pytest.raises(InputError, match="width"):
        Inception(width=0)
