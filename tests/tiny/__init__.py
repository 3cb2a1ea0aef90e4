"""A tiny configuration of every architecture and a batch that fits it: what the registry-wide tests run on.

A new architecture adds one entry to the file of its kind. `overfits` is the share of its first training loss that it must fall
below within 120 steps on one batch; `data` names the data module whose real batches its `fast_dev_run` trains on.
"""

from tests.tiny import agents, generators, graphs, seeing, sequences
from tests.tiny.case import Tiny as Tiny

TINY: dict[str, Tiny] = agents.TINY | generators.TINY | graphs.TINY | seeing.TINY | sequences.TINY
