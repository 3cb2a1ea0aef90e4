"""Games of an agent against itself: the data set that a network and its search write while they learn.

An epoch first plays: `games` games go on side by side by `plies` plies each, and the positions of those that end enter a
window of the latest `window` positions. Then it trains: `steps` batches, drawn evenly from the window, each position under a
random symmetry of the game. The agent gives `behave(own, other, rng)`: the policies [N, A] and values [N] of its search.

A part of the games starts after a few random plies. Good players avoid most positions, and an agent that only ever met good play
would be helpless against bad play.

What is random is a pure function of (seed, epoch), and the window and the open games are kept with the trainer's state: a run
that was interrupted between two epochs goes on as if nothing had happened.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from datamodules.base import CLI_KEYS, key
from datamodules.board_games import board_game
from datamodules.module import DataModule
from datamodules.resumable import ResumableLoader
from zoo.errors import InputError


class SelfPlay(DataModule):
    """Positions from games of an agent against itself.

    Args:
        game: "tictactoe" or "connect4"; the agent's.
        batch_size: positions of a batch.
        games: played side by side.
        plies: that each game moves on by in an epoch.
        steps: batches of an epoch.
        window: latest positions that batches are drawn from.
        random_games: share of the games that start after random plies.
        random_plies: at most so many, evenly 1 … random_plies.
        sampled_plies: until this ply moves are drawn from the policy; later the likeliest is played.
        outcome_share: of the result z in the value's target; the rest is the search's own value.
        seed: of all draws.
        root: unused, there are no files; data modules share it.

    Shapes:
        batches: boards float32 [B, rows, columns], policies float32 [B, actions], values float32 [B].
    """

    name = "self-play"
    licence: ClassVar[str] = "none needed"
    licence_note: ClassVar[str] = "Played, not collected: nothing is stored or passed on."
    homepage: ClassVar[str] = "https://arxiv.org/abs/1712.01815"

    def __init__(
        self,
        game: str = "connect4",
        batch_size: int = 512,
        *,
        games: int = 256,
        plies: int = 16,
        steps: int = 32,
        window: int = 100_000,
        random_games: float = 0.5,
        random_plies: int = 12,
        sampled_plies: int = 12,
        outcome_share: float = 0.5,
        seed: int = 0,
        root: str | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=CLI_KEYS)
        for what, value in (
            ("batch_size", batch_size),
            ("games", games),
            ("plies", plies),
            ("steps", steps),
            ("random_plies", random_plies),
        ):
            if value < 1:
                raise InputError(f"{what} is {value}; it must be at least 1.")
        if window < batch_size:
            raise InputError(f"window is {window}; it must hold at least the {batch_size} positions of a batch.")
        if not 0 <= random_games <= 1 or not 0 <= outcome_share <= 1:
            raise InputError(
                f"random_games is {random_games} and outcome_share {outcome_share}; both are shares, 0 … 1."
            )
        self.rules = board_game(game)
        self.batch_size, self.games, self.plies, self.steps, self.window = batch_size, games, plies, steps, window
        self.random_games, self.random_plies, self.sampled_plies = random_games, random_plies, sampled_plies
        self.outcome_share, self.seed = outcome_share, seed
        self.collection: Collection | None = None

    def setup(self, stage: str | None = None) -> None:
        if self.collection is None:
            self.collection = Collection(self)

    def train_dataloader(self) -> "SelfPlayLoader":
        return SelfPlayLoader(self)

    def state_dict(self) -> dict[str, Any]:
        """The window and the open games as tensors, for the trainer's state."""
        return self.collection.state() if self.collection else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if state_dict:
            self.collection = Collection(self, state_dict)


class SelfPlayLoader(ResumableLoader):
    """Plays at the start of an epoch, then draws batches from the window."""

    def __init__(self, data: SelfPlay) -> None:
        self.data = data

    def __len__(self) -> int:
        return self.data.steps

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        data = self.data
        trainer, collection = data.trainer, data.collection
        assert trainer is not None and collection is not None  # the data module makes both before it asks for a batch
        rng = np.random.default_rng(key(data.seed, self.epoch))
        collection.play(trainer.lightning_module, rng)
        device = trainer.strategy.root_device
        for _ in self.remaining():
            boards, policies, values = (torch.from_numpy(part).to(device) for part in collection.draw(rng))
            yield boards, policies, values


class Collection:
    """The open games and the window of finished positions.

    Shapes:
        own, other: int64 [games]; the records of open games: boards int8 [games, length, cells], policies float32
        [games, length, actions], values float32 [games, length]; ply: recorded plies, age: plies since the empty board.
    """

    def __init__(self, data: SelfPlay, state: dict[str, Tensor] | None = None) -> None:
        self.data, self.rules = data, data.rules
        cells, actions, games = self.rules.rows * self.rules.columns, self.rules.actions, data.games
        self.own, self.other = np.zeros(games, np.int64), np.zeros(games, np.int64)
        self.ply, self.age = np.full(games, -1), np.zeros(games, np.int64)  # -1: to be started
        self.boards = np.zeros((games, cells, cells), np.int8)  # a game has no more plies than cells
        self.policies = np.zeros((games, cells, actions), np.float32)
        self.values = np.zeros((games, cells), np.float32)
        self.seen: list[np.ndarray] = [
            np.zeros((0, cells), np.int8),
            np.zeros((0, actions), np.float32),
            np.zeros(0, np.float32),
        ]
        if state:
            for name in STATE:
                setattr(self, name, state[name].numpy().copy())
            self.seen = [state[f"seen{i}"].numpy().copy() for i in range(3)]

    def state(self) -> dict[str, Tensor]:
        arrays = {name: getattr(self, name) for name in STATE} | {f"seen{i}": a for i, a in enumerate(self.seen)}
        return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}

    def play(self, agent: Any, rng: np.random.Generator) -> None:
        """Move each game on by `plies` plies, or until the window holds a batch."""
        agent.on_self_play_start()
        new: list[tuple[np.ndarray, ...]] = []
        rounds = 0
        while rounds < self.data.plies or len(self.seen[0]) + sum(len(part[0]) for part in new) < self.data.batch_size:
            self._start(rng)
            new += self._ply(agent, rng)
            rounds += 1
        if new:
            parts = zip(self.seen, *new, strict=True)
            self.seen = [np.concatenate(part)[-self.data.window :] for part in parts]

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """A batch of positions, each under a random symmetry."""
        rows = rng.integers(len(self.seen[0]), size=self.data.batch_size)
        cells, actions = self.rules.symmetries
        turn = rng.integers(len(cells), size=len(rows))
        boards = np.take_along_axis(self.seen[0][rows], cells[turn], 1)
        policies = np.take_along_axis(self.seen[1][rows], actions[turn], 1)
        shape = (-1, self.rules.rows, self.rules.columns)
        return boards.reshape(shape).astype(np.float32), policies, self.seen[2][rows]

    def _start(self, rng: np.random.Generator) -> None:
        """Begin the games that are to be started, a part of them after random plies."""
        while (ended := np.flatnonzero(self.ply < 0)).size:
            own, other = np.zeros(len(ended), np.int64), np.zeros(len(ended), np.int64)
            random = rng.random(len(ended)) < self.data.random_games
            plies = np.where(random, rng.integers(1, self.data.random_plies + 1, len(ended)), 0)
            over = np.zeros(len(ended), bool)
            for number in range(plies.max(initial=0)):
                on = (number < plies) & ~over
                legal = self.rules.legal(own[on], other[on])
                own[on], other[on] = self.rules.move(own[on], other[on], (rng.random(legal.shape) * legal).argmax(1))
                over |= self.rules.outcome(own, other)[0]
            good = ended[~over]  # a random opening that already decided the game is drawn again
            self.own[good], self.other[good], self.age[good], self.ply[good] = own[~over], other[~over], plies[~over], 0

    def _ply(self, agent: Any, rng: np.random.Generator) -> list[tuple[np.ndarray, ...]]:
        """One ply of all games: search, record, move; returns the positions, policies and targets of the games that end."""
        games, ply = np.arange(len(self.own)), self.ply
        policy, value = agent.behave(self.own, self.other, rng)
        self.boards[games, ply] = self.rules.boards(self.own, self.other).reshape(len(games), -1)
        self.policies[games, ply], self.values[games, ply] = policy, value
        drawn = (policy.cumsum(1) > rng.random((len(games), 1)) * policy.sum(1, keepdims=True)).argmax(1)
        move = np.where(self.age < self.data.sampled_plies, drawn, policy.argmax(1))
        self.own, self.other = self.rules.move(self.own, self.other, move)
        self.ply, self.age = self.ply + 1, self.age + 1
        over, result = self.rules.outcome(self.own, self.other)
        ended = []
        for game in np.flatnonzero(over):
            length = self.ply[game]
            z = -result[game] * (-1.0) ** np.arange(length)[::-1]  # of the last mover, then of the other, and so on
            share = self.data.outcome_share
            target = share * z + (1 - share) * self.values[game, :length]
            new = self.boards[game, :length], self.policies[game, :length], target.astype(np.float32)
            ended.append(tuple(part.copy() for part in new))
            self.ply[game] = -1
        return ended


STATE = ("own", "other", "ply", "age", "boards", "policies", "values")
