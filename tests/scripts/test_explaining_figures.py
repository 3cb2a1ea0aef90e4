"""The figures of explanations on tiny settings, and the facts that they show."""

import pytest
import torch

from tests.scripts.test_figures import Digits, script

pytest.importorskip("captum")


def test_the_section_of_a_card(tmp_path):
    figure = script("explaining")
    text = figure.measure("lenet5-mnist", tmp_path, images=(0,), most=8, seconds=0.2)
    assert text.startswith("## Explained") and "guided-backprop" in text and "| accuracy |" in text
    assert 3_000 < (tmp_path / "explained.png").stat().st_size < 200_000


def test_the_garment_and_the_flat_gradient(tmp_path):
    figure = script("explaining_page")
    assert figure.games(tmp_path) == {"all": 0.75, "half": 0.25}
    found = figure.saturation(tmp_path, "lenet5-mnist")
    assert found["end"] > 0
    figure.contested(tmp_path, "lenet5-mnist", 0, ["saliency", "grad-cam"])
    figure.lime_steps(tmp_path, "lenet5-mnist")
    assert all(file.stat().st_size > 1_000 for file in tmp_path.glob("*.png")) and len(list(tmp_path.iterdir())) == 4


def test_remove_and_retrain(tmp_path):
    class Data:
        def tensors(self, split: str) -> tuple[torch.Tensor, torch.Tensor]:
            digits = Digits()
            return (255 * digits.x.clamp(0, 1)).to(torch.uint8), digits.y

    figure, few = script("explaining"), {"fractions": (0.1, 0.9), "images": 60, "epochs": 1, "seeds": 1}
    found = figure.roar(Data(), ("random", "saliency"), **few)
    assert set(found) == {"random", "saliency"} and all(0 <= a <= 1 for values in found.values() for a in values)
    figure.draw_roar(found, tmp_path / "roar.png", few["fractions"])
    assert (tmp_path / "roar.png").stat().st_size > 2_000
