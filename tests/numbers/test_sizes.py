"""Numbers of weights and shapes that can be counted with a pencil, against the networks themselves."""

import pytest
import torch
from torch import nn

import zoo


def count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def test_five_strided_convolutions_shrink_a_digit_to_two_numbers():
    widths, shapes, weights = [1, 4, 8, 16, 32, 2], [], []
    x, net = torch.zeros(64, 1, 28, 28), []
    for i in range(5):
        layer = nn.Conv2d(widths[i], widths[i + 1], 3, stride=2, padding=1)
        x = layer(x).relu() if i < 4 else layer(x)
        shapes.append(tuple(x.shape[1:]))
        weights.append(count(layer))
        net.append(layer)
    assert shapes == [(4, 14, 14), (8, 7, 7), (16, 4, 4), (32, 2, 2), (2, 1, 1)]
    assert weights == [40, 296, 1_168, 4_640, 578] and sum(weights) == 6_722
    assert x.flatten(1).shape == (64, 2)


def test_where_is_waldo_by_a_dense_layer():
    pixels = 256 * 256 * 3
    assert pixels == 196_608
    layer = nn.Linear(pixels, pixels, device="meta")
    assert count(layer) == 196_608**2 + 196_608 == 38_654_902_272  # at 4 bytes each, 144 GiB
    assert count(nn.Conv2d(3, 3, 3)) == 84


@pytest.mark.parametrize(("inputs", "wide", "deep"), [(1, 385, 337), (784, 100_609, 25_393)])
def test_128_units_beside_32_and_8(inputs, wide, deep):
    assert count(nn.Sequential(nn.Linear(inputs, 128), nn.ReLU(), nn.Linear(128, 1))) == wide
    layers = nn.Sequential(nn.Linear(inputs, 32), nn.ReLU(), nn.Linear(32, 8), nn.ReLU(), nn.Linear(8, 1))
    assert count(layers) == deep


@pytest.mark.parametrize(
    ("name", "init", "weights"),
    [
        ("mlp", {}, 669_706),
        ("mlp", {"hidden": ()}, 7_850),
        ("simplecnn", {}, 10_890),
        ("maxout", {}, 1_233_610),
        ("resnet-cifar", {}, 269_722),
        ("backprop-mlp", {}, 9),
    ],
)
def test_networks_of_the_zoo(name, init, weights):
    assert count(zoo.create(name, **init)) == weights


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "out"),
    [(28, 5, 1, 0, 24), (24, 2, 2, 0, 12), (28, 3, 2, 1, 14), (7, 3, 2, 1, 4), (32, 3, 1, 1, 32), (227, 11, 4, 0, 55)],
)
def test_how_large_a_convolution_s_output_is(size, kernel, stride, padding, out):
    assert (size + 2 * padding - kernel) // stride + 1 == out
    assert nn.Conv2d(1, 1, kernel, stride, padding)(torch.zeros(1, 1, size, size)).shape[2:] == (out, out)


def test_two_three_by_three_layers_see_what_one_five_by_five_sees_with_fewer_weights():
    channels = 64
    small = nn.Sequential(*[nn.Conv2d(channels, channels, 3, bias=False) for _ in range(2)])
    large = nn.Conv2d(channels, channels, 5, bias=False)
    assert (count(small), count(large)) == (18 * channels**2, 25 * channels**2)
    assert small(torch.zeros(1, channels, 5, 5)).shape == large(torch.zeros(1, channels, 5, 5)).shape


@pytest.mark.parametrize(("inner", "plain", "bottleneck"), [(64, 589_824, 69_632)])
def test_a_bottleneck_of_1_3_1_has_an_eighth_of_the_weights(inner, plain, bottleneck):
    assert count(nn.Conv2d(256, 256, 3, bias=False)) == plain
    layers = [
        nn.Conv2d(256, inner, 1, bias=False),
        nn.Conv2d(inner, inner, 3, padding=1, bias=False),
        nn.Conv2d(inner, 256, 1, bias=False),
    ]
    assert count(nn.Sequential(*layers)) == bottleneck


def test_a_depthwise_separable_convolution_has_the_share_one_over_channels_plus_one_over_nine():
    plain = count(nn.Conv2d(32, 64, 3, bias=False))
    separable = count(nn.Conv2d(32, 32, 3, groups=32, bias=False)) + count(nn.Conv2d(32, 64, 1, bias=False))
    assert (plain, separable) == (18_432, 2_336)
    assert separable / plain == pytest.approx(1 / 64 + 1 / 9)


def test_three_lstm_layers_of_512_over_413_events():
    one_bias = 3 * 4 * 512  # torch has two biases a gate, the textbook one
    lstm = nn.LSTM(413, 512, 3)
    assert count(lstm) - one_bias + count(nn.Linear(512, 413)) == 6_306_717
