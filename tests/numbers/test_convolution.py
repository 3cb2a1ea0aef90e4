"""Convolutions and poolings that one can do by hand, each with its printed or hand-made result."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.blocks import resizing
from zoo.blocks.filters import KERNELS

DIAGONALS = [
    [1, 0, 0, 0, 0, 1],
    [0, 1, 0, 0, 1, 0],
    [0, 0, 1, 1, 0, 0],
    [1, 0, 0, 0, 1, 0],
    [0, 1, 0, 0, 1, 0],
    [0, 0, 1, 0, 1, 0],
]
SLANT = [[1, -1, -1], [-1, 1, -1], [-1, -1, 1]]
UPRIGHT = [[-1, 1, -1]] * 3
FOUR = [[6, 2, 3, 2], [1, 4, 5, 1], [1, 2, 3, 4], [1, 0, 5, 6]]


def maps(rows: object) -> Tensor:
    return torch.tensor(rows, dtype=torch.float32)[None, None]


def numbers(x: Tensor) -> list[list[float]]:
    return x[0, 0].tolist()


@pytest.mark.parametrize(
    ("kernel", "stride", "answer"),
    [
        (SLANT, 1, [[3, -1, -3, -1], [-3, 1, 0, -3], [-3, -3, 0, 1], [3, -2, -2, -1]]),
        (SLANT, 2, [[3, -3], [-3, 0]]),
        (UPRIGHT, 1, [[-1, -1, -1, -1], [-1, -1, -2, 1], [-1, -1, -2, 1], [-1, 0, -4, 3]]),
        (UPRIGHT, 2, [[-1, -1], [-1, -2]]),
    ],
    ids=["slant", "slant, stride 2", "upright", "upright, stride 2"],
)
def test_two_filters_over_the_six_by_six_image(kernel, stride, answer):
    assert numbers(F.conv2d(maps(DIAGONALS), maps(kernel), stride=stride)) == answer


@pytest.mark.parametrize(
    ("kernel", "answer"), [(SLANT, [[3, 0], [3, 1]]), (UPRIGHT, [[-1, 1], [0, 3]])], ids=["slant", "upright"]
)
def test_max_pooling_of_the_two_maps(kernel, answer):
    assert numbers(F.max_pool2d(F.conv2d(maps(DIAGONALS), maps(kernel)), 2)) == answer


def test_the_identity_filter_keeps_the_inside_of_five_by_five():
    image = [[22, 15, 1, 3, 60], [42, 5, 38, 39, 7], [28, 9, 4, 66, 79], [0, 2, 25, 12, 17], [9, 14, 2, 51, 3]]
    assert numbers(F.conv2d(maps(image), maps([[0, 0, 0], [0, 1, 0], [0, 0, 0]]))) == [
        [5, 38, 39],
        [9, 4, 66],
        [2, 25, 12],
    ]


def test_the_laplacian_of_a_bright_corner():
    corner = torch.ones(5, 5)
    corner[1:, 2:] = 10
    found = F.conv2d(corner[None, None], maps([[0, 1, 0], [1, -4, 1], [0, 1, 0]]))
    assert numbers(found) == [[9, -18, -9], [9, -9, 0], [9, -9, 0]]


def test_three_channels_and_a_bias_make_one_number():
    # the sums of three channels 310, -170 and 325 and a bias of 1
    parts = torch.tensor([310.0, -170.0, 325.0])
    layer = nn.Conv2d(3, 1, 1)
    nn.init.ones_(layer.weight)
    nn.init.ones_(layer.bias)
    assert layer(parts[None, :, None, None]).item() == 466


@pytest.mark.parametrize(
    ("x", "h", "y"), [([1, 2, 4], [1, 1, 1, 1], [1, 3, 7, 7, 6, 4]), ([1, 2, -1], [1, 2, -1], [1, 4, 2, -4, 1])]
)
def test_full_convolution_of_sequences_and_the_product_of_their_sums(x, h, y):
    kernel = torch.tensor(h, dtype=torch.float32).flip(0)[None, None]  # a convolution turns the kernel around
    found = F.conv1d(torch.tensor(x, dtype=torch.float32)[None, None], kernel, padding=len(h) - 1)[0, 0].tolist()
    assert found == y == np.convolve(x, h).tolist()
    assert sum(y) == sum(x) * sum(h)


def test_two_by_two_kernel_on_the_corner_of_four_by_four():
    assert numbers(F.conv2d(maps([[2, 7, 1], [2, 8, 1]]), maps([[3, 1], [4, 5]]))) == [[61, 59]]


def test_convolution_is_a_product_with_a_toeplitz_matrix_and_the_transposed_one_with_its_transpose():
    kernel = maps([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    basis = torch.eye(16).reshape(16, 1, 4, 4)
    matrix = F.conv2d(basis, kernel).flatten(1).T  # [4, 16], a column for each pixel
    assert all(matrix[0, i] == matrix[1, i + 1] for i in range(11))  # equal along its diagonals
    x, y = torch.randn(1, 1, 4, 4), torch.randn(1, 1, 2, 2)
    torch.testing.assert_close(F.conv2d(x, kernel).flatten(), matrix @ x.flatten())
    torch.testing.assert_close(F.conv_transpose2d(y, kernel).flatten(), matrix.T @ y.flatten())


def test_transposed_convolution_adds_the_copies_of_its_kernel():
    # stride 1: of the four copies the middle gets a w5 + b w4 + c w2 + d w1
    a, b, c, d = 2.0, 3.0, 5.0, 7.0
    found = F.conv_transpose2d(maps([[a, b], [c, d]]), maps([[1, 2, 3], [4, 5, 6], [7, 8, 9]]))
    assert found.shape == (1, 1, 4, 4)
    assert numbers(found)[0] == [a * 1, a * 2 + b * 1, a * 3 + b * 2, b * 3]
    assert numbers(found)[1][1] == a * 5 + b * 4 + c * 2 + d * 1
    assert numbers(found)[3] == [c * 7, c * 8 + d * 7, c * 9 + d * 8, d * 9]


def test_pooling_and_its_three_ways_back():
    pooled, places = resizing.max_pool_with_places(maps(FOUR))
    assert numbers(pooled) == [[6, 5], [2, 6]]
    assert numbers(F.avg_pool2d(maps(FOUR), 2)) == [[3.25, 2.75], [1, 4.5]]  # printed rounded: 3 3 / 1 5
    assert numbers(resizing.nearest(pooled)) == [[6, 6, 5, 5], [6, 6, 5, 5], [2, 2, 6, 6], [2, 2, 6, 6]]
    assert numbers(resizing.bed_of_nails(pooled)) == [[6, 0, 5, 0], [0, 0, 0, 0], [2, 0, 6, 0], [0, 0, 0, 0]]
    back = resizing.max_unpool(pooled, places, (4, 4))
    assert numbers(back) == [[6, 0, 0, 0], [0, 0, 5, 0], [0, 2, 0, 0], [0, 0, 0, 6]]
    torch.testing.assert_close(back, nn.MaxUnpool2d(2)(pooled, places))


@pytest.mark.parametrize("shift", [(0, 3), (2, 0), (1, -2)])
def test_shift_then_convolve_is_convolve_then_shift_and_a_dense_layer_isn_t(shift):
    torch.manual_seed(0)
    x = torch.zeros(1, 1, 16, 16)
    x[..., 5:10, 5:10] = torch.rand(5, 5)
    conv, dense = nn.Conv2d(1, 2, 3, padding=1), nn.Linear(256, 256)
    torch.testing.assert_close(conv(x.roll(shift, (2, 3))), conv(x).roll(shift, (2, 3)))
    moved = dense(x.roll(shift, (2, 3)).flatten(1)).reshape(16, 16)
    assert (moved - dense(x.flatten(1)).reshape(16, 16).roll(shift, (0, 1))).abs().max() > 0.1


@pytest.mark.parametrize(
    ("name", "missed"), [("box", 0.0), ("Gaussian 3×3", 0.0), ("Gaussian 5×5", 0.0), ("edges, Laplacian", 0.0101)]
)
def test_which_kernels_are_a_column_times_a_row(name, missed):
    u, v, found = resizing.separate(KERNELS[name])
    assert found == pytest.approx(missed, abs=1e-4)
    if not missed:
        torch.testing.assert_close(torch.outer(u, v), KERNELS[name], atol=1e-6, rtol=0)


def test_a_separable_layer_is_the_convolution_with_its_outer_product():
    torch.manual_seed(0)
    layer, x = resizing.SeparableConv2d(1, 1, 5), torch.randn(2, 1, 9, 9)
    kernel = torch.outer(layer.column.weight.flatten(), layer.row.weight.flatten())[None, None]
    torch.testing.assert_close(layer(x), F.conv2d(x, kernel, layer.column.bias, padding=2))
    assert sum(p.numel() for p in layer.parameters()) == 5 + 5 + 1


def test_the_gaussian_of_five_is_the_outer_product_of_the_binomials():
    row = torch.tensor([1.0, 4, 6, 4, 1])
    assert torch.outer(row, row).sum() == 256
