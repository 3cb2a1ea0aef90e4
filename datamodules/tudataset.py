"""TU graph classification sets: MUTAG and PROTEINS (Morris et al., 2020, arXiv:2007.08663).

MUTAG: 188 nitro compounds, mutagenic or not; a node is an atom of one of seven elements. PROTEINS: 1113 proteins, enzyme or
not; a node is a helix, sheet or turn, an edge joins neighbours in the chain or in space.

Ten stratified folds, the same for ever. In fold k, the graphs of fold k test and those of fold k + 1 validate, so every choice
that a run makes is made without its test graphs (nested selection); the other eight train. Mean and deviation over
the ten runs are the result.
"""

from pathlib import Path
from typing import ClassVar

import torch
from torch_geometric.data import Data
from torch_geometric.io import read_tu_data

from datamodules.files import DataNotFoundError, check, data_root
from datamodules.graphs import GraphDataModule, stratified_folds
from zoo.errors import InputError

FOLDS = 10


class TUDataset(GraphDataModule):
    """Base of the TU sets.

    Args:
        batch_size: graphs per batch.
        fold: which tenth of the graphs tests.
        root: folder of the raw files; default `$ZOO_DATA`, else the user's cache folder.
    """

    folder: ClassVar[str]
    count: ClassVar[int]
    features: ClassVar[int]
    licence = "none stated"
    licence_note = "Collected for research by TU Dortmund; the compounds and proteins come from published studies."
    homepage = "https://chrsmrrs.github.io/datasets/"

    def __init__(self, batch_size: int = 32, *, fold: int = 0, root: str | None = None) -> None:
        super().__init__(batch_size, root=root)
        if not 0 <= fold < FOLDS:
            raise InputError(f"fold is {fold}; it runs from 0 to {FOLDS - 1}.")
        self.fold = fold
        self.save_hyperparameters()

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def protocol(self) -> str:  # type: ignore[override]  # it names the fold
        return (
            f"10 stratified folds, fold {self.fold} of 0..9 tests, the next one chooses the epoch, eight train (nested "
            "selection); the mean is over the ten folds"
        )

    def prepare_data(self) -> None:
        place = data_root(self.root) / self.folder / "raw"
        for part in ("A", "graph_indicator", "graph_labels", "node_labels"):
            if not (place / f"{self.folder}_{part}.txt").is_file():
                raise DataNotFoundError(
                    f"{self.folder}_{part}.txt isn't at {place}: unpack "
                    f"https://www.chrsmrrs.com/graphkerneldatasets/{self.folder}.zip so that its files lie there."
                )
            check(place / f"{self.folder}_{part}.txt", root=self.root)

    def load(self) -> list[Data]:
        place = data_root(self.root) / self.folder / "raw"
        self.prepare_data()
        graphs = read_graphs(place, self.folder, self.features)
        features = graphs[0].x.shape[1] if graphs else 0
        if len(graphs) != self.count or features < self.features:
            raise InputError(
                f"the files under {place} hold {len(graphs)} graphs with {features} features, not {self.count} with "
                f"{self.features}: unpack the official archive again."
            )
        return graphs

    def split(self) -> tuple[list[int], list[int], list[int]]:
        fold = stratified_folds(torch.cat([graph.y for graph in self.graphs]), FOLDS)
        test, val = fold == self.fold, fold == (self.fold + 1) % FOLDS
        train, held_out, tested = (mask.nonzero().flatten().tolist() for mask in (~(test | val), val, test))
        return train, held_out, tested


def read_graphs(place: Path, name: str, features: int) -> list[Data]:
    """The graphs of a TU set, with the last `features` columns of their nodes.

    Raises:
        InputError: for files that hold something else.
    """
    try:
        data, slices, _ = read_tu_data(str(place), name)
        nodes, edges = slices["x"].tolist(), slices["edge_index"].tolist()
        if len(data.y) != len(nodes) - 1 or len(edges) != len(nodes) or nodes[-1] != len(data.x):
            raise ValueError("the numbers of graphs, labels and nodes don't agree")
        return [
            Data(
                x=data.x[nodes[i] : nodes[i + 1], -features:].contiguous(),
                edge_index=data.edge_index[:, edges[i] : edges[i + 1]].contiguous(),
                y=data.y[i : i + 1],
            )
            for i in range(len(nodes) - 1)
        ]
    except Exception as error:  # whatever other lines mean to PyG's reader
        raise InputError(
            f"the files under {place} aren't those of {name} ({type(error).__name__}: {error}): "
            "unpack the official archive again."
        ) from None


class MUTAG(TUDataset):
    """MUTAG: 188 nitro compounds. See `TUDataset` for the arguments."""

    name = "mutag"
    folder = "MUTAG"
    count = 188
    features = 7
    classes = ("not mutagenic", "mutagenic")

    def __init__(self, batch_size: int = 32, *, fold: int = 0, root: str | None = None) -> None:
        super().__init__(batch_size, fold=fold, root=root)


class PROTEINS(TUDataset):
    """PROTEINS: 1113 proteins. See `TUDataset` for the arguments."""

    name = "proteins"
    folder = "PROTEINS"
    count = 1113
    features = 3
    classes = ("enzyme", "no enzyme")

    def __init__(self, batch_size: int = 32, *, fold: int = 0, root: str | None = None) -> None:
        super().__init__(batch_size, fold=fold, root=root)
