"""The pictures of the docs' themes on tiny settings, and what each is said to show."""

import importlib.util
from types import ModuleType

import pytest

from tests.conftest import ROOT

SCRIPTS = ROOT / "scripts" / "figures"
PAGES = ROOT / "docs" / "themes"
THEMES = {
    "neurons": "neurons",
    "optimisation": "optimisation",
    "regularisation": "regularisation",
    "convolution": "convolution",
    "latents": "latents",
    "springs": "graphs",
}
FEW = {
    "line": {"epochs": 3},
    "xor": {"seeds": 3, "steps": 20},
    "stalls": {"steps": 5},
    "depth": {"layers": 6, "width": 8},
    "acceleration": {"steps": 20},
    "by_matrix": {"steps": 5},
    "overtraining": {"digits": 30, "steps": 5},
    "augmentations": {"images": 2},
    "coins": {},
    "densities": {"points": 60, "rounds": 5},
    "plane": {"steps": 3},
    "field": {"steps": 3},
    "information": {"images": 50},
    "collapse": {"steps": 4, "latent_dim": 3},
    "linear": {"steps": 5},
    "law": {"steps": 3},
    "shifts": {"names": ("mlp-mnist",), "far": 1},
}


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"figures_{name}", SCRIPTS / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def _beside(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))


@pytest.mark.parametrize("theme", THEMES)
def test_every_picture_is_drawn_and_shown_on_its_page(theme, tmp_path):
    page = (PAGES / f"{THEMES[theme]}.md").read_text(encoding="utf-8")
    for name, draw in script(theme).PICTURES.items():
        numbers = draw(tmp_path / f"{name}.png", **FEW.get(name, {}))
        assert numbers and (tmp_path / f"{name}.png").stat().st_size > 2_000
        assert f"](../figures/{name}.png)" in page, f"{theme}: {name} isn't shown"


def test_published_pictures_are_small_and_belong_to_a_script():
    known = {name for theme in THEMES for name in script(theme).PICTURES}
    found = {path.stem: path.stat().st_size for path in (ROOT / "docs" / "figures").glob("*.png")}
    assert set(found) == known
    assert all(size < 200_000 for size in found.values())


def test_springs_pull_equally_in_both_directions():
    import torch

    figure = script("springs")
    place, mass = torch.tensor([[[0.0, 0.0], [3.0, 0.0]]]), torch.tensor([[1.0, 2.0]])
    found = figure.accelerations(place, mass)
    torch.testing.assert_close(found, torch.tensor([[[4.0, 0.0], [-2.0, 0.0]]]))


def test_the_command_line_names_what_it_doesn_t_know(monkeypatch, capsys):
    import sys

    pictures = script("pictures")
    monkeypatch.setattr(sys, "argv", ["x.py", "nonsense"])
    assert pictures.main("words", {"one": lambda path: {}}) == 2
    assert "no picture nonsense" in capsys.readouterr().err
