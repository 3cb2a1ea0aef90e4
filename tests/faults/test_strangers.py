"""Nobody is let in, nothing hangs: configs, names, cards and archives of strangers are data, and each gives one sentence."""

import json
import os
import time
from pathlib import Path

import pytest
import torch

import zoo
from datamodules.formats.pieces import tokenizer_of
from datamodules.formats.smiles import from_smiles, molecular_weight
from datamodules.own import read_text
from tests.hub.folders import make_folder, small_model
from zoo import index
from zoo.cli.main import main
from zoo.core.files import parse_json, shown
from zoo.errors import CheckpointError, InputError, PublishError, UnknownNameError, ZooError
from zoo.store import publish
from zoo.store.measure import datamodule


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return make_folder(tmp_path_factory.mktemp("strangers") / "tiny-mnist")


@pytest.fixture
def folder(base, tmp_path) -> Path:
    import shutil

    return Path(shutil.copytree(base, tmp_path / "tiny-mnist"))


def change(folder: Path, **values: object) -> Path:
    config = json.loads((folder / "config.json").read_text())
    for key, value in values.items():
        config[key] = config[key] | value if isinstance(config[key], dict) and isinstance(value, dict) else value
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    "values",
    [
        {"classes": ["1"]}, {"classes": []}, {"preprocess": {"size": [20_000, 20_000]}}, {"preprocess": {"std": [0]}},
        {"init": {"num_classes": 10**9}}, {"init": {"num_classes": 10**30}}, {"name": "../x"}, {"init": {"num_clases": 3}},
        {"data": {"name": "mnist", "init": 3}}, {"weights": {"sha256": 3}}, {"init": {"batch_norm": [[]]}},
    ],
)  # fmt: skip
def test_configs_of_strangers_are_refused_in_a_second(folder, values):
    started = time.process_time()
    with pytest.raises(ZooError) as error:
        zoo.load(change(folder, **values))
    assert time.process_time() - started < 1 and "\n" not in str(error.value)


def test_a_key_that_stands_twice_is_refused(folder):
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace('"name":', '"name": "other", "name":', 1))
    with pytest.raises(CheckpointError, match="'name' stands twice"):
        zoo.load(folder)
    for bad in ("NaN", "[Infinity]", "[" * 100_000, '{"a": 1, "a": 2}', "1" * 5000):
        with pytest.raises(ValueError):  # noqa: PT011  # of any kind, which its callers turn into their own
            parse_json(bad)


@pytest.mark.parametrize("key", ["root", "path"])
def test_a_config_names_no_place_of_this_machine(folder, key):
    change(folder, data={"name": "text-file" if key == "path" else "image-folder", "init": {key: "/etc"}})
    with pytest.raises(InputError, match="names a place of another machine"):
        datamodule(str(folder))
    assert f"names a place on this machine ({key})" in " ".join(publish.problems(folder))


def test_weights_that_are_a_pipe_do_not_hang(folder):
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")
    with pytest.raises(CheckpointError, match="no regular file"):
        zoo.load(folder)
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to("/dev/zero")
    with pytest.raises(CheckpointError):
        zoo.load(folder)


def test_publish_sends_exact_names_and_follows_no_link(folder, tmp_path):
    (tmp_path / "id_rsa").write_text("secret")
    for name in ("notes.md", "creds.json", "table.csv", "picture.png", "shown.png"):
        (folder / name).write_text("mine")
    (folder / "linked.png").symlink_to(tmp_path / "id_rsa")
    with (folder / "README.md").open("a") as card:
        card.write("\n![a figure](shown.png) ![b](linked.png) ![c](../id_rsa.png)\n")
    sent = publish.contents(folder, "me/tiny-mnist")
    assert {"config.json", "model.safetensors", "README.md", "shown.png"} <= sent.keys()
    assert not {"notes.md", "creds.json", "table.csv", "picture.png", "linked.png"} & sent.keys()
    (folder / "history.csv").unlink()
    (folder / "history.csv").symlink_to(tmp_path / "id_rsa")
    assert "history.csv" not in publish.contents(folder, "me/tiny-mnist")
    with pytest.raises(PublishError, match=r"history\.csv is a link"):
        publish.check(folder)


def test_weights_that_are_no_numbers_are_not_saved(tmp_path):
    model = small_model()
    torch.nn.init.constant_(model.head.bias, float("nan"))
    with pytest.raises(InputError, match=r"head\.bias holds NaN"):
        model.save_pretrained(tmp_path / "m")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "null", '{"version": "1.0"}', '{"model": {"type": "BPE", "vocab": {}, "merges": [["a", "b"]]}}'],
)
def test_tokenizers_of_strangers(text):
    pytest.importorskip("tokenizers")
    with pytest.raises(InputError, match="damaged"):
        tokenizer_of(text)


@pytest.mark.parametrize(
    "raw",
    ["", "{", "[]", "{}", '{"models": []}', '{"models": {"a": 1}}', '{"models": {"a": {"metrics": 3}}}', '{"models": null}',
     '{"models": {"a": {"metrics": [], "size": "x"}}}'],
)  # fmt: skip
def test_a_damaged_index_is_one_sentence(tmp_path, monkeypatch, raw, capsys):
    (tmp_path / "index.json").write_text(raw)
    monkeypatch.setattr(index, "INDEX", tmp_path / "index.json")
    index.entries.cache_clear()
    try:
        assert main(["list"]) == 2
        assert "is damaged" in capsys.readouterr().err
    finally:
        index.entries.cache_clear()


@pytest.mark.parametrize(
    "smiles",
    [
        "[C+999999999999999999999]",
        "[C" + "+" * 500 + "]",
        "C" * 6000,
        "[99999999C]",
        "[CH99999]",
        "\0",
        "C" + "(" * 2000,
    ],
)
def test_molecules_of_strangers(smiles):
    with pytest.raises(InputError):
        from_smiles(smiles)


def test_a_weight_that_is_not_listed_is_named():
    with pytest.raises(InputError, match=r"has Ag, Zn, whose weight isn't listed"):
        molecular_weight("[Ag].[Zn]")


@pytest.mark.parametrize(
    "name", ["a" * 5000, "a\0b", "", "..", "a/b", "hf://", "lenet5-mnsit", "/", "*", "no such thing"]
)
def test_names_that_are_no_names(name):
    with pytest.raises(ZooError) as error:
        zoo.load(name)
    assert len(str(error.value)) < 1000 and "\n" not in str(error.value)


def test_names_in_capitals_and_folders_without_a_slash(tmp_path, monkeypatch):
    assert zoo.info("LeNet5-MNIST").name == "lenet5-mnist"
    monkeypatch.chdir(tmp_path)
    small_model().save_pretrained("mine")
    assert zoo.load("mine").name == "mine"
    with pytest.raises(UnknownNameError, match="The nearest of"):
        zoo.load("qqqqqq")
    with pytest.raises(UnknownNameError, match="no metric named 'acc'"):
        zoo.info("lenet5-mnist").metric("acc")


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (lambda: zoo.create("lenet5", num_clases=3), "did you mean num_classes"),
        (lambda: zoo.create("lenet5", in_chans=3), "did you mean in_channels"),
        (lambda: zoo.create("lenet5", pretrained=True), "zoo.load for trained weights"),
        (lambda: zoo.datamodule("mnist", batchsize=3), "did you mean batch_size"),
    ],
)
def test_did_you_mean(call, hint):
    with pytest.raises(ZooError, match=hint):
        call()


def test_texts_of_strangers_do_not_steer_a_terminal():
    assert shown("\x1b[31mred\r\n\u202e") == "\\x1b[31mred\\r\\n\\u202e" and len(shown("x" * 999)) == 201


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["list", "nothing*"], "no model's name fits"),
        (["predict", "lenet5-mnist", "nowhere.png"], "there is no file 'nowhere.png'"),
        (["sample", "ddpm-mnist", "-o", "grid"], "has the suffix ''"),
        (["sample", "ddpm-mnist", "-o", "m.qqq"], "has the suffix '.qqq'"),
        (["compose", "lstm-chorales", "-o", "."], "is a folder"),
    ],
)
def test_what_cannot_work_is_said_before_the_work(arguments, said, capsys, monkeypatch):
    monkeypatch.setattr(zoo, "load", None)
    assert main(arguments) == 2
    assert said in capsys.readouterr().err


def test_a_terminal_that_knows_ascii_alone():
    import subprocess
    import sys

    from tests.conftest import ROOT

    env = os.environ | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONPATH": str(ROOT), "PYTHONUTF8": "0"}
    for arguments in (["list"], ["info", "attention-seq2seq-multi30k"]):
        done = subprocess.run([sys.executable, "-m", "zoo", *arguments], env=env, capture_output=True, cwd=ROOT)
        assert done.returncode == 0 and b"Traceback" not in done.stderr, done.stderr[-2000:]


def test_lists_for_everything_that_has_a_name():
    assert "mnist" in zoo.list_datamodules() and zoo.list_datamodules("ci*") == ["cifar10", "cifar100", "citeseer"]
    assert not [name for name in dir(zoo) if name in ("Any", "TYPE_CHECKING", "importlib")]
    assert repr(zoo.models("lenet5-mnist")) == str(zoo.models("lenet5-mnist"))


def test_a_part_of_a_training_is_not_taken_for_the_whole(tmp_path):
    from zoo.train.experiment import check_same_run, fingerprint, partial, strange_paths

    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "model: {class_path: zoo.models.convnets.lenet5.LeNet5}\ndata: {class_path: evil.module.Data}\n"
        "trainer: {max_epochs: 5, callbacks: [{class_path: lightning.pytorch.callbacks.Timer}]}\n"
    )
    for part in (
        "fast_dev_run=true",
        "fast_dev_run=2",
        "limit_train_batches=20",
        "overfit_batches=1",
        "max_epochs=4",
        "max_time=00:00:01:00",
    ):
        assert partial(recipe, [f"--trainer.{part}"])
    for whole in ("max_epochs=5", "max_epochs=9", "devices=8", "fast_dev_run=false", "accelerator=cpu"):
        assert not partial(recipe, [f"--trainer.{whole}"])
    assert strange_paths(recipe, []) == ["evil.module.Data"]
    assert strange_paths(recipe, ["--model.class_path=os.system"]) == ["evil.module.Data", "os.system"]
    (tmp_path / "recipe.json").write_text(fingerprint(recipe, ["--trainer.fast_dev_run=true"]))
    with pytest.raises(InputError, match="other options"):
        check_same_run(tmp_path, recipe, [])


def test_a_partial_run_publishes_nothing_and_a_strange_recipe_imports_nothing(tmp_path, monkeypatch, capsys):
    from zoo.train import experiment

    recipe = tmp_path / "checkpoints" / "tiny-mnist" / "recipe.yaml"
    recipe.parent.mkdir(parents=True)
    recipe.write_text(
        "model: {class_path: zoo.x.Y}\ndata: {class_path: datamodules.mnist.MNIST}\ntrainer: {max_epochs: 5}\n"
    )
    monkeypatch.setattr(experiment, "CHECKPOINTS", recipe.parents[1])

    def pretend(command: list[str], **_: object) -> None:
        folder = tmp_path / "runs" / "tiny-mnist" / "seed0" / "tiny-mnist"
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("provenance.json", "metrics.json"):
            (folder / name).write_text("{}")

    monkeypatch.setattr(experiment, "call", pretend)
    arguments = ["tiny-mnist", "--runs", str(tmp_path / "runs")]
    assert experiment.main([*arguments, "--trainer.fast_dev_run=true"]) == 0
    assert "a part of the recipe's training" in capsys.readouterr().out
    assert [path.name for path in recipe.parent.iterdir()] == ["recipe.yaml"]
    recipe.write_text("model: {class_path: evil.module.Y}\ndata: {class_path: datamodules.mnist.MNIST}\ntrainer: {}\n")
    assert experiment.main(arguments) == 2
    assert "would import evil.module.Y: read it, and add --trust" in capsys.readouterr().err


def test_a_run_without_an_end_has_a_schedule():
    from zoo.train.schedule import WarmupDecay

    schedule = WarmupDecay(torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5), restart=0.5)
    schedule.stretch(float("inf"))
    assert schedule.get_lr() == [0.5]


def test_a_text_of_ones_own_whatever_wrote_it(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffe\u0301a\r\nb\r\n".encode())
    assert read_text(path) == "éa\nb\n"
    path.write_bytes(b"a\0b")
    with pytest.raises(InputError, match="character 0 at position 1"):
        read_text(path)


def test_a_card_shows_html_as_it_is_written(folder):
    from zoo.store.cards import write_card

    recipe = (folder / "recipe.yaml").read_text()
    words = "A network of <script>alert(1)</script>, <img src=x> and 3 < 4."
    (folder / "recipe.yaml").write_text(recipe.replace("A network of a test.", words))
    write_card(folder)
    card = (folder / "README.md").read_text()
    assert (
        "&lt;script>" in card and "&lt;img" in card and "3 < 4" in card and "<script" not in card and "<img" not in card
    )


def test_errors_and_answers_do_not_steer_a_terminal(capsys):
    import contextlib
    import io

    from zoo.cli.main import Plain

    assert str(InputError("a\x1b[31m\x07b\u202e")) == "a\\x1b[31m\\x07b\\u202e"
    with contextlib.redirect_stdout(Plain(stream := io.StringIO())):
        print("class \x1b]0;title\x07\tnäh ☕")
    assert stream.getvalue() == "class \\x1b]0;title\\x07\tnäh ☕\n"


@pytest.mark.parametrize("text", [";", ",,\n,,\n", "a,b\n"])
def test_a_table_without_rows(tmp_path, text):
    from datamodules.own import read_rows

    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InputError, match="has no rows under its header"):
        read_rows(tmp_path / "a.csv")


def test_dollar_signs_begin_no_formula(tmp_path):
    """Names of classes, features and words in every figure that shows a stranger's."""
    from zoo.explain.explanation import Explanation
    from zoo.explain.shapley import waterfall
    from zoo.models.graphs.model import draw_embeddings
    from zoo.train.finetuning_report import draw_confusion

    names = ["$5_$10", "${", "a $ b $^"]
    draw_confusion(torch.ones(3, 3), names, tmp_path / "confusion.png")
    waterfall([1.0, 2.0, -1.0], 0.0, names, tmp_path / "waterfall.png", unit=names[0])
    draw_embeddings([("a", torch.rand(6, 3))], torch.arange(6) % 3, tmp_path / "embeddings.png", names=names)
    values = torch.tensor([1.0, 2.0, -1.0])
    found = Explanation(values, 0, 1.0, label=names[0], method="saliency", kind="row", names=names)
    found.save(tmp_path / "row.png")
    edges = torch.tensor([[0, 1], [1, 2]])
    Explanation(values, 0, 1.0, label=names[0], kind="graph", names=names, edges=edges).save(tmp_path / "graph.png")
    assert len(list(tmp_path.iterdir())) == 5
