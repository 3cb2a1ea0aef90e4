"""What the shared suites can't know about residual networks: torchvision's network, sizes, what a shortcut does."""

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.models.resnet import BasicBlock as TorchvisionBlock

from zoo.errors import InputError
from zoo.models.convnets.resnet import BasicBlock, CIFARResNet, PreactBlock, ResNet18


def copy_in_order(source: nn.Module, target: nn.Module) -> None:
    """Copy tensors by their order of registration, checking shapes."""
    values, own = list(source.state_dict().values()), target.state_dict()
    assert [v.shape for v in values] == [v.shape for v in own.values()]
    target.load_state_dict(dict(zip(own, values, strict=True)))


def shaken(model: nn.Module) -> nn.Module:
    """Norm layers as after training, else scale and statistics could be swapped unseen."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model.eval()


@pytest.mark.parametrize("depth", [18, 34])
def test_imagenet_network_equals_torchvision(depth):
    reference = shaken(getattr(models, f"resnet{depth}")(num_classes=7))
    model = ResNet18(7, depth=depth, stem="imagenet").eval()
    copy_in_order(reference, model)
    x = torch.randn(2, 3, 40, 40)
    with torch.inference_mode():
        torch.testing.assert_close(model(x), reference(x), rtol=1e-4, atol=1e-4)


def test_cifar_network_with_projections_equals_torchvision_blocks():
    def row(c_in: int, c_out: int, stride: int) -> list[nn.Module]:
        down = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))
        first = TorchvisionBlock(c_in, c_out, stride, down if stride > 1 else None)
        return [first, TorchvisionBlock(c_out, c_out), TorchvisionBlock(c_out, c_out)]

    stem = [nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    end = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)]
    reference = shaken(nn.Sequential(*stem, *row(16, 16, 1), *row(16, 32, 2), *row(32, 64, 2), *end))
    model = CIFARResNet(option="B").eval()
    copy_in_order(reference, model)
    x = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(model(x), reference(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("init", "parameters"),
    [
        ({"depth": 20}, 269_722),  # 0.27 M in the paper's table
        ({"depth": 56}, 853_018),  # 0.85 M
        ({"depth": 20, "residual": False}, 269_722),  # shortcuts of option A have no weights
        ({"depth": 20, "option": "B"}, 272_474),
    ],
)
def test_sizes(init, parameters):
    assert sum(p.numel() for p in CIFARResNet(**init).parameters()) == parameters


def test_size_with_the_stem_for_small_images():
    assert sum(p.numel() for p in ResNet18().parameters()) == 11_173_962


def test_a_block_that_adds_nothing_is_the_identity_on_what_relu_passes():
    x = torch.rand(2, 4, 6, 6)
    block = BasicBlock(4, 4, 1, "A").eval()
    nn.init.zeros_(block.norm2.weight)
    torch.testing.assert_close(block(x), x)
    plain = BasicBlock(4, 4, 1, "none").eval()
    nn.init.zeros_(plain.norm2.weight)
    assert not plain(x).any()


def test_shortcut_without_weights_subsamples_and_pads_channels():
    block = BasicBlock(4, 8, 2, "A").eval()
    nn.init.zeros_(block.norm2.weight)
    x = torch.rand(2, 4, 6, 6)
    y = block(x)
    torch.testing.assert_close(y[:, 2:6], x[:, :, ::2, ::2])
    assert not y[:, :2].any() and not y[:, 6:].any()


@pytest.mark.parametrize("depth", [0, 19, 21, 2])
def test_other_depths_are_refused(depth):
    with pytest.raises(InputError, match="6k"):
        CIFARResNet(depth=depth)


def test_imagenet_depths():
    with pytest.raises(InputError, match="18 or 34"):
        ResNet18(depth=50)


def test_pre_activation_block_leaves_the_way_of_the_sums_free():
    blocks = nn.Sequential(*[PreactBlock(4, 4, 1, "A") for _ in range(3)]).eval()
    for block in blocks:
        nn.init.zeros_(block.conv2.weight)
    x = torch.randn(2, 4, 6, 6, requires_grad=True)
    assert torch.equal(blocks(x), x)  # negative values pass too, which the ReLU after a sum would cut off
    (gradient,) = torch.autograd.grad(blocks(x).sum(), x)
    assert torch.equal(gradient, torch.ones_like(x))


def test_pre_activation_block_equals_its_equation():
    block = shaken(PreactBlock(4, 8, 2, "B"))
    x = torch.randn(2, 4, 6, 6)
    y = block.norm1(x).relu()
    expected = block.shortcut(y) + block.conv2(block.norm2(block.conv1(y)).relu())
    torch.testing.assert_close(block(x), expected)
    assert CIFARResNet(preact=True).eval()(torch.randn(1, 3, 32, 32)).shape == (1, 10)
    with pytest.raises(InputError, match="no sums"):
        CIFARResNet(preact=True, residual=False)
