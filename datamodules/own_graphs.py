"""A person's own graphs: one big graph as two tables (`graph-csv`), or molecules as SMILES with a number each (`smiles-csv`).

nodes.csv   id,label,feature,…        numbers as they are, words as categories; a node without a label is in no part
edges.csv   source,target             ids of nodes; both directions are added; further columns are left out

molecules.csv   smiles,solubility     one molecule a row with the number to predict
"""

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch_geometric.data import Data
from torch_geometric.utils import coalesce, remove_self_loops

from datamodules.files import DataNotFoundError
from datamodules.formats.smiles import from_smiles
from datamodules.graphs import GraphDataModule, NodeDataModule
from datamodules.own import (
    Own,
    check_shares,
    column,
    encode_columns,
    is_missing,
    name_classes,
    number,
    own_file,
    parts_of,
    read_rows,
)
from zoo.errors import InputError

ID, LABEL = ("id", "node", "name"), ("label", "class", "y", "category")
SOURCE, TARGET = ("source", "from", "src", "a"), ("target", "to", "dst", "b")


class GraphCSV(Own, NodeDataModule):
    """One graph whose nodes have classes, a share of every class held out.

    Args:
        root: the folder with nodes.csv and edges.csv.
        label: name of the column with the classes; by default label or class.
        normalize: scale each node's features to sum one, as models of word counts want it.
        val_share, test_share: shares of each class that validate and test.
    """

    name = "graph-csv"
    counted: ClassVar[str] = "nodes"
    protocol: str = "share of every class held out, epoch chosen by the validation part"

    def __init__(
        self,
        root: str,
        *,
        label: str | None = None,
        normalize: bool = True,
        val_share: float = 0.2,
        test_share: float = 0.2,
    ) -> None:
        super().__init__(normalize=normalize, root=str(root))
        self.save_hyperparameters()
        self.hparams.update(root=str(root))
        check_shares(val_share, test_share)
        self._data = self._read(label, val_share, test_share)

    def sizes(self) -> dict[str, int]:
        return {part: int(self.data[f"{part}_mask"].sum()) for part in ("train", "val", "test")}

    def _read(self, label: str | None, val_share: float, test_share: float) -> Data:
        folder = Path(str(self.root)).expanduser()
        nodes, edges = (_table(folder, name) for name in ("nodes", "edges"))
        header, rows = read_rows(nodes)
        where, what = column(header, None, ID, "id", nodes), column(header, label, LABEL, "label", nodes)
        ids = [row[where] for row in rows]
        if len(set(ids)) < len(ids):
            twice = next(one for one in ids if ids.count(one) > 1)
            raise InputError(f"{nodes} has the id {twice!r} twice: each node has one row")
        labelled = [i for i, row in enumerate(rows) if not is_missing(row[what])]
        if len(labelled) < len(rows):
            self.notes.append(f"{len(rows) - len(labelled)} of {len(rows)} nodes have no label: they are in no part")
        classes, found = name_classes([rows[i][what] for i in labelled], f"the column {header[what]} of {nodes}")
        self.classes = tuple(classes)
        index = torch.tensor(labelled)
        parts = {part: index[chosen] for part, chosen in parts_of(len(labelled), val_share, test_share, found).items()}
        others = [i for i in range(len(header)) if i not in (where, what)]
        if others:
            table = [[row[i] for i in others] for row in rows]
            x, _, notes = encode_columns([header[i] for i in others], table, parts["train"])
            self.notes.extend(notes)
        else:
            x = torch.eye(len(rows))  # a graph without features: a node is known by itself alone
            self.notes.append("nodes have no features: each one gets a column of its own")
        y = torch.zeros(len(rows), dtype=torch.int64)
        y[index] = found
        place = {one: i for i, one in enumerate(ids)}
        edge_index = _edges(edges, place, len(rows))
        masks = {part: torch.zeros(len(rows), dtype=torch.bool) for part in parts}
        for part, chosen in parts.items():
            masks[part][chosen] = True
        return Data(x=x, edge_index=edge_index, y=y, **{f"{part}_mask": mask for part, mask in masks.items()})


def _table(folder: Path, name: str) -> Path:
    if not folder.is_dir():
        raise DataNotFoundError(f"there is no folder {str(folder)!r}: name one that holds nodes.csv and edges.csv")
    for suffix in (".csv", ".tsv"):
        if (folder / f"{name}{suffix}").is_file():
            return folder / f"{name}{suffix}"
    raise DataNotFoundError(f"the folder {str(folder)!r} holds no {name}.csv: it takes nodes.csv and edges.csv")


def _edges(path: Path, place: dict[str, int], nodes: int) -> torch.Tensor:
    header, rows = read_rows(path)
    source, target = (
        column(header, None, names, what, path) for names, what in ((SOURCE, "source"), (TARGET, "target"))
    )
    ends = []
    for line, row in enumerate(rows, 2):
        for cell in (row[source], row[target]):
            if cell not in place:
                raise InputError(f"row {line} of {path} names the node {cell!r}, which nodes.csv lacks")
        ends.append((place[row[source]], place[row[target]]))
    edges = torch.tensor(ends).T.contiguous()
    return coalesce(remove_self_loops(torch.cat([edges, edges.flip(0)], 1))[0], num_nodes=nodes, sort_by_row=False)


class SmilesCSV(Own, GraphDataModule):
    """Molecules with a number each, a share of them held out.

    Args:
        root: the table.
        batch_size: molecules per batch.
        smiles, target: names of the columns; by default smiles, and the only other column with numbers.
        val_share, test_share: shares that validate and test.
    """

    offers: ClassVar[tuple[str, ...]] = ("molecules",)
    name = "smiles-csv"
    counted: ClassVar[str] = "molecules"
    classes: tuple[str, ...] = ()
    protocol = "a share held out, epoch chosen by the validation part"

    def __init__(
        self,
        root: str,
        batch_size: int = 32,
        *,
        smiles: str | None = None,
        target: str | None = None,
        val_share: float = 0.15,
        test_share: float = 0.15,
    ) -> None:
        super().__init__(batch_size, root=str(root))
        self.save_hyperparameters()
        self.hparams.update(root=str(root))
        check_shares(val_share, test_share)
        path = own_file(root, (".csv", ".tsv"), "a table of molecules")
        header, rows = read_rows(path)
        where = column(header, smiles, ("smiles", "structure", "molecule"), "smiles", path)
        what = target_column(header, rows, target, where, path)
        self.unit = header[what]
        self._graphs = self._read(path, header[what], [(row[where], row[what]) for row in rows])
        self._split = parts_of(len(self._graphs), val_share, test_share)

    def _read(self, path: Path, target: str, rows: list[tuple[str, str]]) -> list[Data]:
        graphs, wrong = [], []
        for line, (smiles, cell) in enumerate(rows, 2):
            value = number(cell)
            try:
                if value is None:
                    raise InputError(f"{target} is {cell!r}")
                graph = from_smiles(smiles)
            except InputError as error:
                wrong.append(f"row {line} ({error})")
                continue
            graph.y, graph.smiles = torch.tensor([value]), smiles
            graphs.append(graph)
        if len(graphs) < 3:
            reason = f"; {wrong[0]}" if wrong else ""
            raise InputError(f"{path} holds {len(graphs)} molecules that can be read, it takes three{reason}")
        if wrong:
            self.notes.append(f"{len(wrong)} of {len(rows)} rows are left out: {'; '.join(wrong[:3])}")
        return graphs

    def prepare_data(self) -> None:
        """Nothing: the table is read when it is named."""

    def split(self) -> Any:
        return tuple(self._split[part].tolist() for part in ("train", "val", "test"))

    def sizes(self) -> dict[str, int]:
        return {part: len(index) for part, index in self._split.items()}


def target_column(header: list[str], rows: list[list[str]], wanted: str | None, other: int, path: Path) -> int:
    """The number of the column to predict: the wanted one, or the only other one that holds numbers."""
    if wanted is not None:
        return column(header, wanted, (), "target", path)
    found = [
        i
        for i in range(len(header))
        if i != other and all(number(row[i]) is not None or is_missing(row[i]) for row in rows)
    ]
    if len(found) == 1:
        return found[0]
    several = f"several columns of numbers ({', '.join(header[i] for i in found)})" if found else "no column of numbers"
    raise InputError(f"{path} has {several} beside {header[other]}: name the one to predict by target=…")


class PyGGraph(Own, NodeDataModule):
    """A `torch_geometric.data.Data` with node labels `y`; masks that it lacks are made, a share of every class held out.

    Args:
        data: the graph: features x, edges edge_index, labels y, and train_mask, val_mask, test_mask if it has them.
        normalize: scale each node's features to sum one.
        val_share, test_share: shares of each class that validate and test, for a graph without masks.
    """

    name = "pyg-graph"
    counted: ClassVar[str] = "nodes"
    protocol: str = "the graph's own masks, or a share of every class held out"

    def __init__(self, data: Data, *, normalize: bool = False, val_share: float = 0.2, test_share: float = 0.2) -> None:
        super().__init__(normalize=normalize)
        self.save_hyperparameters(ignore=["data"])
        check_shares(val_share, test_share)
        if data.x is None or data.edge_index is None or data.y is None or data.y.ndim != 1:
            raise InputError(
                "a graph to learn from has features x, edges edge_index and a label y [nodes] for each node"
            )
        self.classes = class_names(data.y)
        graph = data.clone()
        if "train_mask" not in graph or graph.train_mask.ndim != 1:
            for part, index in parts_of(len(graph.y), val_share, test_share, graph.y).items():
                graph[f"{part}_mask"] = torch.zeros(len(graph.y), dtype=torch.bool).index_fill(0, index, True)
        self._data = graph

    def sizes(self) -> dict[str, int]:
        return {part: int(self.data[f"{part}_mask"].sum()) for part in ("train", "val", "test")}


class PyGGraphs(Own, GraphDataModule):
    """Graphs of PyG with a label `y` each, a share of every class held out.

    Args:
        data: a `Dataset` or a list of `Data`.
        batch_size: graphs per batch.
        val_share, test_share: shares of each class that validate and test.
    """

    name = "pyg-graphs"
    counted: ClassVar[str] = "graphs"
    protocol = "a share of every class held out"

    def __init__(self, data: Any, batch_size: int = 32, *, val_share: float = 0.15, test_share: float = 0.15) -> None:
        super().__init__(batch_size)
        self.save_hyperparameters(ignore=["data"])
        check_shares(val_share, test_share)
        graphs = list(data)
        if len(graphs) < 3 or any(g.x is None or g.y is None or g.y.numel() != 1 for g in graphs):
            raise InputError("graphs to learn from are three or more, each with features x and one label y")
        labels = torch.cat([g.y.reshape(1) for g in graphs])
        self.classes = class_names(labels)
        self._graphs = [Data(x=g.x.float(), edge_index=g.edge_index, y=g.y.reshape(1).long()) for g in graphs]
        self._split = parts_of(len(graphs), val_share, test_share, labels)

    def prepare_data(self) -> None:
        """Nothing: the graphs are here."""

    def split(self) -> Any:
        return tuple(self._split[part].tolist() for part in ("train", "val", "test"))

    def sizes(self) -> dict[str, int]:
        return {part: len(index) for part, index in self._split.items()}


def class_names(y: torch.Tensor) -> tuple[str, ...]:
    """Names of the classes 0 … max.

    Raises:
        InputError: for labels that aren't whole numbers from 0, or of one class alone.
    """
    if y.is_floating_point() or int(y.min()) < 0 or int(y.max()) < 1:
        raise InputError("labels are whole numbers from 0 on, of two classes at least")
    return tuple(str(label) for label in range(int(y.max()) + 1))


def of_pyg(data: Any) -> PyGGraph | PyGGraphs:
    """The data module of a graph, or of graphs, of PyG.

    Raises:
        InputError: for anything else.
    """
    if isinstance(data, Data):
        return PyGGraph(data)
    try:
        graphs = list(data)
    except TypeError:
        graphs = []
    if not graphs or not all(isinstance(graph, Data) for graph in graphs):
        raise InputError(
            "data is the name of a kind, a data module, a graph of PyG or a list of them, not " + type(data).__name__
        )
    if len(graphs) == 1:
        return PyGGraph(graphs[0])
    return PyGGraphs(graphs)
