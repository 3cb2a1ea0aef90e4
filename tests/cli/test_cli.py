"""The command line by subprocess: output for people, exit code 2 and one line for their mistakes, never a traceback."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests import forked
from tests.conftest import ROOT
from tests.test_registry import with_transform
from zoo.cli.main import main
from zoo.paths import CHECKPOINTS
from zoo.store.folder import write

PYTHON = sys.executable


def run(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PYTHON, "-m", "zoo.cli.main", *arguments], capture_output=True, text=True, cwd=ROOT, **options
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> tuple[str, str]:
    import zoo

    root = tmp_path_factory.mktemp("checkpoints")
    classifier = with_transform(zoo.create("lenet5")).save_pretrained(root / "lenet5-small")
    generator = write(zoo.create("ddpm", width=8, timesteps=60), root / "ddpm-small", preview=False)
    return str(classifier), str(generator)


def test_list_and_info():
    listed = run("list")
    assert listed.returncode == 0 and listed.stdout.startswith("name")
    assert run("info", "nonsense").returncode == 2


def test_predict_prints_a_line_a_file(folders, tmp_path, capsys):
    from PIL import Image

    files = []
    for i in range(2):
        Image.new("RGB", (40, 30), (i * 90, 50, 9)).save(tmp_path / f"{i}.png")
        files.append(str(tmp_path / f"{i}.png"))
    assert main(["predict", folders[0], *files, "--top", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and all(line.startswith(file) for line, file in zip(lines, files, strict=True))


def test_sample_writes_a_grid_and_verify_agrees(folders, tmp_path, capsys):
    target = tmp_path / "grid.png"
    assert main(["sample", folders[1], "-n", "4", "-o", str(target), "--steps", "3", "--sampler", "ddim"]) == 0
    assert target.exists()
    assert main(["verify", folders[1]]) == 0
    assert "agree" in capsys.readouterr().out


@pytest.fixture(scope="module")
def writer(tmp_path_factory) -> str:
    import zoo

    model = zoo.create("gpt", vocab_size=3, context=8, layers=1, heads=1, width=8)
    model.classes = ["a", "b", "\n"]
    return str(model.save_pretrained(tmp_path_factory.mktemp("texts") / "gpt-small"))


def test_generate_streams_what_the_model_generates(writer, capsys):
    import zoo

    options = ["-n", "30", "--temperature", "1.5", "--top-k", "3", "--top-p", "0.9", "--seed", "4"]
    assert main(["generate", writer, "ab", *options]) == 0
    text = zoo.load(writer).generate("ab", 30, temperature=1.5, top_k=3, top_p=0.9, seed=4)
    assert capsys.readouterr().out == f"ab{text}\n"
    for bad, message in (
        (["abc"], "'c' at position 2"),
        ([""], "empty"),
        (["a", "-n", "0"], "at least 1"),
        (["a", "--temperature", "-1"], "temperature"),
        (["a", "--top-k", "9"], "top_k is 9"),
    ):
        assert main(["generate", writer, *bad]) == 2
        printed = capsys.readouterr()
        assert message in printed.err and printed.err.count("\n") == 1 and not printed.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sample", "{generator}", "-n", "0"], "at least 1"),
        (["sample", "{generator}", "--steps", "-5"], "from 1 to 60"),
        (["sample", "{generator}", "--sampler", "dimm"], "Did you mean ddim"),
        (["sample", "{generator}", "--labels", "3"], "labels"),
        (["sample", "{generator}", "--guidance", "2"], "takes no --guidance"),
        (["sample", "{generator}", "--steps", "2", "--prompt", "a seven"], "takes no --prompt\n"),
        (["sample", "{generator}", "--control", "no-such.png"], "takes no --control\n"),
        (["sample", "{classifier}"], "doesn't draw samples"),
        (["predict", "{generator}", "{picture}"], "doesn't answer to an input"),
        (["predict", "perceptron-iris", "{picture}"], "a row is numbers with commas"),
        (["predict", "{generator}", "a.png"], "is made for unconditional-image-generation"),
        (["generate", "{classifier}", "a"], "doesn't write text"),
        (["predict", "{classifier}", "no-such.png"], "there is no file"),
        (["verify", "no-such-model"], "no model named"),
        (["list", "--sort", "nonsense"], "has the metric"),
        (["evaluate", "{generator}"], "doesn't say which data"),
    ],
)
def test_mistakes_end_with_code_2_and_one_line(arguments, message, folders, capsys):
    picture = CHECKPOINTS / "lenet5-mnist" / "preview.png"
    filled = [a.format(classifier=folders[0], generator=folders[1], picture=picture) for a in arguments]
    assert main(filled) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("zoo: ") and error.count("\n") == 1


def test_samples_follow_the_edges_of_an_image_file(tmp_path, capsys):
    from PIL import Image, ImageDraw

    import zoo
    from zoo.blocks.edges import edge_map

    model = zoo.create("controlnet", width=8, blocks=1, timesteps=20)
    with torch.no_grad():  # branch and output begin at zero
        for parameter in model.parameters():
            parameter.add_(0.1)
    folder = str(write(model, tmp_path / "controlnet-here", preview=False))
    drawing = Image.new("RGB", (56, 56))
    ImageDraw.Draw(drawing).rectangle((12, 12, 40, 30), fill="white")
    drawing.save(tmp_path / "a.png")
    grid = tmp_path / "grid.png"
    options = ["-n", "2", "--steps", "2", "-o", str(grid)]
    assert main(["sample", folder, "--control", str(tmp_path / "a.png"), *options]) == 0
    drawn = np.asarray(Image.open(grid))
    edges = edge_map(
        torch.from_numpy(np.asarray(drawing.convert("L").resize((28, 28)), dtype=np.float32) / 255)[None, None]
    )
    zoo.save_grid(zoo.load(folder).sample(2, control=edges, steps=2, seed=0), tmp_path / "expected.png")
    assert np.array_equal(drawn, np.asarray(Image.open(tmp_path / "expected.png")))
    assert main(["sample", folder, *options]) == 0
    assert not np.array_equal(drawn, np.asarray(Image.open(grid)))
    capsys.readouterr()
    assert main(["sample", folder, "--control", str(tmp_path / "no.png"), *options]) == 2
    assert "there is no file" in capsys.readouterr().err


def test_the_installed_command_has_no_traceback():
    result = run("load")
    assert result.returncode == 2 and "Traceback" not in result.stderr


def test_missing_data_offline_is_one_sentence(folders, tmp_path, monkeypatch, capsys, no_network):
    import json
    import shutil

    folder = tmp_path / "lenet5-here"
    shutil.copytree(folders[0], folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"data": {"name": "mnist", "init": {}}}))
    monkeypatch.setenv("ZOO_DATA", str(tmp_path / "empty"))
    monkeypatch.setattr("datamodules.files.urlopen", lambda *_, **__: (_ for _ in ()).throw(OSError("no network")))
    assert main(["evaluate", str(folder)]) == 2
    assert "ZOO_DATA" in capsys.readouterr().err


def train(*arguments: str) -> None:
    """What scripts/train.py does."""
    from zoo.cli.main import ended
    from zoo.train import experiment

    sys.exit(ended(lambda: experiment.main(list(arguments))))


@pytest.mark.parametrize(
    ("arguments", "word"),
    [(("lenet5-mnist", "--fit", "0", "--trainer.max_epochz=1"), "max_epochz"), (("lenet5-mist",), "lenet5-mnist")],
)
def test_recipe_with_a_typo_names_the_key(arguments, word, tmp_path):
    process = forked.start(train, *arguments, "--runs", str(tmp_path))
    process.join(120)
    said = process.log.read_text(encoding="utf-8")
    assert forked.finish(process, fine=(2,)) == [2]
    assert word in said and "Traceback" not in said


def test_scripts_explain_themselves():
    for script in sorted(Path(ROOT / "scripts").glob("*.py")):
        text = script.read_text(encoding="utf-8")
        called = (f"python scripts/{script.name}", f"python -m scripts.{script.stem}")
        assert text.startswith('"""') and any(words in text for words in called), script.name
