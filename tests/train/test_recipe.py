"""From recipe to checkpoint folder, for real but small; the schedule; and runs that are cut and go on."""

import csv
import json
import re
import runpy
import sys
from typing import Any

import lightning as L
import pytest
import torch
from PIL import Image

import zoo
from datamodules.base import TensorLoader
from tests import forked
from tests.conftest import ROOT
from zoo.core import precision
from zoo.core.samples import sample_split
from zoo.errors import InputError
from zoo.store import cards
from zoo.store.files import REFERENCE
from zoo.train import experiment
from zoo.train import recipe as training
from zoo.train.callbacks import AdaptiveClipping, History, Resume
from zoo.train.schedule import WarmupDecay


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A person's folder of digits: 16 real images of each of three classes."""
    root = tmp_path_factory.mktemp("digits")
    x, y = sample_split("mnist")
    for label in (0, 1, 7):
        (root / str(label)).mkdir()
        for i, image in enumerate(x[y == label][:16]):
            Image.fromarray(image[0].numpy()).save(root / str(label) / f"{i}.png")
    return root


def run_module(name: str, *arguments: str) -> None:
    sys.argv = [name, *arguments]
    runpy.run_module(name, run_name="__main__")


def in_a_fork(command: list[str], **_: object) -> None:
    """`python -m …` without another import of torch."""
    assert command[:2] == [sys.executable, "-m"]
    forked.run(run_module, *command[2:])


def test_recipe_to_published_folder(digits, tmp_path, monkeypatch, capsys):
    """By scripts/train.py, whose fitting and measuring are processes of their own."""
    monkeypatch.setattr(experiment, "call", in_a_fork)

    def train(*arguments: str) -> Any:
        monkeypatch.setattr(sys, "argv", ["scripts/train.py", "lenet5-mnist", *arguments])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(ROOT / "scripts" / "train.py"), run_name="__main__")
        return ended.value.code

    target = tmp_path / "lenet5-mnist"
    transform = '{"size": [28, 28], "mode": "L", "mean": [0.13], "std": [0.31]}'
    overrides = [
        "--data=datamodules.image_folder.ImageFolder",
        f"--data.root={digits}",
        f"--data.transform={transform}",
        "--data.batch_size=8",
        "--trainer.max_epochs=3",
        "--model.num_classes=3",
    ]
    places = ["--runs", str(tmp_path / "runs"), "--into", str(target), "--seeds", "1"]
    assert train(*places, *overrides) == 0
    folder = cards.Folder(target)
    assert folder.config["classes"] == ["0", "1", "7"]
    assert folder.config["weights"]["averaged"] is True
    assert [m["sha256"] for m in folder.metrics] == [folder.config["weights"]["sha256"]] * len(folder.metrics)
    assert str(tmp_path) not in (target / "config.json").read_text()
    assert "accuracy" in (target / "README.md").read_text()
    assert folder.provenance["steps"] == 3 * (3 * 12 // 8)
    with (target / "history.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["0", "1", "2"]
    model = zoo.load(target)
    image = next((digits / "7").glob("*.png"))
    assert {label for label, _ in model.predict(image)} == {"0", "1", "7"}
    assert zoo.verify(target)

    monkeypatch.setattr(experiment, "call", None)  # everything is there: nothing is trained or measured again
    assert train(*places, *overrides) == 0
    assert json.loads((target / "config.json").read_text()) == folder.config
    assert train("--fit", "0", *places, *overrides, "--trainer.max_epochs=4") == 2
    assert "--fresh" in capsys.readouterr().err


def test_a_second_name_is_refused_before_anything_is_trained(tmp_path):
    with pytest.raises(InputError, match="'simplecnn-mnist' is no option"):
        experiment.run("lenet5-mnist", tmp_path / "runs", ["simplecnn-mnist"])
    assert not (tmp_path / "runs").exists()


def test_no_network_takes_the_place_of_an_extractor(tmp_path, monkeypatch, capsys):
    """Distances that were measured with it would lose their scale, and what it saw in real images would be gone."""
    monkeypatch.setattr(experiment, "CHECKPOINTS", tmp_path / "checkpoints")
    monkeypatch.setattr(experiment, "put_in_place", lambda name, folders, target: target)
    folder, trained = tmp_path / "checkpoints" / "eyes", tmp_path / "runs" / "eyes" / "seed0" / "eyes"
    for place in (folder, trained):
        place.mkdir(parents=True)
    (folder / "recipe.yaml").write_text("trainer: {max_epochs: 3}\n")
    for file in ("provenance.json", "metrics.json"):
        (trained / file).write_text("{}")
    (trained.parent / "run.json").write_text('{"root": null}')
    assert experiment.run("eyes", tmp_path / "runs", []) == folder
    (folder / REFERENCE).write_bytes(b"what it saw")
    assert experiment.run("eyes", tmp_path / "runs", []) == trained
    assert str(trained) in capsys.readouterr().out
    other = tmp_path / "other"
    assert experiment.run("eyes", tmp_path / "runs", [], into=other) == other


def test_the_spread_over_seeds_leaves_that_of_real_images_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("zoo.store.cards.write_card", lambda folder: None)
    folders = []
    for seed, value in enumerate((4.0, 6.0)):
        distance = {"dataset": "mnist", "split": "test", "metric": "fcd", "value": value}
        floor = {**distance, "metric": "fcd_floor", "value": 0.1, "mean": 0.1, "std": 0.01, "n_seeds": 3}
        folders.append(tmp_path / f"seed{seed}")
        folders[-1].mkdir()
        (folders[-1] / "metrics.json").write_text(json.dumps([distance, floor]))
        (folders[-1] / "provenance.json").write_text('{"command": "python scripts/train.py", "seconds": 1.0}')
    target = experiment.put_in_place("painter", folders, tmp_path / "painter")
    distance, floor = json.loads((target / "metrics.json").read_text())
    assert (distance["mean"], distance["n_seeds"]) == (5.0, 2) and distance["std"] == pytest.approx(2**0.5)
    assert floor["std"] == 0.01 and floor["n_seeds"] == 3


class Noisy(L.LightningModule):
    """Draws from the global generator in every step, as dropout and diffusion do."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch, batch_idx):
        return (self.layer(batch[0].flatten(1)) - torch.randn(1)).square().mean()

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=0.1)
        schedule = WarmupDecay(optimizer)
        schedule.stretch(self.trainer.estimated_stepping_batches)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Stop(L.Callback):
    """Dies at the end of an epoch, after it was saved."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == self.epoch:
            raise RuntimeError("power cut")


def fit(run, *more, averaged: bool) -> torch.Tensor:
    L.seed_everything(3)
    run.mkdir(exist_ok=True)
    model, state = Noisy(), run / "last.ckpt"
    callbacks = [History(run / "history.csv"), Resume(state, every_seconds=-1.0), *more]
    if averaged:
        callbacks.append(L.pytorch.callbacks.EMAWeightAveraging(decay=0.9))
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = L.Trainer(max_epochs=6, accelerator="cpu", callbacks=callbacks, **quiet)
    x = torch.randint(0, 256, (40, 1, 2, 2), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    loader = TensorLoader(x, torch.zeros(40).long(), 8, shuffle=True)
    trainer.fit(model, loader, ckpt_path=str(state) if state.exists() else None)
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("averaged", [False, True])
def test_a_run_that_is_cut_ends_with_the_same_weights(averaged, tmp_path):
    whole = fit(tmp_path / "whole", averaged=averaged)
    for epoch in (2, 5):
        with pytest.raises(RuntimeError, match="power cut"):
            fit(tmp_path / "cut", Stop(epoch), averaged=averaged)
    assert torch.equal(fit(tmp_path / "cut", averaged=averaged), whole)

    def curve(run):
        with (tmp_path / run / "history.csv").open() as file:
            return [(row["epoch"], row["step"]) for row in csv.DictReader(file)]

    assert curve("cut") == curve("whole")
    assert len(curve("cut")) == 6


def test_a_run_that_goes_on_elsewhere_tells_both_machines(tmp_path, monkeypatch):
    from zoo.train import callbacks

    monkeypatch.setattr(callbacks, "cpu_name", lambda: "first processor")
    with pytest.raises(RuntimeError, match="power cut"):
        fit(tmp_path, Stop(2), averaged=False)
    monkeypatch.setattr(callbacks, "cpu_name", lambda: "second processor")
    fit(tmp_path, averaged=False)
    parts = torch.load(tmp_path / "last.ckpt", weights_only=True)["callbacks"]["History"]["parts"]
    assert [(part["hardware"], part["epochs"]) for part in parts] == [("first processor", 2), ("second processor", 4)]
    assert all(part["seconds"] >= 0 and part["torch"] for part in parts)


def test_a_schedule_of_unknown_length_says_so_in_place_of_a_rate_of_zero():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=2.0)
    schedule = WarmupDecay(optimizer)
    optimizer.step()
    with pytest.raises(InputError, match="call stretch"):
        schedule.step()


def test_schedule_warms_up_peaks_and_decays():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=2.0)
    schedule = WarmupDecay(optimizer, warmup=0.1, shape="linear", final=0.25)
    schedule.stretch(100)
    rates = []
    for _ in range(100):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[0] == pytest.approx(2 / 11)
    assert max(rates) == rates[10] == 2.0
    assert rates[55] == pytest.approx(2 * (0.25 + 0.75 * 0.5))
    assert rates[-1] == pytest.approx(0.5, abs=0.03)
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_a_second_cycle_repeats_the_first_one_lower():
    """A run of six epochs continued by four is the run of ten with a restart after six."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=2.0)
    short, second, whole = (
        WarmupDecay(optimizer, warmup=0.2, shape="linear", final=0.1),
        WarmupDecay(optimizer, warmup=0.2, shape="linear", final=0.1),
        WarmupDecay(optimizer, warmup=0.2, shape="linear", final=0.1, restart=0.6, again=0.25),
    )
    for schedule, steps in ((short, 60), (second, 40), (whole, 100)):
        schedule.stretch(steps)
    rates = [whole.factor(step) for step in range(100)]
    assert rates == [*(short.factor(step) for step in range(60)), *(0.25 * second.factor(step) for step in range(40))]
    assert max(rates[60:]) == rates[68] == 0.25
    third = WarmupDecay(optimizer, warmup=0.2, shape="linear", final=0.1, restart=[0.6 / 1.4, 1 / 1.4], again=0.25)
    third.stretch(140)
    assert [third.factor(step) for step in range(140)] == [*rates, *rates[60:]]
    for restart in (1.5, 0.0, [0.6, 0.3], [0.5, 0.5]):
        with pytest.raises(InputError, match=re.escape(f"restart is {restart}")):
            WarmupDecay(optimizer, restart=restart)


def test_clipping_bounds_a_unit_s_gradient_by_its_weights():
    """By the formula, unit by unit; a small gradient, the head's and a bias's stay as they are; 0.001 is the least weight."""
    model = torch.nn.Module()
    model.conv, model.head = torch.nn.Conv2d(2, 3, 2), torch.nn.Linear(3, 2)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    with torch.no_grad():
        model.conv.weight[1] = 0  # its gradient may still have a length of 0.1 · 0.001
        model.conv.weight.grad[2] *= 1e-3
    weight, before, head = model.conv.weight.detach(), model.conv.weight.grad.clone(), model.head.weight.grad.clone()
    bias = model.conv.bias.grad.clone()
    AdaptiveClipping(0.1).on_before_optimizer_step(None, model, None)  # type: ignore[arg-type]
    for unit in range(3):
        most = 0.1 * max(weight[unit].norm().item(), 1e-3)
        expected = before[unit] * min(1, most / before[unit].norm().item())
        torch.testing.assert_close(model.conv.weight.grad[unit], expected)
    assert model.conv.weight.grad[0].norm() < before[0].norm() and torch.equal(model.conv.weight.grad[2], before[2])
    assert torch.equal(model.head.weight.grad, head) and torch.equal(model.conv.bias.grad, bias)
    with pytest.raises(InputError, match="factor"):
        AdaptiveClipping(0)


def test_a_recipe_with_a_typo_names_the_key(tmp_path, monkeypatch, capsys):
    text = (ROOT / "checkpoints/lenet5-mnist/recipe.yaml").read_text().replace("max_epochs", "max_epoch")
    (tmp_path / "lenet5-typo").mkdir()
    (tmp_path / "lenet5-typo" / "recipe.yaml").write_text(text)
    monkeypatch.setattr(experiment, "CHECKPOINTS", tmp_path)
    with pytest.raises(SystemExit) as stopped:
        experiment.main(["lenet5-typo", "--fit", "0", "--runs", str(tmp_path / "runs")])
    assert stopped.value.code == 2
    assert "max_epoch" in capsys.readouterr().err


def test_each_seed_shuffles_its_own_way(tmp_path, monkeypatch):
    seen = []

    def fit(recipe, run, overrides):
        seen.append(overrides)
        raise experiment.InputError("enough")

    monkeypatch.setattr("zoo.train.recipe.fit", fit)
    for name in ("lenet5-mnist", "gcn-cora"):
        experiment.main([name, "--fit", "3", "--runs", str(tmp_path)])
    assert seen == [["--seed_everything=3", "--data.init_args.seed=3"], ["--seed_everything=3"]]


@pytest.fixture(params=[True, False], ids=["quick", "slow"])
def quick(request, monkeypatch):
    """A processor on which bfloat16 takes half or twice of float32's time."""
    seconds = {torch.float32: 2.0, torch.bfloat16: 1.0 if request.param else 4.0}
    monkeypatch.setattr(precision, "seconds_of_product", seconds.__getitem__)
    precision.bfloat16_is_slow.cache_clear()
    yield request.param
    precision.bfloat16_is_slow.cache_clear()


@pytest.mark.parametrize("told", [None, "bf16-mixed", "32-true"])
def test_a_recipe_s_bfloat16_gives_way_where_it_is_slow(quick, told, digits, tmp_path):
    """The recipe asks for bf16-mixed; what a person asks for on the command line is done in any case."""
    overrides = [
        "--data=datamodules.image_folder.ImageFolder",
        f"--data.root={digits}",
        '--data.transform={"size": [28, 28], "mode": "L", "mean": [0.13], "std": [0.31]}',
        "--data.batch_size=8",
        "--model.num_classes=3",
        "--trainer.accelerator=cpu",
        "--trainer.max_epochs=1",
        "--trainer.enable_progress_bar=false",
        *([f"--trainer.precision={told}"] if told else []),
    ]
    _, _, cli, history = training.fit(experiment.recipe_of("lenet5-mnist"), tmp_path, overrides)
    assert cli.trainer.precision == (told or ("bf16-mixed" if quick else "32-true"))
    assert [row["epoch"] for row in history.rows] == [0]  # one run, whichever it was


def test_evaluation_autocasts_where_bfloat16_is_quick(monkeypatch, quick):
    context, words = precision.quick_autocast("cpu")
    with context:
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert (product.dtype, words) == ((torch.bfloat16, "bf16 autocast") if quick else (torch.float32, "float32"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert precision.quick_precision() == ("bf16-mixed" if quick else "32-true")


def test_products_are_timed_in_the_precision_asked_for():
    assert 0 < precision.seconds_of_product(torch.float32, 8) < 1


def test_a_recipe_can_stop_early_and_train_batch_norm_only(digits, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"""
model:
  class_path: zoo.models.mlp.mlp.MLP
  init_args: {{num_classes: 3, in_channels: 3, hidden: [4], image_size: [4, 4], batch_norm: true}}
data:
  class_path: datamodules.image_folder.ImageFolder
  init_args: {{root: {digits}, image_size: 4, batch_size: 8}}
optimizer: {{class_path: torch.optim.SGD, init_args: {{lr: 0.0, momentum: 0.9}}}}
card: {{summary: a test, paper: none, limits: all}}
trainer:
  max_epochs: 9
  accelerator: cpu
  enable_progress_bar: false
  callbacks:
    - class_path: lightning.pytorch.callbacks.EarlyStopping
      init_args: {{monitor: val/loss, patience: 2, min_delta: 0.5}}  # batch norm's statistics move a little
    - zoo.blocks.normalization.BatchNormOnly
""")
    model, _, cli, history = training.fit(recipe, tmp_path / "run", [])
    assert [row["epoch"] for row in history.rows] == [0, 1, 2]
    assert [len(group["params"]) for group in cli.trainer.optimizers[0].param_groups] == [len(list(model.parameters()))]
    moved = [p in cli.trainer.optimizers[0].state for p in model.hidden[0].parameters()]
    assert moved == [False, True, True]  # the linear layer, γ and β
