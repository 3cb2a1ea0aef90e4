"""`zoo play`: returns on a line, a file where one was asked for, one line and code 2 for a mistake."""

import pytest

import zoo
from zoo.cli.main import main

pytest.importorskip("gymnasium")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    agent = zoo.create("ppo", hidden=[4])
    agent.data = {"name": "environment", "init": {"id": "CartPole-v1", "kwargs": None}}
    return str(agent.save_pretrained(tmp_path_factory.mktemp("agents") / "ppo-small"))


def test_play_prints_returns_and_draws(folder, tmp_path, capsys):
    target = tmp_path / "episode.gif"
    assert main(["play", folder, "-o", str(target), "--episodes", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("3 episodes: return") and lines[1] == str(target) and target.stat().st_size > 500


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "episode.mp4"], ".gif"),
        (["--episodes", "0"], "at least 1"),
        (["--env", "Acrobot-v1"], "was made for"),
        (["--env", "CartPool-v1"], "did you mean"),
        (["--against", "random"], "plays alone"),
    ],
)
def test_mistakes_are_one_line(folder, capsys, arguments, words):
    assert main(["play", folder, *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


def test_what_doesnt_act_doesnt_play(tmp_path, capsys):
    folder = zoo.create("realnvp", layers=2, hidden_dim=8, depth=1).save_pretrained(tmp_path / "flow")
    assert main(["play", str(folder)]) == 2
    assert "doesn't play" in capsys.readouterr().err
