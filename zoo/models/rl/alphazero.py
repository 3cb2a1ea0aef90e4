"""AlphaZero (Silver et al., 2017, arXiv:1712.01815): a network that learns a board game from games against itself.

A network f(s) = (p, v) proposes moves and judges positions. A search (see zoo/models/rl/search.py) that asks it at each new
position finds better moves than p alone, so the visits π of its root become the target of p, and the results z of the games
that the search plays against itself the target of v:

    loss = (z - v)² - πᵀ log p + c ‖θ‖²

The better network makes the search better. Positions are seen by the player to move, so z and v change sign at every ply.

Departures from the paper: the latest network always plays (as in AlphaZero, unlike AlphaGo Zero); a small residual network
without batch normalisation, whose blocks start as the identity; the value's target is the mean of z and the search's own
value, which varies less than z; the search proves what the rules decide; a part of the games starts from random positions, so
that the network also knows boards that good players never reach.
"""

import copy
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from datamodules.board_games import Bits, board_game
from zoo.core.checks import check_count
from zoo.core.data import EnvironmentData
from zoo.core.module import ZooModule
from zoo.core.precision import bfloat16_is_slow
from zoo.core.verbs import verb
from zoo.errors import InputError
from zoo.models.rl.board_network import PolicyValueNet
from zoo.models.rl.board_pictures import draw_board, picture_file, save_frames
from zoo.models.rl.episodes import Episodes
from zoo.models.rl.matches import claims, contest, opponent
from zoo.models.rl.search import Floats, Forest, Searched, puct


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
        bfloat16: play the games against itself with a bfloat16 copy of the network, where the processor is quick in it.

    Shapes:
        boards: [N, 3, 3] or [N, 6, 7], or one without N; 1 the player to move, -1 the other, 0 empty, the first row on top.
    """

    task: ClassVar[str] = "reinforcement-learning"
    use: ClassVar[str] = """
import numpy as np
board = np.zeros((model.game.rows, model.game.columns), dtype=np.int8)  # 1 the player to move, -1 the other, 0 empty
print(model.act(board))  # its move
print(model.policy(board), model.values(board))  # how often its search took each move, and what the move is worth
# model.play(1, against="random", path="game.gif") gives the result 1, 0 or -1 of a game; in the terminal: zoo play {name}
"""

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
        for what, count in (("simulations", simulations), ("train_simulations", train_simulations)):
            check_count(count, what)
        self._player: list[nn.Module] = []  # a list, so that the copy is no part of the model

    def forward(self, boards: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of all moves [N, actions], legal or not, and values [N] for the player to move."""
        return self.net(boards)

    # Verbs -----------------------------------------------------------------------------------------------------------

    @verb
    def act(self, board: Any, greedy: bool = True, seed: int | None = None) -> Any:
        """The move for a board: the cell 0 … 8 of tic-tac-toe, row by row, or the column 0 … 6 of Connect-4. Always a legal one.

        Args:
            board: [rows, columns], or [N, rows, columns] for several; list, array or tensor.
            greedy: the move that the search visited most, the same each time; else one drawn in proportion to the visits.
            seed: of the draw.

        Returns:
            an int for one board; for several an int64 array [N], or a tensor where a tensor was given.

        Raises:
            InputError: for another shape, values other than 1, -1 and 0, stones in the air, or a game that is over.
        """
        own, other, single = self._positions(board)
        rng = np.random.default_rng(seed)
        moves = self._choose(own, other, greedy, rng)
        if single:
            return int(moves[0])
        return torch.from_numpy(moves) if isinstance(board, Tensor) else moves

    @verb
    def policy(self, board: Any, simulations: int | None = None) -> Tensor:
        """Probabilities of the moves, float32 [actions] or [N, actions]: the shares of a search's visits.

        With 0 simulations the network alone is asked.

        Raises:
            InputError: as `act`.
        """
        own, other, single = self._positions(board)
        if self._visits(simulations):
            policy = self._search(own, other, self._visits(simulations)).policy
        else:
            policy = self._evaluate(own, other)[0]
        return torch.from_numpy(policy[0] if single else policy)

    @verb
    def values(self, board: Any, simulations: int | None = None) -> Tensor:
        """Value of each move for the player to move, float32 [actions] or [N, actions], in [-1, 1], NaN where illegal.

        1 is a win, -1 a loss: a search's mean where it went, the network's word on the position after the move where it didn't.

        Raises:
            InputError: as `act`.
        """
        own, other, single = self._positions(board)
        values = np.full((len(own), self.game.actions), np.nan, np.float32)
        if self._visits(simulations):
            values = self._search(own, other, self._visits(simulations)).values
        rows, moves = np.nonzero(np.isnan(values) & self.game.legal(own, other))
        if len(rows):
            after = self.game.move(own[rows], other[rows], moves)
            over, result = self.game.outcome(*after)
            values[rows, moves] = -np.where(over, result, self._evaluate(*after)[1])
        return torch.from_numpy(values[0] if single else values)

    @verb
    def play(
        self,
        episodes: int = 1,
        seed: int = 0,
        path: str | Path | None = None,
        env: Any = None,
        greedy: bool = True,
        *,
        against: str = "itself",
    ) -> Episodes:
        """Play games; the agent begins in every other one of them.

        Args:
            seed: of the opponent's draws, and of the agent's where it isn't greedy.
            path: draw the first game to this file: .gif moves, .png is a strip of moments.
            env: None; the board is the environment.
            greedy: take the most visited move; else draw in proportion to the visits.
            against: "itself", "random", "perfect" (tic-tac-toe) or "mcts:1000", classical search with 1,000 playouts a move.

        Returns:
            the results for the agent, 1, 0 or -1, as an array [episodes] with `lengths` in plies and `path` beside; against
            itself those of whoever begins in games 0, 2, 4, …

        Raises:
            InputError: for an unknown opponent, or another environment.
        """
        check_count(episodes, "episodes")
        if env is not None:
            raise InputError("a board game has no other environment: name an opponent by against='mcts:1000'")
        target = picture_file(path)
        rng = np.random.default_rng(seed)
        frames: list[Any] = []

        def mine(own: Bits, other: Bits) -> NDArray[np.int64]:
            return self._choose(own, other, greedy, rng)

        def watch(own: Bits, other: Bits, move: NDArray[np.int64]) -> None:
            board = self.game.boards(own, other)[0]
            frames.append(draw_board(self.game, board, self.policy(board), self.values(board)))
            after = self.game.move(own, other, move)
            if self.game.outcome(*after)[0][0]:
                frames.extend([draw_board(self.game, self.game.boards(*after)[0])] * 3)

        foe = mine if against == "itself" else opponent(against, self.game, seed)
        results, plies = contest(self.game, mine, foe, episodes, watch if target else None)
        if target:
            save_frames(frames, target)
        return Episodes(results, plies, target)

    # Training --------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def behave(self, own: Bits, other: Bits, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Results of the search in the games against itself: policies [N, actions] and values [N], with noise at the roots."""
        noise = rng.dirichlet([self.hparams["concentration"]] * self.game.actions, len(own)).astype(np.float32)
        found = self._search(own, other, self.hparams["train_simulations"], noise)
        return found.policy, found.value

    def on_self_play_start(self) -> None:
        """Take a copy of the network for the coming games."""
        player = copy.deepcopy(self.net).eval().to(memory_format=torch.channels_last)  # a sixth faster on a processor
        quick = self.hparams["bfloat16"] and not bfloat16_is_slow(self.device.type)
        self._player = [player.bfloat16() if quick else player]

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> Tensor:
        boards, policy, target = batch
        logits, value = self(boards)
        policy_loss, value_loss = F.cross_entropy(logits, policy), F.mse_loss(value, target)
        self.log_train(policy_loss=policy_loss, value_loss=value_loss)
        return policy_loss + value_loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=2e-3, weight_decay=1e-4)

    # Claims ----------------------------------------------------------------------------------------------------------

    def evaluate(self, data: EnvironmentData) -> list[dict[str, Any]]:
        """Tic-tac-toe: every line of play. Connect-4: games against classical search, and best moves by exact values."""

        def network(own: Bits, other: Bits) -> NDArray[np.int64]:
            return self._evaluate(own, other)[0].argmax(1)

        def player(own: Bits, other: Bits) -> NDArray[np.int64]:
            return self._choose(own, other, True, np.random.default_rng(0))

        return claims(self.game, player, network, self.hparams["simulations"])

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

    def preview(self, path: Path) -> Path:
        """A game against itself, as a strip of moments."""
        self.play(path=path)
        return path

    # Search ----------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def _search(self, own: Bits, other: Bits, simulations: int, noise: Floats | None = None) -> Searched:
        network = self._player[0] if noise is not None and self._player else self.net
        ask, score = partial(self._evaluate, network=network), puct(self.hparams["exploration"])
        return Forest(self.game, own, other, ask, simulations, score=score, noise=noise).found()

    @torch.no_grad()
    def _evaluate(self, own: Bits, other: Bits, network: nn.Module | None = None) -> tuple[Floats, Floats]:
        """The network's probabilities of legal moves [N, actions], and values [N], of positions."""
        legal = torch.from_numpy(self.game.legal(own, other))
        boards = torch.from_numpy(self.game.boards(own, other)).to(self.device)
        logits, value = (network or self.net)(boards)
        return logits.float().cpu().masked_fill(~legal, -torch.inf).softmax(1).numpy(), value.float().cpu().numpy()

    def _choose(self, own: Bits, other: Bits, greedy: bool, rng: np.random.Generator) -> NDArray[np.int64]:
        policy = self._search(own, other, self.hparams["simulations"]).policy
        return policy.argmax(1) if greedy else (policy.cumsum(1) > rng.random((len(policy), 1)) * 0.999999).argmax(1)

    def _visits(self, simulations: int | None) -> int:
        if simulations is None:
            return self.hparams["simulations"]
        return simulations and check_count(simulations, "simulations")

    def _positions(self, board: Any) -> tuple[Bits, Bits, bool]:
        """Checked positions of boards, and whether one alone was given."""
        board = board.cpu().numpy() if isinstance(board, Tensor) else np.asarray(board)
        own, other = self.game.positions(board)
        if not len(own):
            raise InputError("there is no board: the batch is empty")
        ended = self.game.outcome(own, other)[0] | self.game.won(own)
        if ended.any():
            raise InputError(f"there is no move on board {int(ended.argmax())}: the game is over")
        return own, other, board.ndim == 2
