"""What learns of graphs, molecules and sets of points."""

from typing import Any

from tests.batches import citations, molecules, point_sets, small_graphs
from tests.tiny.case import Tiny

# every node classifier on one small graph
NODES: dict[str, Any] = {"batch": citations(), "lr": 0.03}

NODE_INIT: dict[str, Any] = {"num_classes": 3, "in_channels": 9, "dropout": 0.0}

TINY: dict[str, Tiny] = {
    "edgeconv": Tiny(
        {"hidden_dim": 8, "num_layers": 2, "neighbours": 3, "dropout": 0.0},
        point_sets,
        data="mnist-points",
        data_init={"train_size": 200},
    ),
    "mpnn": Tiny({"hidden_dim": 12, "rounds": 2, "dropout": 0.0}, molecules, data="esol", lr=1e-2),
    "gat": Tiny(NODE_INIT, **NODES),
    "gcn": Tiny(NODE_INIT | {"num_layers": 3}, **NODES),
    "gin": Tiny({"hidden_dim": 8, "num_layers": 3, "dropout": 0.0}, small_graphs(), data="mutag", overfits=0.6),
    "node-mlp": Tiny(NODE_INIT, **NODES),
    "grand": Tiny(
        NODE_INIT | {"input_dropout": 0.0, "drop_node": 0.1, "hops": 2, "consistency": 0.1}, **NODES | {"overfits": 0.7}
    ),
    "sage": Tiny(NODE_INIT | {"hidden_dim": 8}, **NODES),
}
