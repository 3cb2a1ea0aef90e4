"""kill -9 at random moments: a training run, an export, and a publication are whole before and after, and resume."""

import hashlib
import os
import random
import shutil
import time
from functools import partial
from pathlib import Path

import pytest

from tests import forked
from tests.faults.counts import count, record
from tests.hub.conftest import be_client
from tests.hub.folders import make_folder, small_model
from tests.sweeps import some
from zoo.errors import ZooError
from zoo.store import atomic
from zoo.store import folder as checkpoint
from zoo.store.publish import publish

RECIPE = """\
seed_everything: 0
model:
  class_path: zoo.models.convnets.lenet5.LeNet5
  init_args:
    batch_norm: true
    dropout: 0.2
data:
  class_path: tests.faults.tiny_data.TinyData
trainer:
  max_epochs: 8
  limit_train_batches: 3
  accelerator: cpu
  callbacks:
    - class_path: lightning.pytorch.callbacks.EMAWeightAveraging
      init_args:
        decay: 0.9
optimizer:
  class_path: torch.optim.AdamW
  init_args:
    lr: 0.002
lr_scheduler:
  class_path: zoo.train.schedule.WarmupDecay
card: {summary: a test, paper: none, limits: all}
"""

AGENT = """\
seed_everything: 0
model: {{class_path: zoo.models.rl.{model}}}
data: {{class_path: datamodules.{data}}}
trainer:
  max_epochs: 6
  accelerator: cpu
  callbacks:
    - class_path: lightning.pytorch.callbacks.EMAWeightAveraging
      init_args:
        decay: 0.9
card: {{summary: a test, paper: none, limits: all}}
"""
AGENTS = {  # the world's state, the replay memory, the window of games: what an agent's next epoch depends on
    "ppo": (
        "ppo.PPO, init_args: {epochs: 2, minibatch: 32}",
        "environment.Environment, init_args: {num_envs: 4, steps: 16, rollouts: 3}",
    ),
    "reinforce": (
        "reinforce.REINFORCE",
        "environment.Environment, init_args: {num_envs: 4, rollouts: 3, whole_episodes: true}",
    ),
    "dqn": (
        "dqn.DQN, init_args: {hidden: [16], double: true, target_every: 2}",
        "environment.Replay, init_args: {num_envs: 4, steps: 16, rollouts: 3, updates: 4, capacity: 200, warmup: 64}",
    ),
    "alphazero": (
        "alphazero.AlphaZero, init_args: {game: tictactoe, width: 8, blocks: 1, train_simulations: 8}",
        "self_play.SelfPlay, init_args: {game: tictactoe, batch_size: 32, games: 16, plies: 4, steps: 4, window: 200}",
    ),
}


def digest(folder: Path) -> str:
    """One hash over the names and bytes of a folder's files."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            total.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def kill_within(process, seconds: float) -> bool:
    """Kill a process after so many seconds; False if it had ended before."""
    process.join(seconds)
    running = process.is_alive()
    process.kill()
    process.join()
    assert running or process.exitcode == 0, process.log.read_text()[-3000:]
    process.log.unlink()
    return running


# Training ----------------------------------------------------------------------------------------------------------------


def train(recipe: Path, run: Path, epochs: int = 8) -> None:
    import zoo.train.recipe as training

    training.Resume = partial(training.Resume, every_seconds=0.0)  # saves at every epoch, as a long epoch would
    model, _, cli, _ = training.fit(recipe, run, [])
    raw = checkpoint.weights_bytes(model)
    (run / "weights.tmp").write_bytes(raw)
    os.replace(run / "weights.tmp", run / "weights")
    assert cli.trainer.current_epoch == epochs


def test_killed_training_ends_with_the_very_same_weights(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE)
    forked.run(os.getpid)  # from here on processes start at once
    started = time.monotonic()
    forked.run(train, recipe, tmp_path / "whole")
    duration = time.monotonic() - started
    wanted = (tmp_path / "whole" / "weights").read_bytes()
    trials, chance, kills, resumed = count(2, 50), random.Random(0), 0, 0
    run = tmp_path / "killed"
    for trial in range(trials):
        shutil.rmtree(run, ignore_errors=True)
        while not kill_within(forked.start(train, recipe, run), chance.uniform(0.1, 1.0) * duration):
            shutil.rmtree(run, ignore_errors=True)  # it was done before: that's no trial
        kills += 1
        resumed += (run / "last.ckpt").exists()
        if chance.random() < 0.3:  # and once more, while it resumes
            kills += kill_within(forked.start(train, recipe, run), chance.uniform(0.1, 0.8) * duration)
        if not (run / "weights").exists():
            forked.run(train, recipe, run)
        assert (run / "weights").read_bytes() == wanted, f"trial {trial}"
        assert (run / "history.csv").read_text().count("\n") == 9
    record(
        "kill -9 of a training run at a random moment, then resume",
        kills,
        "on the CPU the final weights are those of the uninterrupted run, bit for bit "
        f"({resumed} of {trials} runs had a saved state)",
    )


def kind_of_data(agent: str) -> str:
    return AGENTS[agent][1].partition(",")[0]


@pytest.mark.parametrize("agent", some(AGENTS, kind_of_data, few=1))
def test_a_killed_agent_ends_with_the_very_same_weights(agent, tmp_path):
    """What it plays depends on what it has become and where its games stand; all of that comes back."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(AGENT.format(model=AGENTS[agent][0], data=AGENTS[agent][1]))
    forked.run(train, recipe, tmp_path / "whole", 6)
    run, chance = tmp_path / "killed", random.Random(0)
    for _ in range(20):  # until one was killed between its first saved state and its end
        shutil.rmtree(run, ignore_errors=True)
        process = forked.start(train, recipe, run, 6)
        while process.is_alive() and not (run / "last.ckpt").exists():
            time.sleep(0.001)
        if kill_within(process, chance.uniform(0.0, 0.05)) and not (run / "weights").exists():
            break
    else:
        pytest.fail("each of 20 runs had ended before it was killed")
    forked.run(train, recipe, run, 6)
    assert (run / "weights").read_bytes() == (tmp_path / "whole" / "weights").read_bytes()
    assert (run / "history.csv").read_text().count("\n") == 7


def test_a_run_killed_after_its_last_epoch_still_ends_with_the_average(tmp_path):
    recipe, run = tmp_path / "recipe.yaml", tmp_path / "run"
    recipe.write_text(RECIPE)
    forked.run(train, recipe, run)
    wanted = (run / "weights").read_bytes()
    (run / "weights").unlink()  # the state of the last epoch is there, what follows it isn't
    forked.run(train, recipe, run)
    assert (run / "weights").read_bytes() == wanted


# Export ------------------------------------------------------------------------------------------------------------------


def export_forever(folder: Path, versions: list[Path]) -> None:
    models = [checkpoint.read(version) for version in versions]
    while True:
        for model, version in zip(models, versions, strict=True):
            with atomic.replacing(folder) as staged:
                for path in version.iterdir():
                    shutil.copyfile(path, staged / path.name)
                checkpoint.write(model, staged, name="tiny-mnist")


def test_killed_export_leaves_the_old_or_the_new_folder(tmp_path, folders):
    whole = set()
    for i, version in enumerate(folders):  # what the folder may hold: each version as it exports itself
        shutil.copytree(version, tmp_path / str(i) / "tiny-mnist")
        checkpoint.write(checkpoint.read(version), tmp_path / str(i) / "tiny-mnist")
        whole.add(digest(tmp_path / str(i) / "tiny-mnist"))
    assert len(whole) == 2
    folder = tmp_path / "exported" / "tiny-mnist"
    shutil.copytree(tmp_path / "0" / "tiny-mnist", folder)
    trials, chance, seen = count(3, 200), random.Random(1), set()
    for trial in range(trials):
        assert kill_within(forked.start(export_forever, folder, folders), 0.35 + chance.uniform(0, 0.6))
        found = digest(folder)
        assert found in whole, f"half a folder after kill {trial}"
        seen.add(found)
    assert checkpoint.verify(folder)
    with atomic.replacing(folder):
        pass
    assert [path.name for path in folder.parent.iterdir()] == ["tiny-mnist"]  # leftovers of the killed are gone
    record("kill -9 during export", trials, "the folder is the old or the new one, byte for byte")


def test_a_first_export_that_is_killed_leaves_nothing(tmp_path, folders):
    for delay in (0.3, 0.4, 0.5)[: count(1, 3)]:
        folder = tmp_path / f"new-{delay}" / "tiny-mnist"
        kill_within(forked.start(export_forever, folder, folders), delay)
        if folder.exists():
            assert checkpoint.verify(folder)


def test_export_replaces_in_one_step_where_the_system_can(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    for path in (a, b):
        path.mkdir()
        (path / "name").write_text(path.name)
    if not atomic.exchange(a, b):
        pytest.skip("this system can't exchange two folders")
    assert (a / "name").read_text() == "b" and (b / "name").read_text() == "a"


def test_export_without_exchange_is_repaired_by_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, "exchange", lambda a, b: False)
    folder = tmp_path / "x"
    checkpoint.write(small_model(0), folder)
    rename = os.rename

    def die_after_the_first(source, target):
        rename(source, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "rename", die_after_the_first)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.write(small_model(1), folder)
    monkeypatch.setattr(os, "rename", rename)
    assert folder.exists()  # never gone: what was staged is whole inside of it
    with atomic.replacing(folder) as staged:
        assert (staged / "model.safetensors").read_bytes() == checkpoint.weights_bytes(small_model(1))
    assert checkpoint.verify(folder)


# Publication -------------------------------------------------------------------------------------------------------------


def publish_once(url: str, cache: Path, folder: Path) -> None:
    be_client(url, cache, "hf_alice_secret")
    publish(folder, "alice/tiny-mnist")


def test_killed_publication_leaves_the_old_or_the_new_commit(hub, as_alice, tmp_path, folders):
    git = None
    trials, chance, landed = count(2, 60), random.Random(2), 0
    before = publish(folders[0], "alice/tiny-mnist").revision
    git = hub.repos["alice/tiny-mnist"].git
    started = time.monotonic()
    forked.run(publish_once, hub.url, tmp_path / "c", folders[1])
    duration = time.monotonic() - started
    for trial in range(trials):
        old, new = folders[(trial + 1) % 2], folders[trial % 2]
        before = git.ref("heads/main")
        kill_within(forked.start(publish_once, hub.url, tmp_path / "c", new), chance.uniform(0.2, 1.0) * duration)
        time.sleep(0.05)  # a request that was on its way may still arrive
        head = git.ref("heads/main")
        assert head == before or git.history(head)[1] == before
        holds = old if head == before else new
        landed += head != before
        for path in holds.iterdir():
            if path.name != "README.md":
                assert git.content(head, path.name) == path.read_bytes(), f"{path.name} after kill {trial}"
        done = publish(new, "alice/tiny-mnist")
        assert len(git.history(done.revision)) == len(git.history(before)) + 1  # the rest was done, nothing twice
    record(
        "kill -9 during publish, then publish again",
        trials,
        f"the repository is the old or the new commit ({landed} had landed); the second run finishes it without a second commit",
    )


def test_small_model_is_what_the_folders_hold(tmp_path):
    folder = make_folder(tmp_path / "tiny-mnist")
    assert digest(folder) == digest(make_folder(tmp_path / "b" / "tiny-mnist"))
    (folder / "golden.safetensors").write_bytes(b"")
    with pytest.raises(ZooError):
        checkpoint.verify(folder)
