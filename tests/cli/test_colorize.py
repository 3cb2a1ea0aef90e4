"""zoo colorize: a picture at its own size, and a refusal for a model of another task."""

import torch
from PIL import Image

import zoo
from zoo.cli.main import main


def test_a_grey_picture_gets_colours_at_its_own_size(tmp_path, capsys):
    torch.manual_seed(0)
    folder = zoo.create("colorization", width=8).eval().save_pretrained(tmp_path / "colours")
    Image.new("L", (40, 30), 120).save(tmp_path / "grey.png")
    assert main(["colorize", str(folder), str(tmp_path / "grey.png"), "-o", str(tmp_path / "out.png")]) == 0
    assert "grey.png: " in capsys.readouterr().out
    with Image.open(tmp_path / "out.png") as picture:
        assert picture.size == (40, 30) and picture.mode == "RGB"
    other = zoo.create("vae", latent_dim=4, hidden=[16]).eval().save_pretrained(tmp_path / "vae")
    assert main(["colorize", str(other), str(tmp_path / "grey.png")]) == 2
    assert "doesn't colour pictures" in capsys.readouterr().err
