"""A command that never trains goes without Lightning: its models are the same, and what it says is the same."""

import json
import os
import subprocess
import sys

import pytest

import zoo
from tests.conftest import ROOT
from tests.test_registry import with_transform
from tests.tiny import TINY
from tests.tiny.case import facts
from zoo.cli.main import main
from zoo.core import standin

MADE = """
import json, sys
from zoo.core import standin
assert standin.install()
import lightning
assert lightning.__version__ == "stand-in"
import zoo
from tests.tiny import TINY
from tests.tiny.case import facts
print(json.dumps({name: facts(zoo.create(name, **TINY[name].init)) for name in sys.argv[1:]}))
assert "torchmetrics.functional" not in sys.modules or "torch_geometric" in sys.modules
"""

ASKS = """
import sys
from zoo.cli import main, predict
def run(options):
    import lightning
    print("with", lightning.__version__, flush=True)
    lightning.Trainer()
    print("a trainer")
predict.run = run
sys.argv = ["zoo", "predict", "a", "b"]
sys.exit(main.main())
"""


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=ROOT, env=os.environ | environment
    )


QUICK = ["lenet5", "vae", "ddpm", "gpt", "ppo"]  # which import torch and little else


@pytest.mark.parametrize("names", [QUICK, pytest.param(list(TINY), marks=pytest.mark.slow)], ids=["some", "all"])
def test_every_architecture_is_the_same_without_lightning(names):
    ended = python("-c", MADE, *names)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout.splitlines()[-1])
    assert list(found) == names
    for name in names:
        assert found[name] == json.loads(json.dumps(facts(zoo.create(name, **TINY[name].init)))), name


def test_a_process_that_has_lightning_keeps_it():
    assert not standin.install()


def test_what_needs_a_trainer_starts_again_with_lightning():
    ended = python("-c", ASKS)
    assert ended.returncode == 0, ended.stderr
    first, second, last = [line for line in ended.stdout.splitlines() if line.startswith(("with", "a "))]
    assert first == "with stand-in" and second != first and last == "a trainer"


def test_a_command_in_its_own_process_says_the_same(tmp_path, capsys):
    from PIL import Image

    Image.effect_noise((28, 28), 90).save(tmp_path / "picture.png")
    folder = with_transform(zoo.create("lenet5")).save_pretrained(tmp_path / "lenet5-small")
    arguments = ["predict", str(folder), str(tmp_path / "picture.png")]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    ended = python("-X", "importtime", "-m", "zoo", *arguments)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == said
    assert " lightning" in ended.stderr and "lightning.pytorch" not in ended.stderr  # the stand-in has no parts
