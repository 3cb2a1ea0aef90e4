"""The measured numbers of the theory page, and its further pictures, on tiny settings."""

import pytest
import torch

import zoo
from tests.scripts.test_figures import script
from zoo.core.samples import sample_split
from zoo.errors import ZooError
from zoo.models.energy.dbn import DBN
from zoo.theory import plane


def test_a_message_costs_about_the_bound_and_decodes():
    pytest.importorskip("constriction")
    model = zoo.load("vae-mnist")
    images = model.binarize(sample_split("mnist")[0][:12].float() / 255, seed=0)
    found = script("theory_numbers").coded(model, images, draws=20)
    assert found["exact"] == 1.0 and found["net"] == pytest.approx(found["elbo"], rel=0.1)


def test_numbers_go_between_their_markers(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- x -->\nold\n<!-- /x -->\nb\n")
    script("theory_numbers").put(page, "x", "new")
    assert page.read_text() == "a\n<!-- x -->\nnew\n<!-- /x -->\nb\n"
    with pytest.raises(ZooError, match="markers"):
        script("theory_numbers").put(page, "y", "new")


def test_a_turn_is_counted_from_a_step_on():
    path = plane.Path((0, 400, 800), torch.tensor([[0.0] * 6, [1.0] * 6, [3.0] * 6]), torch.zeros(3, 6), 0.5, (1, 1, 1))
    assert script("theory_numbers").turns(path).tolist() == [2, 2, 2]


def test_the_present_consists_of_three_parts(tmp_path):
    figures = script("theory_sources")
    for whole, *parts in figures.present(tmp_path / "a.png").values():
        assert sum(parts) == pytest.approx(whole, abs=1e-9)
    figures.drawings(tmp_path / "b.png")
    assert figures.moving(tmp_path / "c.gif", steps=4, every=2)["frames"] == 3
    assert all(5_000 < path.stat().st_size < 200_000 for path in tmp_path.iterdir())


def test_a_falling_ball_is_learnt(tmp_path):
    found = script("theory_sources").motions(tmp_path / "a.png", epochs=2)
    assert found["free-fall"]["rmse"] < found["free-fall"]["spread"][0]


def test_two_starts_learn_the_same_labels():
    torch.manual_seed(0)
    figures, base = script("belief"), DBN(hidden=[16, 16])
    x, y = sample_split("mnist")
    digits = x.float() / 255, y
    rows = figures.study(base, digits, digits, seeds=1, per_class=2)
    assert rows[0]["pretrained"]["loss"] < 0.01 or rows[0]["pretrained"]["epochs"] == 400
    text = figures.section([rows[0], rows[0] | {"seed": 1}], 20)
    assert text.startswith("## With 20 labels") and text.count("%") == 6
