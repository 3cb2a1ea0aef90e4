"""The exact value of a position: alpha-beta search to the end of the game, with a table of positions that are already known.

A position is won (1), drawn (0) or lost (-1) for the player to move, if both play perfectly:

    value(s) = max over moves of -value(s after the move)

Tic-tac-toe is solved from the empty board in a moment. Plain Python solves Connect-4 positions with up to about 20 free cells;
those nearer to the empty board take minutes to years. The solver is the judge of AlphaZero's moves, never its teacher.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.board_games import BoardGame


class Solver:
    """Exact values of positions of a game; what it has found stays in its table."""

    def __init__(self, game: BoardGame) -> None:
        self.game = game
        self.known: dict[tuple[int, int], tuple[int, int]] = {}  # bounds of the value, the same if it is exact
        middle = (game.actions - 1) / 2
        self.order = sorted(range(game.actions), key=lambda action: abs(action - middle))  # central moves cut off more
        self.falls = game.name == "connect4"
        self.lines = [int(line) for line in getattr(game, "lines", ())]

    def value(self, own: int, other: int, low: int = -1, high: int = 1) -> int:
        """1, 0 or -1 for the player to move, who isn't beaten yet; exact if it lies between `low` and `high`."""
        free = [bit for _, bit in self._moves(own | other)]
        if not free:
            return 0
        if any(self._won(own | bit) for bit in free):
            return 1
        threats = [bit for bit in free if self._won(other | bit)]
        if len(threats) > 1:
            return -1  # two lines to block with one stone
        least, most = self.known.get((own, other), (-1, 1))
        low, high = max(low, least), min(high, most)
        if low >= high or least == most:
            return least if least == most else low
        best, bound = -1, low
        for bit in threats or free:
            best = max(best, -self.value(other, own | bit, -high, -bound))
            bound = max(bound, best)
            if bound >= high:
                break
        # below the window the search has shown an upper bound, above it a lower one
        self.known[own, other] = (
            least if best <= low and low > -1 else max(least, best),
            most if best >= high else best,
        )
        return best

    def values(self, own: int, other: int) -> NDArray[np.float32]:
        """Value of each move for the player who makes it, float32 [actions], NaN where illegal."""
        found = np.full(self.game.actions, np.nan, np.float32)
        for action, bit in self._moves(own | other):
            found[action] = 1 if self._won(own | bit) else -self.value(other, own | bit)
        return found

    def _moves(self, taken: int) -> list[tuple[int, int]]:
        """(action, bit of its cell) of the free cells."""
        if not self.falls:
            return [(a, 1 << a) for a in self.order if not taken >> a & 1]
        return [
            (a, (taken + (1 << 7 * a)) & ~taken & (127 << 7 * a)) for a in self.order if not taken >> (7 * a + 5) & 1
        ]

    def _won(self, stones: int) -> bool:
        if not self.falls:
            return any(stones & line == line for line in self.lines)
        for d in (1, 7, 6, 8):
            pairs = stones & (stones >> d)
            if pairs & (pairs >> 2 * d):
                return True
        return False


def undecided(game: BoardGame, n: int, free: int, seed: int) -> tuple[Any, Any, NDArray[np.float32]]:
    """Positions from random play with `free` empty cells whose moves differ in value: own, other [n], values [n, actions]."""
    rng, solver = np.random.default_rng(seed), Solver(game)
    cells = game.rows * game.columns
    kept: dict[tuple[int, int], NDArray[np.float32]] = {}
    while len(kept) < n:
        own, other = np.zeros(1, np.int64), np.zeros(1, np.int64)
        for _ in range(cells - free):
            legal = game.legal(own, other)
            own, other = game.move(own, other, (rng.random(legal.shape) * legal).argmax(1))
            if game.outcome(own, other)[0][0]:
                break
        else:
            values = solver.values(int(own[0]), int(other[0]))
            if np.nanmin(values) < np.nanmax(values):
                kept[int(own[0]), int(other[0])] = values
    positions = np.array(list(kept), np.int64)
    return positions[:, 0], positions[:, 1], np.stack(list(kept.values()))
