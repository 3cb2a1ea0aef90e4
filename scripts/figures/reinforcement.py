"""The pictures of docs/agents.md that belong to no checkpoint: the loop, the cat's chain, two estimates, a variance, a gate.

python scripts/figures/reinforcement.py                # three minutes; into docs/agents
python scripts/figures/reinforcement.py loop chain     # some of them
"""

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

import zoo
from datamodules.environment import Environment
from datamodules.self_play import SelfPlay
from datamodules.worlds import CAT_CHAIN, CAT_REWARDS, CAT_STATES, Cat
from zoo.core.files import write_figure
from zoo.errors import ZooError, one_sentence
from zoo.models.rl.matches import all_lines, contest
from zoo.models.rl.policy import returns_to_go

DOCS = Path(__file__).parents[2] / "docs" / "agents"
GAMMA = 0.9  # of the cat
PLACES = ((0, 1), (0, 0), (1.4, 0), (2.8, 1), (1.4, 1), (2.8, 0))  # of its states in the picture


def loop(path: Path) -> dict[str, Any]:
    """Agent and environment, and what passes between them at a step."""
    figure = Figure(figsize=(6, 2.4), layout="constrained")
    axis = figure.subplots()
    axis.set(xlim=(0, 6), ylim=(0, 2.4))
    axis.axis("off")
    box = {"boxstyle": "round,pad=0.6", "facecolor": "white", "edgecolor": "black"}
    axis.text(3, 2.0, "agent", ha="center", va="center", bbox=box, fontsize=12)
    axis.text(3, 0.4, "environment", ha="center", va="center", bbox=box, fontsize=12)
    for start, end, bend in (((3.6, 2.0), (4.0, 0.4), -0.6), ((2.0, 0.4), (2.4, 2.0), -0.6)):
        style = {"arrowstyle": "-|>", "connectionstyle": f"arc3,rad={bend}", "shrinkA": 8, "shrinkB": 8, "lw": 1.5}
        axis.annotate("", end, start, arrowprops=style)
    axis.text(4.75, 1.2, "action $A_t$", va="center")
    axis.text(1.3, 1.2, "state $S_{t+1}$\nreward $R_{t+1}$", va="center", ha="right")
    write_figure(path, figure, dpi=80)
    return {}


def chain(path: Path) -> dict[str, Any]:
    """The moods of a cat with their probabilities and rewards, and the values that follow from them."""
    values = np.linalg.solve(np.eye(6) - GAMMA * np.array(CAT_CHAIN) * (np.arange(6) != 5)[:, None], CAT_REWARDS)
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axis = figure.subplots()
    axis.set(xlim=(-0.7, 3.5), ylim=(-0.45, 1.5))
    axis.axis("off")
    for i, (x, y) in enumerate(PLACES):
        words = f"{CAT_STATES[i]}\nreward {CAT_REWARDS[i]:+.0f}\nvalue {values[i]:.1f}"
        colour = "0.9" if i == 5 else "white"
        axis.text(x, y, words, ha="center", va="center", bbox={"boxstyle": "round,pad=0.5", "facecolor": colour})
        for j, p in enumerate(CAT_CHAIN[i]):
            if not p or i == 5:
                continue
            if i == j:
                axis.text(x, y + 0.33, f"stays with {p:g}", ha="center", fontsize=9)
                continue
            here, there = np.array((x, y)), np.array(PLACES[j])
            both = CAT_CHAIN[j][i] > 0  # two arrows between them: both bend
            style = {"arrowstyle": "-|>", "shrinkA": 34, "shrinkB": 34, "connectionstyle": f"arc3,rad={0.25 * both}"}
            axis.annotate("", there, here, arrowprops=style)
            way = there - here
            side = np.array([way[1], -way[0]]) / np.linalg.norm(way)
            axis.text(
                *(0.5 * (here + there) + (0.2 if both else 0.08) * side),
                f"{p:g}",
                ha="center",
                va="center",
                fontsize=9,
            )
    write_figure(path, figure, dpi=80)
    return {name: round(float(v), 3) for name, v in zip(CAT_STATES, values, strict=True)}


def days(n: int, seed: int) -> list[list[int]]:
    """Moods of n days of the cat, each until it sleeps."""
    cat, found = Cat(n, max_episode_steps=10_000), [[] for _ in range(n)]
    mood, awake = cat.reset(seed=seed), np.ones(n, dtype=bool)
    while awake.any():
        for i in np.flatnonzero(awake):
            found[i].append(int(mood[i]))
        step = cat.step(np.zeros(n, dtype=np.int64))
        awake &= ~(step.terminated | step.truncated)
        mood = step.obs
    return found


def monte_carlo(seen: list[list[int]], power: float) -> np.ndarray:
    """Values after each day by the returns that followed the moods, error of day d in row d."""
    value, count, rows = np.zeros(6), np.zeros(6), []
    for day in seen:
        total = 0.0
        for mood in reversed(day):
            total = CAT_REWARDS[mood] + GAMMA * total
            count[mood] += 1
            value[mood] += count[mood] ** -power * (total - value[mood])
        rows.append(value.copy())
    return np.stack(rows)


def temporal_difference(seen: list[list[int]], power: float) -> np.ndarray:
    """Values after each day by TD(0), in the order of the steps."""
    value, count, rows = np.zeros(6), np.zeros(6), []
    for day in seen:
        for mood, after in zip(day, [*day[1:], 5], strict=True):
            count[mood] += 1
            value[mood] += count[mood] ** -power * (CAT_REWARDS[mood] + GAMMA * value[after] - value[mood])
        rows.append(value.copy())
    return np.stack(rows)


def estimates(path: Path, *, runs: int = 30, length: int = 300) -> dict[str, Any]:
    """Bias and deviation of both estimates of the cat's values from the same days, by the number of days."""
    exact = np.linalg.solve(np.eye(6) - GAMMA * np.array(CAT_CHAIN) * (np.arange(6) != 5)[:, None], CAT_REWARDS)[:5]
    seen = [days(length, seed) for seed in range(runs)]
    figure = Figure(figsize=(8, 3), layout="constrained")
    found: dict[str, Any] = {}
    for name, estimate in (("Monte Carlo", monte_carlo), ("TD(0)", temporal_difference)):
        power = 1.0 if name == "Monte Carlo" else 0.75
        value = np.stack([estimate(one, power) for one in seen])[..., :5]  # [runs, days, moods]
        bias, spread = np.abs(value.mean(0) - exact).mean(1), value.std(0).mean(1)
        found[name] = {"bias": float(bias[-1]), "deviation": float(spread[-1]), "early deviation": float(spread[9])}
        for axis, what, line in zip(
            figure.axes or figure.subplots(1, 2), ("bias", "deviation"), (bias, spread), strict=True
        ):
            axis.plot(range(1, length + 1), line, label=name)
            axis.set(xscale="log", xlabel="days seen", ylabel=f"{what} of a value")
    figure.axes[1].legend(frameon=False)
    write_figure(path, figure, dpi=80)
    return found


def gradients(agent: Any, batch: dict[str, Tensor], weight: Tensor) -> Tensor:
    """One estimate of the policy gradient for each episode, [episodes, parameters]."""
    parameters, rows = list(agent.actor.parameters()), []
    for episode in range(weight.shape[1]):
        mask = batch["mask"][:, episode]
        log_p, _ = agent.log_prob(agent.actor(batch["obs"][mask, episode]), batch["action"][mask, episode])
        parts = torch.autograd.grad((weight[mask, episode] * log_p).sum(), parameters)
        rows.append(torch.cat([part.flatten() for part in parts]))
    return torch.stack(rows)


def variance(path: Path, *, episodes: int = 400, fits: int = 300) -> dict[str, Any]:
    """The gradient of REINFORCE from single episodes with and without a baseline: same mean, another spread."""
    torch.manual_seed(0)
    agent: Any = zoo.create("reinforce", hidden=[16])
    data = Environment("CartPole-v1", episodes, whole_episodes=True, rollouts=1)
    data.behaviour = lambda: agent.behave  # type: ignore[method-assign]
    batch = next(iter(data.loader()))
    mask, done = batch["mask"], batch["terminated"] | batch["truncated"]
    goal = returns_to_go(batch["reward"] * mask, done, agent.hparams["gamma"])
    optimizer = torch.optim.Adam(agent.critic.parameters(), lr=1e-2)
    for _ in range(fits):
        loss = (agent.worth(batch["obs"][mask]) - goal[mask]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        baseline = agent.worth(batch["obs"].flatten(0, 1)).view_as(goal)
    found, means = {}, {}
    figure = Figure(figsize=(8, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    plain = gradients(agent, batch, goal)
    direction = plain.mean(0) / plain.mean(0).norm()
    for name, rows in (("return G", plain), ("G − b(s)", gradients(agent, batch, goal - baseline))):
        means[name] = rows.mean(0)
        found[name] = rows.var(0).sum().item()
        left.hist((rows @ direction).numpy(), bins=40, histtype="step", density=True, label=name)
        sizes = [2**i for i in range(int(math.log2(episodes)) - 1)]
        errors = [
            np.mean([(part.mean(0) - means[name]).norm().item() for part in rows[: episodes // n * n].split(n)])
            for n in sizes
        ]
        right.plot(sizes, errors, "o-", ms=3, label=name)
    left.set(xlabel="gradient of one episode along the mean one", ylabel="density")
    left.legend(frameon=False)
    right.set(xscale="log", yscale="log", xlabel="episodes averaged", ylabel="distance to the mean of all")
    write_figure(path, figure, dpi=80)
    gap = (means["return G"] - means["G − b(s)"]).norm() / means["return G"].norm()
    return {"variance": found, "gap of the means": gap.item()}


class Gate(L.Callback):
    """Lets a new network play only once it wins more games than it loses against the one that plays."""

    def __init__(self, on: bool, every: int, games: int = 40, margin: float = 0.1) -> None:
        self.on, self.every, self.games, self.margin = on, every, games, margin
        self.lost: list[int] = []
        self.passed = self.tried = 0

    def on_fit_start(self, trainer: L.Trainer, agent: Any) -> None:
        self.latest = agent.on_self_play_start
        self.latest()
        if self.on:
            agent.on_self_play_start = lambda: self.challenge(trainer, agent)

    def challenge(self, trainer: L.Trainer, agent: Any) -> None:
        if trainer.current_epoch % self.every:
            return
        rng, player = np.random.default_rng(trainer.current_epoch), agent._player[0]

        def moves(network: Any) -> Callable[..., Any]:
            def choose(own: Any, other: Any) -> Any:
                policy = agent._evaluate(own, other, network)[0]
                return (policy.cumsum(1) > rng.random((len(policy), 1)) * 0.999999).argmax(1)

            return choose

        results, _ = contest(agent.game, moves(agent.net), moves(player), self.games)
        self.tried += 1
        if results.mean() > self.margin:
            self.passed += 1
            self.latest()

    def on_train_epoch_end(self, trainer: L.Trainer, agent: Any) -> None:
        def network(own: Any, other: Any) -> Any:
            return agent._evaluate(own, other)[0].argmax(1)

        self.lost.append(sum(all_lines(agent.game, network, begins)["lost"] for begins in (True, False)))


def gating(path: Path, *, epochs: int = 24, seeds: int = 3, width: int = 16) -> dict[str, Any]:
    """Tic-tac-toe learnt with the latest network as player (AlphaZero) and with a gate before it (AlphaGo Zero)."""
    figure = Figure(figsize=(6, 3), layout="constrained")
    axis = figure.subplots()
    found: dict[str, Any] = {}
    for name, on in (("the latest network plays", False), ("only a network that wins may play", True)):
        lost, passed = [], []
        for seed in range(seeds):
            L.seed_everything(seed, verbose=False)
            agent = zoo.create("alphazero", game="tictactoe", width=width, blocks=1, train_simulations=16)
            gate = Gate(on, every=2)
            quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False}
            trainer = L.Trainer(
                max_epochs=epochs, accelerator="cpu", enable_progress_bar=False, callbacks=[gate], **quiet
            )
            data = SelfPlay(
                "tictactoe", 128, games=32, plies=8, steps=24, window=6000, random_games=0.75, random_plies=5
            )
            data.seed = seed
            trainer.fit(agent, data)
            lost.append(gate.lost)
            passed.append(gate.passed / max(1, gate.tried))
        rows = np.array(lost)
        axis.plot(range(1, epochs + 1), rows.mean(0), label=name)
        axis.fill_between(range(1, epochs + 1), rows.min(0), rows.max(0), alpha=0.2, linewidth=0)
        found[name] = {"lost at the end": rows[:, -1].tolist(), "passed": float(np.mean(passed))}
    axis.set(yscale="symlog", xlabel="epochs", ylabel="lines lost by the network alone")
    axis.legend(frameon=False, fontsize=8)
    write_figure(path, figure, dpi=80)
    return found


FIGURES = {"loop": loop, "chain": chain, "estimates": estimates, "variance": variance, "gating": gating}


@one_sentence
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"some of {', '.join(FIGURES)}; all without")
    options = parser.parse_args()
    DOCS.mkdir(exist_ok=True)
    for name in options.names or FIGURES:
        if name not in FIGURES:
            raise ZooError(f"there is no figure {name!r}; there are {', '.join(FIGURES)}")
        print(name, FIGURES[name](DOCS / f"{name}.png"), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
