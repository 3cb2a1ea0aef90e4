"""Tables and graphs of strangers: each is read or gets a named error, as the other inputs of `test_inputs`."""

import random
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Batch, Data

import zoo
from datamodules.own_graphs import GraphCSV, SmilesCSV
from datamodules.table_csv import TableCSV
from datamodules.text_csv import TextCSV
from tests.faults.counts import count, record
from tests.faults.test_inputs import attack
from tests.tiny import TINY
from zoo.errors import InputError, ZooError

ROWS = "\n".join(f"{i},{'Rome' if i % 3 else 'Oslo'},{i / 7:.3f},{'yes' if i % 2 else 'no'}" for i in range(24))
TABLE = f"age,city,income,bought\n{ROWS}\n".encode()
TEXTS = ("text,label\n" + "\n".join(f'"word {i}, other",{"ab"[i % 2]}' for i in range(24))).encode()
PAIRS = "\n".join(f"ein Hund {i}\ta dog {i}" for i in range(24)).encode()
MOLECULES = ("smiles,solubility\n" + "\n".join(f"{'C' * (i + 1)}O,{-i / 3:.2f}" for i in range(24))).encode()
NODES = ("id,label,size,colour\n" + "\n".join(f"n{i},{'ab'[i % 2]},{i},{'rg'[i % 2]}" for i in range(24))).encode()
EDGES = ("source,target\n" + "\n".join(f"n{i},n{(i + 1) % 24}" for i in range(24))).encode()


def opened(make: Callable[[], object]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = make()
        data.setup("fit")  # type: ignore[attr-defined]


def test_tables(tmp_path: Path) -> None:
    for kind, few, full, seed, suffix, make in (
        ("tables", 60, 5_000, TABLE, "csv", TableCSV),
        ("tables of texts", 60, 5_000, TEXTS, "csv", TextCSV),
        ("tables of molecules", 40, 3_000, MOLECULES, "csv", SmilesCSV),
    ):
        path = tmp_path / f"{make.__name__}.{suffix}"

        def read(raw: bytes, path: Path = path, make: Callable[..., object] = make) -> None:
            path.write_bytes(raw)
            opened(lambda: make(str(path)))

        attack(kind, count(few, full), [seed, seed.replace(b",", b";")], read)


def test_graphs_as_tables(tmp_path: Path) -> None:
    (tmp_path / "nodes.csv").write_bytes(NODES)
    (tmp_path / "edges.csv").write_bytes(EDGES)

    def read(raw: bytes) -> None:
        name, whole = ("nodes.csv", NODES) if raw[:3] == NODES[:3] else ("edges.csv", EDGES)
        (tmp_path / name).write_bytes(raw)
        try:
            opened(lambda: GraphCSV(str(tmp_path)))
        finally:
            (tmp_path / name).write_bytes(whole)

    attack("graphs in two tables", count(60, 5_000), [NODES, EDGES], read)


def strange_graph(chance: random.Random) -> object:
    """A PyG graph with one to three things changed."""
    n, e = chance.choice((0, 1, 2, 12)), chance.choice((0, 1, 30))
    generator = torch.Generator().manual_seed(chance.randrange(2**32))
    data = Data(x=torch.rand(n, 9, generator=generator))
    data.edge_index = torch.randint(max(n, 1), (2, e), generator=generator)
    for _ in range(chance.randint(1, 3)):
        kind = chance.randrange(12)
        if kind == 0:
            shapes = [torch.rand(n), torch.rand(n, 3), torch.ones(n, 9).long(), torch.rand(n, 9).half()]
            data.x = chance.choice([None, data.x, *shapes])
        elif kind == 1 and data.x is not None and data.x.is_floating_point() and data.x.numel():
            data.x = data.x.clone()
            data.x.view(-1)[0] = chance.choice([float("nan"), float("inf"), -1e30, 1e30])
        elif kind == 2:
            data.edge_index = chance.choice(
                [None, torch.rand(2, 3), torch.zeros(3, 2).long(), torch.tensor([[0], [10**9]])]
            )
        elif kind == 3:
            data.edge_index = torch.tensor([[0, -1], [1, 0]])
        elif kind == 4:
            data.edge_weight = chance.choice(
                [torch.rand(e), torch.rand(e + 1), -torch.rand(e), torch.full((e,), float("nan"))]
            )
        elif kind == 5:
            data.edge_attr = chance.choice([torch.rand(e), torch.rand(e, 1), torch.rand(e, 4), torch.rand(2)])
        elif kind == 6:
            data.batch_size = chance.choice([0, 1, n, n + 5])
        elif kind == 7:
            data.adj_t = chance.choice([torch.eye(max(n, 1)).to_sparse_csr(), torch.eye(2).to_sparse_csr(), None])
            data.edge_index = None
        elif kind == 8:
            return chance.choice([None, torch.rand(3, 9), {}, [], "graph", 3])
        elif kind == 9:
            data.batch = torch.zeros(n).long()
        elif kind == 10:
            data.num_nodes = chance.choice([0, n, n + 3])
        elif kind == 11 and isinstance(data.x, torch.Tensor) and data.x.ndim == 2 and data.edge_index is not None:
            try:
                return Batch.from_data_list([data, data])
            except Exception:  # PyG's own refusal: nothing reaches the model
                return data
    return data


def test_weights_of_other_edges_are_refused_whichever_comes_first() -> None:
    model = zoo.create("gcn", **TINY["gcn"].init).eval()
    graph = Data(edge_weight=torch.rand(31), x=torch.rand(2, 9), edge_index=torch.tensor([[0, 1], [1, 0]]))
    with pytest.raises(InputError, match="for each of the 2 edges"):
        model.predict_proba(graph)


def test_graphs() -> None:
    torch.manual_seed(0)
    models = [zoo.create(name, **TINY[name].init).eval() for name in ("gcn", "gat", "sage", "grand", "node-mlp")]
    init = TINY["gin"].init | {"in_channels": 9}
    models += [zoo.create("gin", **init).eval()]
    chance, tried = random.Random(0), count(100, 10_000)
    for number in range(tried):
        graph, model = strange_graph(chance), models[number % len(models)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found = model.predict_proba(graph)  # type: ignore[operator]
                assert found.ndim == 2
                model.embed(graph)  # type: ignore[operator]
            except ZooError:
                pass
            except Exception as error:
                raise AssertionError(
                    f"{type(model).__name__}: {type(error).__name__}: {error} for {graph!r}"
                ) from error
    record("strange graphs of PyG", tried, "an answer or a named error")
