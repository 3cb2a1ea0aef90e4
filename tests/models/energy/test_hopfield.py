"""Associative memories: energies that fall, fixed points, capacities, and nearest neighbours."""

import math

import pytest
import torch

from zoo.errors import InputError
from zoo.models.energy.hopfield import Hopfield, erased, exact, overlap


def patterns(count: int, size: int, seed: int = 0) -> torch.Tensor:
    return 2.0 * torch.randint(2, (count, size), generator=torch.Generator().manual_seed(seed)) - 1


def test_two_patterns_of_four_units_by_hand():
    x = torch.tensor([[1.0, 1, -1, -1], [1, -1, 1, -1]])
    model = Hopfield(4).store(x)
    expected = torch.tensor([[0, 0, 0, -2], [0, 0, -2, 0], [0, -2, 0, 0], [-2, 0, 0, 0]]) / 4
    torch.testing.assert_close(model.couplings(), expected)
    torch.testing.assert_close(model.energy(x), torch.tensor([-1.0, -1.0]))
    assert torch.equal(model.recall(x), x) and torch.equal(model.recall(-x), -x)
    assert torch.equal(model.recall(torch.tensor([1.0, 1, -1, 0])), x[0])


@pytest.mark.parametrize("rule", ["hebb", "pseudo-inverse"])
def test_single_updates_never_raise_the_energy(rule):
    model = Hopfield(40, rule=rule).store(patterns(6, 40))
    s = patterns(8, 40, seed=1)
    before, w = model.energy(s), model.couplings()
    for i in torch.randperm(40).repeat(3).tolist():
        field = s @ w[i]
        s[:, i] = torch.where(field.abs() < 1e-6, s[:, i], field.sign())
        after = model.energy(s)
        assert (after <= before + 1e-4).all()
        before = after


def test_dense_updates_never_raise_the_energy():
    model = Hopfield(30, rule="dense", beta=0.2).store(patterns(10, 30))
    x, q = model.stored(), patterns(5, 30, seed=2)
    lse = lambda s: 0.5 * s.square().sum(1) - (0.2 * s @ x.T).logsumexp(1) / 0.2  # noqa: E731
    for _ in range(5):
        torch.testing.assert_close(lse(q), model.energy(q)) if (q.abs() == 1).all() else None
        after = (0.2 * q @ x.T).softmax(1) @ x
        assert (lse(after) <= lse(q) + 1e-4).all()
        q = after


def test_few_enough_random_patterns_are_exact():
    size = 500
    x = patterns(int(size / (4 * math.log(size))), size)
    assert exact(Hopfield(size).store(x).recall(x), x) == 1
    assert exact(Hopfield(size).store(x).recall(-x), -x) == 1


def test_the_capacity_lies_between_loads_of_fourteen_and_twenty_hundredths():
    assert overlap(400, 0.08) > 0.98 and overlap(400, 0.25) < 0.75


def test_dense_with_a_large_beta_is_the_nearest_neighbour():
    x, q = patterns(200, 60), patterns(50, 60, seed=3)
    found = Hopfield(60, rule="dense", beta=50.0).store(x).recall(q, steps=1)
    best = (q @ x.T).topk(2)
    clear = best.values[:, 0] > best.values[:, 1]
    assert torch.equal(found[clear], x[best.indices[clear, 0]])


def test_pseudo_inverse_bears_correlated_patterns_where_hebb_does_not():
    x = patterns(12, 200)
    x = torch.where(torch.rand(12, 200, generator=torch.Generator().manual_seed(1)) < 0.7, -torch.ones(12, 200), x)
    assert exact(Hopfield(200, rule="pseudo-inverse").store(x).recall(x), x) == 1
    assert exact(Hopfield(200).store(x).recall(x), x) < 0.5
    dense = Hopfield(200, rule="dense").store(x)
    assert exact(dense.recall(erased(x)), x) == 1


def test_images_keep_their_shape():
    x = patterns(3, 16).reshape(3, 1, 4, 4)
    model = Hopfield(16, rule="dense").store(x)
    assert torch.equal(model.recall(x), x) and torch.equal(model.recall(x[0]), x[0])


def test_what_is_stored_travels(tmp_path):
    import zoo

    model = Hopfield(16, rule="dense", beta=2.0).store(patterns(5, 16))
    again = zoo.load(model.save_pretrained(tmp_path / "memory"))
    assert torch.equal(again.stored(), model.stored()) and again.beta == 2.0


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (torch.full((1, 16), 0.5), "alone"),
        (torch.full((1, 16), math.nan), "alone"),
        (torch.ones(1, 15), "16 units"),
        (torch.ones(15), "16 units"),
        (torch.zeros(1, 16), "alone"),
        (torch.ones(0, 16), "no pattern"),
    ],
)
def test_bad_patterns(bad, word):
    with pytest.raises(InputError, match=word):
        Hopfield(16).store(bad)


def test_bad_arguments():
    with pytest.raises(InputError, match="nothing is stored"):
        Hopfield(16).recall(torch.ones(1, 16))
    with pytest.raises(InputError, match="beta"):
        Hopfield(16, beta=0)
    with pytest.raises(InputError, match="rule"):
        Hopfield(16, rule="oja")
    with pytest.raises(InputError, match="steps"):
        Hopfield(16).store(torch.ones(1, 16)).recall(torch.ones(1, 16), 0)
