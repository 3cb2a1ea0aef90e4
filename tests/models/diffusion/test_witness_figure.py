"""Distances by several classifiers, on few images."""

import pytest
import torch

from scripts.figures import witness
from zoo.errors import InputError
from zoo.models.diffusion.consistency import ConsistencyModel
from zoo.models.diffusion.ddpm import DDPM


def test_steps_go_to_those_that_take_them():
    torch.manual_seed(0)
    diffusion = DDPM((1, 8, 8), 8, timesteps=50).eval()
    torch.nn.init.normal_(diffusion.net.head[-1].weight, std=0.1)
    assert torch.equal(witness.images_by(diffusion, 2, 3), witness.images_by(diffusion, 2, 3))
    assert not torch.equal(witness.images_by(diffusion, 2, 3), witness.images_by(diffusion, 2, None))
    assert witness.images_by(ConsistencyModel((1, 8, 8), 8, timesteps=50).eval(), 2, 3).shape == (2, 1, 8, 8)


@pytest.mark.data("mnist", "fashion-mnist")
def test_every_witness_has_real_images_nearest_and_the_table_is_in_the_section(monkeypatch):
    monkeypatch.setattr(witness, "images_by", lambda model, n, steps: torch.rand(n, 1, 28, 28))
    table = witness.measure(["ddpm-mnist"], ["lenet5-mnist", "cnn-mnist.fcd"], 200, None)
    assert list(table) == [witness.REAL, "ddpm-mnist"]
    for name in ("lenet5-mnist", "cnn-mnist.fcd"):
        assert 0 < table[witness.REAL][name] < table["ddpm-mnist"][name]
    section = witness.text(table, 200, 20, "python some.py")
    assert f"| ddpm-mnist | {table['ddpm-mnist']['lenet5-mnist']:.3f} |" in section and "had 20" in section
    with pytest.raises(InputError, match="no image classifier"):
        witness.measure(["ddpm-mnist"], ["ddpm-mnist"], 100, None)
    with pytest.raises(InputError, match=r"images of fashion-mnist, mnist"):
        witness.measure(["ddpm-mnist", "ddpm-fashion-mnist"], ["lenet5-mnist"], 100, None)
