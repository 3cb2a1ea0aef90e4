"""The figures of AlphaZero's cards: what network and search think of some positions beside the truth, and the top of a search
tree.

    python scripts/figures/board_games.py alphazero-tictactoe
    python scripts/figures/board_games.py alphazero-connect4

Writes thoughts.png, tree.png and extra.md into the checkpoint's folder; `scripts/cards.py` puts extra.md into the card.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

import zoo
from zoo.core.files import write_picture
from zoo.errors import InputError, one_sentence
from zoo.models.rl.alphazero import AlphaZero
from zoo.models.rl.board_pictures import draw_board
from zoo.models.rl.search import TOTALS, VISITS, Forest, puct
from zoo.models.rl.solver import Solver, undecided
from zoo.store.cards import write_section
from zoo.store.hub import locate

COLUMNS = ("network alone", "search", "exact")
HEAD, GAP, LEVEL = 24, 16, 70
INK, LINE = (40, 44, 52), (160, 166, 174)


def thoughts(agent: AlphaZero, path: Path, *, positions: int = 3, free: int = 18) -> float:
    """Positions a row each: probabilities and values by the network, by the search, and by the solver.

    Returns the share of these positions in which the search takes a best move.
    """
    game, solver = agent.game, Solver(agent.game)
    own, other, _ = undecided(game, positions, free, seed=11)
    rows, best = [], 0
    for a, b in zip(own, other, strict=True):
        board = game.boards(np.array([a]), np.array([b]))[0]
        exact = solver.values(int(a), int(b))
        good = (exact == np.nanmax(exact)).astype(float)
        rows.append(
            [
                draw_board(game, board, agent.policy(board, 0), agent.values(board, 0)),
                draw_board(game, board, agent.policy(board), agent.values(board)),
                draw_board(game, board, good / good.sum(), exact),
            ]
        )
        best += exact[agent.act(board)] == np.nanmax(exact)
    width, height = rows[0][0].size
    sheet = Image.new("RGB", (3 * width + 2 * GAP, HEAD + positions * height), "white")
    pen = ImageDraw.Draw(sheet)
    for column, title in enumerate(COLUMNS):
        pen.text((column * (width + GAP) + width / 2, HEAD / 2), title, INK, anchor="mm")
        for row in range(positions):
            sheet.paste(rows[row][column], (column * (width + GAP), HEAD + row * height))
    write_picture(path, sheet.quantize(64), optimize=True)
    return best / positions


def tree(agent: AlphaZero, path: Path, *, simulations: int = 200, wide: int = 3) -> list[int]:
    """The `wide` most visited moves of the empty board and of each position after them; returns the visits of the root's
    moves."""
    game, zero = agent.game, np.zeros(1, np.int64)
    forest = Forest(game, zero, zero, agent._evaluate, simulations, score=puct(agent.hparams["exploration"]))
    small = 0.42 if game.name == "connect4" else 0.6

    def picture(node: int) -> Image.Image:
        board = game.boards(forest.own[[node]], forest.other[[node]])[0]
        image = draw_board(game, board)
        return image.resize((round(image.width * small), round(image.height * small)), Image.Resampling.LANCZOS)

    def children(node: int) -> list[tuple[int, float, float]]:
        edges = forest.edges[node]
        first = [move for move in (-edges[VISITS]).argsort(kind="stable")[:wide] if edges[VISITS, move]]
        return [(forest.child[node, m], edges[VISITS, m], edges[TOTALS, m] / edges[VISITS, m]) for m in first]

    width, height = picture(0).size
    step = width + GAP
    sheet = Image.new("RGB", (wide * wide * step, 3 * height + 2 * LEVEL), "white")
    pen = ImageDraw.Draw(sheet)

    def place(node: int, left: int, leaves: int, level: int) -> int:
        """Draw a node over the columns that its descendants take; returns the x of its middle."""
        middle, top = left + leaves * step // 2, level * (height + LEVEL)
        for number, (child, visits, value) in enumerate(children(node) if level < 2 else ()):
            x = place(child, left + number * leaves // wide * step, leaves // wide, level + 1)
            pen.line((middle, top + height, x, top + height + LEVEL), LINE, 1 + round(4 * visits / simulations))
            pen.text((x, top + height + LEVEL - 14), f"{visits:.0f} visits, {100 * value:+.0f}", INK, anchor="mm")
        sheet.paste(picture(node), (middle - width // 2, top))
        return middle

    place(0, 0, wide * wide, 0)
    write_picture(path, sheet.quantize(64), optimize=True)
    return [int(n) for n in forest.edges[0, VISITS]]


@one_sentence
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="alphazero-tictactoe or alphazero-connect4")
    options = parser.parse_args(argv)
    agent: Any = zoo.load(options.name)
    if not isinstance(agent, AlphaZero):
        raise InputError(f"{options.name} plays no board game")
    folder = locate(options.name)
    share = thoughts(agent, folder / "thoughts.png", free=18 if agent.game.name == "connect4" else 5)
    visits = tree(agent, folder / "tree.png")
    write_section(folder, section(share, visits), measured_on=[options.name])
    return 0


def section(share: float, visits: list[int]) -> str:
    """The words beside the two pictures."""
    return f"""## What it thinks

![Positions, judged by the network alone, by the search, and exactly](thoughts.png)

Three positions from random play whose moves differ in value. A grey disc grows with a move's probability, the number is its value
× 100 for the player to move. From left to right: the network alone, the search, and the exact values, where all best moves
share the probability. The search takes a best move in {100 * share:.0f} % of the three.

![The most visited moves of the first two plies of a search](tree.png)

The top of one search from the empty board: visits, and the mean value × 100 for the player who moves. The root's moves were
visited {", ".join(str(n) for n in visits)} times; these shares are the policy that the network learns from.
"""


if __name__ == "__main__":
    sys.exit(main())
