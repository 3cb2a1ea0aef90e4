"""The figures of a diffusion model's card on a tiny model."""

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
