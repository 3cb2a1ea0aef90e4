"""The two rules against loops written by hand, convergence where a line exists, and what is refused."""

import lightning as L
import pytest
import torch

import zoo
from datamodules.iris import Iris
from zoo.errors import InputError
from zoo.models.mlp.perceptron import Perceptron

QUIET = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "accelerator": "cpu",
}


def train(rule: str, epochs: int, **data: object) -> tuple[Perceptron, Iris]:
    torch.manual_seed(0)
    model, module = Perceptron(rule=rule), Iris(**data)
    L.Trainer(max_epochs=epochs, **QUIET).fit(model, datamodule=module)
    return model, module


@pytest.mark.parametrize("rule", ["perceptron", "adaline"])
def test_a_step_is_the_published_rule(rule):
    torch.manual_seed(0)
    model, eta = Perceptron(3, rule=rule), 0.1
    x, label = torch.randn(8, 3) if rule == "adaline" else torch.randn(1, 3), torch.tensor([0, 1] * 4)
    label = label[: len(x)]
    w, b = model.head.weight[0].detach().clone(), model.head.bias.detach().clone()
    for _ in range(5):
        z, y = x @ w + b, 2.0 * label - 1
        error = 2 * (y - z) / len(x) if rule == "adaline" else y - torch.where(z >= 0, 1.0, -1.0)
        w, b = w + eta * (error @ x), b + eta * error.sum()
    optimizer = torch.optim.SGD(model.parameters(), lr=eta)
    model.log_train = lambda **_: None
    for _ in range(5):
        optimizer.zero_grad()
        model.training_step((x, label), 0).backward()
        optimizer.step()
    torch.testing.assert_close(model.head.weight[0], w)
    torch.testing.assert_close(model.head.bias, b)


def test_the_perceptron_separates_setosa_and_then_stands_still():
    model, data = train("perceptron", 6)
    x, y = data.part("train")
    assert ((model(x) >= 0).long() == y).all()
    model.log_train = lambda **_: None
    model.training_step((x, y), 0).backward()
    assert not model.head.weight.grad.any() and not model.head.bias.grad.any()


def test_adaline_reaches_the_least_squares_line():
    model, data = train("adaline", 300, batch_size=0)
    x, y = data.part("train")
    scaled = torch.cat([(x - model.mean) / model.scale, torch.ones(len(x), 1)], 1)
    solution = torch.linalg.lstsq(scaled, 2.0 * y[:, None] - 1).solution[:, 0]
    found = torch.cat([model.head.weight[0], model.head.bias]).detach()
    torch.testing.assert_close(found, solution, rtol=1e-3, atol=1e-3)


def test_no_line_separates_the_two_others():
    model, data = train("perceptron", 6, species=("versicolor", "virginica"))
    x, y = data.part("train")
    assert not ((model(x) >= 0).long() == y).all()


def test_the_line_is_where_the_score_changes_sign():
    model, data = train("perceptron", 2)
    weight, bias = model.line()
    x, _ = data.part("test")
    torch.testing.assert_close(x @ weight + bias, model(x).detach(), rtol=1e-4, atol=1e-4)


def test_iris_is_fifty_of_each_and_the_split_is_fixed():
    data = Iris(species=("setosa", "versicolor", "virginica"), features=("petal width",), batch_size=0)
    x, y = data.table()
    assert x.shape == (150, 1) and torch.bincount(y).tolist() == [50, 50, 50]
    assert torch.allclose(x.mean(), torch.tensor(1.1987), atol=1e-4)  # the repository's own summary: 1.20
    assert torch.bincount(data.part("test")[1]).tolist() == [15, 15, 15]
    assert torch.equal(data.part("test")[0], Iris(species=data.classes, features=data.features, seed=9).part("test")[0])


def test_what_makes_no_sense_is_refused():
    with pytest.raises(InputError, match="each once"):
        Iris(species=("setosa", "rose"))
    with pytest.raises(InputError, match="batch_size"):
        Iris(-1)
    with pytest.raises(InputError, match="perceptron or adaline"):
        Perceptron(rule="delta")
    with pytest.raises(InputError, match="two classes"):
        train("perceptron", 1, species=("setosa", "versicolor", "virginica"))
    model = zoo.create("perceptron")
    assert model.predict([5.0, 1.4]) in (["0"], ["1"]) and len(model.predict(torch.ones(4, 2))) == 4
    for bad, word in (([1.0, 2.0, 3.0], "2 numbers a row"), ([float("nan"), 1.0], "NaN")):
        with pytest.raises(InputError, match=word):
            model.predict(bad)
