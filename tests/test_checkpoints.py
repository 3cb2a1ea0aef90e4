"""What holds for every published checkpoint folder."""

import json
import shutil

import pytest
import torch
import yaml

import zoo
from tests import published
from tests.snippets import SIXTEEN, quick
from tests.sweeps import by_size, large, some
from zoo import registry
from zoo.core.samples import sample_split
from zoo.paths import CHECKPOINTS, names_in
from zoo.store import cards
from zoo.store import folder as checkpoint
from zoo.train.recipe import RecipeCLI

NAMES = names_in(CHECKPOINTS)
MEBIBYTE = 2**20


def test_generated_files_are_current():
    stale = cards.stale()
    assert not stale, f"run python scripts/cards.py: {[str(path) for path in stale]}"


def test_no_section_of_a_card_was_measured_on_other_weights():
    outdated = [
        (folder.name, title)
        for folder in published.folders().values()
        for title in cards.outdated_sections(folder.path)
    ]
    assert not outdated, "run their scripts of scripts/figures again"


def test_every_metric_has_one_better_direction_in_all_cards():
    directions: dict[str, dict[str, str]] = {}
    for folder in published.folders().values():
        for metric in folder.metrics:
            directions.setdefault(metric["metric"], {})[metric["better"]] = folder.name
    assert not {metric: names for metric, names in directions.items() if len(names) > 1}


def test_floors_of_distances_have_the_spread_of_draws_of_real_images():
    """Three draws of real images differ; that no seed of a training changes them isn't their spread."""
    for folder in published.folders().values():
        for metric in folder.metrics:
            if metric["metric"] in ("fcd_floor", "fcd_pca_gaussian"):
                assert metric["std"] > 0 and metric["n_seeds"] > 1, (folder.name, metric)


def test_a_folder_that_is_being_written_is_not_listed(tmp_path, monkeypatch):
    for name in ("lenet5-mnist", ".lenet5-mnist.new"):
        shutil.copytree(CHECKPOINTS / "lenet5-mnist", tmp_path / name)
    monkeypatch.setattr(cards, "CHECKPOINTS", tmp_path)
    assert [folder.path.name for folder in cards.folders()] == ["lenet5-mnist"]


def test_all_checkpoints_fit_the_budget():
    sizes = [path.stat().st_size for path in CHECKPOINTS.rglob("*") if path.is_file()]
    assert sum(sizes) <= 330 * MEBIBYTE and max(sizes) <= 16 * MEBIBYTE


def test_nothing_pickled_is_in_the_tree():
    assert not [p for p in CHECKPOINTS.rglob("*") if p.suffix in (".ckpt", ".pt", ".pth", ".pkl", ".pickle", ".npy")]


WAITING = [path.parent.name for path in sorted(CHECKPOINTS.glob("[!.]*/recipe.yaml")) if path.parent.name not in NAMES]


@pytest.mark.filterwarnings("ignore:LightningCLI's args|.*will be overridden by")
@pytest.mark.parametrize("name", WAITING)
def test_a_recipe_that_waits_for_its_training_can_start(name):
    cli = RecipeCLI(CHECKPOINTS / name / "recipe.yaml", ["--trainer.accelerator=cpu"], [])
    assert f"python scripts/train.py {name}" in (CHECKPOINTS / name / "recipe.yaml").read_text(encoding="utf-8")
    if cli.model.task == "image-classification":
        x = torch.zeros(2, *cli.datamodule.image_shape)
        assert cli.model.eval()(x).shape == (2, len(cli.datamodule.classes))


SNIPPETS = {name: cards.snippet(folder) for name, folder in published.folders().items()}
NEED_DATA = [name for name, code in SNIPPETS.items() if "zoo.datamodule(" in code]


def same_lines(name: str) -> str:
    """One kind for all checkpoints of a family whose lines differ by the names of model and data alone."""
    info = zoo.info(name)
    return registry.family(info.architecture) + SNIPPETS[name].replace(name, "").replace(str(info.dataset), "")


@pytest.mark.parametrize("name", some([name for name in SNIPPETS if name not in NEED_DATA], same_lines, few=1))
def test_the_lines_of_its_card_run(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(quick(SNIPPETS[name]), f"{name}/README.md", "exec"), {})
    assert SNIPPETS[name].count("\n") > 2, "the card shows nothing that the model can do"
    assert capsys.readouterr().out or list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, code in SNIPPETS.items() if SIXTEEN in code])
def test_the_lines_of_its_card_draw_as_many_as_they_say(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(SNIPPETS[name], f"{name}/README.md", "exec"), {})
    assert (tmp_path / "grid.png").is_file()


@pytest.mark.data(lambda name: zoo.info(name).dataset)
@pytest.mark.parametrize("name", NEED_DATA)
def test_the_lines_of_its_card_run_on_its_data(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(SNIPPETS[name], f"{name}/README.md", "exec"), {})


CLAIMS = [
    name
    for name in NAMES
    if (info := zoo.info(name)).task == "image-classification"
    and f"{info.dataset}/test/accuracy" in info.metrics
    and info.dataset != "usps"  # its owner states no licence, so no images of it are packaged
]
DRAW = [name for name in NAMES if hasattr(registry.architecture(zoo.info(name).architecture), "sample")]


def same_network(name: str) -> str:
    """One kind for all checkpoints of an architecture on one data set; of large networks, for those of a family."""
    info = zoo.info(name)
    return f"{registry.family(info.architecture) if large(name) == 'large' else info.architecture} {info.dataset}"


@pytest.mark.parametrize("name", some(by_size(CLAIMS), same_network, few=1))
def test_claimed_accuracy_holds_on_the_packaged_sample(name):
    info = zoo.info(name)
    claim = info.metrics[f"{info.dataset}/test/accuracy"]
    x, y = sample_split(info.dataset)
    found = (zoo.load(name).predict_proba(x).argmax(1) == y).double().mean().item()
    spread = 4 * (claim.value * (1 - claim.value) / len(y)) ** 0.5 + 1e-9
    assert abs(found - claim.value) < max(spread, 0.01)


@pytest.mark.parametrize("name", some(DRAW, lambda name: zoo.info(name).architecture, few=1))
def test_samples_are_images(name):
    images = zoo.load(name).sample(2, seed=0)
    assert torch.isfinite(images).all() and 0 <= images.min() and images.max() <= 1
    assert images.std() > 0.05


@pytest.mark.parametrize("name", NAMES)
class TestCheckpoint:
    def test_folder_is_complete(self, name):
        folder = cards.Folder(CHECKPOINTS / name)  # raises for a missing file
        assert folder.name == name == folder.path.name
        assert set(folder.recipe) >= {"model", "data", "trainer", "card"}  # export has defaults
        assert {"summary", "paper", "limits", "chosen"} <= set(folder.words)
        assert f"Choices: {cards.plain(folder.words['chosen']).strip()}" in cards.card(folder)
        first = (folder.path / "recipe.yaml").read_text(encoding="utf-8").splitlines()[0]
        assert first == f"# python scripts/train.py {name}"
        assert (folder.path / "preview.png").exists() and (folder.path / "history.csv").exists()
        command = json.loads((folder.path / "provenance.json").read_text(encoding="utf-8"))["command"].split()
        assert command[:2] == ["python", "scripts/train.py"] and name.startswith(command[2])  # .fcd: another's weights
        assert all(word.startswith("--") for word in command[3:])
        facts = folder.provenance
        if parts := facts.get("parts"):
            assert sum(part["epochs"] for part in parts) == facts["epochs"]
            assert sum(part["seconds"] for part in parts) == pytest.approx(facts["seconds"], abs=1)
        time = next((line for line in cards.card(folder).splitlines() if line.startswith("| time")), "")
        named = {key for key, value in folder.config["init"].items() if isinstance(value, str) and value in NAMES}
        for key in named - {"judge"}:  # a judge measures and teaches nothing
            assert "with what it builds on" in time and folder.config["init"][key] in time

    def test_every_metric_says_how_and_belongs_to_this_file(self, name):
        folder = cards.Folder(CHECKPOINTS / name)
        assert folder.metrics
        for metric in folder.metrics:
            assert (
                metric["better"] in ("higher", "lower") and metric["how"] and isinstance(metric["value"], int | float)
            )
            assert metric["sha256"] == folder.config["weights"]["sha256"], "measured on another file"

    def test_verifies(self, name):
        assert zoo.verify(name)

    def test_config_holds_no_python_path(self, name):
        config = json.loads((CHECKPOINTS / name / "config.json").read_text(encoding="utf-8"))
        assert "class_path" not in json.dumps(config) and ":" not in config["architecture"]

    def test_recipe_builds_what_the_config_says(self, name):
        recipe = yaml.safe_load((CHECKPOINTS / name / "recipe.yaml").read_text(encoding="utf-8"))
        config = checkpoint.read_config(CHECKPOINTS / name)
        wanted = recipe["model"].get("init_args") or {}
        differs = {k: v for k, v in wanted.items() if config["init"].get(k) != v}
        assert not differs, "the recipe was changed after training"


def test_pictures_are_small():
    pages = [path for path in (CHECKPOINTS.parent / "docs").rglob("*.png") if "generated" not in path.parts]
    sizes = {path: path.stat().st_size for path in [*CHECKPOINTS.glob("[!.]*/*.png"), *pages]}
    assert len(sizes) > 100 and not [path for path, size in sizes.items() if size >= 200_000]
