"""Games between players, side by side, and the strength of one of them that follows.

A player is a function of positions: (own, other) int64 [N] → a legal move for each, int64 [N]. An agent, the classical search,
the solver and chance all fit that.
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from datamodules.board_games import Bits, BoardGame
from zoo.core.metric import entry
from zoo.errors import InputError
from zoo.models.rl.search import classical
from zoo.models.rl.solver import Solver, undecided

Player = Callable[[Bits, Bits], NDArray[np.int64]]
Measured = tuple[str, float, str, Literal["higher", "lower"]]  # metric, value, what it is, which direction is better
OPPONENTS = "itself, random, perfect or mcts:PLAYOUTS, such as mcts:1000"
MOST_PLAYOUTS = 100_000


def opponent(text: str, game: BoardGame, seed: int) -> Player:
    """A player by its name: "random", "perfect" (the solver), or "mcts:1000" (classical search with 1,000 playouts a move).

    Raises:
        InputError: for another name, or a number of playouts that can't be meant.
    """
    rng = np.random.default_rng(seed)
    kind, _, number = text.partition(":")
    if kind == "mcts" and number.isdecimal() and 2 <= int(number) <= MOST_PLAYOUTS:
        return lambda own, other: classical(game, own, other, int(number), rng).visits.argmax(1)
    if text == "random":
        return lambda own, other: (rng.random((len(own), game.actions)) * game.legal(own, other)).argmax(1)
    if text == "perfect":
        return perfect(game, rng)
    if kind == "mcts":
        raise InputError(f"the playouts of {text!r} must be a whole number, 2 … {MOST_PLAYOUTS:,}, as in mcts:1000")
    raise InputError(f"there is no opponent {text!r}; there are {OPPONENTS}")


def perfect(game: BoardGame, rng: np.random.Generator) -> Player:
    """Chooses evenly among the best moves; only for tic-tac-toe, as the early Connect-4 takes plain Python too long."""
    if game.name != "tictactoe":
        raise InputError(f"{game.name} can't be solved while you wait: play against mcts:PLAYOUTS, such as mcts:1000")
    solver = Solver(game)

    def choose(own: Bits, other: Bits) -> NDArray[np.int64]:
        values = np.stack([solver.values(int(a), int(b)) for a, b in zip(own, other, strict=True)])
        return (rng.random(values.shape) * (values == np.nanmax(values, 1, keepdims=True))).argmax(1)

    return choose


def contest(
    game: BoardGame,
    player: Player,
    against: Player,
    games: int,
    watch: Callable[[Bits, Bits, NDArray[np.int64]], None] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Play games side by side; `player` begins in games 0, 2, 4, … Returns its results 1, 0, -1 and the plies, each [games].

    `watch` is called with the position of game 0, and its move, at each of its plies.
    """
    own, other = np.zeros(games, np.int64), np.zeros(games, np.int64)
    results, plies = np.zeros(games), np.zeros(games, np.int64)
    open_, turn = np.arange(games), np.arange(games) % 2 == 0  # turn: whether `player` is to move
    while len(open_):
        move = np.zeros(len(open_), np.int64)
        for mover, mine in ((player, True), (against, False)):
            if (rows := turn[open_] == mine).any():
                move[rows] = mover(own[open_[rows]], other[open_[rows]])
        if watch and open_[0] == 0:
            watch(own[:1], other[:1], move[:1])
        own[open_], other[open_] = game.move(own[open_], other[open_], move)
        turn[open_] = ~turn[open_]
        plies[open_] += 1
        over, result = game.outcome(own[open_], other[open_])
        results[open_[over]] = np.where(turn[open_[over]], result[over], 0 - result[over])
        open_ = open_[~over]
    return results, plies


def all_lines(game: BoardGame, player: Player, begins: bool) -> dict[str, int]:
    """How every line of play ends, {"won", "drawn", "lost"}, where the opponent tries every move at each of its turns."""
    ends = {"won": 0, "drawn": 0, "lost": 0}
    lines, turn = {(0, 0): 1}, begins  # position → how many lines lead there
    while lines:
        own, other = (np.array(side, np.int64) for side in zip(*lines, strict=True))
        if turn:
            rows, moves = np.arange(len(own)), player(own, other)
        else:
            rows, moves = np.nonzero(game.legal(own, other))
        ways = np.array(list(lines.values()))[rows]
        own, other = game.move(own[rows], other[rows], moves)
        over, result = game.outcome(own, other)
        ends["won" if turn else "lost"] += int(ways[result < 0].sum())
        ends["drawn"] += int(ways[over & (result == 0)].sum())
        lines = {}
        for a, b, n in zip(own[~over].tolist(), other[~over].tolist(), ways[~over].tolist(), strict=True):
            lines[a, b] = lines.get((a, b), 0) + n
        turn = not turn
    return ends


def optimal_share(values: NDArray[np.float32], moves: NDArray[np.int64]) -> float:
    """Share of the moves [N] that are among the best by exact values [N, actions]."""
    return float((np.take_along_axis(values, moves[:, None], 1)[:, 0] == np.nanmax(values, 1)).mean())


# What the cards claim ------------------------------------------------------------------------------------------------


def claims(game: BoardGame, player: Player, network: Player, simulations: int) -> list[dict[str, Any]]:
    """The metric entries of an agent: `player` searches with `simulations` visits, `network` takes the likeliest move at once."""
    measured = _tictactoe(game, player, network) if game.name == "tictactoe" else _connect4(game, player, network)
    how = {
        False: f"{simulations} visits a move, float32",
        True: "the network's likeliest move without a search, float32",
    }
    return [
        entry(game.name, "test", metric, value, f"{text}; {how['network' in metric]}", better=better)
        for metric, value, text, better in measured
    ]


def _tictactoe(game: BoardGame, player: Player, network: Player) -> list[Measured]:
    found: list[Measured] = []
    for begins, side in ((True, "first"), (False, "second")):
        ends = all_lines(game, player, begins)
        text = f"of all {sum(ends.values())} lines of play as the {side} player, the opponent trying every move"
        found += [(f"lost_lines_{side}", ends["lost"], f"lines lost {text}", "lower")]
        found += [(f"won_lines_{side}", ends["won"], f"lines won {text}", "higher")]
    alone = sum(all_lines(game, network, begins)["lost"] for begins in (True, False))
    own, other, values = undecided(game, 500, 5, seed=1)
    text = "share of best moves in 500 positions with 5 free cells whose moves differ in exact value"
    return [
        *found,
        ("lost_lines_network", alone, "lines lost on both sides, the opponent trying every move", "lower"),
        ("optimal_moves", optimal_share(values, player(own, other)), text, "higher"),
    ]


def _connect4(game: BoardGame, player: Player, network: Player) -> list[Measured]:
    found: list[Measured] = []
    for name, playing, playouts in (("", player, 1000), ("_network", network, 100)):
        results, _ = contest(game, playing, opponent(f"mcts:{playouts}", game, seed=0), 100)
        text = f"of 100 games, 50 as the first player, against classical search with {playouts:,} playouts a move"
        found.append((f"wins{name}_mcts{playouts}", float((results > 0).mean()), f"share won {text}", "higher"))
        found.append((f"losses{name}_mcts{playouts}", float((results < 0).mean()), f"share lost {text}", "lower"))
    own, other, values = undecided(game, 500, 18, seed=0)
    text = "share of best moves in 500 positions from random play with 18 free cells whose moves differ in exact value"
    return [
        *found,
        ("optimal_moves", optimal_share(values, player(own, other)), text, "higher"),
        ("optimal_moves_network", optimal_share(values, network(own, other)), text, "higher"),
    ]
