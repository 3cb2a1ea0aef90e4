"""Regression against its closed form, losses against their minimisers, folds against a triangle wave."""

import math

import pytest
import torch
from torch.nn import functional as F

import zoo
from datamodules.concrete import Concrete
from zoo.blocks.losses import REGRESSION_LOSSES, regression_loss
from zoo.errors import InputError
from zoo.models.mlp.regression import RegressionMLP


def table(n: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    x = 5 + torch.randn(n, 3) * torch.tensor([1.0, 10.0, 0.1])
    return x, x @ torch.tensor([[2.0], [-0.3], [7.0]]) + 4 + 0.1 * torch.randn(n, 1)


def test_the_closed_form_is_where_training_ends():
    x, y = table()
    solved, trained = (RegressionMLP(3, hidden=()) for _ in range(2))
    solved.solve(x, y)
    trained.standardise(x, y)
    optimizer = torch.optim.SGD(trained.parameters(), lr=0.3)
    trained.log_train = lambda **_: None
    for _ in range(300):
        optimizer.zero_grad()
        trained.training_step((x, y), 0).backward()
        optimizer.step()
    for a, b in zip(solved.parameters(), trained.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
    residual = solved.predict(x) - y
    torch.testing.assert_close(x.T @ residual / len(x), torch.zeros(3, 1), atol=1e-3, rtol=0)  # the normal equations
    torch.testing.assert_close(solved.predict(x[0]), solved.predict(x)[0])


def test_the_closed_form_equals_scikit_learn():
    from sklearn.linear_model import LinearRegression

    x, y = table()
    other = torch.from_numpy(LinearRegression().fit(x, y).predict(x))
    torch.testing.assert_close(RegressionMLP(3, hidden=()).solve(x, y).predict(x), other, atol=1e-4, rtol=1e-5)


def test_losses_equal_torch():
    o, y = torch.randn(50), torch.rand(50) * 3
    torch.testing.assert_close(regression_loss("mse", o, y), F.mse_loss(o, y))
    torch.testing.assert_close(regression_loss("mae", o, y), F.l1_loss(o, y))
    torch.testing.assert_close(regression_loss("huber", o, y, knee=0.7), F.huber_loss(o, y, delta=0.7))
    torch.testing.assert_close(regression_loss("poisson", o, y), F.poisson_nll_loss(o, y))
    by_hand = torch.where(y > o, 0.9 * (y - o), 0.1 * (o - y)).mean()
    torch.testing.assert_close(regression_loss("quantile", o, y, level=0.9), by_hand)


def test_each_loss_has_its_own_best_constant():
    y = torch.tensor([0.0, 1.0, 2.0, 3.0, 14.0])
    wanted = {"mse": 4.0, "mae": 2.0, "huber": 2.25, "quantile": 3.0, "poisson": math.log(4.0)}
    grid = torch.linspace(-1, 15, 1601)
    assert set(wanted) == set(REGRESSION_LOSSES)
    for name, best in wanted.items():
        loss = torch.stack([regression_loss(name, c.expand(5), y, knee=3.0, level=0.75) for c in grid])
        assert grid[loss.argmin()].item() == pytest.approx(best, abs=0.01)


def test_counts_keep_their_scale():
    model = RegressionMLP(1, hidden=(), loss="poisson")
    model.standardise(torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [9.0]]))
    with torch.no_grad():
        model.head.weight.fill_(1.0)
        model.head.bias.fill_(0.5)
    assert model.predict([1.0]).item() == pytest.approx(math.exp(0.5))


def test_spread_needs_dropout_and_is_larger_with_more_of_it():
    x, y = table()
    spreads = []
    for rate in (0.1, 0.5):
        torch.manual_seed(0)
        model = RegressionMLP(3, hidden=(32,), dropout=rate)
        model.standardise(x, y)
        mean, spread = model.predict_spread(x, 200)
        assert mean.shape == spread.shape == y.shape
        assert ((mean - model.predict(x)).abs() < 4 * spread / 200**0.5 + 1e-6).float().mean() > 0.9
        spreads.append(spread.mean())
    assert spreads[0] < spreads[1]
    with pytest.raises(InputError, match="no dropout"):
        RegressionMLP(3).predict_spread(x)


def test_bad_input_is_named():
    model = RegressionMLP(3)
    for bad, said in (([1.0, 2.0], "3 numbers"), ([[1.0, 2.0, math.nan]], "NaN"), (torch.zeros(1, 1, 3), "3 numbers")):
        with pytest.raises(InputError, match=said):
            model.predict(bad)
    for arguments in ({"loss": "log"}, {"activation": "stairs"}, {"level": 1.0}, {"in_channels": 0}, {"hidden": (0,)}):
        with pytest.raises(InputError):
            RegressionMLP(**arguments)
    with pytest.raises(InputError, match="closed form"):
        model.solve(*table())
    with pytest.raises(InputError, match="one shape"):
        regression_loss("mse", torch.zeros(3), torch.zeros(3, 1))


@pytest.mark.data("concrete")
def test_splits_of_concrete_partition_it():
    data = Concrete(split=3, val_size=100)
    data.prepare_data()
    sizes = [len(data.part(part)[0]) for part in ("train", "val", "test")]
    assert sizes == [827, 100, 103]
    rows = torch.cat([torch.cat(data.part(part), 1) for part in ("train", "val", "test")])
    whole = torch.cat([torch.cat(Concrete(split=7).part(part), 1) for part in ("train", "test")])
    assert torch.equal(rows[rows[:, 0].argsort()].sort(0).values, whole.sort(0).values)
    assert sum(len(y) for _, y in data.train_dataloader()) == 827
    assert len(next(iter(Concrete(0).train_dataloader()))[0]) == 927


def test_concrete_refuses_what_it_has_not(tmp_path):
    for bad in ({"split": 20}, {"batch_size": -1}, {"val_size": 600}):
        with pytest.raises(InputError):
            zoo.datamodule("concrete", **bad)
    with pytest.raises(FileNotFoundError, match="ZOO_DATA"):
        Concrete(root=str(tmp_path)).prepare_data()


@pytest.mark.data("concrete")
@pytest.mark.parametrize("hidden", [(), (8,)])
def test_claims_and_pictures(hidden, tmp_path):
    data = Concrete(split=2)
    data.prepare_data()
    model = RegressionMLP(8, hidden=hidden, dropout=0.1)
    if not hidden:
        model.solve(*data.part("train"))
    values = {entry["metric"]: entry["value"] for entry in model.evaluate(data)}
    assert set(values) == {"rmse", "mae", "rmse_least_squares"} and 5 < values["rmse_least_squares"] < 15
    if not hidden:
        assert values["rmse"] == pytest.approx(values["rmse_least_squares"], rel=1e-4)
    model.data = {"name": "concrete", "init": {"split": 2}}
    assert model.preview(tmp_path / "picture.png").stat().st_size > 5_000
