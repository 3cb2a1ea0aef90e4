"""The sweep of guidance weights on a tiny model."""

import pytest
import torch

from scripts.figures import guidance
from zoo.errors import InputError
from zoo.models.convnets.lenet5 import LeNet5
from zoo.models.diffusion.cfg import ConditionalDDPM
from zoo.models.diffusion.guidance import NoisyClassifier


def test_what_draws_and_what_does_not():
    draw = guidance.drawer(ConditionalDDPM((1, 28, 28), 8, timesteps=50).eval(), "ddpm-mnist", "cpu")
    assert draw(torch.tensor([1, 2]), 2.0).shape == (2, 1, 28, 28)
    draw = guidance.drawer(NoisyClassifier(width=8), "ddpm-mnist", "cpu")
    assert draw(torch.tensor([3]), 1.0).shape == (1, 1, 28, 28)
    with pytest.raises(InputError, match="takes no guidance"):
        guidance.drawer(LeNet5(), "ddpm-mnist", "cpu")


@pytest.mark.filterwarnings("ignore:40 samples leave")
@pytest.mark.data("mnist")
def test_a_sweep_becomes_a_table_and_a_figure(monkeypatch, tmp_path):
    monkeypatch.setattr(guidance, "WEIGHTS", (0.0, 2.0))
    table = guidance.sweep(lambda labels, w: torch.rand(len(labels), 1, 28, 28), "mnist", 40, "cpu") | {"guided": ""}
    assert [row["guidance"] for row in table["rows"]] == [0.0, 2.0] and table["floor"] < table["rows"][0]["fcd"]
    guidance.draw(table, tmp_path / "guidance.png")
    assert (tmp_path / "guidance.png").stat().st_size > 1000
    assert "--images 40`" in guidance.extra("cfg-ddpm-mnist", table)
