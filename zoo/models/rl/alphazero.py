"""AlphaZero (Silver et al., 2017, arXiv:1712.01815): a network that learns a board game from games against itself.

A network f(s) = (p, v) proposes moves and judges positions. A search (see zoo/models/rl/search.py) that asks it at each new position
finds better moves than p alone, so the visits π of its root become the target of p, and the results z of the games that the search
plays against itself the target of v:

    loss = (z - v)² - πᵀ log p + c ‖θ‖²

The better network makes the search better, and so on. Positions are seen by the player to move, so z and v change sign at every ply.

Departures from the paper: the latest network always plays (as in AlphaZero, unlike AlphaGo Zero); a small residual network without
batch normalisation, whose blocks start as the identity; the value's target is the mean of z and the search's own value, which varies
less than z; the search proves what the rules decide; a part of the games starts from random positions, so that the network also
knows boards that good players never reach.
"""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from datamodules.board_games import Bits, board_game
from zoo.core.module import ZooModule
from zoo.errors import InputError
from zoo.models.rl.search import Floats, Forest, Searched, puct


class Block(nn.Module):
    """x + convolutions(x): two 3×3 convolutions, the second of which starts at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(F.relu(self.first(x))))


class PolicyValueNet(nn.Module):
    """Boards [N, rows, columns] of 1, -1 and 0 → logits of the moves [N, actions] and values [N] in [-1, 1]."""

    def __init__(self, rows: int, columns: int, actions: int, width: int, blocks: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, width, 3, padding=1)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(blocks)))
        self.policy_planes = nn.Conv2d(width, 16, 1)
        self.policy = nn.Linear(16 * rows * columns, actions)
        self.value_planes = nn.Conv2d(width, 16, 1)
        self.value = nn.Sequential(nn.Linear(16 * rows * columns, 64), nn.ReLU(), nn.Linear(64, 1), nn.Tanh())

    def forward(self, boards: Tensor) -> tuple[Tensor, Tensor]:
        planes = torch.stack([boards == 1, boards == -1], 1).to(self.stem.weight.dtype)  # [N, 2, rows, columns]
        x = self.blocks(F.relu(self.stem(planes)))
        logits = self.policy(F.relu(self.policy_planes(x)).flatten(1))
        return logits, self.value(F.relu(self.value_planes(x)).flatten(1)).squeeze(1)


class AlphaZero(ZooModule):
    """A player of tic-tac-toe or Connect-4.

    Args:
        game: "tictactoe" or "connect4".
        width: channels of the network.
        blocks: residual blocks of two convolutions.
        simulations: visits of a search when the agent plays.
        train_simulations: visits of a search in the games against itself.
        exploration: the constant c of PUCT.
        concentration: of the Dirichlet noise on the root's prior in the games against itself.
        bfloat16: play the games against itself with a bfloat16 copy of the network.

    Shapes:
        boards: [N, 3, 3] or [N, 6, 7], or one without N; 1 the player to move, -1 the other, 0 empty, the first row on top.
    """

    task: ClassVar[str] = "reinforcement-learning"

    def __init__(
        self,
        game: Literal["tictactoe", "connect4"] = "connect4",
        width: int = 32,
        *,
        blocks: int = 2,
        simulations: int = 200,
        train_simulations: int = 64,
        exploration: float = 1.5,
        concentration: float = 1.0,
        bfloat16: bool = False,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.game = board_game(game)
        self.net = PolicyValueNet(self.game.rows, self.game.columns, self.game.actions, width, blocks)
        self.simulations, self.train_simulations = simulations, train_simulations
        self.exploration, self.concentration = exploration, concentration
        self._player: list[nn.Module] = []  # a list, so that the copy is no part of the model

    def forward(self, boards: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of all moves [N, actions], legal or not, and values [N] for the player to move."""
        return self.net(boards)

    # Training --------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def behave(self, own: Bits, other: Bits, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """What the search says in the games against itself: policies [N, actions] and values [N], with noise at the roots."""
        noise = rng.dirichlet([self.concentration] * self.game.actions, len(own)).astype(np.float32)
        found = self._search(own, other, self.train_simulations, noise)
        return found.policy, found.value

    def on_self_play_start(self) -> None:
        """Take a copy of the network for the coming games."""
        player = copy.deepcopy(self.net).eval()
        self._player = [player.bfloat16() if self.hparams.bfloat16 else player]

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> Tensor:
        boards, policy, target = batch
        logits, value = self(boards)
        policy_loss, value_loss = F.cross_entropy(logits, policy), F.mse_loss(value, target)
        self.log_train(policy_loss=policy_loss, value_loss=value_loss)
        return policy_loss + value_loss

    def golden_inputs(self) -> dict[str, Tensor]:
        """Positions after 0 … 8 of some fixed plies, float32 [9, rows, columns]; games of fewer plies leave the rest empty."""
        game, own, other = self.game, np.zeros(1, np.int64), np.zeros(1, np.int64)
        boards = [game.boards(own, other)]
        for ply in range(8):
            if not game.outcome(own, other)[0][0]:
                free = np.flatnonzero(game.legal(own, other)[0])
                own, other = game.move(own, other, free[[5 * ply % len(free)]])
            boards.append(game.boards(own, other))
        return {"boards": torch.from_numpy(np.concatenate(boards)).float()}

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """The network's logits and values."""
        logits, value = self(inputs["boards"])
        return {"logits": logits, "value": value}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=2e-3, weight_decay=1e-4)

    @torch.no_grad()
    def _search(self, own: Bits, other: Bits, simulations: int, noise: Floats | None = None) -> Searched:
        network = self._player[0] if noise is not None and self._player else self.net
        return Forest(
            self.game, own, other, self._evaluator(network), simulations, score=puct(self.exploration), noise=noise
        ).found()

    def _evaluator(self, network: nn.Module) -> Any:
        game = self.game

        def evaluate(own: Bits, other: Bits) -> tuple[Floats, Floats]:
            legal = torch.from_numpy(game.legal(own, other))
            logits, value = network(torch.from_numpy(game.boards(own, other)).to(self.device))
            prior = logits.float().cpu().masked_fill(~legal, -torch.inf).softmax(1)
            return prior.numpy(), value.float().cpu().numpy()

        return evaluate
