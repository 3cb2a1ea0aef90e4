"""A game of a person against an agent in the terminal."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.board_games import Bits
from zoo.models.rl.board_pictures import board_text


def play_in_terminal(
    agent: Any, *, begin: bool = True, ask: Callable[[str], str] = input, say: Any = print
) -> float | None:
    """Play one game against an agent; returns the person's result 1, 0 or -1, or None if they left it.

    Args:
        agent: has `game`, `act`, `policy` and `values`.
        begin: whether the person moves first.
        ask, say: read and write a line.
    """
    game = agent.game
    own, other = np.zeros(1, np.int64), np.zeros(1, np.int64)
    say(
        f"You are {game.stones[0 if begin else 1]}. Name a {game.action_word}, 0 … {game.actions - 1}; q ends the game."
    )
    yours = begin
    while True:
        board = game.boards(own, other)[0]
        if yours:
            say(board_text(game, board))
            move = _ask(game, own, other, ask, say)
            if move is None:
                return None
        else:
            move = agent.act(board)
            say(thoughts(agent, board, move))
        own, other = game.move(own, other, np.array([move]))
        over, result = game.outcome(own, other)
        if over[0]:
            say(board_text(game, game.boards(own, other)[0]))
            outcome = float(-result[0] if yours else result[0])
            say({1: "You win.", 0: "A draw.", -1: "You lose."}[int(outcome)])
            return outcome
        yours = not yours


def thoughts(agent: Any, board: NDArray[np.int8], move: int) -> str:
    """What an agent thinks of the moves, as a line: share of the visits, and value of its move for it."""
    policy, values = agent.policy(board), agent.values(board)
    shares = "  ".join(f"{i}: {100 * p:.0f} %" for i, p in enumerate(policy.tolist()) if p >= 0.005)
    return f"It takes {agent.game.action_word} {move}, value {float(values[move]):+.2f} of -1 … 1 for it. It thought of {shares}."


def _ask(game: Any, own: Bits, other: Bits, ask: Callable[[str], str], say: Any) -> int | None:
    """A legal move of the person, or None for the end of the game."""
    legal = game.legal(own, other)[0]
    while True:
        try:
            text = ask(f"{game.action_word}: ").strip().lower()
        except EOFError:
            return None
        if text in ("q", "quit", "exit"):
            return None
        if not text.isdecimal() or not 0 <= int(text) < game.actions:
            say(f"A {game.action_word} is a number, 0 … {game.actions - 1}.")
        elif not legal[int(text)]:
            say(f"The {game.action_word} {text} is full.")
        else:
            return int(text)
