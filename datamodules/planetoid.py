"""Cora and Citeseer, citation graphs with the public split (Sen et al., 2008; Yang, Cohen and Salakhutdinov, 2016).

A node is a paper, its features are the words that occur in it, an edge is a citation in either direction, its class is the
field. Twenty papers of each class are labelled for training; 500 validate, 1000 test. Fifteen papers of Citeseer come
without features and edges; they are in none of the three parts.

The official files `ind.NAME.*` are Python 2 pickles. They are read with an unpickler that knows the four numpy and scipy names
that these files use and refuses all others, so a file can't run code.
"""

import io
import pickle
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import coalesce, remove_self_loops

from datamodules.files import data_root, fetch
from datamodules.graphs import NodeDataModule
from zoo.errors import InputError

PARTS = ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index")
VALIDATION = 500


class Planetoid(NodeDataModule):
    """Base of the two citation graphs.

    Args:
        normalize: scale each node's features to sum one, for training.
        root: folder of the raw files; default `$ZOO_DATA`, else the user's cache folder.
    """

    folder: ClassVar[str]
    facts: ClassVar[dict[str, int]]  # nodes, edges (both directions), features, train, val, test
    sha256: ClassVar[dict[str, str]]
    protocol = "public Planetoid split (20 labels a class, 500 validation nodes, 1000 test nodes), " \
        "epoch chosen by validation accuracy, mean over runs with seeds 0, 1, …"  # fmt: skip
    licence = "MIT"
    licence_note = "The repository's licence; the abstracts behind the word counts belong to their publishers."
    homepage = "https://github.com/kimiyoung/planetoid"
    mirrors: ClassVar[tuple[str, ...]] = (
        "https://raw.githubusercontent.com/kimiyoung/planetoid/master/data/",
        "https://raw.githubusercontent.com/tkipf/gcn/master/gcn/data/",
    )

    def __init__(self, *, normalize: bool = True, root: str | None = None) -> None:
        super().__init__(normalize=normalize, root=root)
        self.save_hyperparameters()

    def prepare_data(self) -> None:
        for part in PARTS:
            self._path(part)

    def load(self) -> Data:
        raw = {part: read_part(self._path(part)) for part in PARTS}
        data = assemble(raw)
        found = {
            "nodes": data.num_nodes,
            "edges": data.num_edges,
            "features": data.num_features,
            **{part: int(data[f"{part}_mask"].sum()) for part in ("train", "val", "test")},
        }
        if found != self.facts:
            raise InputError(
                f"the files of {self.name} under {data_root(self.root) / self.folder} give {found}, not {self.facts}: "
                "remove them to fetch them again."
            )
        return data

    def _path(self, part: str) -> Path:
        file = f"ind.{self.name}.{part}"
        return fetch(
            f"{self.folder}/{file}", [mirror + file for mirror in self.mirrors], self.sha256[part], root=self.root
        )


class Cora(Planetoid):
    """Cora: 2708 papers on machine learning, 1433 words, 7 fields. See `Planetoid` for the arguments."""

    name = "cora"
    folder = "Cora/raw"
    classes = (
        "theory",
        "reinforcement learning",
        "genetic algorithms",
        "neural networks",
        "probabilistic methods",
        "case based",
        "rule learning",
    )
    facts: ClassVar[dict[str, int]] = {
        "nodes": 2708, "edges": 10556, "features": 1433, "train": 140, "val": 500, "test": 1000
    }  # fmt: skip
    sha256: ClassVar[dict[str, str]] = {
        "x": "23cfa55d91c6f624233f5eb7b6e3f141f1bd2b2ae39608a63cf5d084bb27baab",
        "tx": "b9afbaa4a400df991f6f02ef677e1e44da55ffc04801fd02f9e673987829226a",
        "allx": "9419ba2f26f5c35243db64aba110e0f35a04851609e0dc5433450676ca6b8543",
        "y": "94465c14eb53e04ca262198dcbb2521ee8af60fb3f3d546cd6ca24a511b0e7d1",
        "ty": "41f5ac76596a1699cc33f53084a2419e92961c42bb75f36fc38e616d348532ad",
        "ally": "2b998f5cc7fedc86e7f97ca2498f47a1ffc1462c29e2d578b23bf3f62b6e7d71",
        "graph": "58f13302f39dde8852dad6fe6d15b89b077b6d7f837626bce671ef80344b383d",
        "test.index": "297ce89af2b51a6a194181c7dbe1796c6a1cf9cd9349a88383b1b1e227867875",
    }

    def __init__(self, *, normalize: bool = True, root: str | None = None) -> None:
        super().__init__(normalize=normalize, root=root)


class Citeseer(Planetoid):
    """Citeseer: 3327 papers on computer science, 3703 words, 6 fields. See `Planetoid` for the arguments."""

    name = "citeseer"
    folder = "CiteSeer/raw"
    classes = (
        "artificial intelligence",
        "machine learning",
        "information retrieval",
        "databases",
        "agents",
        "human-computer interaction",
    )
    facts: ClassVar[dict[str, int]] = {
        "nodes": 3327, "edges": 9104, "features": 3703, "train": 120, "val": 500, "test": 1000
    }  # fmt: skip
    sha256: ClassVar[dict[str, str]] = {
        "x": "d20de19150741e555de0ed037195630fc194114ebc7fd72ced62810148aa22f6",
        "tx": "539a8906a2da97628d212f2fdd668c109a8b3f0d36574b59e5d3fd5b5303da21",
        "allx": "2ac30345d95c9ec933a817ee0bdd6a5f077f8c184a20e696910192d534414668",
        "y": "8ba87e515d8e3ee3cf52f6d2c5b86aa73f11ecad825a808455209ec26cd54924",
        "ty": "55e5bd1ba1e733a04598753ad1a8d57957f4b8f89e74519f41f4f4938767e4ce",
        "ally": "f704b2d986dde6c2669934de1f3ae5696a6cf9455c0f6b2646a2d135ea0a1c95",
        "graph": "d79a4ef9d3e7169aee8946145f6b7306e35bc79bffad26346cfb94e10e9912a7",
        "test.index": "2af990671580b6b2df5d158d1038f8292e30c9cd821b5453f399659b25b723d4",
    }

    def __init__(self, *, normalize: bool = True, root: str | None = None) -> None:
        super().__init__(normalize=normalize, root=root)


class _Rows:
    """Stands in for scipy's csr_matrix: takes its pickled state and gives dense values, without scipy."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.state = state

    def dense(self) -> Tensor:
        rows, columns = self.state["_shape"]
        counts, columns_of = (self.state[key].astype(np.int64) for key in ("indptr", "indices"))
        dense = torch.zeros(rows, columns)
        row = torch.from_numpy(np.repeat(np.arange(rows), np.diff(counts)))
        dense[row, torch.from_numpy(columns_of)] = torch.from_numpy(self.state["data"].astype(np.float32))
        return dense


class _Unpickler(pickle.Unpickler):
    """Finds the names that the official files use and no other."""

    allowed: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy", "dtype"): np.dtype,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy.core.multiarray", "_reconstruct"): lambda _cls, shape, dtype: np.ndarray(shape, dtype),
        ("scipy.sparse.csr", "csr_matrix"): _Rows,
        ("collections", "defaultdict"): lambda *_: {},
        ("__builtin__", "list"): list,
        ("builtins", "list"): list,
    }

    def find_class(self, module: str, name: str) -> Any:
        # Python 2 names arrive under their Python 3 modules or as they were, by version
        if (module, name) not in self.allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return self.allowed[module, name]


def read_part(path: Path) -> Any:
    """A part as a tensor, or the adjacency lists {node: [nodes]}.

    Raises:
        InputError: for a file that is damaged, or that asks for anything but plain arrays.
    """
    raw = path.read_bytes()
    try:
        if path.name.endswith("test.index"):
            return torch.tensor([int(line) for line in raw.split()])
        value = _Unpickler(io.BytesIO(raw), encoding="latin1").load()
        if isinstance(value, _Rows):
            return value.dense()
        if isinstance(value, np.ndarray):
            return torch.from_numpy(value.astype(np.float32))
        return {int(node): [int(n) for n in near] for node, near in value.items()}
    except Exception as error:  # a damaged pickle raises whatever its bytes happen to mean
        raise InputError(f"{path} isn't a Planetoid file ({error}): remove it to fetch it again.") from error


def assemble(raw: dict[str, Any]) -> Data:
    """The graph of the eight parts: test nodes come last in the files, in the order of test.index."""
    test = raw["test.index"]
    first, last = int(test.min()), int(test.max())
    shape = last - first + 1
    tail_x, tail_y = torch.zeros(shape, raw["tx"].shape[1]), torch.zeros(shape, raw["ty"].shape[1])
    tail_x[test - first], tail_y[test - first] = raw["tx"], raw["ty"]  # numbers that test.index skips stay zero
    x, y = torch.cat([raw["allx"], tail_x]), torch.cat([raw["ally"], tail_y]).argmax(1)
    pairs = [(node, other) for node, near in raw["graph"].items() for other in near]
    edges = torch.tensor(pairs).T.contiguous()
    # by target, as PyG has them
    edges = coalesce(remove_self_loops(torch.cat([edges, edges.flip(0)], 1))[0], num_nodes=len(x), sort_by_row=False)
    labelled = len(raw["y"])
    masks = {part: torch.zeros(len(x), dtype=torch.bool) for part in ("train", "val", "test")}
    masks["train"][:labelled] = True
    masks["val"][labelled : labelled + VALIDATION] = True
    masks["test"][test] = True
    return Data(x=x, edge_index=edges, y=y, **{f"{part}_mask": mask for part, mask in masks.items()})
