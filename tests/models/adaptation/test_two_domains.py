"""Adaptation between domains: the layers and losses by their definitions, and what no label of the target may reach."""

import math

import lightning as L
import pytest
import torch
from PIL import Image
from torch import nn

import zoo
from zoo.errors import InputError
from zoo.models.adaptation.dan import gaussians, mmd
from zoo.models.adaptation.dann import DANN, reversal_strength, reverse
from zoo.models.adaptation.two_domains import DomainBatchNorm


def test_reversal_turns_the_gradient_round_and_changes_nothing_else():
    z = torch.randn(4, 3, requires_grad=True)
    weights = torch.randn(4, 3)
    out = reverse(z, 0.7)
    assert torch.equal(out, z)
    (out * weights).sum().backward()
    torch.testing.assert_close(z.grad, -0.7 * weights)


def test_strength_rises_from_nothing_to_nearly_one():
    assert reversal_strength(0.0) == 0
    assert reversal_strength(1.0) == pytest.approx(2 / (1 + math.exp(-10)) - 1)
    values = [reversal_strength(i / 10) for i in range(11)]
    assert values == sorted(values)


def test_the_discriminator_learns_at_full_strength_and_the_features_against_it():
    torch.manual_seed(0)
    model = DANN(weight=0.3, width=8, embedding_dim=6)
    source, target = torch.randn(5, 6, requires_grad=True), torch.randn(5, 6, requires_grad=True)
    model.alignment(source, target).backward()
    reversed_gradient, learnt = source.grad.clone(), model.discriminator[0].weight.grad.clone()
    source.grad = None
    model.discriminator.zero_grad()
    logits = model.discriminator(torch.cat([source, target]))[:, 0]
    real = torch.tensor([0.0] * 5 + [1.0] * 5)
    nn.functional.binary_cross_entropy_with_logits(logits, real).backward()
    torch.testing.assert_close(reversed_gradient, -0.3 * reversal_strength(1.0) * source.grad)
    torch.testing.assert_close(learnt, model.discriminator[0].weight.grad)


def test_mmd_is_the_trace_form_and_tells_samples_apart():
    torch.manual_seed(0)
    source, target = torch.randn(7, 3).double(), torch.randn(5, 3).double() + 1
    kernel = gaussians(torch.cat([source, target]))
    weights = torch.cat([torch.full((7,), 1 / 7), torch.full((5,), -1 / 5)]).double()
    torch.testing.assert_close(mmd(source, target), (kernel @ weights.outer(weights)).trace())
    assert mmd(source, source) == pytest.approx(0, abs=1e-12)
    assert mmd(source, target) > 4 * mmd(torch.randn(200, 3), torch.randn(200, 3))


def test_each_half_of_a_batch_is_normalised_by_itself_and_the_target_moves_the_statistics():
    norm = DomainBatchNorm(2).train()
    source, target = torch.randn(4, 2, 3, 3) * 5 + 9, torch.randn(4, 2, 3, 3)
    norm.halves = True
    out = norm(torch.cat([source, target]))
    for half in out.chunk(2):
        torch.testing.assert_close(half.mean((0, 2, 3)), torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(norm.running_mean, 0.1 * target.mean((0, 2, 3)))
    norm.halves = False
    norm.eval()
    plain = nn.BatchNorm2d(2).eval()
    plain.load_state_dict(norm.state_dict())
    assert torch.equal(norm(source), plain(source))


def test_without_weight_the_target_is_not_looked_at():
    torch.manual_seed(0)
    model = DANN(weight=0.0, width=8).train()
    model.log_train = lambda **_: None
    x, y = torch.randn(4, 1, 16, 16), torch.arange(4)
    nan = torch.full_like(x, math.nan)
    loss = model.training_step((x, y, nan), 0)
    assert torch.isfinite(loss) and all(torch.isfinite(b).all() for b in model.buffers())


def test_bad_arguments_and_batches_are_refused():
    for bad in ({"image_size": 4}, {"weight": -1.0}, {"width": 0}, {"weight": math.nan}):
        with pytest.raises(InputError):
            DANN(**bad)
    model = DANN(width=8).train()
    with pytest.raises(InputError, match="as many"):
        model.training_step((torch.randn(4, 1, 16, 16), torch.arange(4), torch.randn(3, 1, 16, 16)), 0)


# Data --------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def folders(tmp_path):
    """Bright and dark pictures by class: a colour source, a grey target with classes, a target of loose pictures."""
    for name, mode in (("source", "RGB"), ("target", "L")):
        for label, value in (("bright", 220), ("dark", 30)):
            (tmp_path / name / label).mkdir(parents=True)
            for i in range(12):
                size = (20 + i, 24)
                colour = (value + i,) * 3 if mode == "RGB" else value + i
                Image.new(mode, size, colour).save(tmp_path / name / label / f"{i}.png")
    (tmp_path / "loose" / "deeper").mkdir(parents=True)
    for i in range(5):
        Image.new("L", (9 + i, 7), 40 * i).save(tmp_path / "loose" / ("deeper" if i % 2 else "") / f"{i}.png")
    (tmp_path / "loose" / "broken.png").write_text("no picture")
    return tmp_path


def test_two_folders_become_batches_without_a_label_of_the_target(folders):
    data = zoo.datamodule("domains", source=folders / "source", target=folders / "target", batch_size=4, image_size=16)
    source, labels, target = next(iter(data.train_dataloader()))
    assert source.shape == target.shape == (4, 3, 16, 16) and labels.shape == (4,)
    assert (data.tensors("train", "target")[1] == -1).all()
    _, y = next(iter(data.test_dataloader()))
    assert set(y.tolist()) <= {0, 1}
    assert list(data.classes) == ["bright", "dark"] and data.preprocess["size"] == [16, 16]


@pytest.mark.parametrize("domain", ["source", "target"])
def test_a_frame_is_put_around_one_domain_alone(folders, domain):
    places = {"source": str(folders / "source"), "target": str(folders / "target"), "batch_size": 4, "image_size": 16}
    data = zoo.datamodule("domains", **places, **{f"{domain}_pad": 8})
    for each in ("source", "target"):
        x, _ = data.tensors("test", each)
        assert x.shape[2:] == (16, 16) and (x[:, :, 8, 8] > 20).all()
        assert ((x[:, :, 0, 0] == 0) == (each == domain)).all()
    with pytest.raises(InputError, match=f"{domain}_pad -100 leaves nothing of the {domain}'s images"):
        zoo.datamodule("domains", **places, **{f"{domain}_pad": -100}).tensors("test", domain)


def test_dann_trains_on_two_folders_and_is_measured_on_the_target(folders):
    torch.manual_seed(0)
    data = zoo.datamodule(
        "domains", source=str(folders / "source"), target=str(folders / "target"), batch_size=4, image_size=16
    )
    model = zoo.create("dann", in_channels=3, num_classes=2, image_size=16, width=8)
    quiet = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
    }
    L.Trainer(max_epochs=4, accelerator="cpu", **quiet).fit(model, datamodule=data)
    assert 0 < model.progress < 1
    entries = model.evaluate(data)
    found = {(e["dataset"], e["metric"]) for e in entries}
    assert {("target", "accuracy"), ("source", "accuracy")} <= found
    assert model.predict(folders / "target" / "dark" / "0.png", top=1)[0][0] in data.classes


def test_a_folder_of_loose_pictures_is_a_target_without_a_test(folders):
    data = zoo.datamodule(
        "domains", source=str(folders / "source"), target=str(folders / "loose"), batch_size=4, image_size=8
    )
    assert len(data.tensors("train", "target")[0]) == 5
    assert data.test_dataloader() == []
    assert next(iter(data.train_dataloader()))[2].shape == (4, 3, 8, 8)


def test_the_target_goes_round_and_a_resumed_epoch_goes_on(folders):
    data = zoo.datamodule(
        "domains", source=str(folders / "source"), target=str(folders / "loose"), batch_size=2, image_size=8
    )
    loader = data.train_dataloader()
    whole = list(loader)
    assert len(whole) == len(loader) > len(loader.target)
    loader.set_epoch(1)
    second = list(loader)
    resumed = data.train_dataloader()
    resumed.set_epoch(1)
    resumed.load_state_dict({"epoch": 1, "batch": 3})
    for old, new in zip(second[3:], resumed, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(old, new, strict=True))


def test_bad_domains_are_refused_in_a_sentence(folders):
    source = str(folders / "source")
    (folders / "one" / "bright").mkdir(parents=True)
    Image.new("L", (4, 4)).save(folders / "one" / "bright" / "0.png")
    (folders / "empty").mkdir()
    (folders / "other" / "bright").mkdir(parents=True)
    for bad, word in (
        ({"source": str(folders / "one"), "target": source}, "one class"),
        ({"source": "no-such", "target": source}, "no folder"),
        ({"source": source, "target": source, "batch_size": 1}, "at least 2"),
        ({"source": source, "target": source, "mode": "CMYK"}, "mode"),
        ({"source": source, "target": source, "image_size": 0}, "image_size"),
    ):
        with pytest.raises(Exception, match=word):
            zoo.datamodule("domains", **bad)
    for target, word in (("empty", "no image"), ("nowhere", "no folder")):
        data = zoo.datamodule("domains", source=source, target=str(folders / target), batch_size=4)
        with pytest.raises(Exception, match=word):
            data.train_dataloader()
    data = zoo.datamodule("domains", source=source, target=str(folders / "loose"), batch_size=8)
    with pytest.raises(InputError, match="smaller batch_size"):
        data.train_dataloader()
