"""The figures of sequences on small settings, and the facts that they show."""

import pytest
import torch
from torch import nn

from datamodules.jsb_chorales import sample
from scripts.figures.sequences import (
    ORGANISATIONS,
    PARKS,
    Names,
    beams,
    distances,
    gaussian_as_attention,
    gaussian_weights,
    kernel_regression,
    positions,
    sinusoids,
    variations,
)
from zoo.models.transformers.music import MusicTransformer


def test_a_gaussian_kernel_is_a_softmax_of_dot_products(tmp_path):
    x, known = torch.linspace(-1, 1, 30), torch.rand(9) * 2 - 1
    torch.testing.assert_close(
        gaussian_as_attention(x, known, 0.3), gaussian_weights(x, known, 0.3), atol=1e-5, rtol=1e-4
    )
    errors = kernel_regression(tmp_path / "kernel.png", points=40, steps=150)
    assert (tmp_path / "kernel.png").stat().st_size > 1000
    assert errors["learnt dot product"] < errors["Gaussian, 0.15"]


def test_likeness_of_places_depends_on_their_distance_alone(tmp_path):
    likeness = positions(tmp_path / "positions.png", places=20, d=8)
    torch.testing.assert_close(likeness[0], likeness[1], atol=1e-5, rtol=1e-5)  # a sum of the same cosines
    table = sinusoids(20, 8)
    products = table @ table.T
    torch.testing.assert_close(products[:-3, :-3], products[3:, 3:])


def test_beams_find_what_the_greedy_choice_misses():
    for names, greedy in ((PARKS, "yellowstone national park"), (ORGANISATIONS, "bank of america")):
        top, total = max(names, key=lambda name: names[name]), sum(names.values())
        model = Names(names)
        assert model.best(1)[0] == greedy
        for k in (2, 5):
            name, p = model.best(k)
            assert name == top and p == pytest.approx(names[top] / total)
    assert "| organisations | google (0.30) | bank of america (0.20) | google (0.30) |" in beams()


def test_figures_of_a_music_transformer(tmp_path):
    torch.manual_seed(0)
    model = MusicTransformer(16, 2, heads=2, reach=12)
    nn.init.zeros_(model.blocks[1].distance)
    found = distances(model, sample()[:1], tmp_path / "distances.png", reach=20)
    assert found.shape == (4, 12) and found[:2].abs().min(1).values.max() < found[:2].abs().max()
    assert not found[2:].any()  # no vector, nothing added
    variations(model, sample()[0], tmp_path / "variations.png", primer=2, steps=3, count=2)
    assert all((tmp_path / name).stat().st_size > 1000 for name in ("distances.png", "variations.png"))
