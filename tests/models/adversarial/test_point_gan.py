"""The toy games: data whose density is known, and what is measured of the points that are drawn."""

import math

import pytest
import torch

import zoo
from zoo.errors import InputError
from zoo.metrics.points import wasserstein
from zoo.models.adversarial.point_gan import PointGAN


@pytest.mark.parametrize(("name", "dim"), [("bell", 1), ("coin", 1), ("ring", 2)])
def test_the_known_density_integrates_to_one_and_belongs_to_the_points(name, dim):
    data = zoo.datamodule(name)
    x, y = data.tensors("test")
    at = torch.linspace(-1.2, 1.2, 601, dtype=torch.float64)
    grid = torch.cartesian_prod(*[at] * dim).reshape(-1, dim)
    density = data.log_density(grid)
    cell = (at[1] - at[0]) ** dim
    assert (density.exp().sum() * cell).item() == pytest.approx(1, abs=1e-3)
    entropy = -(density.exp() * density.clamp(min=-1e3)).sum() * cell
    assert -data.log_density(x.double()).mean().item() == pytest.approx(entropy.item(), abs=0.05)
    index, near = data.nearest(x)
    assert torch.equal(index, y) and near.float().mean() > 0.98
    shares = torch.bincount(y, minlength=len(data.weights)) / len(y)
    torch.testing.assert_close(shares, torch.tensor(data.weights), rtol=0, atol=0.02)


def test_wasserstein_is_the_shift_of_a_shifted_cloud():
    x = torch.randn(4000, 1)
    assert wasserstein(x, x[torch.randperm(4000)] + 0.3) == pytest.approx(0.3, abs=1e-3)
    plane = torch.randn(200, 2)
    moved = wasserstein(plane, plane + torch.tensor([1.0, 0.0]), directions=4000)
    assert moved == pytest.approx(2 / math.pi, abs=0.02)  # E |cos| over directions


def test_measures_of_known_points():
    data = zoo.datamodule("ring")
    model = PointGAN(2, 4, hidden=(8,))

    def measured(points):
        model.sample_points = lambda n, seed: points
        return {entry["metric"]: entry["value"] for entry in model.evaluate(data)}

    right = measured(data.draw(10_000, 7)[0])
    assert right["modes"] == 8 and right["near"] > 0.98
    assert right["component_kl"] < 1e-3 and right["wasserstein"] < 0.02
    x, y = data.tensors("train")
    collapsed = measured(x[y < 4].repeat(3, 1)[:10_000])
    assert collapsed["modes"] == 4 and collapsed["component_kl"] == pytest.approx(math.log(2), abs=0.01)
    away = measured(torch.zeros(10_000, 2))
    assert away["modes"] == 0 and away["near"] == 0


def test_points_go_in_and_come_out_in_the_same_units():
    model = PointGAN(1, 2, hidden=(8,)).eval()
    x = torch.linspace(-1, 1, 5)[:, None]
    with torch.no_grad():
        expected = model.discriminator(x[:, :, None, None]).sigmoid()
    torch.testing.assert_close(model.verdict(x), expected)
    points = model.sample_points(7, seed=0)
    torch.testing.assert_close((points + 1) / 2, model.sample(7, seed=0).flatten(1))
    assert torch.equal(points, model.sample_points(7, seed=0))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PointGAN(0), "dim must be"),
        (lambda: PointGAN(2).verdict(torch.zeros(3, 1)), r"points are finite \[N, 2\], not \[3, 1\]"),
        (lambda: PointGAN(1).verdict(torch.full((3, 1), float("nan"))), "finite"),
        (lambda: PointGAN(1).sample_points(0), "at least 1"),
    ],
)
def test_bad_input_says_what_is_wrong(call, message):
    with pytest.raises(InputError, match=message):
        call()
