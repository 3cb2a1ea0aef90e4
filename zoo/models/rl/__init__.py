"""Agents: `base` has what all share (act, values, play), `policy` what agents with a policy network share, `episodes` plays and
`drawing` draws an episode. Tables: `tabular`, `planning`, `bandits`. Networks: `dqn`, `reinforce`, `a2c`, `ppo`, `trpo`.
"""
