"""Two board games as bit patterns: the rules of tic-tac-toe and Connect-4 for thousands of positions at a time.

A position is two int64 numbers, a bit for each cell: the stones of the player to move, `own`, and the opponent's, `other`. A move
sets a bit and exchanges the two, so that every position is seen by the player whose turn it is. A line of k stones along a
direction whose neighbours lie d bits apart is found by shifting:

    line of 4:   m = s & (s >> d),    m & (m >> 2d) != 0

Connect-4 gives each column seven bits, the six cells from the bottom up and one that stays empty, so that no line runs from one
column's top into the next one's bottom. The free cell of a column is the carry of an addition: (own | other) + its lowest bit.

A board that people read is int8: [3, 3] or [6, 7], 1 own, -1 other, 0 empty, the first row on top.
"""

from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from zoo.errors import InputError, UnknownNameError

Bits = NDArray[np.int64]  # [N], one position each


class BoardGame:
    """Base of both games; a subclass gives the rules.

    Shapes:
        own, other: int64 [N]; boards: int8 [N, rows, columns]; legal moves: bool [N, actions].
    """

    name: ClassVar[str]
    rows: ClassVar[int]
    columns: ClassVar[int]
    actions: ClassVar[int]
    cells: ClassVar[Bits]  # the bit number of each cell, row by row
    action_word: ClassVar[str]  # what a move names
    stones: ClassVar[str] = "XO"  # of the first and the second player

    def legal(self, own: Bits, other: Bits) -> NDArray[np.bool_]:
        """Moves that the rules allow, bool [N, actions], whether or not the game is over."""
        raise NotImplementedError

    def move(self, own: Bits, other: Bits, action: NDArray[np.integer]) -> tuple[Bits, Bits]:
        """The position after a legal move, seen by the next player."""
        raise NotImplementedError

    def won(self, stones: Bits) -> NDArray[np.bool_]:
        """Whether stones hold a line, bool [N]."""
        raise NotImplementedError

    @cached_property
    def everything(self) -> int:
        """All cells as one bit pattern."""
        return int((1 << self.cells).sum())

    def full(self, own: Bits, other: Bits) -> NDArray[np.bool_]:
        """Whether no cell is free, bool [N]."""
        return (own | other) == self.everything

    def outcome(self, own: Bits, other: Bits) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Whether the game is over, bool [N], and the result for the player to move: -1 (the opponent has a line) or 0."""
        lost = self.won(other)
        return lost | self.full(own, other), -lost.astype(np.float32)

    # Boards that people read -----------------------------------------------------------------------------------------

    def boards(self, own: Bits, other: Bits) -> NDArray[np.int8]:
        """int8 [N, rows, columns] of positions."""
        mine, theirs = (((bits[:, None] >> self.cells) & 1).astype(np.int8) for bits in (own, other))
        return (mine - theirs).reshape(-1, self.rows, self.columns)

    def positions(self, boards: Any) -> tuple[Bits, Bits]:
        """(own, other) of boards [rows, columns] or [N, rows, columns], int64 [N].

        Raises:
            InputError: for another shape, other values than -1, 0 and 1, or stones that hang in the air.
        """
        boards = np.asarray(boards)
        if boards.shape[-2:] != (self.rows, self.columns) or boards.ndim not in (2, 3):
            raise InputError(
                f"a board of {self.name} is [{self.rows}, {self.columns}], or [N, {self.rows}, {self.columns}] for several, "
                f"not {list(boards.shape)}"
            )
        if not np.isin(boards, (-1, 0, 1)).all():
            strange = boards[~np.isin(boards, (-1, 0, 1))].flat[0]
            raise InputError(f"a cell holds {strange}; it is 1 (the player to move), -1 (the other) or 0 (empty)")
        cells = boards.reshape(-1, self.rows * self.columns)
        own, other = ((np.int64(1) << self.cells) * (cells == who) for who in (1, -1))
        self._check(boards.reshape(-1, self.rows, self.columns))
        return own.sum(1), other.sum(1)

    def _check(self, boards: NDArray) -> None:
        """What one game forbids beyond the values of cells."""

    # Symmetries ------------------------------------------------------------------------------------------------------

    @cached_property
    def symmetries(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """What maps the game to itself: permutations of the cells [S, rows · columns] and of the actions [S, actions]."""
        raise NotImplementedError


class TicTacToe(BoardGame):
    """Three in a row on nine cells; an action is a cell, 0 … 8, row by row."""

    name = "tictactoe"
    rows, columns, actions = 3, 3, 9
    cells = np.arange(9, dtype=np.int64)
    action_word = "cell"
    lines: ClassVar[Bits] = np.array(
        [sum(1 << c for c in line) for line in ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8))]
        + [sum(1 << c for c in line) for line in ((0, 4, 8), (2, 4, 6))],
        dtype=np.int64,
    )

    def legal(self, own: Bits, other: Bits) -> NDArray[np.bool_]:
        return ((own | other)[:, None] >> self.cells) & 1 == 0

    def move(self, own: Bits, other: Bits, action: NDArray[np.integer]) -> tuple[Bits, Bits]:
        return other, own | (np.int64(1) << action)

    def won(self, stones: Bits) -> NDArray[np.bool_]:
        return ((stones[:, None] & self.lines) == self.lines).any(1)

    @cached_property
    def symmetries(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        grid = np.arange(9).reshape(3, 3)
        turned = [np.rot90(side, k).ravel() for side in (grid, grid.T) for k in range(4)]
        return np.stack(turned), np.stack(turned)


class Connect4(BoardGame):
    """Four in a row on six rows and seven columns; an action is a column, 0 … 6, whose stone falls to the lowest free cell."""

    name = "connect4"
    rows, columns, actions = 6, 7, 7
    cells = np.array([7 * c + 5 - r for r in range(6) for c in range(7)], dtype=np.int64)
    action_word = "column"
    bottom: ClassVar[Bits] = np.int64(1) << np.arange(0, 49, 7, dtype=np.int64)
    top: ClassVar[Bits] = bottom << 5

    def legal(self, own: Bits, other: Bits) -> NDArray[np.bool_]:
        return (own | other)[:, None] & self.top == 0

    def move(self, own: Bits, other: Bits, action: NDArray[np.integer]) -> tuple[Bits, Bits]:
        taken = own | other
        return other, own | ((taken + self.bottom[action]) & ~taken)

    def won(self, stones: Bits) -> NDArray[np.bool_]:
        found = np.zeros(np.shape(stones), np.int64)
        for d in (1, 7, 6, 8):  # along a column, a row, and both diagonals
            pairs = stones & (stones >> d)
            found |= pairs & (pairs >> 2 * d)
        return found != 0

    def _check(self, boards: NDArray) -> None:
        floating = (boards[:, :-1] != 0) & (boards[:, 1:] == 0)
        if floating.any():
            _, row, column = np.argwhere(floating)[0]
            raise InputError(
                f"the stone in row {row}, column {column} hangs in the air: row {self.rows - 1} is the bottom, and stones fall"
            )

    @cached_property
    def symmetries(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        grid = np.arange(42).reshape(6, 7)
        return np.stack([grid.ravel(), grid[:, ::-1].ravel()]), np.stack([np.arange(7), np.arange(7)[::-1]])


GAMES: dict[str, BoardGame] = {game.name: game for game in (TicTacToe(), Connect4())}


def board_game(name: str) -> BoardGame:
    """The rules by name.

    Raises:
        UnknownNameError: a LookupError with the nearest names.
    """
    if name not in GAMES:
        raise UnknownNameError("board game", name, GAMES)
    return GAMES[name]
