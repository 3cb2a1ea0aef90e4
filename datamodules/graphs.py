"""Graph data for Lightning: one big graph with masks, or many small graphs in fixed splits; PyG's own `Data` throughout.

Graphs are built in memory from the raw files in a second or two: there's no processed cache to go stale.
"""

import copy
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader as GraphLoader
from torch_geometric.transforms import NormalizeFeatures

from datamodules.base import fixed_permutation
from datamodules.module import DataModule
from datamodules.place import overfits
from zoo.errors import InputError


class NodeDataModule(DataModule):
    """One graph, some of whose nodes are for training, validation and testing (`train_mask`, `val_mask`, `test_mask`).

    A subclass names its facts and gives `load`. Every batch is the whole graph; `data` is it as PyG users know it, and
    training sees it with normalised features in compressed sparse rows.
    """

    offers: ClassVar[tuple[str, ...]] = ("graph",)  # what its batches hold, see zoo.core.own_data
    name: str
    classes: tuple[str, ...]
    protocol: str  # names split and selection: it goes into the metrics
    licence: ClassVar[str]
    licence_note: ClassVar[str]
    homepage: ClassVar[str]

    def __init__(self, *, normalize: bool = True, root: str | None = None) -> None:
        super().__init__()
        self.normalize, self.root = normalize, root
        self._data: Data | None = None
        self._sparse: Data | None = None

    def load(self) -> Data:
        """The graph with features, edges, labels and masks."""
        raise NotImplementedError

    @property
    def data(self) -> Data:
        """The graph with raw dense features."""
        if self._data is None:
            self.prepare_data()
            self._data = self.load()
        return self._data

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def in_channels(self) -> int:
        return self.data.num_features

    def train_dataloader(self) -> DataLoader | list:
        return self._loader("train_mask")

    def val_dataloader(self) -> DataLoader | list:
        return self._loader("val_mask")

    def test_dataloader(self) -> DataLoader | list:
        return self._loader("test_mask")

    def _loader(self, mask: str) -> DataLoader | list:
        if self._sparse is None:
            with torch.inference_mode(False):  # Lightning may ask inside it, and a later backward pass needs the graph
                data = NormalizeFeatures()(self.data.clone()) if self.normalize else self.data
                self._sparse = sparse_features(data)
        if not self._sparse[mask].any():
            return []  # no loader at all is how Lightning skips a loop
        graph: Any = [self._sparse]  # a list does for a Dataset
        return DataLoader(graph, batch_size=None)


class GraphDataModule(DataModule):
    """Many small graphs in three fixed splits, batched by PyG's loader.

    A subclass names its facts and gives `load`, all graphs, and `split`, three lists of their numbers.
    """

    offers: ClassVar[tuple[str, ...]] = ("graphs",)  # what its batches hold, see zoo.core.own_data
    name: str
    classes: tuple[str, ...]
    protocol: str
    licence: ClassVar[str]
    licence_note: ClassVar[str]
    homepage: ClassVar[str]

    def __init__(self, batch_size: int = 32, *, root: str | None = None) -> None:
        super().__init__()
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}; it must be at least 1.")
        self.batch_size, self.root = batch_size, root
        self._graphs: list[Data] | None = None

    def load(self) -> list[Data]:
        raise NotImplementedError

    def split(self) -> tuple[Sequence[int], Sequence[int], Sequence[int]]:
        """Numbers of the training, validation and test graphs."""
        raise NotImplementedError

    @property
    def graphs(self) -> list[Data]:
        """All graphs in the order of the raw files."""
        if self._graphs is None:
            self.prepare_data()
            with torch.inference_mode(False):
                self._graphs = self.load()
        return self._graphs

    def part(self, name: str) -> list[Data]:
        """The graphs of "train", "val" or "test"."""
        parts = ("train", "val", "test")
        if name not in parts:
            raise InputError(f"split is {name!r}; it can be 'train', 'val' or 'test'.")
        return [self.graphs[i] for i in self.split()[parts.index(name)]]

    def train_dataloader(self) -> GraphLoader:
        return GraphLoader(self.part("train"), self.batch_size, shuffle=not overfits(self))

    def val_dataloader(self) -> GraphLoader | list:
        held_out = self.part("val")
        return GraphLoader(held_out, 256) if held_out else []

    def test_dataloader(self) -> GraphLoader:
        return GraphLoader(self.part("test"), 256)


def stratified_folds(labels: Tensor, folds: int) -> Tensor:
    """The fold of every example, int64 [N], each with its share of each class; the same for ever."""
    order = fixed_permutation(len(labels))
    order = order[labels[order].sort(stable=True).indices]  # class by class, shuffled within
    fold = torch.empty_like(labels)
    fold[order] = torch.arange(len(labels)) % folds
    return fold


def sparse_features(data: Data) -> Data:
    """The graph with its features in compressed sparse rows."""
    data = copy.copy(data)
    data.x = data.x.to_sparse_csr()
    return data
