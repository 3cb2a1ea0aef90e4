"""A board as a picture and as text, with what an agent thinks of each move."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from datamodules.board_games import BoardGame
from zoo.errors import InputError
from zoo.models.rl.drawing import save_moving, save_strip

CELL, EDGE = 44, 14
INK, LINE, THOUGHT = (40, 44, 52), (205, 210, 216), (178, 184, 192)
STONES = ((214, 93, 60), (52, 110, 170))  # of the first and the second player


def landing(game: BoardGame, board: NDArray[np.int8]) -> dict[int, tuple[int, int]]:
    """(row, column) of the cell that each legal move fills."""
    own, other = game.positions(board)
    found = {}
    for action in np.flatnonzero(game.legal(own, other)[0]):
        _, after = game.move(own, other, np.array([action]))
        cell = int(np.flatnonzero((1 << game.cells) == int((after & ~own)[0]))[0])
        found[int(action)] = divmod(cell, game.columns)
    return found


def draw_board(game: BoardGame, board: Any, policy: Any = None, values: Any = None) -> Image.Image:
    """A board as a picture; a grey disc in a free cell grows with the move's probability and holds its value × 100.

    Args:
        board: [rows, columns] for the player to move: 1 own, -1 other, 0 empty.
        policy: probabilities of the moves [actions], or None.
        values: values of the moves [actions] in [-1, 1], NaN where there is none, or None.
    """
    board = np.asarray(board, np.int8)
    second = int((board == 1).sum() < (board == -1).sum())  # who is to move
    picture = Image.new("RGB", (game.columns * CELL + 2 * EDGE, game.rows * CELL + 2 * EDGE), "white")
    pen = ImageDraw.Draw(picture)
    for row in range(game.rows):
        for column in range(game.columns):
            pen.rectangle(_box(row, column, CELL / 2), outline=LINE)
            if board[row, column]:
                pen.ellipse(_box(row, column, CELL * 0.4), STONES[second if board[row, column] > 0 else 1 - second])
    for action, (row, column) in landing(game, board).items() if policy is not None else ():
        size = CELL * 0.42 * float(policy[action]) ** 0.5  # the area grows with the probability
        pen.ellipse(_box(row, column, size), THOUGHT)
        if values is not None and np.isfinite(float(values[action])):
            middle = (EDGE + (column + 0.5) * CELL, EDGE + (row + 0.5) * CELL)
            pen.text(middle, f"{100 * float(values[action]):+.0f}", STONES[second], anchor="mm")
    return picture


def picture_file(path: Any) -> Path | None:
    """The file that a game is drawn to, checked before the game.

    Raises:
        InputError: for another suffix than .gif and .png, or a folder that doesn't exist.
    """
    if path is None:
        return None
    target = Path(path)
    if target.suffix.lower() not in (".gif", ".png"):
        raise InputError(f"a game is drawn to a .gif (moving) or a .png (a strip of moments), not to {target.name!r}")
    if not target.parent.is_dir():
        raise InputError(f"the folder {target.parent} doesn't exist: make it first")
    return target


def save_frames(frames: list[Image.Image], path: Path) -> Path:
    """Write the pictures of a game: .gif moves, .png is a strip of moments."""
    if path.suffix.lower() == ".gif":
        return save_moving(frames, path, milliseconds=700)
    return save_strip(frames, path)


def board_text(game: BoardGame, board: Any) -> str:
    """A board as lines of X (the first player), O and dots, with the numbers of the moves."""
    board = np.asarray(board, np.int8)
    second = int((board == 1).sum() < (board == -1).sum())
    signs = {0: ".", 1: game.stones[second], -1: game.stones[1 - second]}
    if game.name == "connect4":
        lines = [" ".join(signs[int(cell)] for cell in row) for row in board]
        return "\n".join([*lines, " ".join(str(column) for column in range(game.columns))])
    cells = [
        signs[int(cell)] if cell else str(i) for i, cell in enumerate(board.ravel())
    ]  # a free cell shows its number
    return "\n".join(" ".join(cells[i : i + game.columns]) for i in range(0, len(cells), game.columns))


def _box(row: float, column: float, half: float) -> tuple[float, float, float, float]:
    x, y = EDGE + (column + 0.5) * CELL, EDGE + (row + 0.5) * CELL
    return (x - half, y - half, x + half, y + half)
