"""The figures of an agent's card: its learning curve, what it does elsewhere, and what its tables say.

    python scripts/figures/agents.py ppo-cartpole --runs runs   # curve.png, a band over the seeds of runs/, a table
    python scripts/figures/agents.py qlearning-cliffwalking        # path.png: the values and the way they lead
    python scripts/figures/agents.py --bandits docs                # bandits.png, docs only

They are written into the checkpoint's folder; `scripts/cards.py` puts extra.md into the card.
"""

import argparse
import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import zoo
from datamodules.worlds import MagLev
from zoo.core.files import write_figure
from zoo.errors import InputError, one_sentence
from zoo.models.rl.bandits import bandit
from zoo.store.cards import write_section
from zoo.store.hub import locate

ARROWS = {"CliffWalking-v1": ((0, -1), (1, 0), (0, 1), (-1, 0)), "FrozenLake-v1": ((-1, 0), (0, 1), (1, 0), (0, -1))}
GRIDS = {"CliffWalking-v1": (4, 12), "FrozenLake-v1": (4, 4)}


def histories(name: str, runs: Path, folder: Path) -> list[list[dict[str, float]]]:
    """Training curves of all seeds in the runs folder, else the published one."""
    files = sorted((runs / name).glob("seed*/history.csv")) or [folder / "history.csv"]
    curves = []
    for file in files:
        with file.open(encoding="utf-8") as text:
            curves.append([{key: float(v) for key, v in row.items() if v} for row in csv.DictReader(text)])
    return curves


def seeds_of(folder: Path) -> int:
    """Number of seeds that a checkpoint was trained with."""
    file = folder / "metrics.json"
    entries = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    return max((entry.get("n_seeds", 1) for entry in entries), default=1)


def curve(name: str, model: Any, curves: list[list[dict[str, float]]], path: Path) -> str:
    """Draw the return of training episodes over the steps of the environment; returns a sentence."""
    init = model.data["init"]
    epoch = init["num_envs"] * init["steps"] * init["rollouts"]
    unit = "updates" if init.get("whole_episodes") else "steps of the environment"
    width = init["rollouts"] if init.get("whole_episodes") else epoch
    length = min(len(rows) for rows in curves)
    returns = np.array([[rows[i].get("train/return", np.nan) for i in range(length)] for rows in curves])
    x = width * np.arange(1, length + 1)
    figure = Figure(figsize=(6, 3), layout="constrained")
    axis = figure.subplots()
    middle = np.nanmean(returns, 0)
    axis.fill_between(x, np.nanmin(returns, 0), np.nanmax(returns, 0), alpha=0.25, linewidth=0)
    axis.plot(x, middle)
    axis.set(xlabel=unit, ylabel="return of training episodes")
    write_figure(path, figure, dpi=80)
    seeds = (
        "one seed"
        if len(curves) == 1
        else f"the mean of {len(curves)} seeds, the band from the least to the most of them"
    )
    return f"Return of the episodes of training, exploration and all, over the {unit}: {seeds}."


def elsewhere(model: Any) -> list[tuple[str, Callable[[], Any]]]:
    """Environments that differ from the agent's own by one thing each."""

    def changed(**values: float) -> Callable[[], Any]:
        def make() -> Any:
            env = model.environment()
            for key, value in values.items():
                setattr(env.unwrapped, key, value)
            return env

        return make

    def started(**bounds: float) -> Callable[[], Any]:
        def make() -> Any:
            env = model.environment()
            reset = env.reset
            env.reset = lambda seed=None: reset(seed=seed, options=bounds)
            return env

        return make

    def made(**kwargs: Any) -> Callable[[], Any]:
        return lambda: model.environment(**kwargs)

    return {
        "CartPole-v1": [
            ("as trained", made()),
            ("gravity of the moon, 1.6 m/s²", changed(gravity=1.6)),
            ("gravity of Jupiter, 24.8 m/s²", changed(gravity=24.8)),
            ("a pole of a quarter of the length", changed(length=0.125)),
            ("a pole of three times the length", changed(length=1.5)),
            ("half the force", changed(force_mag=5.0)),
            ("starts within 0.15 in place of 0.05", started(low=-0.15, high=0.15)),
            ("2,000 steps in place of 500", made(max_episode_steps=2000)),
        ],
        "Acrobot-v1": [
            ("as trained", made()),
            ("links of 1.5 kg in place of 1 kg", changed(LINK_MASS_1=1.5, LINK_MASS_2=1.5)),
            ("starts within 0.5 rad in place of 0.1", started(low=-0.5, high=0.5)),
        ],
        "Pendulum-v1": [
            ("as trained", made()),
            ("gravity of the moon, 1.6 m/s²", changed(g=1.6)),
            ("gravity of Jupiter, 24.8 m/s²", changed(g=24.8)),
            ("half the mass", changed(m=0.5)),
            ("twice the mass", changed(m=2.0)),
        ],
        "CliffWalking-v1": [("as trained", made()), ("slippery ground", made(is_slippery=True))],
        "FrozenLake-v1": [("as trained", made()), ("ice that doesn't slip", made(is_slippery=False))],
        "Taxi-v4": [("as trained", made()), ("rain, in which one move of five goes astray", made(is_rainy=True))],
        "CatMouse-v0": [
            (f"a cat of speed {ratio}, start in the centre", made(ratio=ratio, centre=True))
            for ratio in (2.5, 3.5, 4.0, 4.5)
        ],
    }.get(model.data["init"]["id"], [])


def elsewhere_table(model: Any, episodes: int) -> str:
    """Returns in the other environments, as a Markdown table."""
    rows = ["| environment | return | least | steps |", "|---|---|---|---|"]
    for words, make in elsewhere(model):
        played = model.play(episodes, seed=20_000, env=make)
        rows.append(
            f"| {words} | {np.mean(played):.1f} ± {np.std(played):.1f} | {np.min(played):.1f} | {np.mean(played.lengths):.0f} |"
        )
    return "\n".join(rows)


def maglev_table(model: Any, n: int = 64) -> str:
    """How far from the target the ball is held, for balls of other masses, as a Markdown table."""
    rows = ["| ball | starts at rest: mean distance | starts at −20 … 20: mean distance |", "|---|---|---|"]
    for mass in (0.2, 0.5, 1.0, 1.5, 1.9):
        cells = []
        for speed in (0.0, 20.0):
            world = MagLev(n, mass=mass)
            world.reset(seed=0)
            world.state[:, 0] *= speed / 20
            away = []
            for step in range(500):
                world.state, _, _ = world.advance(world.state, model.act(world.observe(world.state)))
                if step >= 200:
                    away.append(np.abs(world.state[:, 1] - world.target).mean())
            cells.append(f"{np.mean(away):.3f}")
        rows.append(f"| {mass} kg | {' | '.join(cells)} |")
    return "\n".join(rows)


def path_map(model: Any, path: Path) -> None:
    """The values of the fields of a grid, the best action of each as an arrow, and the way from the start."""
    id = model.data["init"]["id"]
    rows, columns = GRIDS[id]
    q = model.values(list(range(rows * columns))).numpy()
    value, best = q.max(1).reshape(rows, columns), q.argmax(1).reshape(rows, columns)
    figure = Figure(figsize=(0.62 * columns + 1.4, 0.62 * rows + 0.7), layout="constrained")
    axis = figure.subplots()
    picture = axis.imshow(np.where(value == 0, np.nan, value), cmap="viridis")
    figure.colorbar(picture, ax=axis, label="value")
    for r in range(rows):
        for c in range(columns):
            dx, dy = ARROWS[id][best[r, c]]
            if value[r, c]:
                axis.annotate(
                    "",
                    (c + 0.3 * dx, r + 0.3 * dy),
                    (c - 0.3 * dx, r - 0.3 * dy),
                    arrowprops={"arrowstyle": "->", "color": "w"},
                )
    if id == "CliffWalking-v1":
        env, way = model.environment(), []
        state, over = env.reset(seed=0)[0], False
        while not over and len(way) < 50:
            way.append(divmod(int(state), columns))
            state, _, terminated, truncated, _ = env.step(model.act(state))
            over = terminated or truncated
        way.append(divmod(int(state), columns))
        axis.plot([c for _, c in way], [r for r, _ in way], color="tab:red", linewidth=3, alpha=0.7)
    axis.set(xticks=[], yticks=[])
    write_figure(path, figure, dpi=80)


def bandits(path: Path, *, steps: int = 1000, runs: int = 300) -> None:
    """Regret and share of best pulls of ε-greedy and UCB on ten arms."""
    means = np.linspace(0, 1, 10)
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for label, options in {
        "ε = 0 (greedy)": {"rule": "epsilon-greedy", "epsilon": 0.0},
        "ε = 0.01": {"rule": "epsilon-greedy", "epsilon": 0.01},
        "ε = 0.1": {"rule": "epsilon-greedy", "epsilon": 0.1},
        "UCB, c = 0.5": {"rule": "ucb", "c": 0.5},
    }.items():
        pulls = bandit(means, **options, steps=steps, runs=runs, noise=0.5)  # type: ignore[arg-type]
        left.plot(pulls.regret, label=label)
        right.plot(np.convolve(pulls.best, np.ones(20) / 20, "valid"), label=label)
    left.set(xlabel="step", ylabel="reward lost so far")
    right.set(xlabel="step", ylabel="share of best pulls", ylim=(0, 1))
    right.legend()
    write_figure(path, figure, dpi=80)


def sections(name: str, runs: Path, episodes: int = 20) -> str:
    """Draw the figures of a checkpoint into its folder; returns the card's sections."""
    folder = locate(name)
    model = zoo.load(name)
    command = f"`python scripts/figures/agents.py {name}`"
    curves, parts = histories(name, runs, folder), []
    drawn = any("train/return" in row for rows in curves for row in rows)  # planning plays no episodes
    band = (folder / "curve.png").exists() and len(curves) < seeds_of(
        folder
    )  # which a line of one seed doesn't replace
    if drawn and not band:
        said = curve(name, model, curves, folder / "curve.png")
        parts.append(f"## Learning\n\n{said} {command}\n\n![learning curve](curve.png)\n")
    if elsewhere(model):
        parts.append(
            f"## Elsewhere\n\n{episodes} greedy episodes each, where one thing differs from what it was trained in. {command}\n\n"
            f"{elsewhere_table(model, episodes)}\n"
        )
    if model.data["init"]["id"] == "MagLev-v0":
        words = "Mean |x − 5| over the steps 200 … 500 of 64 episodes, from any position of 0 … 10."
        parts.append(f"## Other balls\n\n{words} {command}\n\n{maglev_table(model)}\n")
    if model.data["init"]["id"] in GRIDS:
        path_map(model, folder / "path.png")
        parts.append(
            f"## What its table says\n\nValues of the fields, and the best action of each. {command}\n\n![values](path.png)\n"
        )
    return "\n".join(parts)


@one_sentence
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--bandits", type=Path, metavar="FOLDER")
    options = parser.parse_args(argv)
    if not options.names and options.bandits is None:
        raise InputError("name a checkpoint, or --bandits with a folder")
    if options.bandits is not None:
        bandits(options.bandits / "bandits.png")
    for name in options.names:
        write_section(locate(name), sections(name, options.runs), measured_on=[name])
    return 0


if __name__ == "__main__":
    sys.exit(main())
