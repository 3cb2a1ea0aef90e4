"""What the shared suites can't know about SpeedNet: whitening, its optimiser, Lookahead, test-time augmentation."""

import copy
from types import SimpleNamespace

import lightning as L
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from zoo.errors import InputError
from zoo.models.convnets.speednet import BiasNorm, Lookahead, SpeedNet, WhiteningConv, dirac_conv, triangle, triangles


def tiny(**init: int | float | str) -> SpeedNet:
    torch.manual_seed(0)
    return SpeedNet(5, 3, width=4, **init)  # type: ignore[arg-type]


def smooth_images(n: int) -> Tensor:
    """Images whose neighbouring pixels are alike, as those of photographs are."""
    return nn.functional.avg_pool2d(torch.randn(n, 3, 20, 20), 5, stride=1)


def fit(model: SpeedNet, epochs: int = 1, **trainer: object) -> L.Trainer:
    data = DataLoader(TensorDataset(smooth_images(24), torch.arange(24) % 5), batch_size=8, shuffle=True)
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    runner = L.Trainer(max_epochs=epochs, accelerator="cpu", **quiet, **trainer)  # type: ignore[arg-type]
    runner.fit(model, data)
    return runner


def test_default_size_is_that_of_the_paper():
    """1.97 million, as published; the whitening filters aren't counted, since they aren't trained."""
    convolutions = 9 * (24 * 64 + 64 * 64 + 64 * 256 + 3 * 256**2)
    assert sum(p.numel() for p in SpeedNet().parameters()) == 24 + convolutions + 2 * 64 + 4 * 256 + 2560 == 1_971_352


def test_whitened_patches_are_uncorrelated_and_of_unit_size():
    conv, images = WhiteningConv(3, 24), smooth_images(400)
    before = nn.functional.unfold(images, 2).transpose(1, 2).flatten(0, 1)
    assert torch.corrcoef(before.T)[0, 1].abs() > 0.5
    conv.whiten(images, eps=0.0)
    after = conv(images)[:, :12].movedim(1, -1).flatten(0, 2)
    torch.testing.assert_close(after.T @ after / len(after), torch.eye(12), atol=1e-3, rtol=0)
    assert torch.equal(conv.weight[:12], -conv.weight[12:])


def test_fitting_whitens_once_and_never_learns_the_filters():
    model = tiny()
    start = model.stem[0].weight.clone()
    fit(model)
    whitened = model.stem[0].weight.clone()
    assert model.stem[0].whitened and not torch.allclose(start, whitened)
    again = tiny()
    again.load_state_dict(model.state_dict())
    fit(again)
    assert torch.equal(again.stem[0].weight, whitened)


def test_the_whitening_bias_stands_still_after_its_epochs():
    model, seen = tiny(stem_bias_epochs=1), []
    watch = L.pytorch.callbacks.LambdaCallback(
        on_train_epoch_end=lambda *_: seen.append(model.stem[0].bias.detach().clone())
    )
    fit(model, 3, callbacks=[watch])
    assert seen[0].any() and torch.equal(seen[0], seen[1]) and torch.equal(seen[1], seen[2])


def test_convolutions_start_as_the_identity():
    x = torch.randn(2, 4, 6, 6)
    torch.testing.assert_close(dirac_conv(4, 9)(x)[:, :4], x)
    assert dirac_conv(4, 9)(x)[:, 4:].std() > 0


def test_norm_layers_have_a_bias_and_no_scale():
    norm, plain, x = BiasNorm(3), nn.BatchNorm2d(3, eps=1e-12), torch.randn(4, 3, 5, 5)
    torch.testing.assert_close(norm(x), plain(x))
    assert [name for name, _ in norm.named_parameters()] == ["bias"] and "weight" not in norm.state_dict()


def test_biases_of_the_norm_layers_learn_faster_and_decay_alike():
    model = tiny()
    model._trainer = SimpleNamespace(estimated_stepping_batches=100)
    weights, biases = model.configure_optimizers()["optimizer"].param_groups
    assert len(biases["params"]) == 6 and all(p.ndim == 1 for p in biases["params"])
    assert len(weights["params"]) + 6 == len(list(model.parameters()))
    assert biases["initial_lr"] == pytest.approx(64 * weights["initial_lr"])
    assert biases["initial_lr"] * biases["weight_decay"] == pytest.approx(
        weights["initial_lr"] * weights["weight_decay"]
    )
    assert biases["nesterov"]


def test_the_learning_rate_is_a_triangle():
    assert [triangle(done) for done in (0, 0.23, 1, 1.5)] == pytest.approx([0.2, 1, 0.07, 0.07])
    assert triangle(0.1) < triangle(0.2) and triangle(0.9) < triangle(0.5)


def test_a_second_triangle_begins_where_the_first_one_ends_and_is_lower():
    assert [triangles(done, None, 0.5) for done in (0, 0.3, 1)] == [triangle(done) for done in (0, 0.3, 1)]
    assert [triangles(done, 0.5, 0.4) for done in (0, 0.115, 0.5 - 1e-9)] == pytest.approx([0.2, 1, 0.07])
    assert [triangles(done, 0.5, 0.4) for done in (0.5, 0.615, 1)] == pytest.approx([0.08, 0.4, 0.028])
    for restart in (0, 1, 1.5):
        with pytest.raises(InputError, match="restart"):
            tiny(restart=restart)


def test_lookahead_ends_on_its_slow_weights_and_restores_them():
    model, look = tiny(), Lookahead(every=2)
    fit(model, 2, callbacks=[look])
    for key, slow in look.slow.items():
        torch.testing.assert_close(model.state_dict()[key], slow, rtol=0, atol=0)
    other = Lookahead(every=2)
    other.load_state_dict(copy.deepcopy(look.state_dict()))
    assert other.slow.keys() == look.slow.keys()


def test_lookahead_mixes_by_its_formula():
    module, look = nn.Linear(1, 1, bias=False), Lookahead(every=1)
    module.device = torch.device("cpu")  # type: ignore[assignment]
    nn.init.constant_(module.weight, 1.0)
    trainer = SimpleNamespace(global_step=0, estimated_stepping_batches=10)
    look.on_train_start(trainer, module)  # type: ignore[arg-type]
    nn.init.constant_(module.weight, 3.0)
    trainer.global_step = 5
    look.on_train_batch_end(trainer, module, None, None, 0)  # type: ignore[arg-type]
    decay = 0.95 * 0.5**3
    assert module.weight.item() == pytest.approx(decay * 1 + (1 - decay) * 3)


def test_views_of_test_time_augmentation():
    model = tiny().eval()
    x = smooth_images(3)
    torch.testing.assert_close(model.mean_logits(x, "none"), model(x))
    mirror = model.mean_logits(x, "mirror")
    torch.testing.assert_close(mirror, model.mean_logits(x.flip(-1), "mirror"))
    constant = torch.ones(1, 3, 16, 16) * torch.tensor([1.0, 2.0, 3.0])[:, None, None]
    torch.testing.assert_close(model.mean_logits(constant, "mirror+translate"), model(constant))
    assert not torch.allclose(model.mean_logits(x, "mirror+translate"), mirror)
    with pytest.raises(InputError, match="mirror"):
        model.mean_logits(x, "shake")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="mirror"):
        tiny(tta="shake")


@pytest.mark.parametrize("tta", ["none", "mirror"])
def test_both_accuracies_are_measured(tta):
    model = tiny(tta=tta)
    images = smooth_images(20)
    labels = model.eval().mean_logits(images, tta).argmax(1).detach()

    class Data(L.LightningDataModule):
        def test_dataloader(self) -> DataLoader:
            return DataLoader(TensorDataset(images, labels), batch_size=20)

    entries = {entry["metric"]: entry for entry in model.evaluate(Data())}
    assert ("accuracy_tta" in entries) == (tta != "none")
    assert entries["accuracy" if tta == "none" else "accuracy_tta"]["value"] == 1.0
    assert {entries[key]["better"] for key in entries if key.startswith("accuracy")} == {"higher"}
    if tta != "none":
        assert "2 views (mirror)" in entries["accuracy_tta"]["how"]
        plain = (model(images).argmax(1) == labels).float().mean().item()
        assert entries["accuracy"]["value"] == pytest.approx(plain)
