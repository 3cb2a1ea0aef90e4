"""What the shared suites can't know about the perceptron: its sizes, logistic regression, max-norm, the book's slip."""

import lightning as L
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import zoo
from zoo.blocks.losses import LOSSES
from zoo.errors import InputError
from zoo.models.mlp.mlp import ACTIVATIONS, MLP, TestEveryEpoch, clip_norms


def tiny(**init: object) -> MLP:
    torch.manual_seed(0)
    return MLP(3, 1, image_size=(4, 4), **{"hidden": (6, 5), **init})  # type: ignore[arg-type]


def blobs(n: int) -> tuple[Tensor, Tensor]:
    y = torch.arange(n) % 3
    return F.one_hot(y, 16).float().reshape(n, 1, 4, 4) * 2 + 0.1 * torch.randn(n, 1, 4, 4), y


QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


@pytest.mark.parametrize(
    ("init", "parameters"),
    [({}, 669_706), ({"hidden": ()}, 7_850), ({"batch_norm": True}, 669_706 + 2 * 512)],
)
def test_sizes(init, parameters):
    assert sum(p.numel() for p in MLP(**init).parameters()) == parameters


def test_without_hidden_layers_it_is_logistic_regression():
    model, (x, y) = tiny(hidden=()), blobs(12)
    model.log_train = lambda **_: None  # type: ignore[method-assign]
    weight, bias = model.head.weight, model.head.bias
    model.training_step((x, y), 0).backward()
    error = (x.flatten(1) @ weight.T + bias).softmax(1) - F.one_hot(y, 3)  # the closed form of the gradient
    torch.testing.assert_close(weight.grad, error.T @ x.flatten(1) / 12)
    torch.testing.assert_close(bias.grad, error.mean(0))
    assert list(model.features(x)) == ["embedding"]


def test_the_order_of_pixels_does_not_matter():
    model, (x, _) = tiny().eval(), blobs(5)
    order = torch.randperm(16)
    shuffled = tiny().eval()
    with torch.no_grad():
        shuffled.hidden[0][0].weight.copy_(model.hidden[0][0].weight[:, order])
    torch.testing.assert_close(shuffled(x.flatten(2)[:, :, order].reshape(x.shape)), model(x))


def test_max_norm_holds_after_every_step_and_leaves_short_vectors_alone():
    model = tiny(max_norm=0.3)
    with torch.no_grad():
        model.hidden[0][0].weight[0] *= 0.01
    kept = model.hidden[0][0].weight[0].clone()
    clip_norms(model.hidden[0][0], 0.3)
    assert torch.equal(model.hidden[0][0].weight[0], kept)
    data = DataLoader(TensorDataset(*blobs(12)), batch_size=4)
    L.Trainer(max_epochs=1, accelerator="cpu", **QUIET).fit(model, data)
    norms = torch.cat([layer[0].weight.norm(dim=1) for layer in model.hidden])
    assert norms.max() <= 0.3 + 1e-6
    assert model.head.weight.norm(dim=1).max() > 0.3  # the head is free


def test_relu_on_the_logits_cuts_them_off():
    plain, cut, (x, _) = tiny(), tiny(relu_logits=True), blobs(9)
    assert (plain(x) < 0).any()
    torch.testing.assert_close(cut(x), plain(x).clamp(min=0))


def test_dropout_acts_on_pixels_and_units_in_training_only():
    model, (x, _) = tiny(dropout=0.5, input_dropout=0.5), blobs(30)
    assert torch.equal(model.eval()(x), model(x))
    assert not torch.equal(model.train()(x), model(x))
    assert ((model.input(x) == 0).float().mean() - 0.5).abs() < 0.15


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_are_made(activation):
    assert torch.isfinite(tiny(activation=activation)(blobs(3)[0])).all()


@pytest.mark.parametrize(
    ("name", "formula", "derivative"),
    [
        ("identity", lambda x: x, lambda x, f: 1 + 0 * x),
        ("step", lambda x: (x >= 0).double(), lambda x, f: 0 * x),
        ("sigmoid", lambda x: 1 / (1 + (-x).exp()), lambda x, f: f * (1 - f)),
        ("tanh", lambda x: 2 / (1 + (-2 * x).exp()) - 1, lambda x, f: 1 - f**2),
        ("arctan", torch.arctan, lambda x, f: 1 / (x**2 + 1)),
        ("relu", lambda x: x.clamp(min=0), lambda x, f: (x >= 0).double()),
        ("leaky_relu", lambda x: torch.where(x < 0, 0.01 * x, x), lambda x, f: torch.where(x < 0, 0.01, 1.0)),
        ("prelu", lambda x: torch.where(x < 0, 0.25 * x, x), lambda x, f: torch.where(x < 0, 0.25, 1.0)),
        ("elu", lambda x: torch.where(x < 0, x.exp() - 1, x), lambda x, f: torch.where(x < 0, f + 1, 1.0)),
        ("softplus", lambda x: (1 + x.exp()).log(), lambda x, f: 1 / (1 + (-x).exp())),
    ],
)
def test_activations_have_the_values_and_derivatives_of_the_table(name, formula, derivative):
    x = torch.tensor([-2.5, -1.0, -0.25, 0.5, 1.5, 3.0], dtype=torch.float64, requires_grad=True)
    value = ACTIVATIONS[name]().double()(x)
    torch.testing.assert_close(value, formula(x))
    (gradient,) = torch.autograd.grad(value.sum(), x)
    torch.testing.assert_close(gradient, derivative(x, value).double(), check_dtype=False)


@pytest.mark.parametrize(
    ("init", "words"),
    [
        ({"activation": "sign"}, "softplus"),
        ({"max_norm": 0.0}, "max_norm"),
        ({"hidden": (4, 0)}, "at least 1"),
    ],
)
def test_bad_arguments_are_refused(init, words):
    with pytest.raises(InputError, match=words):
        tiny(**init)


@pytest.mark.parametrize(
    "name", ["cnn", "lenet5", "mlp", "mobilenet", "resnet-cifar", "resnet18", "speednet", "vgg", "vit"]
)
@pytest.mark.parametrize("argument", ["num_classes", "in_channels"])
def test_every_classifier_refuses_no_classes_and_no_channels(name, argument):
    with pytest.raises(InputError, match=f"{argument} must be a whole number of at least 1, not 0"):
        zoo.create(name, **{argument: 0})


def test_every_epoch_is_tested_for_the_table_of_the_book():
    model, seen = tiny(), []

    class Data(L.LightningDataModule):
        def train_dataloader(self) -> DataLoader:
            return DataLoader(TensorDataset(*blobs(12)), batch_size=4)

        test_dataloader = train_dataloader

    class Watch(L.Callback):
        def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            seen.append(float(trainer.callback_metrics["test/accuracy"]))

    trainer = L.Trainer(max_epochs=2, accelerator="cpu", callbacks=[TestEveryEpoch(), Watch()], **QUIET)
    trainer.fit(model, datamodule=Data())
    x, y = next(iter(DataLoader(TensorDataset(*blobs(12)), batch_size=12)))
    assert len(seen) == 2 and model.training
    assert seen[1] == pytest.approx((model.eval()(x).argmax(1) == y).float().mean().item(), abs=0.1)


def test_every_loss_trains_and_an_unknown_one_is_named():
    x, y = blobs(12)
    for name in LOSSES:
        model = tiny(hidden=(), loss=name)
        model.log_train = lambda **_: None  # type: ignore[method-assign]
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        losses = []
        for _ in range(60):
            optimizer.zero_grad()
            loss = model.training_step((x, y), 0)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < losses[0], name
    with pytest.raises(InputError, match="squared_hinge"):
        tiny(loss="hinges")
