"""The figures of agents on tiny settings."""

import csv
from pathlib import Path

import pytest
import torch

import zoo
from tests.scripts.test_figures import script

pytest.importorskip("gymnasium")


def saved(tmp_path: Path, name: str, architecture: str, id: str, **init) -> str:
    agent = zoo.create(architecture, **init)
    kwargs = {"max_episode_steps": 30}
    agent.data = {"name": "environment", "init": {"id": id, "kwargs": kwargs, "num_envs": 2, "steps": 8, "rollouts": 2}}
    folder = agent.save_pretrained(tmp_path / name)
    with (folder / "history.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerows([["epoch", "train/return"], [0, 10.0], [1, 20.5], [2, 30.0]])
    return str(folder)


def test_a_card_gets_its_curve_and_what_happens_elsewhere(tmp_path):
    folder = saved(tmp_path, "ppo-small", "ppo", "CartPole-v1", hidden=[4])
    text = script("agents").sections(folder, tmp_path / "none", episodes=1)
    assert (Path(folder) / "curve.png").stat().st_size < 200_000
    assert "one seed" in text and text.count("\n| ") >= 8 and "Jupiter" in text


def test_a_band_over_seeds_is_not_lost_for_the_line_of_one(tmp_path):
    folder = Path(saved(tmp_path, "ppo-small", "ppo", "CartPole-v1", hidden=[4]))
    (folder / "metrics.json").write_text('[{"metric": "return", "n_seeds": 5}]')
    (folder / "curve.png").write_bytes(b"a band")
    text = script("agents").sections(str(folder), tmp_path / "none", episodes=1)
    assert "## Learning" not in text and (folder / "curve.png").read_bytes() == b"a band"


def test_a_table_is_drawn_as_a_map(tmp_path):
    folder = saved(tmp_path, "q-small", "qlearning", "CliffWalking-v1", states=48, start=-1.0)
    text = script("agents").sections(folder, tmp_path / "none", episodes=1)
    assert (Path(folder) / "path.png").stat().st_size < 200_000 and "path.png" in text


def test_bandits_are_drawn(tmp_path):
    figures = script("agents")
    figures.bandits(tmp_path / "bandits.png", steps=40, runs=10)
    assert 1000 < (tmp_path / "bandits.png").stat().st_size < 200_000


def test_what_is_changed_is_changed():
    agent = zoo.create("ppo", hidden=[4])
    agent.data = {"name": "environment", "init": {"id": "CartPole-v1", "kwargs": None}}
    makers = dict(script("agents").elsewhere(agent))
    assert makers["gravity of the moon, 1.6 m/s²"]().unwrapped.gravity == 1.6
    assert makers["2,000 steps in place of 500"]().spec.max_episode_steps == 2000
    wide = makers["starts within 0.15 in place of 0.05"]()
    starts = torch.stack([torch.as_tensor(wide.reset(seed=i)[0]) for i in range(40)])
    assert starts.abs().max() > 0.1
