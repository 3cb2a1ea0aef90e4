"""What the options of `zoo finetune` do to a model: what learns, how fast, when it stops, and that a killed run goes on."""

import os
import signal
from pathlib import Path

import lightning as L
import pytest
import torch
from PIL import Image

import zoo
from tests import forked
from zoo.core.images import Transform
from zoo.core.module import ZooModule
from zoo.core.samples import sample_split
from zoo.train import finetuning

QUICK = {"accelerator": "cpu", "enable_progress_bar": False}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    images, labels = sample_split("mnist")
    for digit, name in enumerate(("ring", "stroke")):
        (folder / name).mkdir()
        for i, image in enumerate(images[labels == digit][:16]):
            Image.fromarray(image[0].numpy()).save(folder / name / f"{i}.png")
    return folder


def small() -> ZooModule:
    torch.manual_seed(0)
    model = zoo.create("lenet5", batch_norm=True).eval()
    model.name, model.transform = "lenet5-base", Transform([28, 28], "L", [0.4], [0.3])
    model.classes = [str(digit) for digit in range(10)]
    return model


def tuned(root: Path, into: Path, **options: object) -> tuple[dict[str, torch.Tensor], finetuning.FineTuned]:
    given = {"epochs": 4, "trainer": QUICK, "scratch": False, **options}
    found = zoo.finetune(small(), root=root, into=into, **given)
    return found.model.state_dict(), found


def moved(after: dict[str, torch.Tensor]) -> set[str]:
    """Parts of which any tensor, buffers too, isn't what it was."""
    before = small().state_dict()
    return {k.partition(".")[0] for k, v in before.items() if v.shape != after[k].shape or not torch.equal(v, after[k])}


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({}, {"stage1", "stage2", "neck", "head"}),
        ({"freeze": ["stage1", "stage2"]}, {"neck", "head"}),
        ({"mode": "head"}, {"head"}),
        ({"mode": "gradual"}, {"stage1", "stage2", "neck", "head"}),
        ({"mode": "gradual", "freeze": ["stage1"]}, {"stage2", "neck", "head"}),
    ],
)
def test_what_learns(root, tmp_path, options, parts):
    after, _ = tuned(root, tmp_path / "mine", patience=None, **options)
    assert moved(after) == parts


def test_layers_below_learn_more_slowly(root, tmp_path):
    rates = {}

    class Watch(L.Callback):
        def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            rates.update({group["name"]: group["initial_lr"] for group in trainer.optimizers[0].param_groups})

    tuned(root, tmp_path / "mine", epochs=1, lr=0.1, layer_decay=0.5, trainer=QUICK | {"callbacks": [Watch()]})
    assert rates == pytest.approx({"head": 0.1, "neck": 0.05, "stage2": 0.025, "stage1": 0.0125})


def test_it_stops_without_a_better_value_and_keeps_the_best(root, tmp_path):
    _, found = tuned(
        root, tmp_path / "flat", epochs=30, lr=1e-30, layer_decay=1.0, patience=2, freeze=["stage1", "stage2"]
    )
    rows = (tmp_path / "flat" / "history.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) < 12 and (tmp_path / "flat" / "finetuning.png").stat().st_size > 5000
    assert found.after["accuracy"] >= found.before["accuracy"]


def killed(root: str, into: str, mode: str, epoch: int) -> None:
    """Fine-tune, saving after every epoch, and die with SIGKILL in the middle of one."""

    class Die(L.Callback):
        def on_train_batch_start(self, trainer: L.Trainer, *_: object) -> None:
            if trainer.current_epoch == epoch:
                os.kill(os.getpid(), signal.SIGKILL)

    eager = finetuning.Resume.__init__
    finetuning.Resume.__init__ = lambda self, path, every_seconds=0.0: eager(self, path, 0.0)  # type: ignore[method-assign]
    tuned(Path(root), Path(into), mode=mode, patience=None, trainer=QUICK | {"callbacks": [Die()]})


@pytest.mark.parametrize("mode", ["full", "gradual"])
def test_a_killed_run_goes_on_to_the_same_weights(root, tmp_path, mode):
    whole, _ = tuned(root, tmp_path / "whole", mode=mode, patience=None)
    assert forked.run(killed, str(root), str(tmp_path / "cut"), mode, 2, fine=(-9,)) == -9
    assert (tmp_path / ".cut.run" / "tuned.ckpt").exists() and not (tmp_path / "cut").exists()
    again, _ = tuned(root, tmp_path / "cut", mode=mode, patience=None)
    assert all(torch.equal(value, again[key]) for key, value in whole.items())
    assert not (tmp_path / ".cut.run").exists()
