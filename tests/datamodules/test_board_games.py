"""The rules as bits, against the rules on a board that a person would write."""

import numpy as np
import pytest

import zoo
from datamodules.board_games import GAMES, Connect4, TicTacToe
from zoo.errors import InputError

RNG_SEED = 3


def line_on(board: np.ndarray, who: int, length: int) -> bool:
    """Whether `who` has a line, by looking at every start and direction."""
    rows, columns = board.shape
    for r in range(rows):
        for c in range(columns):
            for dr, dc in ((0, 1), (1, 0), (1, 1), (1, -1)):
                cells = [(r + i * dr, c + i * dc) for i in range(length)]
                inside = all(0 <= a < rows and 0 <= b < columns for a, b in cells)
                if inside and all(board[cell] == who for cell in cells):
                    return True
    return False


def drop(board: np.ndarray, game, action: int) -> np.ndarray:
    """The board after a move, seen by the next player."""
    board = board.copy()
    row, column = (
        divmod(action, 3) if game.name == "tictactoe" else (int(np.flatnonzero(board[:, action] == 0)[-1]), action)
    )
    board[row, column] = 1
    return -board


@pytest.mark.parametrize("game", GAMES.values(), ids=GAMES)
def test_random_games_follow_the_written_rules(game):
    rng, length = np.random.default_rng(RNG_SEED), {"tictactoe": 3, "connect4": 4}[game.name]
    for _ in range(60):
        own, other = np.zeros(1, np.int64), np.zeros(1, np.int64)
        board = np.zeros((game.rows, game.columns), np.int8)
        while True:
            over, result = game.outcome(own, other)
            assert result[0] == (-1 if line_on(board, -1, length) else 0)
            assert over[0] == (line_on(board, -1, length) or not (board == 0).any())
            assert np.array_equal(game.boards(own, other)[0], board)
            assert [int(bits[0]) for bits in game.positions(board)] == [int(own[0]), int(other[0])]
            if over[0]:
                break
            free = (board == 0).ravel() if game.name == "tictactoe" else board[0] == 0
            legal = game.legal(own, other)[0]
            assert np.array_equal(legal, free)
            action = int(rng.choice(np.flatnonzero(legal)))
            board = drop(board, game, action)
            own, other = game.move(own, other, np.array([action]))


def test_no_line_of_connect4_runs_over_the_edge():
    game, rng = Connect4(), np.random.default_rng(RNG_SEED)
    cells = rng.random((20_000, 42)) < 0.45  # patterns that no game reaches, full columns among them
    stones = (cells * (np.int64(1) << game.cells)).sum(1)
    expected = [line_on(row.reshape(6, 7).astype(int), 1, 4) for row in cells[:2000]]
    assert np.array_equal(game.won(stones)[:2000], expected) and 0 < np.mean(expected) < 1


def test_tictactoe_has_5478_positions_and_255168_games():
    game = TicTacToe()
    seen, lines, games = {(0, 0)}, {(0, 0): 1}, 0
    while lines:
        after: dict[tuple[int, int], int] = {}
        for (a, b), ways in lines.items():
            own, other = np.array([a]), np.array([b])
            for action in np.flatnonzero(game.legal(own, other)[0]):
                own2, other2 = game.move(own, other, np.array([action]))
                position = int(own2[0]), int(other2[0])
                seen.add(position)
                if game.outcome(own2, other2)[0][0]:
                    games += ways
                else:
                    after[position] = after.get(position, 0) + ways
        lines = after
    assert (len(seen), games) == (5478, 255_168)


@pytest.mark.parametrize("game", GAMES.values(), ids=GAMES)
def test_a_symmetry_commutes_with_a_move(game):
    rng = np.random.default_rng(RNG_SEED)
    cells, actions = game.symmetries
    assert len({tuple(row) for row in cells}) == {"tictactoe": 8, "connect4": 2}[game.name]
    own, other = np.zeros(1, np.int64), np.zeros(1, np.int64)
    for _ in range(4):
        own, other = game.move(own, other, np.array([rng.choice(np.flatnonzero(game.legal(own, other)[0]))]))
    for turn, renamed in zip(cells, actions, strict=True):
        turned = game.positions(game.boards(own, other)[0].ravel()[turn].reshape(game.rows, game.columns))
        for action in np.flatnonzero(game.legal(*turned)[0]):
            there = game.boards(*game.move(*turned, np.array([action])))
            here = game.boards(*game.move(own, other, np.array([renamed[action]])))  # the move before it was turned
            assert np.array_equal(here[0].ravel()[turn], there[0].ravel())


def test_boards_that_cannot_be_are_refused():
    game = Connect4()
    floating = np.zeros((6, 7), int)
    floating[2, 3] = 1
    for board, words in (
        (floating, "row 2, column 3 hangs in the air"),
        (np.zeros((7, 6)), r"\[6, 7\]"),
        (np.full((6, 7), 2), "a cell holds 2"),
        (np.full((6, 7), np.nan), "a cell holds nan"),
    ):
        with pytest.raises(InputError, match=words):
            game.positions(board)
    with pytest.raises(LookupError, match="connect4"):
        zoo.create("alphazero", game="conect4")
