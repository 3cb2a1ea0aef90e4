"""SMILES against published weights and counts, message passing against its definition, point sets and their neighbours."""

import csv

import pytest
import torch
from torch_geometric.data import Batch, Data

import zoo
from datamodules.formats.smiles import ATOM_FEATURES, BOND_FEATURES, from_smiles, molecular_weight, parse
from datamodules.mnist_points import MNISTPoints, point_sets
from datamodules.moleculenet import ESOL
from zoo.errors import InputError
from zoo.models.graphs.edgeconv import DGCNN, nearest
from zoo.models.graphs.mpnn import MPNN


@pytest.fixture(scope="module")
def esol() -> ESOL:
    module = ESOL()
    module.prepare_data()
    return module


@pytest.mark.parametrize(
    ("smiles", "atoms", "bonds", "hydrogens"),
    [
        ("C", 1, 0, 4),
        ("CCO", 3, 2, 6),
        ("C#N", 2, 1, 1),
        ("c1ccccc1", 6, 6, 6),
        ("C1=CC=CC=C1", 6, 6, 6),
        ("c1cc[nH]c1", 5, 5, 5),
        ("n1ccccc1", 6, 6, 5),
        ("CC(=O)O", 4, 3, 4),
        ("CS(=O)(=O)C", 5, 4, 6),
        ("C[N+](C)(C)C", 5, 4, 12),
        ("[NH4+].[Cl-]", 2, 0, 4),
        ("F/C=C/F", 4, 3, 2),
        ("N[C@@H](C)C(=O)O", 6, 5, 7),
        ("C%12CCCC%12", 5, 5, 10),
        ("C12CC1C2", 4, 5, 6),
        ("[13CH4]", 1, 0, 4),
        ("ClC(Br)I", 4, 3, 1),
    ],
)
def test_known_molecules(smiles, atoms, bonds, hydrogens):
    found, joined = parse(smiles)
    assert (len(found), len(joined)) == (atoms, bonds)
    assert sum(atom.hydrogens for atom in found) == hydrogens


def test_kekule_and_aromatic_forms_agree_on_rings_and_hydrogens():
    a, b = from_smiles("c1ccccc1"), from_smiles("C1=CC=CC=C1")
    assert a.x[:, -1].all() and b.x[:, -1].all()  # in a ring
    assert a.edge_attr[:, -1].all() and b.edge_attr[:, -1].all()
    assert a.x[:, -2].all() and not b.x[:, -2].any()  # aromatic as written
    chain = from_smiles("CC1CC1C")
    assert chain.x[:, -1].tolist() == [0, 1, 1, 1, 0]


@pytest.mark.data("esol")
def test_weights_of_all_esol_molecules(esol):
    """Hydrogens, charges and rings of 1128 molecules are right if their weights are: the file has those of a chemist's tool."""
    from datamodules.files import data_root

    with (data_root() / ESOL.file).open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            assert molecular_weight(row["smiles"]) == pytest.approx(float(row["Molecular Weight"]), abs=0.02), row[
                "smiles"
            ]


@pytest.mark.data("esol")
def test_rings_and_degrees_of_esol(esol):
    """The smallest degree is the file's; so is Euler's count of rings, but for cages, where the file counts every face."""
    from datamodules.files import data_root

    same = []
    with (data_root() / ESOL.file).open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            atoms, bonds = parse(row["smiles"])
            independent, listed = len(bonds) - len(atoms) + 1, int(row["Number of Rings"])
            assert independent <= listed, row["smiles"]
            same.append(independent == listed)
            assert min(len(atom.bonds) for atom in atoms) == int(row["Minimum Degree"])
    assert sum(same) > 0.98 * len(same)


@pytest.mark.parametrize(
    ("smiles", "words"),
    [
        ("", "CCO"),
        (3, "CCO"),
        ("CX", "'X' means nothing at character 2"),
        ("C(C", "open"),
        ("C1CC", "open"),
        ("C)C", "didn't begin"),
        ("=C", "joins nothing"),
        ("C==C", "joins nothing"),
        ("C=", "open"),
        ("1CC1", "a ring has no atom"),
        ("C11", "with itself"),
        ("(C)", "a branch has no atom"),
        ("[C", "means nothing"),
    ],
)
def test_bad_smiles_get_a_sentence(smiles, words):
    with pytest.raises(InputError, match=words):
        from_smiles(smiles)


@pytest.mark.data("esol")
def test_esol_facts(esol):
    train, val, test = esol.split()
    assert (len(train), len(val), len(test)) == (902, 113, 113)
    assert sorted([*train, *val, *test]) == list(range(1128))
    y = torch.cat([g.y for g in esol.graphs])
    assert y.mean() == pytest.approx(-3.050, abs=1e-3) and y.std() == pytest.approx(2.096, abs=1e-3)
    graph = esol.graphs[0]
    assert graph.num_features == ATOM_FEATURES and graph.edge_attr.shape[1] == BOND_FEATURES
    batch = next(iter(esol.train_dataloader()))
    assert batch.y.shape == (64,) and batch.num_graphs == 64


def test_message_passing_message_by_message():
    data, model = from_smiles("CC(=O)Oc1ccccc1"), MPNN(hidden_dim=6, rounds=2).eval()
    h = first = model.input(data.x).relu()
    for _ in range(2):
        heard = torch.zeros_like(h)
        for (j, i), bond in zip(data.edge_index.T.tolist(), data.edge_attr, strict=True):
            heard[i] += model.round.phi(torch.cat([h[i], h[j], bond]))
        h = model.round.gamma(heard, h)
    torch.testing.assert_close(model.states(data), torch.cat([h, first], 1))
    value = model.head(torch.cat([h, first], 1).sum(0))
    torch.testing.assert_close(model(data.x, data.edge_index, data.edge_attr), value)


@pytest.mark.parametrize("aggregation", ["sum", "mean", "max"])
def test_the_order_of_writing_a_molecule_means_nothing(aggregation):
    model = MPNN(hidden_dim=8, aggregation=aggregation)
    for a, b in (("CCO", "OCC"), ("CC(=O)Oc1ccccc1C(=O)O", "OC(=O)c1ccccc1OC(C)=O"), ("N#Cc1ccco1", "o1cccc1C#N")):
        torch.testing.assert_close(model.predict(a), model.predict(b))


def test_mpnn_verbs(tmp_path):
    model = MPNN(hidden_dim=8)
    model.target_mean.fill_(-3)
    one, several = model.predict("CCO"), model.predict(["CCO", "c1ccccc1"])
    assert one.shape == (1,) and several.shape == (2,)
    torch.testing.assert_close(several[:1], one)
    torch.testing.assert_close(model.predict(Batch.from_data_list([from_smiles("CCO")])), one)
    assert model.embed("CCO").shape == (3, 16) and model.embed("CCO", "graph").shape == (1, 16)
    folder = model.save_pretrained(tmp_path / "m")
    assert torch.equal(zoo.load(folder).predict("CCO"), one)  # the target's scale travels with the weights
    with pytest.raises(InputError, match="no classes"):
        zoo.load(folder, num_classes=3)
    assert zoo.load(folder, in_channels=4).in_channels == 4
    data = from_smiles("CCO")
    data.edge_attr = data.edge_attr[:, :2]
    with pytest.raises(InputError, match="edge_attr"):
        model.predict(data)
    with pytest.raises(InputError, match="aggregation"):
        MPNN(aggregation="median")


@pytest.mark.data("esol")
def test_mpnn_learns_the_scale_of_its_target(esol):
    from types import SimpleNamespace

    model = MPNN()
    model._trainer = SimpleNamespace(datamodule=esol)
    model.setup("fit")
    y = torch.cat([g.y for g in esol.part("train")])
    torch.testing.assert_close(model.target_mean, y.mean())
    torch.testing.assert_close(model.target_scale, y.std())


def test_nearest_points_by_hand():
    x = torch.tensor([[0.0], [1.0], [3.0], [100.0], [101.0], [107.0]])
    edges = nearest(x, torch.tensor([0, 0, 0, 1, 1, 1]), 1)
    assert set(map(tuple, edges.T.tolist())) == {(1, 0), (0, 1), (1, 2), (4, 3), (3, 4), (4, 5)}
    sets = torch.cat([torch.zeros(3), torch.ones(5)]).long()
    edges = nearest(torch.rand(8, 2), sets, 4)  # the small set has two others per point
    assert torch.equal(edges[1].bincount(), torch.tensor([2, 2, 2, 4, 4, 4, 4, 4]))
    assert torch.equal(sets[edges[0]], sets[edges[1]]) and (edges[0] != edges[1]).all()


def test_point_logits_ignore_order_and_company():
    model, sets = DGCNN(hidden_dim=8, neighbours=4).eval(), [torch.rand(n, 3) for n in (9, 14, 11)]
    alone = torch.cat([model(x) for x in sets])
    batch = Batch.from_data_list([Data(x=x[torch.randperm(len(x))]) for x in sets])
    torch.testing.assert_close(model(batch.x, batch.batch), alone)
    assert model.predict_proba(batch).shape == (3, 10)
    assert model.embed(batch, "graph").shape == (3, 16)
    assert model.predict(Data(x=sets[0]), top=3)[0][0][1] <= 1
    with pytest.raises(InputError, match="features per node"):
        model.predict(Data(x=torch.rand(9, 2)))


def test_edgeconv_edge_by_edge():
    model, x = DGCNN(hidden_dim=4, neighbours=3).eval(), torch.rand(10, 3)
    edges = nearest(x, None, 3)
    for i in range(10):
        near = edges[0, edges[1] == i]
        assert near.tolist() == (x - x[i]).norm(dim=1).argsort()[1:4].tolist()
        messages = model.input.nn(torch.cat([x[i].expand(3, 3), x[near] - x[i]], 1))
        torch.testing.assert_close(model.input(x, edges)[i], messages.max(0).values)


def test_point_sets_lie_on_the_strokes_and_stay_the_same():
    images = torch.zeros(3, 1, 28, 28, dtype=torch.uint8)
    images[0, 0, 5:9, 10:20] = 200
    images[1, 0, 27, 27] = 255
    images[2] = 128
    sets = point_sets(images, torch.tensor([1, 2, 3]), 30, seed=0)
    assert [len(s.x) for s in sets] == [30, 1, 30] and [int(s.y) for s in sets] == [1, 2, 3]
    column, row = ((sets[0].x[:, :2] + 1) / 2 * 27).round().T
    assert ((5 <= row) & (row < 9) & (10 <= column) & (column < 20)).all()
    assert len(set(zip(row.tolist(), column.tolist(), strict=True))) == 30
    assert sets[1].x.tolist() == [[1.0, 1.0, 1.0]]
    again = point_sets(images, torch.tensor([1, 2, 3]), 30, seed=0)
    assert all(torch.equal(a.x, b.x) for a, b in zip(sets, again, strict=True))
    for bad in ({"points": 1}, {"train_size": 0}):
        with pytest.raises(InputError):
            MNISTPoints(**bad)
