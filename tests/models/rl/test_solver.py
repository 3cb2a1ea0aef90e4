"""Exact values, against a search without any cut-off."""

from functools import cache

import numpy as np
import pytest

from datamodules.board_games import board_game
from zoo.errors import InputError
from zoo.models.rl.matches import all_lines, opponent, optimal_share, perfect
from zoo.models.rl.solver import Solver, undecided


def plain(game):
    """Minimax over everything; positions are (own, other)."""

    @cache
    def value(own: int, other: int) -> int:
        a, b = np.array([own]), np.array([other])
        over, result = game.outcome(a, b)
        if over[0]:
            return int(result[0])
        moves = np.flatnonzero(game.legal(a, b)[0])
        after = [game.move(a, b, np.array([move])) for move in moves]
        return max(-value(int(mine[0]), int(theirs[0])) for mine, theirs in after)

    return value


def test_tictactoe_agrees_with_minimax_on_every_position():
    game, solver = board_game("tictactoe"), Solver(board_game("tictactoe"))
    exact, lines = plain(game), [(0, 0)]
    seen = set(lines)
    while lines:
        own, other = lines.pop()
        assert solver.value(own, other) == exact(own, other)
        for action in np.flatnonzero(game.legal(np.array([own]), np.array([other]))[0]):
            after = game.move(np.array([own]), np.array([other]), np.array([action]))
            position = int(after[0][0]), int(after[1][0])
            if not game.outcome(*after)[0][0] and position not in seen:
                seen.add(position)
                lines.append(position)
    assert len(seen) == 4520  # positions where the game goes on


def test_connect4_agrees_with_minimax_near_the_end():
    game = board_game("connect4")
    exact = plain(game)
    own, other, values = undecided(game, 30, 8, seed=5)
    assert (np.nanmin(values, 1) < np.nanmax(values, 1)).all()
    for a, b, row in zip(own, other, values, strict=True):
        for action in range(7):
            if np.isnan(row[action]):
                assert not game.legal(np.array([a]), np.array([b]))[0, action]
                continue
            after = game.move(np.array([a]), np.array([b]), np.array([action]))
            assert row[action] == -exact(int(after[0][0]), int(after[1][0]))


def test_perfect_play_loses_no_line_and_random_play_does():
    game, rng = board_game("tictactoe"), np.random.default_rng(0)
    for begins in (True, False):
        assert all_lines(game, perfect(game, rng), begins)["lost"] == 0
        assert all_lines(game, opponent("random", game, 0), begins)["lost"] > 0


def test_all_lines_counts_every_game_once():
    """A player who always takes the first free cell: the lines are counted here by plain recursion."""
    game = board_game("tictactoe")

    def count(own: int, other: int, turn: bool, ends: dict[str, int]) -> None:
        a, b = np.array([own]), np.array([other])
        over, result = game.outcome(a, b)
        if over[0]:
            ends["drawn" if result[0] == 0 else "lost" if turn else "won"] += 1
            return
        moves = np.flatnonzero(game.legal(a, b)[0])
        for move in moves[:1] if turn else moves:
            after = game.move(a, b, np.array([move]))
            count(int(after[0][0]), int(after[1][0]), not turn, ends)

    for begins in (True, False):
        ends = {"won": 0, "drawn": 0, "lost": 0}
        count(0, 0, begins, ends)
        assert all_lines(game, lambda own, other: game.legal(own, other).argmax(1), begins) == ends


def test_best_moves_are_counted_among_equals():
    values = np.array([[1, 1, np.nan], [0, -1, -1]], np.float32)
    assert optimal_share(values, np.array([1, 0])) == 1 and optimal_share(values, np.array([0, 2])) == 0.5


@pytest.mark.parametrize("name", ["mcts", "mcts:1", "mcts:many", "alphago", "mcts:1000000000"])
def test_unknown_opponents_are_refused(name):
    with pytest.raises(InputError, match="mcts:1000"):
        opponent(name, board_game("connect4"), 0)
    with pytest.raises(InputError, match="can't be solved"):
        opponent("perfect", board_game("connect4"), 0)
