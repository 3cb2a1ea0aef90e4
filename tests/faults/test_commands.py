"""No command ends with a traceback on bad input: every verb with names, files and numbers that can't work."""

import argparse
import contextlib
import io
import os
import random
import warnings
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from PIL import Image

import zoo
from tests.faults.counts import FULL, count, record
from tests.tiny import TINY
from zoo.cli import main as command_line
from zoo.errors import InputError, Interrupted, MissingExtraError
from zoo.train import experiment

VERBS = command_line.verbs()
OWN_PARSER = {name for name, verb in VERBS.items() if hasattr(verb, "main")}
# one small model of each kind, so that most calls reach a model that can't do what is asked
NAMES = [
    "lenet5-mnist",
    "perceptron-iris",
    "linear-regression-concrete",
    "gan-ring",
    "gpt-xor",
    "ppca-mnist",
    "gcn-karate",
]
NAMES += [
    "lstm-names",
    "mpnn-esol",
    "qlearning-cat",
    "alphazero-tictactoe",
    "boltzmann-bars",
    "unet-atoms",
    "pca-mnist",
]
STRANGE = [
    "",
    " ",
    ".",
    "..",
    "/",
    "nonsense",
    "LENET5-mnist",
    "a" * 300,
    "hf://",
    "hf://a",
    "hf://a/b@",
    "~",
    "*",
    "$HOME",
]
STRANGE += ["lenet5-mnist/", "../x", "é☕\u202e", "-1", "--", "\x1b[31m", "con:"]
NUMBERS = ["0", "-1", "1", "2", "nan", "inf", "1e999", "1_0", "0x10", "x", "", "9" * 30, "1.5", "-0.0"]
MOST = "100000000000000"  # of samples or characters: more than any memory


def no_network(*_: object, **__: object) -> None:
    raise URLError("there is no network")


def no_gradio() -> None:
    raise MissingExtraError("the app", "gradio", "app")


def in_this_process(command: list[str], **_: object) -> None:
    """`python -m zoo.train …` without another Python."""
    assert command[1:3] == ["-m", "zoo.train"]
    if experiment.main(command[3:]):
        raise InputError("it has said why itself")


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A working directory with files of many kinds, none of which is what it should be; and no network."""
    monkeypatch.chdir(tmp_path)
    for key in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(key, "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datamodules.files.urlopen", no_network)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    monkeypatch.setattr("zoo.paths.names_in", lambda *_: NAMES)  # all that `zoo verify` without a name is to check
    monkeypatch.setattr("zoo.app.page.gradio", no_gradio)  # else the app listens until somebody ends it
    monkeypatch.setattr("zoo.train.experiment.call", in_this_process)
    monkeypatch.setenv("ZOO_DATA", str(tmp_path / "no-data"))
    Image.new("RGB", (3, 200), "red").save("strip.png")
    Image.new("L", (28, 28)).save("black.png")
    Path("empty.png").write_bytes(b"")
    Path("junk.png").write_bytes(os.urandom(200))
    Path("cut.png").write_bytes(Path("black.png").read_bytes()[:40])
    Path("text.txt").write_text("some words\n")
    Path("empty.txt").write_text("")
    Path("latin.txt").write_bytes(b"\xff\xfe\x00caf\xe9")
    Path("rows.csv").write_text("a,b\n1,2\n3\n")
    Path("junk.mid").write_bytes(b"MThd" + os.urandom(60))
    Path("junk.wav").write_bytes(b"RIFF" + os.urandom(60))
    Path("junk.zoo").write_bytes(os.urandom(100))
    Path("folder").mkdir()
    Path("checkpoint").mkdir()
    Path("checkpoint/config.json").write_text('{"zoo_format": 1}')
    Path("loop").symlink_to("loop")
    Path("nobody.png").symlink_to("nowhere")
    return tmp_path


def files(place: Path) -> list[str]:
    return [
        *sorted(path.name for path in place.iterdir()),
        "missing.png",
        "no/such/folder/x.png",
        "x.qqq",
        "/proc/self/x",
        "a\0b",
    ]


def end(arguments: list[str]) -> tuple[int, str]:
    """The exit code and what stands on standard error; whatever else is raised is a traceback that a person would see."""
    said, shown = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(shown), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            code = command_line.main(arguments)
        except SystemExit as error:  # of argparse, which prints the usage and one line
            code = error.code if isinstance(error.code, int) else 2
        except BaseException as error:
            raise AssertionError(f"zoo {' '.join(map(repr, arguments))}: {type(error).__name__}: {error}") from error
    return code, said.getvalue()


def values(chance: random.Random, action: argparse.Action, place: Path) -> list[str]:
    """What a person might give for an argument: more often a thing of the right kind than not."""
    if action.nargs == 0:
        return []
    one = lambda: _one(chance, action, place)  # noqa: E731
    several = action.nargs in ("+", "*") or isinstance(action.nargs, int)
    return [one() for _ in range(chance.choice((1, 1, 2, 3)))] if several else [one()]


def _one(chance: random.Random, action: argparse.Action, place: Path) -> str:
    if action.choices and chance.random() < 0.8:
        return str(chance.choice(list(action.choices)))
    if action.dest in ("n", "steps", "samples", "episodes"):
        return chance.choice([*NUMBERS[:3], "3", MOST])
    if action.type in (int, float):
        return chance.choice(NUMBERS)
    if action.dest in ("name", "names", "model") and chance.random() < 0.7:
        return chance.choice(NAMES)
    if action.type is Path or action.dest in ("file", "files", "input", "inputs", "output"):
        return chance.choice(files(place))
    return chance.choice([*STRANGE, *NAMES, *files(place)])


def commands(chance: random.Random, verb: str, place: Path) -> list[str]:
    parser = argparse.ArgumentParser()
    VERBS[verb].add(parser)
    arguments = [verb]
    for action in parser._actions[1:]:
        if not action.option_strings:
            arguments += values(chance, action, place)
        elif chance.random() < 0.35 or action.dest == "n":
            arguments += [action.option_strings[-1], *values(chance, action, place)]
    if chance.random() < 0.1:
        arguments.insert(
            chance.randrange(1, len(arguments) + 1), chance.choice(["--nonsense", "--", "-x", "=", "--top="])
        )
    if chance.random() < 0.1:
        del arguments[chance.randrange(1, len(arguments)) :]
    return arguments


@pytest.mark.parametrize("verb", sorted(set(VERBS) - OWN_PARSER))
def test_no_traceback(verb, place):
    chance = random.Random(verb if not FULL else None)
    slow = verb in ("evaluate", "export", "verify")
    few = count(2 if slow else 5, 20 if slow else 100)
    for _ in range(few):
        arguments = commands(chance, verb, place)
        code, said = end(arguments)
        assert code in (0, 2), arguments
        assert "Traceback" not in said
        if code == 2:
            assert said.strip(), arguments
    assert torch.get_default_dtype() == torch.float32
    record("commands with bad arguments", few, "exit code 2 with one sentence, no traceback")


BAD = [
    ["train", "nonsense"], ["train", "../x"], ["train", "a\0b"], ["train", "lenet5-mnist", "--seeds", "0"],
    ["train", "lenet5-mnist", "--seeds", "-1"],
    ["train", "lenet5-mnist", "--into", "text.txt"], ["train", "lenet5-mnist", "--trainer.max_epoch=3", "--into", "try"],
    ["reproduce", "nonsense"], ["reproduce", "lenet5-mnist", "--seeds", "x"],
    ["finetune", "nonsense", "--data", "image-folder"], ["finetune", "lenet5-mnist"],
    ["finetune", "lenet5-mnist", "--data", "nonsense"], ["finetune", "lenet5-mnist", "--data", "image-folder"],
    ["finetune", "lenet5-mnist", "--data", "image-folder", "--data.root", "missing"],
    ["finetune", "lenet5-mnist", "--data", "image-folder", "--data.root", "folder"],
    ["finetune", "lenet5-mnist", "--data", "image-folder", "--data.root", "text.txt"],
    ["finetune", "lenet5-mnist", "--data", "image-folder", "--data.roott", "folder"],
    ["finetune", "gpt-xor", "--data", "text-file", "--data.path", "latin.txt"],
    ["finetune", "gpt-xor", "--data", "image-folder", "--data.root", "folder"],
    ["publish"], ["publish", "nonsense", "--owner", "me"], ["publish", "folder/", "--owner", "me"],
    ["publish", "checkpoint/", "--owner", "me", "--dry-run"], ["publish", "--all"], ["cards", "--nonsense"],
    ["nonsense"], [], ["--nonsense"], ["", "x"], ["cache", "rm"], ["cache", "rm", "nonsense"], ["cache", "nonsense"],
]  # fmt: skip


@pytest.mark.parametrize("arguments", BAD, ids=" ".join)
def test_commands_that_can_not_work(arguments, place):
    code, said = end(arguments)
    assert code == 2 and said.strip() and "Traceback" not in said


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_more_than_the_memory_holds_is_one_sentence(place, monkeypatch, error):
    monkeypatch.setattr("zoo.load", lambda *_, **__: (_ for _ in ()).throw(error))
    code, said = end(["sample", "ppca-mnist", "-n", "4"])
    assert code == 2 and "memory" in said and said.count("\n") == 1


def test_an_interrupt_ends_in_one_line(place, monkeypatch):
    monkeypatch.setattr("zoo.load", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt()))
    code, said = end(["sample", "ppca-mnist", "-n", "4"])
    assert code == 130 and said.count("\n") == 1 and "interrupted" in said


def test_an_interrupt_keeps_the_images_that_are_drawn(place, monkeypatch):
    model = zoo.create("consistency", **TINY["consistency"].init)
    batches = iter([250, 250])

    def trajectory(x: torch.Tensor) -> list[torch.Tensor]:
        if not next(batches, 0):
            raise KeyboardInterrupt
        return [x.clamp(-1, 1)]

    monkeypatch.setattr(model, "trajectory", trajectory)
    monkeypatch.setattr("zoo.load", lambda *_, **__: model)
    code, said = end(["sample", "consistency-mnist", "-n", "2000", "-o", "some.png"])
    assert code == 130 and said.endswith("the first 500 of 2000 images are in some.png\n") and said.count("\n") == 1
    with Image.open("some.png") as grid:
        assert grid.width * grid.height > 500 * 28**2
    with pytest.raises(KeyboardInterrupt) as stopped:  # in the first batch: there is nothing to keep
        model.sample(600)
    assert not isinstance(stopped.value, Interrupted)
    batches = iter([250, 250])
    with pytest.raises(Interrupted) as stopped:
        model.sample(600, seed=0)
    batches = iter([250, 250, 100])
    assert torch.equal(stopped.value.done, model.sample(600, seed=0)[:500])
