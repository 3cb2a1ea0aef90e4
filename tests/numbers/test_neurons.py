"""Single neurons, small networks and their gradients, worked out on paper."""

import itertools
import math

import pytest
import torch
from torch import nn

from zoo.blocks import kernels
from zoo.theory.circuits import sign


def test_the_four_point_neuron_separates_its_points():
    x = torch.tensor([[-1.0, 0], [0, 1], [4, 4], [2, 3]])
    t = torch.tensor([-1.0, -1, 1, 1])
    neuron = nn.Linear(2, 1)
    nn.init.zeros_(neuron.weight)
    nn.init.zeros_(neuron.bias)
    optimizer = torch.optim.SGD(neuron.parameters(), lr=0.01)
    for _ in range(500):
        for point, target in zip(x, t, strict=True):
            loss = (1 - target * neuron(point)).clamp(min=0).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert torch.equal(sign(neuron(x)[:, 0]).float(), t)
    assert (t * neuron(x)[:, 0]).min() > 0.9  # at or beyond the hinge, but for a step


def test_gradients_of_the_graph_e_is_a_plus_b_times_b_plus_one():
    a, b = torch.tensor(2.0, requires_grad=True), torch.tensor(1.0, requires_grad=True)
    torch.testing.assert_close(torch.autograd.grad((a + b) * (b + 1), (a, b)), (torch.tensor(2.0), torch.tensor(5.0)))


def test_the_slope_of_a_parabola_at_two():
    x = torch.tensor(2.0, requires_grad=True)
    assert torch.autograd.grad(3 * x**2 + 2 * x + 1, x)[0].item() == 14


@pytest.mark.parametrize(("x", "y"), [((0, 0), 0), ((0, 1), 1), ((1, 0), 1), ((1, 1), 0)])
def test_xor_by_hand_is_or_without_and(x, y):
    either, both = float(x[0] + x[1] > 0.5), float(x[0] + x[1] > 1.5)
    assert float(either - 2 * both > 0.5) == y


def test_no_line_has_the_diagonals_of_xor_on_its_two_sides():
    grid = torch.linspace(-2, 2, 21)
    w = torch.cartesian_prod(grid, grid, grid)
    x = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]])
    said = (x @ w[:, :2].T + w[:, 2] > 0).T  # [lines, 4]
    assert not (said == torch.tensor([False, True, True, False])).all(1).any()
    assert (said == torch.tensor([False, True, True, True])).all(1).any()  # or is no trouble


@pytest.mark.parametrize(
    ("degree", "offset", "phi"),
    [
        (1, 0.0, lambda u, v: [u, v]),
        (2, 0.0, lambda u, v: [u * u, v * v, math.sqrt(2) * u * v]),
        (2, 1.0, lambda u, v: [1, math.sqrt(2) * u, math.sqrt(2) * v, u * u, v * v, math.sqrt(2) * u * v]),
    ],
    ids=["linear", "squares", "all up to squares"],
)
def test_a_polynomial_kernel_is_an_inner_product_of_written_out_features(degree, offset, phi):
    points = [(1.0, 2.0), (-0.5, 3.0), (0.0, -1.0)]
    for a, b in itertools.product(points, points):
        inner = sum(x * y for x, y in zip(phi(*a), phi(*b), strict=True))
        assert kernels.polynomial(torch.tensor([a]), torch.tensor([b]), degree, offset).item() == pytest.approx(
            inner, rel=1e-5
        )


def test_the_rbf_kernel_is_one_at_home_and_has_no_finite_feature_map():
    x = torch.arange(6, dtype=torch.float64)[:, None]
    gram = kernels.rbf(x, x, 1.0)
    assert torch.equal(gram.diagonal(), torch.ones(6, dtype=torch.float64))
    assert torch.linalg.matrix_rank(gram) == 6  # as many dimensions as there are points, for any number of them


@pytest.mark.parametrize(("power", "convex"), [(1, True), (2, True)])
def test_sums_and_chains_of_convex_functions_need_not_be_convex(power, convex):
    x = torch.linspace(-2, 2, 101)
    line, square = -x, x**2
    middle = lambda f: bool((f[1:-1] <= (f[:-2] + f[2:]) / 2 + 1e-6).all())  # noqa: E731
    assert middle(line) and middle(square) and middle(line + square) is convex
    assert not middle(line - square) and not middle(-((x**2) ** power))


def test_softmax_has_the_slope_p_times_one_minus_p_and_minus_p_p():
    z = torch.randn(4, dtype=torch.float64)
    p = z.softmax(0)
    jacobian = torch.autograd.functional.jacobian(lambda x: x.softmax(0), z)
    torch.testing.assert_close(jacobian, torch.diag(p) - torch.outer(p, p))


def test_the_gradient_of_sigmoid_and_cross_entropy_is_y_minus_t():
    z, t = torch.randn(7, dtype=torch.float64, requires_grad=True), torch.rand(7, dtype=torch.float64)
    loss = nn.functional.binary_cross_entropy_with_logits(z, t, reduction="sum")
    torch.testing.assert_close(torch.autograd.grad(loss, z)[0], z.sigmoid().detach() - t)


def test_a_coin_with_three_heads_in_five():
    throws = "HTHTH"
    assert [throws.count(side) / 5 for side in "HT"] == [0.6, 0.4]


def test_precision_recall_and_f1_of_a_table_of_four():
    from torchmetrics.functional import classification as measures

    right, false_alarm, missed, passed = 8, 2, 4, 86
    said = torch.tensor([1] * right + [1] * false_alarm + [0] * missed + [0] * passed)
    true = torch.tensor([1] * right + [0] * false_alarm + [1] * missed + [0] * passed)
    precision, recall = right / (right + false_alarm), right / (right + missed)
    f1 = 2 / (1 / precision + 1 / recall)  # the harmonic mean
    assert (precision, recall) == (0.8, pytest.approx(2 / 3)) and f1 == pytest.approx(8 / 11)
    assert measures.binary_precision(said, true).item() == pytest.approx(precision)
    assert measures.binary_recall(said, true).item() == pytest.approx(recall)
    assert measures.binary_f1_score(said, true).item() == pytest.approx(f1)
    assert measures.binary_jaccard_index(said, true).item() == pytest.approx(f1 / (2 - f1))
