"""Zachary's karate club (Zachary, 1977): 34 members, who meets whom, and the two clubs after the quarrel.

The first and the last member, the instructor and the president, are the labelled nodes; the other 32 test. A member has
no features but its number, as a one-hot vector. The graph comes with networkx: nothing is downloaded.
"""

import torch
from torch_geometric.data import Data

from datamodules.graphs import NodeDataModule


class KarateClub(NodeDataModule):
    """The karate club with two labelled nodes. See `NodeDataModule` for the arguments."""

    name = "karate"
    classes: tuple[str, ...] = ("Mr. Hi", "Officer")
    protocol = "two labelled members, the other 32 of 34 test, last epoch, mean over runs with seeds 0, 1, …"
    licence = "public domain"
    licence_note = "Facts published in 1977."
    homepage = "https://doi.org/10.1086/jar.33.4.3629752"

    def __init__(self) -> None:
        super().__init__(normalize=False)
        self.save_hyperparameters()

    def load(self) -> Data:
        import networkx as nx

        graph = nx.karate_club_graph()
        edges = torch.tensor(list(graph.edges)).T
        y = torch.tensor([self.classes.index(club) for _, club in graph.nodes.data("club")])
        train = torch.zeros(len(y), dtype=torch.bool)
        train[[0, -1]] = True
        return Data(
            x=torch.eye(len(y)),
            edge_index=torch.cat([edges, edges.flip(0)], 1),
            y=y,
            train_mask=train,
            val_mask=torch.zeros_like(train),
            test_mask=~train,
        )
