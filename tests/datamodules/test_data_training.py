"""The data modules inside Lightning: command line, trainer, interruption, device and rank."""

import json
from types import SimpleNamespace

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.cli import LightningCLI
from PIL import Image
from torch import nn
from torch.nn import functional as F

from datamodules.cifar10 import CIFAR10
from datamodules.image_folder import ImageFolder
from datamodules.mnist import MNIST


class Linear(lightning.LightningModule):
    """Remembers each training batch by the sum of its pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(784, 10)
        self.seen: list[tuple[int, int, float]] = []

    def loss(self, batch) -> torch.Tensor:
        return F.cross_entropy(self.layer(batch[0].flatten(1)), batch[1])

    def training_step(self, batch, batch_idx):
        self.seen.append((self.trainer.current_epoch, batch_idx, float(batch[0].double().sum())))
        return self.loss(batch)

    def validation_step(self, batch, batch_idx):
        self.log("val/loss", self.loss(batch))

    def test_step(self, batch, batch_idx):
        self.log("test/loss", self.loss(batch))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


class Save(Callback):
    def __init__(self, path, epoch: int, batch: int | None) -> None:
        self.path, self.epoch, self.batch = path, epoch, batch

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == (self.epoch, self.batch):
            trainer.save_checkpoint(self.path)

    def on_train_epoch_end(self, trainer, pl_module):
        if self.batch is None and trainer.current_epoch == self.epoch:
            trainer.save_checkpoint(self.path)


def trainer(**arguments) -> lightning.Trainer:
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_model_summary": False,
        "enable_progress_bar": False,
    }
    return lightning.Trainer(**quiet | {"accelerator": "cpu", "max_epochs": 4, "log_every_n_steps": 1} | arguments)


@pytest.mark.parametrize(
    ("epoch", "batch", "left"), [(1, None, 8), (1, 1, 10), (1, 3, 8)], ids=["epoch's end", "inside", "last batch"]
)
def test_resumed_run_equals_the_uninterrupted_one(tiny_root, tmp_path, epoch, batch, left):
    path = tmp_path / "last.ckpt"

    def data() -> MNIST:
        return MNIST(10, val_size=20, augment={"flip": "alternate", "translate": 2, "cutout": 5})

    torch.manual_seed(0)
    whole = Linear()
    trainer(callbacks=[Save(path, epoch, batch)]).fit(whole, datamodule=data())
    torch.manual_seed(1)
    resumed = Linear()
    trainer().fit(resumed, datamodule=data(), ckpt_path=path, weights_only=True)
    assert len(whole.seen) == len(set(whole.seen)) == 16
    assert len(resumed.seen) == left
    assert resumed.seen == whole.seen[-left:]
    assert torch.equal(whole.layer.weight, resumed.layer.weight)


def test_evaluation_under_inference_mode_leaves_the_tensors_trainable(tiny_root):
    model, data = Linear(), MNIST(10, val_size=20)
    with torch.inference_mode():
        before = trainer().test(model, datamodule=data, verbose=False)[0]["test/loss"]
    x, y = data.tensors("test")
    assert not y.is_inference()
    assert not data._place("test")[1].is_inference()
    mean, std = data.mean[0], data.std[0]
    expected = F.cross_entropy(model.layer(((x / 255 - mean) / std).flatten(1)), y).item()
    assert before == pytest.approx(expected, abs=1e-5)
    trainer(max_epochs=1).fit(model, datamodule=data)


@pytest.mark.filterwarnings("ignore:Total length of")
def test_training_on_all_has_no_validation_loop(tiny_root):
    model = Linear()
    trainer(max_epochs=1).fit(model, datamodule=MNIST(10, val_size=20, train_on_all=True))
    assert len(model.seen) == 6
    assert "val/loss" not in model.trainer.callback_metrics


@pytest.mark.filterwarnings("ignore:You requested to overfit")
def test_overfitting_repeats_its_batches(tiny_root):
    model = Linear()
    trainer(overfit_batches=2).fit(model, datamodule=MNIST(10, val_size=20))
    assert len(model.seen) == 8
    assert len({total for _, _, total in model.seen}) == 2


def test_ranks_train_on_shares_and_evaluate_on_everything(tiny_root):
    shares = []
    for rank in range(2):
        data = MNIST(10, val_size=20)
        place = SimpleNamespace(root_device=torch.device("cpu"))
        data.trainer = SimpleNamespace(strategy=place, global_rank=rank, world_size=2, overfit_batches=0)
        loader = data.train_dataloader()
        shares.append({image.numpy().tobytes() for x, _ in loader for image in x})
        assert len(loader) == 2
        assert sum(len(y) for _, y in data.val_dataloader()) == 20
        assert sum(len(y) for _, y in data.test_dataloader()) == 20
    assert [len(share) for share in shares] == [20, 20]
    assert not shares[0] & shares[1]


def test_batches_are_made_on_the_trainers_device(tiny_root):
    data = CIFAR10(10, val_size=20)
    place = SimpleNamespace(root_device=torch.device("meta"))
    data.trainer = SimpleNamespace(strategy=place, global_rank=0, world_size=1, overfit_batches=0)
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        x, y = next(iter(loader))
        assert x.device.type == y.device.type == "meta"
    assert data.train_dataloader().x is data.train_dataloader().x  # moved once


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_sees_the_shuffle_of_the_cpu(tiny_root):
    on_cpu, on_gpu = MNIST(10, val_size=20), MNIST(10, val_size=20)
    place = SimpleNamespace(root_device=torch.device("cuda"))
    on_gpu.trainer = SimpleNamespace(strategy=place, global_rank=0, world_size=1, overfit_batches=0)
    for (x, y), (gx, gy) in zip(on_cpu.train_dataloader(), on_gpu.train_dataloader(), strict=True):
        assert gx.is_cuda
        assert torch.equal(y, gy.cpu())
        torch.testing.assert_close(x, gx.cpu())


@pytest.mark.filterwarnings("ignore:No seed found")
def test_command_line_reads_every_setting(tiny_root, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "data:\n"
        "  class_path: datamodules.mnist.MNIST\n"
        "  init_args:\n"
        "    batch_size: 20\n"
        "    val_size: 20\n"
        "    augment: {translate: 2, flip: alternate, rotate: 7.5, cutout: 4}\n"
    )
    cli = LightningCLI(
        Linear,
        lightning.LightningDataModule,
        subclass_mode_data=True,
        run=False,
        save_config_callback=None,
        args=["--config", str(recipe), "--data.seed=3", "--trainer.accelerator=cpu", "--trainer.logger=false"],
    )
    assert dict(cli.datamodule.hparams) == {
        "batch_size": 20,
        "val_size": 20,
        "augment": {"translate": 2, "flip": "alternate", "rotate": 7.5, "cutout": 4},
        "normalize": True,
        "seed": 3,
        "root": None,
        "train_on_all": False,
    }
    assert next(iter(cli.datamodule.train_dataloader()))[0].shape == (20, 1, 28, 28)


def test_command_line_makes_a_folder_with_a_transform(tmp_path):
    for i in range(8):
        path = tmp_path / "flowers" / ("rose" if i % 2 else "tulip") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9), (i, i, i)).save(path)
    settings = {
        "size": [6, 6],
        "mode": "L",
        "mean": [0.5],
        "std": [0.25],
        "interpolation": "bilinear",
        "antialias": True,
    }
    cli = LightningCLI(
        Linear,
        lightning.LightningDataModule,
        subclass_mode_data=True,
        run=False,
        save_config_callback=None,
        args=[
            "--data=datamodules.image_folder.ImageFolder",
            f"--data.root={tmp_path / 'flowers'}",
            f"--data.transform={json.dumps(settings)}",
            "--trainer.accelerator=cpu",
            "--trainer.logger=false",
        ],
    )
    assert cli.datamodule.preprocess == settings
    assert json.loads(json.dumps(dict(cli.datamodule.hparams)))["transform"] == settings
    assert ImageFolder(**cli.datamodule.hparams).preprocess == settings
