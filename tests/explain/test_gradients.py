"""Gradient methods on functions whose attributions are known in closed form."""

import pytest
import torch
from torch import nn

import zoo
from tests.explain.linear import Linear
from zoo.core.samples import sample_split
from zoo.errors import IncompleteError, InputError
from zoo.explain import gradients

pytest.importorskip("captum")
W = torch.tensor([1.0, -2.0, 3.0])


def linear(x):
    return x @ W + 0.5


def test_linear_model():
    x, b = torch.tensor([[2.0, 1.0, -1.0]]), torch.tensor([[1.0, 1.0, 1.0]])
    assert torch.equal(gradients.saliency(linear, x)[0], W)
    assert torch.equal(gradients.gradient_x_input(linear, x)[0], W * x[0])
    for steps in (1, 7, None):
        torch.testing.assert_close(gradients.integrated_gradients(linear, x, b, steps), W * (x - b))
    torch.testing.assert_close(gradients.smoothgrad(linear, x), W[None])
    assert not x.requires_grad and x.tolist() == [[2.0, 1.0, -1.0]]  # the caller's tensor is as it was


def test_quadratic_in_closed_form():
    """f = Σ x² from b: x² − b² each. The right-end sum with m steps is too large by (x − b)² / m."""
    x, b = torch.tensor([[3.0, -1.0]]), torch.tensor([[1.0, 0.0]])

    def square(x):
        return x.square().sum(1)

    torch.testing.assert_close(gradients.integrated_gradients(square, x, b), torch.tensor([[8.0, 1.0]]))
    right = gradients.integrated_gradients(square, x, b, 4, rule="riemann_right")
    torch.testing.assert_close(right, torch.tensor([[8.0 + 4 / 4, 1.0 + 1 / 4]]))


def test_right_end_sum_is_the_printed_one():
    """(x − b) · Σ_k ∂F(b + k/m (x − b)) / m, k = 1 … m, by hand."""
    x, b, m = torch.tensor([[1.5, -0.5]]), torch.zeros(1, 2), 5

    def f(x):
        return (x[:, 0] * x[:, 1]).sin() + x[:, 0].exp()

    total = torch.zeros(1, 2)
    for k in range(1, m + 1):
        point = (b + k / m * (x - b)).requires_grad_()
        total += torch.autograd.grad(f(point).sum(), point)[0] / m
    torch.testing.assert_close(gradients.integrated_gradients(f, x, b, m, rule="riemann_right"), (x - b) * total)


def test_halving_finds_what_equal_steps_miss():
    """A step of width 1e-3: 32 points of one rule don't see it, its rise is on one part of the way."""

    def step(x):
        return torch.sigmoid((x[:, 0] - 0.377) * 4e3)

    x, b = torch.ones(1, 1), torch.zeros(1, 1)
    assert float(gradients.integrated_gradients(step, x, b, 32)) != pytest.approx(1, abs=0.2)
    assert float(gradients.integrated_gradients(step, x, b)) == pytest.approx(1, abs=0.01)


def test_lenet_values():
    """Gauss-Legendre with 50 and 200 steps, and the exact difference of the logits."""
    model, image = zoo.load("lenet5-mnist"), sample_split("mnist")[0][0]
    few, many = (zoo.explain(model, image, samples=m) for m in (50, 200))
    assert float(few.values.sum()) == pytest.approx(7.024, abs=0.02)
    assert float(many.values.sum()) == pytest.approx(7.108, abs=0.02)
    assert few.output - few.base == pytest.approx(7.105, abs=0.002)
    assert few.gap == pytest.approx(abs(7.024 - 7.105) / 7.105, abs=0.003)


def test_expected_gradients_are_the_mean_over_baselines():
    def square(x):
        return x.square().sum(1)

    x, baselines = torch.tensor([[2.0, 1.0]]), torch.tensor([[0.0, 0.0], [1.0, -1.0]])
    torch.manual_seed(0)
    found = gradients.expected_gradients(square, x, baselines, 4000)
    mean = torch.stack([gradients.integrated_gradients(square, x, b[None])[0] for b in baselines]).mean(0)
    torch.testing.assert_close(found[0], mean, atol=0.08, rtol=0)


def test_deeplift_slope():
    """ReLU of a sum that goes from 2 to −2: Δy/Δx = −2 / −4 = 0.5, where the gradient is 0; importance −2."""
    module = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Flatten(0))
    with torch.no_grad():
        module[0].weight.fill_(1.0)
        module[0].bias.fill_(0.0)
    x, b = torch.tensor([[-2.0]]), torch.tensor([[2.0]])
    assert gradients.saliency(module, x).item() == 0
    assert gradients.deeplift(module, x, b).item() == pytest.approx(-2)
    assert gradients.deeplift(module, x, b).item() / (x - b).item() == pytest.approx(0.5)
    mean = gradients.deeplift(module, torch.tensor([[1.0]]), torch.tensor([[0.0], [-4.0]]))
    assert mean.item() == pytest.approx(1)  # rises by 1 from either


def test_deeplift_says_where_it_is_not_complete():
    image = sample_split("mnist")[0][0]
    whole = zoo.explain(zoo.load("simplecnn-mnist"), image, "deeplift")
    assert whole.gap < 1e-4 and float(whole.values.sum()) == pytest.approx(9.071, abs=0.01)
    for name in ("lenet5-mnist", "vit-mnist"):
        with pytest.raises(IncompleteError, match="use integrated-gradients"):
            zoo.explain(zoo.load(name), image, "deeplift")


def test_guided_backprop_stops_what_is_negative():
    module = nn.Sequential(nn.Linear(1, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False), nn.Flatten(0))
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[1.0], [2.0]]))
        module[2].weight.copy_(torch.tensor([[3.0, -4.0]]))
    x = torch.tensor([[1.0]])
    assert gradients.saliency(module, x).item() == -5  # 3 − 8
    assert gradients.guided_backprop(module, x).item() == 3
    with pytest.raises(InputError, match="has none"):
        gradients.guided_backprop(nn.Sequential(nn.Linear(1, 1), nn.Flatten(0)), x)


def test_bad_steps():
    x = torch.ones(1, 3)
    with pytest.raises(InputError, match="steps must be"):
        gradients.integrated_gradients(linear, x, 0 * x, 0)
    with pytest.raises(InputError, match="rule is one of gausslegendre"):
        gradients.integrated_gradients(linear, x, 0 * x, rule="simpson")


@pytest.mark.parametrize("method", ["saliency", "gradient-x-input", "integrated-gradients"])
def test_linear_image_model_through_the_front_door(method):
    model, x = Linear(), torch.rand(1, 1, 4, 4)
    found = zoo.explain(model, x, method, target=1)
    w, b = -model.weight.detach(), 0.0
    right = {"saliency": w, "gradient-x-input": w * x[0], "integrated-gradients": w * (x[0] - b)}[method]
    torch.testing.assert_close(found.values, right)
    shown = right.abs() if method == "saliency" else right
    torch.testing.assert_close(found.heatmap(), shown[0])
    assert found.output == pytest.approx(model(x)[0, 1].item())
