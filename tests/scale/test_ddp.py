"""Two processes are one: the same recipe at the same global batch gives the same loss curve."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests import forked
from tests.conftest import ROOT
from tests.faults.counts import FULL

RECIPE = """\
seed_everything: 0
model:
  class_path: zoo.models.convnets.lenet5.LeNet5
data:
  class_path: tests.faults.tiny_data.TinyData
  init_args:
    augmented: false  # what is drawn for a batch depends on the process
trainer:
  max_epochs: 4
  accelerator: cpu
  callbacks:
    - class_path: tests.scale.curve.LossCurve
      init_args:
        path: {path}
optimizer:
  class_path: torch.optim.AdamW
  init_args:
    lr: 0.002
lr_scheduler:
  class_path: zoo.train.schedule.WarmupDecay
card: {{summary: a test, paper: none, limits: all}}
"""


def fit(recipe: Path, run: Path, overrides: list[str], place: dict[str, str]) -> None:
    os.environ.update(place)  # what torchrun or srun tells each of its processes
    from zoo.train.recipe import fit as train

    train(recipe, run, overrides)


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def torchrun(rank: int, port: str) -> dict[str, str]:
    world = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0", "TORCHELASTIC_RUN_ID": "test"}
    return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK": str(rank), "LOCAL_RANK": str(rank), **world}


def slurm(rank: int, port: str) -> dict[str, str]:
    job = {
        "SLURM_JOB_ID": "1",
        "SLURM_JOB_NAME": "zoo",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_NNODES": "1",
    }
    return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank),
            "SLURM_NODEID": "0", "SLURM_NODELIST": "localhost", **job}  # fmt: skip


def curves(tmp_path: Path, name: str, launcher=None, overrides: tuple[str, ...] = ()) -> list[dict]:
    """The curve that every process of a run saw."""
    recipe = tmp_path / f"{name}.yaml"
    recipe.write_text(RECIPE.format(path=tmp_path / name))
    port = free_port()
    if launcher is None:
        places: list[dict[str, str]] = [{}]
    else:
        places = [launcher(rank, port) for rank in range(2)]
        overrides = (*overrides, "--trainer.devices=2", "--trainer.strategy=ddp")
    processes = [forked.start(fit, recipe, tmp_path / f"run-{name}", list(overrides), place) for place in places]
    forked.finish(*processes)
    return [json.loads((tmp_path / f"{name}.{rank}").read_text()) for rank in range(len(places))]


@pytest.fixture(scope="module")
def one(tmp_path_factory) -> dict:
    """The curve of one process at the batch that two share."""
    return curves(tmp_path_factory.mktemp("one"), "one", overrides=("--data.init_args.batch_size=64",))[0]


@pytest.mark.parametrize("launcher", [torchrun, slurm])
def test_two_processes_equal_one_at_the_same_global_batch(tmp_path, one, launcher):
    two = curves(tmp_path, "two", launcher, overrides=("--data.init_args.batch_size=32",))
    assert len(one["train"]) == len(two[0]["train"]) == 24
    for rank in two:
        assert rank["train"] == pytest.approx(one["train"], abs=1e-4)
        assert rank["val"] == pytest.approx(one["val"], abs=1e-4)
        assert rank["norm"] == pytest.approx(one["norm"], rel=1e-4)
        assert rank["seen"] == [64] * 4  # evaluation is never sharded: every process sees all of it
    assert one["train"][-1] < one["train"][0] - 0.05  # and it does learn


def test_a_run_of_two_processes_resumes_as_one(tmp_path, one):
    """What two processes saved, one goes on with: the run folder belongs to the recipe, not to the machine."""
    recipe = tmp_path / "r.yaml"
    recipe.write_text(RECIPE.format(path=tmp_path / "half"))
    port, run = free_port(), tmp_path / "run"
    half = ["--data.init_args.batch_size=32", "--trainer.devices=2", "--trainer.strategy=ddp"]
    processes = [forked.start(stop_halfway, recipe, run, half, torchrun(rank, port)) for rank in range(2)]
    forked.finish(*processes)
    assert (run / "last.ckpt").exists()
    forked.run(fit, recipe, run, ["--data.init_args.batch_size=64"], {})
    rest = json.loads((tmp_path / "half.0").read_text())
    assert len(rest["train"]) == 12
    assert rest["train"] == pytest.approx(one["train"][12:], abs=1e-4)


def stop_halfway(recipe: Path, run: Path, overrides: list[str], place: dict[str, str]) -> None:
    from functools import partial

    import zoo.train.recipe as training

    training.Resume = partial(training.Resume, every_seconds=0.0)
    saved = training.Resume.func.on_train_epoch_end

    def end(self, trainer, module):
        saved(self, trainer, module)
        if trainer.current_epoch == 1:
            trainer.strategy.barrier()
            os._exit(0)

    training.Resume.func.on_train_epoch_end = end
    fit(recipe, run, overrides, place)


@pytest.mark.skipif(not FULL, reason="the whole command under torchrun: set ZOO_FULL=1")
@pytest.mark.data("mnist")
def test_torchrun_publishes_once(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={free_port()}"]
    command += [
        "scripts/train.py",
        "lenet5-mnist",
        "--seeds=1",
        f"--into={tmp_path / 'out'}",
        f"--runs={tmp_path / 'runs'}",
    ]
    command += ["--trainer.max_epochs=1", "--trainer.limit_train_batches=20", "--trainer.accelerator=cpu"]
    command += ["--trainer.devices=2", "--trainer.strategy=ddp"]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("published ") == 1 and (tmp_path / "out" / "README.md").exists()
