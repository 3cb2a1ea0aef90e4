"""The figures of a diffusion model's card on a tiny model."""

import json
from types import SimpleNamespace

import pytest
import torch

from scripts.figures import diffusion
from zoo.models.diffusion.ddpm import DDPM


def test_reconstructions_are_drawn_and_described(tmp_path, monkeypatch):
    monkeypatch.setattr(diffusion, "ROUNDS", (2, 4))
    torch.manual_seed(0)
    model = DDPM((1, 28, 28), 8, timesteps=50).eval()
    found = diffusion.reconstruction(model, "mnist", tmp_path / "reconstruction.png")
    assert list(found) == [2, 4] and all(0 <= error < 1 for error in found.values())
    assert (tmp_path / "reconstruction.png").stat().st_size > 1000
    row = {"sampler": "ddim", "eta": 0.0, "steps": 5, "calls": 5, "fcd": 8.0, "ms": 3.0}
    table = {"images": 40, "floor": 2.0, "threads": 1, "precision": "float32", "rows": [row], "rounds": found}
    text = diffusion.extra("ddpm-mnist", table)
    assert "| ddim | 0 | 5 | 5 | 8.00 | 4.0 | 3 |" in text and "![reconstruction](reconstruction.png)" in text
    assert f"2 steps (mean error of a pixel {found[2]:.3f})" in text


class Painter:
    image_shape = (1, 4, 4)

    def __init__(self):
        self.drawn = []

    def sample(self, count, *, sampler, steps, **_):
        if steps == 50:
            raise KeyboardInterrupt
        self.drawn.append((sampler, steps))
        return torch.rand(count, *self.image_shape)


def test_a_table_that_was_stopped_goes_on_with_its_next_row(tmp_path, monkeypatch):
    weights = {"sha256": "first"}
    monkeypatch.setattr(diffusion, "read_config", lambda folder: {"weights": weights})
    monkeypatch.setattr(diffusion, "read_reference", lambda data: SimpleNamespace(mean=None, covariance=None))
    monkeypatch.setattr(diffusion, "load_pair", lambda data: (None, None))
    monkeypatch.setattr(diffusion, "images_of", lambda data: (torch.zeros(30, 1, 4, 4, dtype=torch.uint8), None))
    monkeypatch.setattr(diffusion, "embed", lambda extractor, images: images.flatten(1).float())
    monkeypatch.setattr(diffusion, "gaussian_statistics", lambda features: (features.mean(), None))
    monkeypatch.setattr(diffusion, "frechet_distance", lambda mean, *_: float(mean))
    painter, file = Painter(), tmp_path / "samplers.json"
    with pytest.raises(KeyboardInterrupt):
        diffusion.sampler_table(painter, "mnist", 10, [("ddim", 0.0, (5, 10, 50))], file)
    assert painter.drawn == [("ddim", 5), ("ddim", 10)]
    before = json.loads(file.read_text())["rows"]
    table = diffusion.sampler_table(painter, "mnist", 10, [("ddim", 0.0, (5, 10, 20))], file)
    assert painter.drawn[2:] == [("ddim", 20)] and table["rows"][:2] == before
    diffusion.sampler_table(painter, "mnist", 8, [("ddim", 0.0, (5,))], file)  # fewer images are another table
    weights["sha256"] = "second"
    diffusion.sampler_table(painter, "mnist", 8, [("ddim", 0.0, (5,))], file)  # and so are other weights
    assert painter.drawn[3:] == [("ddim", 5)] * 2
