"""Facts and splits of the graph data sets, and files that aren't what they claim to be."""

import hashlib
import pickle
import shutil

import numpy as np
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.utils import is_undirected

import zoo
from datamodules.files import DataNotFoundError
from datamodules.graphs import stratified_folds
from datamodules.karate import KarateClub
from datamodules.planetoid import PARTS, Citeseer, Cora, assemble, read_part
from datamodules.tudataset import FOLDS, MUTAG, PROTEINS, TUDataset
from zoo.errors import InputError, ZooError


@pytest.mark.data("cora", "citeseer")
@pytest.mark.parametrize(
    ("cls", "labels", "isolated"),
    [(Cora, [351, 217, 418, 818, 426, 298, 180], 0), (Citeseer, [264, 590, 668, 701, 596, 508], 48)],
)
def test_planetoid_facts(cls, labels, isolated):
    module = cls()
    data = module.data
    assert isinstance(data, Data) and module.num_classes == len(labels) and module.in_channels == data.num_features
    assert data.y.bincount().tolist() == labels
    assert is_undirected(data.edge_index) and not data.has_self_loops()
    assert (torch.bincount(data.edge_index[1], minlength=data.num_nodes) == 0).sum() == isolated
    assert set(data.x.unique().tolist()) == {0.0, 1.0}
    assert data.y[data.train_mask].bincount().tolist() == [20] * len(labels)
    masks = torch.stack([data.train_mask, data.val_mask, data.test_mask])
    assert masks.sum(0).max() == 1 and masks.sum(1).tolist() == [20 * len(labels), 500, 1000]


@pytest.mark.data("cora", "citeseer")
def test_planetoid_equals_pyg():
    """PyG's own reader unpickles freely; on the official files both give the same graph."""
    from torch_geometric.io import read_planetoid_data

    for module in (Cora(), Citeseer()):
        theirs = read_planetoid_data(str(module._path("x").parent), module.name)
        assert torch.equal(module.data.x, theirs.x) and torch.equal(module.data.y, theirs.y)
        assert torch.equal(module.data.edge_index, theirs.edge_index)
        for part in ("train", "val", "test"):
            assert torch.equal(module.data[f"{part}_mask"], theirs[f"{part}_mask"])


@pytest.mark.data("cora")
def test_training_sees_normalised_sparse_features_and_the_user_raw_dense_ones():
    module = Cora()
    (batch,) = module.train_dataloader()
    assert batch.x.layout == torch.sparse_csr
    torch.testing.assert_close(batch.x.to_dense().sum(1), torch.ones(2708))
    assert module.data.x.layout == torch.strided and module.data.x.max() == 1
    (raw,) = Cora(normalize=False).train_dataloader()
    assert torch.equal(raw.x.to_dense(), module.data.x)


def tiny_planetoid() -> dict:
    """Six nodes: four in x/allx, two that test.index names in reverse and with a gap between them."""
    return {
        "x": torch.eye(2, 3),
        "y": torch.eye(2),
        "allx": torch.eye(4, 3),
        "ally": torch.eye(2).repeat(2, 1),
        "tx": torch.tensor([[7.0, 0, 0], [8, 0, 0]]),
        "ty": torch.tensor([[0.0, 1], [1, 0]]),
        "test.index": torch.tensor([6, 4]),
        "graph": {0: [1, 1], 1: [0], 2: [2], 4: [0], 6: [3]},
    }


def test_test_rows_go_where_the_index_says():
    data = assemble(tiny_planetoid())
    assert data.num_nodes == 7
    assert data.x[6, 0] == 7 and data.x[4, 0] == 8 and not data.x[5].any()
    assert data.y[6] == 1 and data.y[4] == 0
    assert data.test_mask.nonzero().flatten().tolist() == [4, 6]
    pairs = {tuple(pair) for pair in data.edge_index.T.tolist()}  # both ways, once, without loops
    assert pairs == {(0, 1), (1, 0), (0, 4), (4, 0), (3, 6), (6, 3)}


class Exploit:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code ran')",))


def test_a_hostile_file_can_not_run_code(tmp_path):
    path = tmp_path / "ind.cora.x"
    for protocol in range(6):
        path.write_bytes(pickle.dumps(Exploit(), protocol=protocol))
        with pytest.raises(InputError, match=r"exec.*remove it"):
            read_part(path)


@pytest.mark.parametrize("name", ["eval", "open", "getattr", "__import__"])
def test_no_other_name_is_found(name, tmp_path):
    path = tmp_path / "ind.cora.x"
    path.write_bytes(f"cbuiltins\n{name}\n(S'1'\ntR.".encode())
    with pytest.raises(InputError, match=name):
        read_part(path)


@pytest.mark.parametrize(
    "content", [b"", b"\x80", b"hello", pickle.dumps(3), pickle.dumps({"a": 1}), bytes(range(256))]
)
def test_a_damaged_file_gets_a_sentence(content, tmp_path):
    path = tmp_path / "ind.cora.graph"
    path.write_bytes(content)
    with pytest.raises(InputError, match="isn't a Planetoid file"):
        read_part(path)


def test_plain_arrays_are_read(tmp_path):
    import scipy.sparse

    path = tmp_path / "ind.cora.y"
    matrix = np.array([[0, 1], [1, 0]])
    path.write_bytes(pickle.dumps(matrix, protocol=3).replace(b"numpy._core.", b"numpy.core."))
    assert read_part(path).tolist() == matrix.tolist()
    rows = scipy.sparse.csr_matrix(matrix)
    raw = (
        pickle.dumps(rows, protocol=3)
        .replace(b"numpy._core.", b"numpy.core.")
        .replace(b"scipy.sparse._csr", b"scipy.sparse.csr")
    )
    path.write_bytes(raw)
    assert read_part(path).tolist() == matrix.tolist()


@pytest.mark.data("cora")
def test_files_of_another_graph_get_a_sentence(tmp_path, monkeypatch):
    module = Cora()
    folder = tmp_path / "Cora" / "raw"
    folder.mkdir(parents=True)
    for part in PARTS:
        shutil.copy(module._path(part), folder / f"ind.cora.{part}")
    lines = (folder / "ind.cora.test.index").read_text().splitlines()
    (folder / "ind.cora.test.index").write_text("\n".join([lines[1], *lines[1:]]))
    with pytest.raises(ZooError, match="isn't the published file"):
        _ = Cora(root=str(tmp_path)).data
    written = {part: (folder / f"ind.cora.{part}").read_bytes() for part in PARTS}
    monkeypatch.setattr(Cora, "sha256", {part: hashlib.sha256(raw).hexdigest() for part, raw in written.items()})
    with pytest.raises(ZooError, match="999"):
        _ = Cora(root=str(tmp_path)).data


def test_karate():
    data = KarateClub().data
    assert data.num_nodes == 34 and data.num_edges == 2 * 78 and is_undirected(data.edge_index)
    assert data.y.bincount().tolist() == [17, 17]
    assert data.train_mask.nonzero().flatten().tolist() == [0, 33] and data.y[[0, 33]].tolist() == [0, 1]
    assert int(data.test_mask.sum()) == 32 and not data.val_mask.any()
    assert KarateClub().val_dataloader() == []


@pytest.mark.data("mutag", "proteins")
@pytest.mark.parametrize(
    ("cls", "classes", "nodes", "edges"), [(MUTAG, [63, 125], 3371, 7442), (PROTEINS, [663, 450], 43471, 162088)]
)
def test_tu_facts(cls, classes, nodes, edges):
    graphs = cls().graphs
    assert torch.cat([g.y for g in graphs]).bincount().tolist() == classes
    assert sum(g.num_nodes for g in graphs) == nodes and sum(g.num_edges for g in graphs) == edges
    for g in graphs:
        assert (g.x.sum(1) == 1).all() and g.x.shape[1] == cls.features
        assert g.num_edges == 0 or int(g.edge_index.max()) < g.num_nodes


def small_tu(folder, name="MUTAG"):
    """The official text format: 20 triangles and 20 paths of three atoms."""
    raw = folder / name / "raw"
    raw.mkdir(parents=True)
    edges, indicator, labels, nodes = [], [], [], []
    for i in range(40):
        first = 3 * i + 1
        pairs = [(0, 1), (1, 2), *([(2, 0)] if i % 2 else [])]
        edges += [f"{first + a}, {first + b}\n{first + b}, {first + a}" for a, b in pairs]
        indicator += [str(i + 1)] * 3
        labels.append("1" if i % 2 else "-1")
        nodes += [str((i + k) % 7) for k in range(3)]
    for part, lines in (("A", edges), ("graph_indicator", indicator), ("graph_labels", labels), ("node_labels", nodes)):
        (raw / f"{name}_{part}.txt").write_text("\n".join(lines) + "\n")


def test_tu_reads_the_official_format(tmp_path, monkeypatch):
    small_tu(tmp_path)
    with pytest.raises(InputError, match="40 graphs with 7 features, not 188"):
        _ = MUTAG(root=str(tmp_path)).graphs
    monkeypatch.setattr(MUTAG, "count", 40)
    module = MUTAG(8, root=str(tmp_path))
    assert [g.num_edges for g in module.graphs] == [4, 6] * 20
    assert [int(g.y) for g in module.graphs] == [0, 1] * 20
    batch = next(iter(module.train_dataloader()))
    assert batch.num_graphs == 8 and batch.x.shape == (24, 7)
    assert len(module.part("test")) == 4
    with pytest.raises(InputError, match="split"):
        module.part("all")


def test_folds_partition_the_graphs_and_keep_the_classes(tmp_path, monkeypatch):
    small_tu(tmp_path)
    monkeypatch.setattr(MUTAG, "count", 40)
    tested = []
    for fold in range(FOLDS):
        module = MUTAG(fold=fold, root=str(tmp_path))
        train, val, test = module.split()
        assert sorted([*train, *val, *test]) == list(range(40))
        assert not {*train} & {*val} | {*val} & {*test} | {*train} & {*test}
        assert val == MUTAG(fold=(fold + 1) % FOLDS, root=str(tmp_path)).split()[2]
        assert torch.cat([module.graphs[i].y for i in test]).float().mean() == 0.5
        tested += test
    assert sorted(tested) == list(range(40))


def test_folds_stay_the_same_for_ever():
    fold = stratified_folds(torch.arange(25) % 2, 5)
    assert fold.tolist() == stratified_folds(torch.arange(25) % 2, 5).tolist()
    assert fold.bincount().tolist() == [5] * 5


def test_bad_arguments_get_a_sentence(tmp_path):
    for fold in (-1, FOLDS):
        with pytest.raises(InputError, match="fold is"):
            MUTAG(fold=fold)
    with pytest.raises(InputError, match="batch_size"):
        MUTAG(0)
    with pytest.raises(DataNotFoundError, match="unpack"):
        PROTEINS(root=str(tmp_path)).prepare_data()


def test_registered_and_rebuilt_from_their_arguments():
    for name in ("cora", "citeseer", "karate", "mutag", "proteins"):
        module = zoo.datamodule(name)
        assert module.name == name
        again = zoo.datamodule(name, **zoo.store.folder.init_arguments(module))
        assert type(again) is type(module)
        assert not isinstance(module, TUDataset) or "fold 0" in module.protocol
