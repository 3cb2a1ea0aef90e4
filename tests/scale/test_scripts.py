"""The SLURM script as far as it goes without SLURM, and train_many.py with trainers that only pretend."""

import importlib.util
import os
import re
import stat
import subprocess
import sys
import time

import pytest

from tests.conftest import ROOT
from tests.hub.folders import RECIPE, make_folder
from zoo.errors import InputError, UnknownNameError

SBATCH = ROOT / "scripts" / "slurm" / "train.sbatch"


def test_sbatch_is_a_valid_script_with_one_task_per_gpu():
    subprocess.run(["bash", "-n", SBATCH], check=True)
    asked = dict(re.findall(r"^#SBATCH --([\w-]+)(?:=(\S+))?$", SBATCH.read_text(), re.M))
    assert asked["ntasks-per-node"] == asked["gpus-per-node"] and "requeue" in asked


def test_sbatch_dry_run_prints_the_command():
    env = {**os.environ, "DRY_RUN": "1", "SLURM_JOB_NUM_NODES": "2", "SLURM_NTASKS_PER_NODE": "4", "PYTHON": "python"}
    command = ["bash", SBATCH, "ddpm-mnist", "--trainer.max_epochs=3", "--card.summary=two words"]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.stdout.split("srun ")[1].rstrip() == (
        "--kill-on-bad-exit=1 python scripts/train.py ddpm-mnist --trainer.num_nodes=2 --trainer.devices=4 "
        "--trainer.strategy=ddp --trainer.max_epochs=3 --card.summary=two\\ words"
    )
    assert subprocess.run(["bash", SBATCH], capture_output=True, env=env).returncode != 0  # no name


def test_sbatch_hands_every_task_the_same_command(tmp_path):
    srun = tmp_path / "srun"
    srun.write_text('#!/bin/bash\nshift\nfor i in 0 1; do SLURM_PROCID=$i "$@"; done\n')
    python = tmp_path / "python"
    python.write_text('#!/bin/bash\necho "$SLURM_PROCID $PWD $*"\n')
    for program in (srun, python):
        program.chmod(program.stat().st_mode | stat.S_IEXEC)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHON": str(python)}
    env |= {"SLURM_SUBMIT_DIR": str(ROOT), "SLURM_NTASKS_PER_NODE": "2"}
    lines = subprocess.run(["bash", SBATCH, "x"], env=env, capture_output=True, text=True).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["0", "1"] and all(str(ROOT) in line for line in lines)
    assert all("scripts/train.py x --trainer.num_nodes=1 --trainer.devices=2" in line for line in lines)


# train_many.py -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def many(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("train_many", ROOT / "scripts" / "train_many.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "CHECKPOINTS", tmp_path / "checkpoints")
    (tmp_path / "checkpoints").mkdir()
    return module


def pretend(monkeypatch, many, code):
    """Replace the trainer by a line of Python that gets the name and the checkpoints folder."""
    line = f"import sys, time, pathlib; name, place = sys.argv[1], pathlib.Path(sys.argv[2]); {code}"
    monkeypatch.setattr(many, "command", lambda name, *_: [sys.executable, "-c", line, name, str(many.CHECKPOINTS)])


def recipe_only(many, name, extra=""):
    folder = many.CHECKPOINTS / name
    folder.mkdir()
    (folder / "recipe.yaml").write_text(RECIPE.format(name=name) + extra)
    return folder


def test_missing_goes_before_stale_and_current_is_left_alone(many):
    make_folder(many.CHECKPOINTS / "current")
    for name, old in (("stale-model", "model:\n"), ("stale-data", "data:\n")):
        recipe = make_folder(many.CHECKPOINTS / name) / "recipe.yaml"
        where, argument = ("LeNet5\n", "dropout: 0.5") if old == "model:\n" else ("MNIST\n", "batch_size: 7")
        recipe.write_text(recipe.read_text().replace(where, f"{where}  init_args:\n    {argument}\n"))
    recipe = make_folder(many.CHECKPOINTS / "stale-epochs") / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("max_epochs: 1", "max_epochs: 2"))
    recipe_only(many, "missing")
    (many.CHECKPOINTS / ".current.new-x").mkdir()
    assert many.plan([], everything=True)[0] == "missing"
    assert set(many.plan([], everything=True)) == {"missing", "stale-model", "stale-data", "stale-epochs"}
    assert "current" in many.plan([], everything=True, again=True)
    assert many.plan(["stale-data", "missing"]) == ["missing", "stale-data"]
    with pytest.raises(UnknownNameError, match="Did you mean missing"):
        many.plan(["missin"])
    with pytest.raises(InputError, match="--all"):
        many.plan([])


def test_jobs_run_side_by_side_and_a_failure_stops_none(many, monkeypatch, tmp_path, capsys):
    for name in ("a", "b", "c", "bad"):
        recipe_only(many, name)
    pretend(monkeypatch, many, "time.sleep(0.6); sys.exit(name == 'bad')")
    started = time.monotonic()
    done, failed, left = many.train(["bad", "a", "b", "c"], 4, float("inf"), tmp_path / "runs", [], None)
    assert (set(done), failed, left) == ({"a", "b", "c"}, ["bad"], [])
    assert time.monotonic() - started < 4 * 0.6 + 2
    assert "bad: failed, see" in capsys.readouterr().out and (tmp_path / "runs" / "logs" / "bad.log").exists()


def test_the_budget_stops_what_runs_and_packs_what_is_done(many, monkeypatch, tmp_path):
    for name in ("quick", "slow", "never"):
        recipe_only(many, name)
    child = "import subprocess; subprocess.run(['sleep', '60'])"
    pretend(
        monkeypatch,
        many,
        f"exec({child!r}) if name == 'slow' else (place / name / 'model.safetensors').write_bytes(b'x')",
    )
    started = time.monotonic()
    out = tmp_path / "out"
    done, failed, left = many.train(["quick", "slow", "never"], 1, started + 3, tmp_path / "runs", [], out)
    assert (done, failed, left) == (["quick"], [], ["slow", "never"])
    assert time.monotonic() - started < 20 and [p.name for p in out.iterdir()] == ["results-000.tar"]


def test_archives_stay_under_the_limit_and_come_back_as_they_were(many, tmp_path):
    folders = [
        make_folder(tmp_path / "made" / name, seed) for seed, name in enumerate(("a-mnist", "b-mnist", "c-mnist"))
    ]
    limit = 200_000  # less than one file of weights
    written = many.pack(folders[:2], tmp_path / "out", limit)
    written += many.pack(folders[2:], tmp_path / "out", limit)
    assert len(written) == len(list((tmp_path / "out").iterdir())) > 3
    assert all(path.stat().st_size <= limit for path in written)
    assert many.unpack(tmp_path / "out", many.CHECKPOINTS) == ["a-mnist", "b-mnist", "c-mnist"]
    for folder in folders:
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        assert {path.name: path.read_bytes() for path in (many.CHECKPOINTS / folder.name).iterdir()} == files


@pytest.mark.parametrize("member", ["../escaped/config.json", "/etc/x/y", "a/b/c.json", ".hidden/config.json", "plain"])
def test_archives_cannot_lead_elsewhere(many, tmp_path, member):
    import tarfile

    (tmp_path / "x").write_text("x")
    (tmp_path / "out").mkdir()
    with tarfile.open(tmp_path / "out" / "results-000.tar", "w") as archive:
        archive.add(tmp_path / "x", arcname=member)
    with pytest.raises(InputError, match="never writes"):
        many.unpack(tmp_path / "out", many.CHECKPOINTS)
    assert not list(many.CHECKPOINTS.iterdir())


def test_the_command_line_says_what_is_left(many, monkeypatch, tmp_path, capsys):
    recipe_only(many, "slow")
    pretend(monkeypatch, many, "time.sleep(60)")
    assert many.main(["--all", "--minutes", "0.02", "--runs", str(tmp_path / "runs")]) == 0
    assert "left: slow" in capsys.readouterr().out
    assert many.main(["nobody"]) == 2 and "there is no recipe named" in capsys.readouterr().err
