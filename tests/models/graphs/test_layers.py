"""The layers against their dense teaching forms: the whole adjacency matrix, or one message after the other."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data
from torch_geometric.nn import SAGEConv
from torch_geometric.utils import to_dense_adj, to_undirected

from datamodules.graphs import sparse_features
from zoo.models.graphs.gat import GAT
from zoo.models.graphs.gcn import GCN
from zoo.models.graphs.gin import GIN
from zoo.models.graphs.grand import GRAND
from zoo.models.graphs.mlp import NodeMLP
from zoo.models.graphs.node import dropout, row_normalize
from zoo.models.graphs.sage import SAGE, SAGELayer

NODES, FEATURES, CLASSES = 15, 6, 3
NODE_MODELS = (GCN, GAT, SAGE, NodeMLP, GRAND)


def graph(seed: int = 0, nodes: int = NODES) -> Data:
    """A random undirected graph whose last node is isolated."""
    generator = torch.Generator().manual_seed(seed)
    edges = torch.randint(0, nodes - 1, (2, 2 * nodes), generator=generator)
    edges = to_undirected(edges[:, edges[0] != edges[1]])
    return Data(x=torch.rand(nodes, FEATURES, generator=generator), edge_index=edges)


def permuted(data: Data, order: Tensor) -> Data:
    """The same graph with node order[i] in place i."""
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order))
    shuffled = torch.randperm(data.edge_index.shape[1])  # the order of edges means nothing either
    return Data(x=data.x[order], edge_index=place[data.edge_index][:, shuffled])


def adjacency(data: Data) -> Tensor:
    """A [N, N] with A[i, j] = 1 where i hears j."""
    return to_dense_adj(data.edge_index, max_num_nodes=len(data.x))[0].T


def gcn_matrix(data: Data) -> Tensor:
    """D^-1/2 (A + I) D^-1/2, [N, N]."""
    a = adjacency(data) + torch.eye(len(data.x))
    scale = a.sum(1).rsqrt()
    return scale[:, None] * a * scale


def test_gcn_is_the_product_of_adjacency_features_and_weights():
    data, model = graph(), GCN(CLASSES, FEATURES, num_layers=3).eval()
    nn.init.normal_(model.input.bias)
    p, h = gcn_matrix(data), data.x
    for layer in (model.input, model.hidden[0]):
        h = (p @ h @ layer.lin.weight.T + layer.bias).relu()
    torch.testing.assert_close(model.features(data.x, data.edge_index), h)
    expected = p @ h @ model.head.lin.weight.T + model.head.bias
    torch.testing.assert_close(model(data.x, data.edge_index), expected)


def test_gcn_message_by_message():
    data, model = graph(), GCN(CLASSES, FEATURES).eval()
    near = {i: [i] for i in range(NODES)}  # every node hears itself
    for j, i in data.edge_index.T.tolist():
        near[i].append(j)
    w, b = model.input.lin.weight, model.input.bias
    for i in range(NODES):
        messages = [w @ data.x[j] / math.sqrt(len(near[i]) * len(near[j])) for j in near[i]]
        state = (torch.stack(messages).sum(0) + b).relu()
        torch.testing.assert_close(model.features(data.x, data.edge_index)[i], state)


def test_gat_message_by_message():
    data, model = graph(), GAT(CLASSES, FEATURES, hidden_dim=4, heads=2).eval()
    layer, states = model.input, []
    h = (data.x @ layer.lin.weight.T).unflatten(1, (2, 4))  # [N, heads, D]
    for i in range(NODES):
        near = [i, *data.edge_index[0, data.edge_index[1] == i].tolist()]
        score = (h[near] * layer.att_src[0]).sum(2) + (h[i] * layer.att_dst[0]).sum(1)  # [neighbours, heads]
        weight = nn.functional.leaky_relu(score, 0.2).softmax(0)
        states.append((weight[..., None] * h[near]).sum(0).flatten() + layer.bias)
    expected = nn.functional.elu(torch.stack(states))
    torch.testing.assert_close(model.features(data.x, data.edge_index), expected)
    edges, weight = model.attention(data.x, data.edge_index)
    sums = torch.zeros(NODES, 2).index_add(0, edges[1], weight)
    torch.testing.assert_close(sums, torch.ones(NODES, 2))


def test_sage_equals_pyg_with_the_same_weights():
    data, layer = graph(), SAGELayer(FEATURES, 5)
    peer = SAGEConv(FEATURES, 5)
    with torch.no_grad():
        peer.lin_r.weight.copy_(layer.own.weight)
        peer.lin_l.bias.copy_(layer.own.bias)
        peer.lin_l.weight.copy_(layer.neighbours.weight)
    torch.testing.assert_close(layer(data.x, data.edge_index), peer(data.x, data.edge_index))
    a = adjacency(data)
    mean = a @ data.x / a.sum(1, keepdim=True).clamp(min=1)
    expected = layer.own(data.x) + mean @ layer.neighbours.weight.T
    torch.testing.assert_close(layer(data.x, data.edge_index), expected)


def test_gin_is_a_sum_over_neighbours_and_a_sum_over_nodes():
    data, model = graph(), GIN(2, FEATURES, hidden_dim=4, num_layers=3).eval()
    a, h, states = adjacency(data), data.x, []
    for layer in (model.input, *model.hidden):
        h = layer.nn(h + a @ h)
        states.append(h)
    states = torch.cat(states, 1)
    torch.testing.assert_close(model.states(data), states)
    torch.testing.assert_close(model(data.x, data.edge_index), model.head(states.sum(0, keepdim=True)))


def test_gin_counts_what_a_mean_can_not():
    """Two stars with three and six equal leaves: a mean over neighbours sees no difference, the sum does."""
    stars = [
        Data(x=torch.ones(n + 1, FEATURES), edge_index=to_undirected(torch.stack([torch.zeros(n).long(), torch.arange(n) + 1])))
        for n in (3, 6)
    ]  # fmt: skip
    sage, gin = SAGE(CLASSES, FEATURES).eval(), GIN(2, FEATURES).eval()
    a, b = (sage.features(s.x, s.edge_index)[0] for s in stars)
    torch.testing.assert_close(a, b)
    c, d = (gin.states(s)[0] for s in stars)
    assert (c - d).abs().max() > 1e-3


def test_grand_spreads_over_powers_of_the_average():
    data, model = graph(), GRAND(CLASSES, FEATURES, hops=3).eval()
    p = gcn_matrix(data)
    powers = sum(torch.linalg.matrix_power(p, k) for k in range(4)) / 4
    expected = (powers @ data.x @ model.input.weight.T + model.input.bias).relu()  # the hops first, as in the paper
    torch.testing.assert_close(model.features(data.x, data.edge_index), expected)
    h = torch.rand(NODES, 4, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda h: model.spread(h, data.edge_index), (h,))


def test_grand_without_chance_has_equal_views_and_no_disagreement():
    data = graph()
    model = GRAND(CLASSES, FEATURES, drop_node=0.0, input_dropout=0.0, dropout=0.0, temperature=1.0)
    views = model.view_logits(data.x, data.edge_index)
    for view in views:
        torch.testing.assert_close(view, model(data.x, data.edge_index))
    data.y, data.train_mask = torch.arange(NODES) % CLASSES, torch.arange(NODES) < 6
    plain = nn.functional.cross_entropy(model(data.x, data.edge_index)[:6], data.y[:6])
    torch.testing.assert_close(model.loss(data), plain)


@pytest.mark.parametrize("cls", NODE_MODELS)
def test_node_states_follow_a_permutation_of_the_nodes(cls):
    model = cls(CLASSES, FEATURES).eval()
    for seed in range(5):
        data, order = graph(seed), torch.randperm(NODES)
        again = permuted(data, order)
        torch.testing.assert_close(model(again.x, again.edge_index), model(data.x, data.edge_index)[order])


def test_graph_logits_ignore_a_permutation_of_the_nodes():
    model = GIN(2, FEATURES).eval()
    for seed in range(5):
        data = graph(seed)
        again = permuted(data, torch.randperm(NODES))
        torch.testing.assert_close(model(again.x, again.edge_index), model(data.x, data.edge_index))


def test_graphs_of_a_batch_do_not_hear_each_other():
    model, graphs = GIN(2, FEATURES).eval(), [graph(s, 5 + s) for s in range(4)]
    batch = Batch.from_data_list(graphs)
    alone = torch.cat([model(g.x, g.edge_index) for g in graphs])
    torch.testing.assert_close(model(batch.x, batch.edge_index, batch.batch), alone)


@pytest.mark.parametrize("layers", [2, 3, 4])
def test_a_node_of_l_layers_sees_l_hops(layers):
    path = to_undirected(torch.stack([torch.arange(7), torch.arange(1, 8)]))
    model = GCN(CLASSES, FEATURES, num_layers=layers).eval()
    x = torch.rand(8, FEATURES, requires_grad=True)
    model(x, path)[0].sum().backward()
    reached = x.grad.abs().sum(1) > 0
    assert reached.tolist() == [i <= layers for i in range(8)]


@pytest.mark.parametrize("cls", NODE_MODELS)
def test_sparse_features_give_the_dense_result_and_gradient(cls):
    data = graph()
    data.x = data.x * (data.x > 0.6)
    model, sparse = cls(CLASSES, FEATURES).eval(), sparse_features(data)
    torch.testing.assert_close(model(sparse.x, data.edge_index), model(data.x, data.edge_index))
    gradients = []
    for x in (data.x, sparse.x):
        model.zero_grad()
        model(x, data.edge_index).square().sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
    for dense, other in zip(*gradients, strict=True):
        torch.testing.assert_close(other, dense)


def test_sparse_dropout_keeps_the_mean_and_the_zeros():
    x = torch.rand(200, 100) * (torch.rand(200, 100) > 0.8)
    dropped = dropout(x.to_sparse_csr(), 0.3, True).to_dense()
    assert (dropped[x == 0] == 0).all()
    kept = dropped[x > 0] > 0
    assert 0.66 < kept.float().mean() < 0.74
    torch.testing.assert_close(dropped[x > 0][kept], x[x > 0][kept] / 0.7)
    assert torch.equal(dropout(x.to_sparse_csr(), 0.3, False).to_dense(), x)


def test_row_normalize_is_idempotent_and_leaves_empty_rows():
    x = torch.rand(5, 4)
    x[2] = 0
    once = row_normalize(x)
    torch.testing.assert_close(once.sum(1), torch.tensor([1.0, 1, 0, 1, 1]))
    torch.testing.assert_close(row_normalize(once), once)


def test_attention_is_message_passing_on_the_complete_graph():
    """Messages a_ij · v_j with softmax weights, summed over a graph of all pairs, are PyTorch's attention."""
    from torch_geometric.nn import MessagePassing
    from torch_geometric.utils import softmax

    class Attention(MessagePassing):
        def __init__(self) -> None:
            super().__init__(aggr="sum")

        def forward(self, edge_index: Tensor, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return self.propagate(edge_index, q=q, k=k, v=v)

        def message(self, q_i: Tensor, k_j: Tensor, v_j: Tensor, index: Tensor) -> Tensor:
            score = (q_i * k_j).sum(1) / math.sqrt(q_i.shape[1])
            return softmax(score, index)[:, None] * v_j

    q, k, v = torch.randn(3, 9, 4)
    pairs = torch.cartesian_prod(torch.arange(9), torch.arange(9)).T  # every node hears every node, itself too
    expected = nn.functional.scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(Attention()(pairs, q, k, v), expected)
