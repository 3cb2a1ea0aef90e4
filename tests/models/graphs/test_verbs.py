"""Verbs, new first and last layers, choosing the epoch, and every bad input with its sentence."""

import warnings

import lightning as L
import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.utils import to_undirected

import zoo
from tests.models.graphs.test_layers import CLASSES, FEATURES, NODE_MODELS, NODES, graph
from tests.tiny import TINY
from zoo.errors import InputError
from zoo.models.graphs.gcn import GCN
from zoo.models.graphs.gin import GIN
from zoo.models.graphs.node import draw_explanation
from zoo.train.callbacks import KeepBest


def small_gcn() -> GCN:
    return GCN(CLASSES, FEATURES, hidden_dim=8).eval()


@pytest.mark.parametrize("cls", NODE_MODELS)
def test_verbs_of_node_classifiers(cls):
    model, data = cls(CLASSES, FEATURES), graph()
    probability = model.predict_proba(data)
    assert probability.shape == (NODES, CLASSES)
    torch.testing.assert_close(probability.sum(1), torch.ones(NODES))
    rows = model.predict(data, top=2)
    assert len(rows) == NODES and all(len(row) == 2 and row[0][1] >= row[1][1] for row in rows)
    states = model.embed(data)
    assert len(states) == NODES
    torch.testing.assert_close(model.embed(data, "graph"), states.mean(0, keepdim=True))


def test_verbs_of_graph_classifiers():
    model = GIN(2, FEATURES, hidden_dim=4, num_layers=2)
    batch = Batch.from_data_list([graph(s, 6 + s) for s in range(3)])
    assert model.predict_proba(batch).shape == (3, 2)
    assert len(model.predict(batch)) == 3 and len(model.predict(graph())) == 1
    assert model.embed(batch).shape == (6 + 7 + 8, 8)
    assert model.embed(batch, "graph").shape == (3, 8)
    with pytest.raises(InputError, match="level"):
        model.embed(batch, "edge")


def test_predict_uses_class_names_and_leaves_the_data_alone():
    model, data = small_gcn(), graph()
    model.classes = ["a", "b", "c"]
    before = data.x.clone()
    assert {row[0][0] for row in model.predict(data)} <= {"a", "b", "c"}
    assert torch.equal(data.x, before)


def test_predict_normalises_as_training_does():
    model, data = small_gcn(), graph()
    scaled = Data(x=data.x * 7, edge_index=data.edge_index)
    torch.testing.assert_close(model.predict_proba(scaled), model.predict_proba(data))


@pytest.mark.parametrize("cls", [*NODE_MODELS, GIN])
def test_new_classes_and_new_features(cls, tmp_path, capsys):
    folder = cls(CLASSES, FEATURES).save_pretrained(tmp_path / "model")
    old = zoo.load(folder)
    model = zoo.load(folder, num_classes=5)
    assert model.predict_proba(graph()).shape[1] == 5
    assert "head" in capsys.readouterr().out
    same = [k for k, v in old.state_dict().items() if not k.startswith("head.")]
    assert all(torch.equal(model.state_dict()[k], old.state_dict()[k]) for k in same)
    model = zoo.load(folder, in_channels=4)
    data = graph()
    data.x = data.x[:, :4]
    assert model.predict_proba(data).shape[1] == CLASSES
    assert zoo.create(zoo.registry.name_of(cls, zoo.registry.ARCHITECTURES), **zoo.store.folder.init_arguments(model))
    assert all(torch.equal(model.state_dict()[k], v) for k, v in old.state_dict().items() if not k.startswith("input."))
    assert torch.equal(zoo.load(folder, num_classes=CLASSES).predict_proba(graph()), old.predict_proba(graph()))
    with pytest.raises(InputError, match="num_classes"):
        zoo.load(folder, num_classes=0)


def test_explain_stays_within_reach_and_draws(tmp_path):
    """No edge beyond two hops can matter to a network of two layers."""
    torch.manual_seed(0)
    data = graph(3)
    model = small_gcn()
    node = int(data.edge_index[0, 0])
    explanation = model.explain(data, node, epochs=30)
    assert explanation.edge_mask.shape == (data.num_edges,)
    assert explanation.node_mask.shape == data.x.shape
    two_hops = {node}
    for _ in range(2):
        two_hops |= {a for a, b in data.edge_index.T.tolist() if b in two_hops}
    outside = [i for i, (a, b) in enumerate(data.edge_index.T.tolist()) if not {a, b} <= two_hops]
    assert not explanation.edge_mask[outside].any()
    assert explanation.edge_mask.max() > 0
    data.y = torch.arange(NODES) % CLASSES
    path = draw_explanation(explanation, data, node, tmp_path / "why.png")
    assert path.stat().st_size > 2000
    with pytest.raises(InputError, match="node must be"):
        model.explain(data, NODES)


def test_explaining_changes_neither_weights_nor_the_random_state():
    model, data = small_gcn(), graph()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = torch.get_rng_state()
    first = model.explain(data, 0, epochs=5).edge_mask
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(model.explain(data, 0, epochs=5).edge_mask, first)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def with_(**changed) -> Data:
    data = graph()
    for key, value in changed.items():
        data[key] = value
    return data


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (torch.rand(3, FEATURES), "a graph is a torch_geometric.data.Data, not Tensor"),
        (Data(edge_index=torch.zeros(2, 0).long(), num_nodes=3), "no node features"),
        (Data(x=torch.rand(3, FEATURES)), "no edges"),
        (Data(x=torch.rand(0, FEATURES), edge_index=torch.zeros(2, 0).long()), "at least one node"),
        (with_(edge_index=torch.tensor([[0, 1], [1, NODES]])), f"names node {NODES}.*0..{NODES - 1}"),
        (with_(edge_index=torch.tensor([[0, -1], [1, 2]])), "names node -1"),
        (with_(edge_index=torch.rand(2, 4)), "int64, not torch.float32"),
        (with_(edge_index=torch.zeros(4, 2).long()), r"\[2, edges\]"),
        (with_(x=torch.rand(NODES, 9)), r"9 features per node.*takes 6.*in_channels=9"),
        (with_(x=torch.ones(NODES, FEATURES).long()), "floating point"),
        (with_(x=torch.full((NODES, FEATURES), float("nan"))), "NaN"),
        (with_(x=torch.rand(NODES)), r"\[nodes, features\]"),
    ],
)
def test_bad_graphs_get_a_sentence(data, words):
    for model in (small_gcn(), GIN(2, FEATURES)):
        for verb in (model.predict, model.predict_proba, model.embed):
            with pytest.raises(InputError, match=words):
                verb(data)


def test_an_empty_graph_in_a_batch_is_named():
    empty = Data(x=torch.rand(0, FEATURES), edge_index=torch.zeros(2, 0).long())
    batch = Batch.from_data_list([graph(), empty, graph(1)])
    with pytest.raises(InputError, match="graph 1 of the batch has no nodes"):
        GIN(2, FEATURES).predict(batch)


@pytest.mark.parametrize("name", ["gcn", "gin"])
@pytest.mark.parametrize(
    ("y", "words"),
    [
        (lambda y: y.float(), r"class numbers \(int64\), not torch.float32"),
        (lambda y: y + 99, "num_classes="),
        (lambda y: y - 99, "a label is -99"),
        (lambda y: None, "no labels"),
    ],
)
def test_bad_labels_get_a_sentence(name, y, words):
    batch = TINY[name].batch()
    batch.y = y(batch.y)
    with pytest.raises(InputError, match=words):
        zoo.create(name, **TINY[name].init).training_step(batch, 0)


def test_training_on_edges_to_nowhere_gets_a_sentence():
    batch = TINY["gcn"].batch()
    batch.edge_index = batch.edge_index + 5
    with pytest.raises(InputError, match="names node"):
        zoo.create("gcn", **TINY["gcn"].init).training_step(batch, 0)


@pytest.mark.parametrize("cls", NODE_MODELS)
def test_an_isolated_node_sees_itself_alone(cls):
    data, model = graph(), cls(CLASSES, FEATURES)
    alone = Data(x=data.x[-1:], edge_index=torch.zeros(2, 0).long())
    probability = model.predict_proba(data)
    assert probability.isfinite().all()
    torch.testing.assert_close(model.predict_proba(alone), probability[-1:])


def test_a_directed_graph_gets_a_warning_and_an_undirected_one_none():
    data = graph()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        small_gcn().predict(data)
    data.edge_index = data.edge_index[:, data.edge_index[0] < data.edge_index[1]]
    with pytest.warns(UserWarning, match="ToUndirected"):
        small_gcn().predict(data)
    data.edge_index = to_undirected(data.edge_index)


class Scripted(L.LightningModule):
    """Logs given validation values and counts its epochs in its one weight."""

    def __init__(self, values: list[tuple[float, float]]) -> None:
        super().__init__()
        self.values, self.weight = values, torch.nn.Parameter(torch.zeros(()))

    def training_step(self, batch, batch_idx):
        return -self.weight  # a gradient of -1 and a rate of 1: the weight is the number of epochs trained

    def validation_step(self, batch, batch_idx):
        accuracy, loss = self.values[self.current_epoch]
        self.log_dict({"val/accuracy": accuracy, "val/loss": loss}, batch_size=1)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1.0)


@pytest.mark.parametrize(
    ("values", "patience", "kept", "trained"),
    [
        ([(0.5, 1.0), (0.9, 2.0), (0.7, 0.1)], None, 2, 3),  # accuracy first
        ([(0.9, 1.0), (0.9, 2.0), (0.9, 0.5), (0.9, 0.7)], None, 3, 4),  # then the smaller loss
        ([(0.9, 1.0), (0.9, 1.0)], None, 2, 2),  # then the later epoch
        ([(0.9, 1.0), (0.1, 1.0), (0.1, 1.0), (1.0, 1.0)], 2, 1, 3),  # patience
    ],
)
def test_keep_best(values, patience, kept, trained):
    model = Scripted(values)
    loader = torch.utils.data.DataLoader([0], batch_size=None)
    callback = KeepBest(patience=patience)
    trainer = L.Trainer(
        max_epochs=len(values),
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[callback],
    )
    trainer.fit(model, loader, loader)
    assert model.weight.item() == kept and trainer.current_epoch == trained
    assert callback.epoch == kept - 1
    again = KeepBest()
    again.load_state_dict(callback.state_dict())
    assert again.best == callback.best and torch.equal(again.weights["weight"], torch.tensor(float(kept)))
