"""Real points beside drawn ones: from the distribution that a model's data module names, or none."""

import pytest
import torch

import zoo
from zoo.metrics.points import real_points, wasserstein

RING = {"name": "ring", "init": {"batch_size": 200, "train_size": 10_000, "seed": 0}}


def test_real_points_are_those_of_the_distribution():
    test = zoo.datamodule("ring").tensors("test")[0]
    points = real_points(RING, len(test))
    assert wasserstein(points, test) < 0.02 and not torch.equal(points, test)


@pytest.mark.parametrize(
    "data", [None, {"name": "my-table", "init": {}}, {"name": "iris", "init": {}}], ids=["none", "own", "collected"]
)
def test_collected_data_have_no_distribution_to_draw_from(data):
    assert real_points(data, 10) is None


@pytest.mark.parametrize("name", ["gan-bell", "gan-ring", "maf-moons", "energy-two-moons", "ncsn-toy", "ddpm-pixel"])
def test_a_picture_is_drawn_with_and_without_real_points(name, tmp_path):
    model = zoo.load(name)
    model.preview(tmp_path / "with.png")
    model.data = None
    model.preview(tmp_path / "without.png")
    pictures = [(tmp_path / f"{which}.png").read_bytes() for which in ("with", "without")]
    assert pictures[0] != pictures[1] and min(map(len, pictures)) > 3_000
