"""Graphs as PyG's own tools leave them: weights of edges, adj_t, batches of a NeighborLoader, raw features, doubled edges."""

import lightning as L
import pytest
import torch
from torch.utils.data import DataLoader
from torch_geometric.data import Batch, Data
from torch_geometric.transforms import NormalizeFeatures, ToSparseTensor
from torch_geometric.utils import k_hop_subgraph

from tests.models.graphs.test_layers import CLASSES, FEATURES, NODE_MODELS, NODES, graph
from zoo.errors import InputError
from zoo.models.graphs.gcn import GCN
from zoo.models.graphs.gin import GIN
from zoo.models.graphs.grand import GRAND
from zoo.models.graphs.mlp import NodeMLP

OTHERS = [cls for cls in NODE_MODELS if cls not in (GCN, NodeMLP)]


def weighted(data: Data) -> Data:
    data.edge_weight = torch.rand(data.num_edges, generator=torch.Generator().manual_seed(0))
    return data


def test_gcn_reads_the_weights_of_edges_in_every_verb():
    model, data = GCN(CLASSES, FEATURES, hidden_dim=8).eval(), weighted(graph())
    with torch.no_grad():
        prepared = model.prepare(data)
        expected = model(prepared.x, data.edge_index, data.edge_weight).softmax(1)
    torch.testing.assert_close(model.predict_proba(data), expected)
    assert not torch.allclose(model.predict_proba(graph()), expected)
    assert not torch.allclose(model.embed(graph()), model.embed(data))
    ones = graph()
    ones.edge_weight = torch.ones(ones.num_edges)
    torch.testing.assert_close(model.predict_proba(ones), model.predict_proba(graph()))


@pytest.mark.parametrize("cls", OTHERS)
def test_others_refuse_weights_that_they_would_ignore(cls):
    model, data = cls(CLASSES, FEATURES), weighted(graph())
    with pytest.raises(InputError, match=r"doesn't read data\.edge_weight"):
        model.predict(data)
    data.train_mask, data.y = torch.ones(NODES, dtype=torch.bool), torch.zeros(NODES).long()
    with pytest.raises(InputError, match=r"doesn't read data\.edge_weight"):
        model.training_step(data, 0)


def test_what_is_no_weight_is_named():
    model = GCN(CLASSES, FEATURES)
    for bad in (torch.ones(3), torch.full((graph().num_edges,), -1.0), torch.full((graph().num_edges,), float("nan"))):
        data = graph()
        data.edge_weight = bad
        with pytest.raises(InputError, match="at least 0 for each of the"):
            model.predict(data)
    data = graph()
    data.edge_attr = torch.rand(data.num_edges, 1)
    with pytest.raises(InputError, match=r"data\.edge_weight = data\.edge_attr\.flatten"):
        model.predict(data)
    data.edge_attr = torch.rand(data.num_edges, 4)  # features of bonds, such as MUTAG has
    GIN(2, FEATURES).predict(data)


@pytest.mark.parametrize("cls", NODE_MODELS)
def test_a_sparse_adjacency_is_the_same_graph(cls):
    model, data = cls(CLASSES, FEATURES).eval(), graph()
    sparse = ToSparseTensor(layout=torch.sparse_csr)(graph())
    assert sparse.edge_index is None
    torch.testing.assert_close(model.predict_proba(sparse), model.predict_proba(data))
    assert sparse.edge_index is None  # the caller's graph stays as it is
    arrow = Data(x=data.x, edge_index=torch.tensor([[0], [1]]))
    turned = ToSparseTensor(layout=torch.sparse_csr)(arrow.clone())
    with pytest.warns(UserWarning, match="one direction"):
        torch.testing.assert_close(model.predict_proba(turned), model.predict_proba(arrow))


def neighbours(data: Data, seeds: list[int]) -> Data:
    """What a NeighborLoader with all neighbours of two hops gives: the seeds first."""
    nodes, edges, mapping, _ = k_hop_subgraph(seeds, 2, data.edge_index, relabel_nodes=True, num_nodes=data.num_nodes)
    order = torch.cat(
        [mapping, torch.tensor([i for i in range(len(nodes)) if i not in mapping.tolist()], dtype=torch.long)]
    )
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order))
    found = Data(x=data.x[nodes[order]], edge_index=place[edges])
    found.batch_size = len(seeds)
    return found


@pytest.mark.parametrize("cls", NODE_MODELS)
def test_a_batch_of_neighbours_answers_for_its_seeds(cls, tmp_path):
    model, data = cls(CLASSES, FEATURES).eval(), graph()
    part = neighbours(data, [3, 1])
    whole = model.predict_proba(data)
    assert len(model.predict(part)) == 2
    if cls is not GCN and cls is not GRAND:  # whose averages see the degrees of nodes on the rim
        torch.testing.assert_close(model.predict_proba(part), whole[[3, 1]])
    part.train_mask = torch.ones(part.num_nodes, dtype=torch.bool)
    part.y = torch.zeros(part.num_nodes).long()
    part.y[2:] = CLASSES - 1
    torch.manual_seed(0)
    loss = model.loss(part)
    part.y[2:] = 0  # labels of neighbours say nothing
    torch.manual_seed(0)
    torch.testing.assert_close(model.loss(part), loss)
    quiet = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
    }
    found = L.Trainer(accelerator="cpu", default_root_dir=tmp_path, **quiet).predict(
        model, DataLoader([part, data], batch_size=None)
    )
    assert [len(rows) for rows in found] == [2, NODES]
    torch.testing.assert_close(found[1].softmax(1), whole)


def test_a_batch_of_graphs_has_no_seeds():
    model = GIN(2, FEATURES, hidden_dim=4).eval()
    assert model.predict_proba(Batch.from_data_list([graph(), graph(1)])).shape == (2, 2)


def test_raw_features_are_scaled_by_predict_and_by_the_transform_that_is_named():
    model, raw = GCN(CLASSES, FEATURES, hidden_dim=8).eval(), graph()
    words = torch.randint(0, 3, raw.x.shape, generator=torch.Generator().manual_seed(0)).float()  # a bag of them
    words[:, 0], words[0, 1] = 1, 0
    raw.x = words
    scaled = NormalizeFeatures()(raw.clone())
    with torch.no_grad():
        torch.testing.assert_close(model(scaled.x, scaled.edge_index).softmax(1), model.predict_proba(raw))
    assert "NormalizeFeatures()" in (GCN.__mro__[1].__doc__ or "")


@pytest.mark.filterwarnings("ignore:some edges have one direction")
@pytest.mark.parametrize("cls", NODE_MODELS)
def test_loops_and_doubled_edges(cls):
    model, data = cls(CLASSES, FEATURES).eval(), graph()
    loops = Data(x=data.x, edge_index=torch.cat([data.edge_index, torch.arange(NODES).repeat(2, 1)], 1))
    assert model.predict_proba(loops).isfinite().all()
    if cls is GCN:
        torch.testing.assert_close(model.predict_proba(loops), model.predict_proba(data))  # it adds them itself
    twice = Data(x=data.x, edge_index=torch.cat([data.edge_index, data.edge_index[:, :3]], 1))
    with pytest.warns(UserWarning, match="3 of .* stand twice"):
        assert model.predict_proba(twice).isfinite().all()
    torch.testing.assert_close(model.predict_proba(twice.coalesce()), model.predict_proba(data))
