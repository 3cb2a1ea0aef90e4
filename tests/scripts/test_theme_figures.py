"""The pictures of the docs' themes on tiny settings, and what each is said to show."""

import importlib.util
from types import ModuleType

import pytest

from datamodules.jsb_chorales import sample as chorales
from datamodules.sst2 import sample as reviews
from tests.conftest import ROOT
from zoo.core.samples import sample_split

SCRIPTS = ROOT / "scripts" / "figures"
PAGES = ROOT / "docs" / "themes"
THEMES = {
    "neurons": "neurons",
    "optimisation": "optimisation",
    "regularisation": "regularisation",
    "convolution": "convolution",
    "latents": "latents",
    "springs": "graphs",
    "readouts": "graphs",
    "attention": "attention",
    "generators": "generators",
    "words": "words",
    "word_vectors": "words",
    "heads": "convolution",
    "transcription": "convolution",
    "concepts": "concepts",
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
    "extrapolation": {"steps": 3, "samples": 3},
    "readouts": {"count": 6, "steps": 2, "folds": 0},
    "maps": {"letters": 12, "passages": 2, "images": 4},
    "performer": {"counts": (8,), "lengths": (16, 32), "draws": 1, "images": 8},
    "likeness": {"images": 8},
    "pixels": {"digits": sample_split("mnist"), "steps": 2},
    "conditions": {"steps": 2, "seeds": 1},
    "slices": {"rolls": chorales(), "steps": 3},
    "vectors": {"parts": (reviews()[:40], reviews()[:8]), "sizes": (30,), "epochs": 1, "seeds": 1},
    "transcription": {"parts": (sample_split("mnist"),) * 2, "depths": (0, 1), "widths": (4,), "steps": 2},
    "heads": {"parts": (sample_split("mnist"),) * 2, "sizes": (50,), "steps": 2, "seeds": 1},
    "dissection": {"images": 12, "layers": ("stage3",)},
    "anchors": {"digits": 2, "samples": 4, "size": 2},
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


def test_layers_are_alike_if_one_is_the_other_turned_and_not_if_they_have_nothing_in_common():
    import torch

    figure = script("attention")
    torch.manual_seed(0)
    x, other = torch.randn(60, 200), torch.randn(60, 200)
    turn = torch.linalg.qr(torch.randn(200, 200))[0]
    assert figure.likeness_of(figure.gram(x), figure.gram(3 * x @ turn + 1)) == pytest.approx(1, abs=1e-4)
    assert abs(figure.likeness_of(figure.gram(x), figure.gram(other))) < 0.1


def test_weights_of_a_gpt_are_those_that_its_attention_uses():
    import torch

    from zoo.models.transformers.gpt import GPT

    torch.manual_seed(0)
    model, tokens = GPT(20, 16, layers=1, heads=2, width=8).eval(), torch.arange(9)
    weights = script("attention").causal_weights(model, tokens)
    assert weights.shape == (1, 2, 9, 9)
    layer, x = model.blocks[0].attention, model.blocks[0].norm1(model.embedding(tokens[None]))
    v = layer.qkv(x).unflatten(2, (3, 2, -1)).permute(2, 0, 3, 1, 4)[2]
    mixed = layer.out((weights @ v).transpose(1, 2).flatten(2))
    torch.testing.assert_close(mixed, layer(x, model.rotation[:9], None))


def test_holes_and_strokes_are_where_they_were_drawn():
    import torch

    figure = script("concepts")
    ring = torch.zeros(1, 9, 9, dtype=torch.bool)
    ring[0, 2:7, 2:7] = True
    ring[0, 3:6, 3:6] = False
    assert int(figure.holes(ring).sum()) == 9
    line = torch.zeros(1, 20, 20)
    line[0, 3:17, 9:11] = 1
    found = figure.strokes(line)
    assert found["upright"].sum() > 15 and found["level"].sum() + found["rising"].sum() + found["falling"].sum() < 6
    slope = (
        torch.arange(20)[:, None] + torch.arange(20) - 19
    ).abs() <= 1  # from below on the left to above on the right
    found = figure.strokes(slope[None].float())
    assert found["rising"].sum() > 20 and found["falling"].sum() == 0


def test_equal_values_have_equal_ranks():
    import torch
    from scipy.stats import spearmanr

    figure = script("words")
    a, b = torch.tensor([1.0, 2.0, 2.0, 5.0, 0.0]), torch.tensor([3.0, 1.0, 4.0, 4.0, 0.0])
    assert figure.rank_correlation(a, b) == pytest.approx(spearmanr(a, b).statistic)


def test_the_command_line_names_what_it_doesn_t_know(monkeypatch, capsys):
    import sys

    pictures = script("pictures")
    monkeypatch.setattr(sys, "argv", ["x.py", "nonsense"])
    assert pictures.main("words", {"one": lambda path: {}}) == 2
    assert "no picture nonsense" in capsys.readouterr().err
