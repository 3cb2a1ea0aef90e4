"""What acts in a world or plays a game."""

from typing import Any

from tests.batches import board_positions, rollout
from tests.tiny.case import Tiny

# every agent on its own environment, and every table on the ice
CART: dict[str, Any] = {"data": "environment", "data_init": {"num_envs": 2, "steps": 8, "rollouts": 2}}

ICE: dict[str, Any] = {"batch": rollout(states=16), **CART, "data_init": CART["data_init"] | {"id": "FrozenLake-v1"}}

TINY: dict[str, Tiny] = {
    "a2c": Tiny({"hidden": [8], "normalise": False, "value_weight": 1.0}, rollout(), **CART, lr=3e-2),
    "dqn": Tiny(
        {"hidden": [8]},
        rollout(),
        data="replay",
        data_init=CART["data_init"] | {"updates": 2, "batch_size": 4, "warmup": 20, "capacity": 100},
    ),
    "expected-sarsa": Tiny({}, **ICE),
    "policy-iteration": Tiny({}, **ICE),
    "ppo": Tiny({"hidden": [8], "epochs": 2, "minibatch": 8}, rollout(), **CART),
    "qlearning": Tiny({}, **ICE),
    "reinforce": Tiny(
        {"hidden": [8], "baseline": False, "normalise": False},
        rollout(whole=True),
        data="environment",
        data_init={"num_envs": 2, "rollouts": 2, "whole_episodes": True},
        lr=3e-2,
    ),
    "sarsa": Tiny({}, **ICE),
    "td": Tiny({"states": 6}, rollout(states=6), data="environment", data_init=CART["data_init"] | {"id": "Cat-v0"}),
    "trpo": Tiny({"hidden": [8]}, rollout(), **CART),
    "value-iteration": Tiny({}, **ICE),
    "alphazero": Tiny(
        {"game": "tictactoe", "width": 8, "blocks": 1, "simulations": 8, "train_simulations": 4},
        board_positions,
        data="self-play",
        data_init={"game": "tictactoe", "batch_size": 16, "games": 4, "plies": 3, "steps": 2},
        lr=1e-2,
    ),
}
