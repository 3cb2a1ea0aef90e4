"""Play episodes with an agent, and draw the first one; a board game without options is played against you."""

import argparse
import inspect
from pathlib import Path
from typing import Any

import zoo
from zoo.errors import InputError

LIGHT = True


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("name")
    command.add_argument(
        "-o", "--output", type=Path, help="draw the first episode: .gif moves, .png is a strip of moments"
    )
    command.add_argument("--env", help="another environment than the agent's own, such as my_pkg:MyEnv-v0")
    command.add_argument("--episodes", type=int, help="number of episodes, or of games (default: 1)")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--draw-actions", action="store_true", help="draw actions as in training, not the best ones")
    command.add_argument("--against", help="board games: itself, random, perfect (tic-tac-toe), or mcts:1000")
    command.add_argument("--second", action="store_true", help="board games in the terminal: the agent begins")


def run(options: argparse.Namespace) -> None:
    from zoo.core.protocols import Acts, meets

    agent: Any = zoo.load(options.name)
    if not meets(agent, Acts):
        raise InputError(f"{options.name} is made for {agent.task}: it doesn't play")
    board = "against" in inspect.signature(agent.play).parameters
    if options.against and not board:
        raise InputError(f"{options.name} plays alone: leave --against out")
    if board and not (options.against or options.output or options.episodes):
        from zoo.models.rl.terminal import play_in_terminal

        play_in_terminal(agent, begin=not options.second)
        return
    chosen: dict[str, Any] = {"against": options.against} if options.against else {}
    if options.env:
        chosen["env"] = options.env
    episodes = 1 if options.episodes is None else options.episodes
    played = agent.play(episodes, options.seed, options.output, greedy=not options.draw_actions, **chosen)
    print(played)
    if played.path is not None:
        print(played.path)
