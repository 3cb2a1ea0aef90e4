"""Fine-tuning from a checkpoint to a folder like any other, and the pieces: input, groups, freezing, what goes wrong."""

import builtins
import importlib
import json
from pathlib import Path

import lightning as L
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import zoo
from zoo.cli import main as cli
from zoo.core.classifier import ImageClassifier
from zoo.core.images import Transform
from zoo.core.samples import sample_split
from zoo.errors import InputError
from zoo.store.folder import write
from zoo.store.publish import problems
from zoo.train import finetuning_command, finetuning_report, fitting
from zoo.train.finetuning_command import overrides
from zoo.train.fitting import GradualUnfreezing, adapt

QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


def small(in_channels: int = 1, **init: object) -> ImageClassifier:
    torch.manual_seed(0)
    model = zoo.create("lenet5", in_channels=in_channels, batch_norm=True, **init).eval()
    mode = "L" if in_channels == 1 else "RGB"
    model.transform = Transform([28, 28], mode, [0.4] * in_channels, [0.3] * in_channels)
    model.classes = [str(digit) for digit in range(10)]
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real digits 0 and 1 as image files of another size and mode, and one file that is no image."""
    root = tmp_path_factory.mktemp("digits")
    images, labels = sample_split("mnist")
    for digit, name in enumerate(("ring", "stroke")):
        (root / name).mkdir()
        for i, image in enumerate(images[labels == digit][:24]):
            picture = Image.fromarray(image[0].numpy()).resize((40, 36)).convert("RGB")
            picture.save(root / name / f"{i}.png")
    (root / "ring" / "broken.png").write_bytes(b"no image")
    return root


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small().save_pretrained(tmp_path_factory.mktemp("models") / "lenet5-base")


def test_from_folder_of_images_to_checkpoint(folder, base, tmp_path, capsys):
    into = tmp_path / "rings"
    arguments = [str(base), "--data", "image-folder", "--data.root", str(folder), "--data.batch_size=8"]
    arguments += ["--epochs", "6", "--lr", "0.01", "--into", str(into), "--trainer.accelerator", "cpu"]
    with pytest.warns(UserWarning, match=r"1 of 49 files .* skipped: broken\.png"):
        assert finetuning_command.main(arguments) == 0
    printed = capsys.readouterr().out
    assert "2 classes; images: 32 train, 8 val, 8 test" in printed
    model = zoo.load(into)
    assert model.classes == ["ring", "stroke"] and model.name == "rings"
    assert model.predict(folder / "stroke" / "3.png", top=1)[0][0] == "stroke"
    assert zoo.verify(into) and problems(into) == []
    config = json.loads((into / "config.json").read_text(encoding="utf-8"))
    assert config["base_model"] == "lenet5-base" and "root" not in config["data"]["init"]
    metrics = {entry["metric"]: entry for entry in json.loads((into / "metrics.json").read_text(encoding="utf-8"))}
    assert metrics["accuracy"]["value"] > 0.8 and metrics["accuracy"]["sha256"] == config["weights"]["sha256"]
    for file in into.iterdir():
        for path in (folder, base.parent, into.parent):
            assert str(path).encode() not in file.read_bytes(), f"{file.name} names a path of this machine"
    recipe = (into / "recipe.yaml").read_text(encoding="utf-8")
    assert recipe.startswith(
        "# python scripts/finetune.py lenet5-base --data image-folder --mode full --epochs 6 --lr 0.01 "
    )
    assert "--data.root FOLDER --data.batch_size 8 --trainer.accelerator cpu\n" in recipe
    assert importlib.import_module("scripts.publish").main([str(into), "--owner", "me", "--dry-run"]) == 0
    assert "rings: fit to be published as me/rings" in capsys.readouterr().out
    assert cli.main(["evaluate", str(into)]) == 2  # the folder names no place of its images
    assert "image-folder needs root" in capsys.readouterr().err
    with pytest.warns(UserWarning, match="skipped"):
        assert cli.main(["evaluate", str(into), "--root", str(folder)]) == 0
    assert f"accuracy{'':16} {metrics['accuracy']['value']:.5g} " in capsys.readouterr().out
    with Image.open(into / "confusion.png") as picture:
        assert min(picture.size) > 200
    assert "base_model: lenet5-base" in (into / "README.md").read_text(encoding="utf-8")
    before = (into / "config.json").read_bytes()
    assert finetuning_command.main(arguments) == 2 and "--fresh" in capsys.readouterr().err
    assert (into / "config.json").read_bytes() == before


def test_confusion_counts_every_image_once(folder, base):
    model, data = zoo.load(base), zoo.datamodule("image-folder", root=folder, batch_size=4, transform=small().transform)
    adapt(model, data)
    with pytest.warns(UserWarning, match="skipped"):
        counts = finetuning_report.confusion(model, data)
    _, y = data.tensors("test")
    assert counts.sum(1).tolist() == torch.bincount(y).tolist()
    right = sum(int((model(x).argmax(1) == labels).sum()) for x, labels in data.test_dataloader())
    assert int(counts.diag().sum()) == right


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--data.root"),
        (["--data.root", "/no/such"], "there is no folder"),
        (["--data.rooot", "x"], "there is no folder|rooot|--data.root"),
        (["--epoch", "3"], "no option '--epoch'"),
        (["--data.root"], "needs a value"),
        (["--trainer.epochs", "3"], "no setting epochs"),
        (["--data", "mnst"], "mnist"),
        (["--data.root", "{folder}", "--data.test_share", "some"], "image-folder can't be made with .*'some'"),
        (["--data.augment", "{"], "--data.augment can't be '{'"),
    ],
)
def test_mistakes_end_with_one_sentence(arguments, words, base, folder, capsys):
    import re

    assert finetuning_command.main([str(base), *(word.replace("{folder}", str(folder)) for word in arguments)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and re.search(words, error), error


def test_one_class_and_no_held_out_images_are_refused(base, folder, tmp_path, capsys):
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "a.png").write_bytes((folder / "ring" / "0.png").read_bytes())
    assert finetuning_command.main([str(base), "--data.root", str(tmp_path)]) == 2
    assert "two to tell apart" in capsys.readouterr().err
    arguments = [str(base), "--data.root", str(folder), "--data.test_share", "0", "--into", str(tmp_path / "r")]
    with pytest.warns(UserWarning, match="skipped"):
        assert finetuning_command.main(arguments) == 2
    assert "held out" in capsys.readouterr().err and not (tmp_path / "r").exists()


def test_without_matplotlib_it_says_so_before_training(base, folder, monkeypatch, capsys):
    original = builtins.__import__

    def without(name: str, *args: object, **kwargs: object) -> object:
        if name.partition(".")[0] == "matplotlib":
            raise ImportError(name)
        return original(name, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    assert finetuning_command.main([str(base), "--data.root", str(folder)]) == 2
    assert "lightning-model-zoo[demo]" in capsys.readouterr().err


def test_as_many_but_other_classes_get_a_fresh_head():
    class Data(L.LightningDataModule):
        classes = tuple("abcdefghij")
        preprocess = small().transform.to_dict()

    model = small()
    before = model.head.weight.clone()
    assert not torch.equal(adapt(model, Data()).head.weight, before)
    Data.preprocess = Data.preprocess | {"size": [32, 32]}
    with pytest.raises(InputError, match="image-folder, which resizes"):
        adapt(model, Data())


# The pieces --------------------------------------------------------------------------------------------------------------


def test_grey_input_sums_and_colour_input_spreads_the_first_layer():
    colour = small(3)
    grey = torch.randn(4, 1, 28, 28)
    expected = colour(grey.expand(-1, 3, -1, -1))
    colour.reset_input(1)
    torch.testing.assert_close(colour(grey), expected)
    assert colour.transform.mode == "L" and colour.hparams["in_channels"] == 1
    colour.reset_input(3)
    torch.testing.assert_close(colour(grey.expand(-1, 3, -1, -1)), expected)
    colour.reset_input(5)
    torch.testing.assert_close(colour(grey.expand(-1, 5, -1, -1)), expected)
    assert colour.transform is None
    with pytest.raises(InputError, match="at least 1"):
        colour.reset_input(0)


@pytest.mark.parametrize(
    ("name", "init"),
    [
        ("mlp", {"hidden": (5,), "image_size": (8, 8)}),
        ("mlp", {"hidden": (), "image_size": (8, 8)}),
        ("speednet", {"width": 4}),
        ("vit", {"image_size": 8, "dim": 8, "heads": 2, "depth": 1, "mlp_dim": 8}),
    ],
)
def test_changed_input_saves_and_loads(name, init, tmp_path):
    model = zoo.create(name, in_channels=3, **init).eval()
    size = [16, 16] if name == "speednet" else [8, 8]
    model.transform = Transform(size, "RGB", [0.5] * 3, [0.2] * 3)
    grey = torch.randn(2, 1, *size)
    expected = model(grey.expand(-1, 3, -1, -1))
    model.save_pretrained(tmp_path / "colour")
    loaded = zoo.load(tmp_path / "colour", in_channels=1, num_classes=10)
    torch.testing.assert_close(loaded(grey), expected)
    again = zoo.load(loaded.save_pretrained(tmp_path / "grey"))
    torch.testing.assert_close(again(grey), expected)


def test_parameter_groups_hold_everything_once_and_slow_down_towards_the_image():
    model = zoo.create("vit", image_size=8, dim=8, heads=2, depth=3, mlp_dim=8)
    groups = model.param_groups(1.0, layer_decay=0.5)
    assert [group["name"] for group in groups] == ["stem", "blocks.0", "blocks.1", "blocks.2", "norm", "head"]
    assert [group["lr"] for group in groups] == [0.5**5, 0.5**4, 0.5**3, 0.25, 0.5, 1.0]
    ids = [id(p) for group in groups for p in group["params"]]
    assert sorted(ids) == sorted(id(p) for p in model.parameters())
    torch.optim.AdamW(groups)
    for rates in ({"lr": 0.0}, {"lr": 1.0, "layer_decay": -0.5}, {"lr": 1.0, "layer_decay": 2.0}):
        with pytest.raises(InputError, match="lr must be above 0 and layer_decay in"):
            model.param_groups(**rates)
    model.freeze("backbone")
    assert [group["name"] for group in model.param_groups(1.0)] == ["head"]
    model.freeze()
    with pytest.raises(InputError, match="frozen: unfreeze one of stem, blocks, norm, head"):
        model.param_groups(1.0)


def test_freezing_an_unknown_part_names_the_parts():
    with pytest.raises(InputError, match="stage1, stage2, neck, head, backbone"):
        small().freeze("stage9")


def test_swapping_the_head_of_a_generator_is_refused(tmp_path):
    model = zoo.create("ddpm", width=8, blocks=1, timesteps=50)
    model.transform = Transform([28, 28], "L", [0.0], [1.0])
    with pytest.raises(InputError, match="no classes"):
        zoo.load(write(model, tmp_path / "ddpm", preview=False), num_classes=3)


@pytest.mark.parametrize("known", [True, False])
def test_gradual_unfreezing_opens_part_after_part_from_the_top(known):
    model, trainable, moved = small(), [], []
    groups = model.param_groups(0.1)

    class Watch(L.Callback):
        def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            self.before = {name: p.detach().clone() for name, p in model.named_parameters()}

        def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            parts = ("stage1", "stage2", "neck", "head")
            trainable.append([p for p in parts if all(q.requires_grad for q in model.get_submodule(p).parameters())])
            now = dict(model.named_parameters())
            moved.append(
                [p for p in parts if any(not torch.equal(v, now[k]) for k, v in self.before.items() if k.startswith(p))]
            )
            assert [p for p in parts if model.get_submodule(p).training] == trainable[-1]

    model.configure_optimizers = lambda: torch.optim.SGD(  # type: ignore[method-assign]
        groups if known else [p for p in model.parameters() if p.requires_grad], lr=0.1
    )
    data = DataLoader(TensorDataset(torch.randn(8, 1, 28, 28), torch.arange(8)), batch_size=8)
    callbacks = [GradualUnfreezing(), Watch()]
    L.Trainer(max_epochs=4, accelerator="cpu", callbacks=callbacks, **QUIET).fit(model, data)
    expected = [["head"], ["neck", "head"], ["stage2", "neck", "head"], ["stage1", "stage2", "neck", "head"]]
    assert trainable == expected and moved == expected


def test_a_trainer_that_cannot_be_is_one_sentence():
    with pytest.raises(InputError, match=r"lightning\.Trainer can't be made with .*'abacus'"):
        fitting.tune(small(), L.LightningDataModule(), trainer={"accelerator": "abacus"})


def test_training_goes_on_after_a_prediction_between_two_epochs():
    model, modes = small(), []

    class Look(L.Callback):
        def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            modes.append((model.stage1.training, model.stage2.training))
            model.predict(torch.zeros(1, 28, 28, dtype=torch.uint8))

    data = DataLoader(TensorDataset(torch.randn(8, 1, 28, 28), torch.arange(8)), batch_size=4)
    L.Trainer(max_epochs=2, accelerator="cpu", callbacks=[Look()], **QUIET).fit(model.freeze("stage1"), data)
    assert modes == [(False, True)] * 2


def test_gradual_unfreezing_needs_a_head():
    with pytest.raises(InputError, match="no head"):
        GradualUnfreezing().freeze_before_training(L.LightningModule())
    with pytest.raises(InputError, match="every"):
        GradualUnfreezing(every=0)


def test_options_are_read_as_in_a_recipe():
    found = overrides(["--data.root", "2024", "--data.augment={flip: random}", "--trainer.devices", "1"])
    assert found == {"data": {"root": "2024", "augment": {"flip": "random"}}, "trainer": {"devices": 1}}


def test_reset_head_keeps_to_a_head_without_bias():
    model = zoo.create("speednet", width=4)
    model.reset_head(3)
    assert isinstance(model.head, nn.Linear) and model.head.bias is None and model.head.out_features == 3
