"""Agents: `base` has what all share (act, values, play), `policy` what agents with a policy network share, `episodes` plays and
`drawing` draws an episode. Tables: `tabular`, `planning`, `bandits`. Networks: `dqn`, `reinforce`, `a2c`, `ppo`, `trpo`.

Board games: `alphazero` is the agent, `board_network` its network, `search` looks ahead, `solver` knows the exact values,
`matches` lets players meet, `board_pictures` and `terminal` show and play a game.
"""
