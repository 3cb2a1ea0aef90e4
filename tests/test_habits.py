"""Lightning as people use it, with every family: callbacks, the Tuner, prediction, tracing, copies, dtypes, devices."""

import copy
import inspect
import json
import pickle
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import LearningRateFinder, ModelCheckpoint, ModelPruning, StochasticWeightAveraging
from lightning.pytorch.tuner import Tuner
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.model_summary import ModelSummary
from torch.nn.utils import parameters_to_vector
from torch.utils.data import DataLoader

import zoo
from tests.sweeps import some
from tests.test_registry import ARCHITECTURES, build, with_transform
from tests.tiny import TINY
from zoo import registry
from zoo.core import protocols
from zoo.core.module import ZooModule
from zoo.registry import family
from zoo.store.folder import write

each = pytest.mark.parametrize("name", some(ARCHITECTURES, family, few=1))
QUIET: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}


def loader(name: str, n: int = 4) -> DataLoader:
    return DataLoader([TINY[name].batch() for _ in range(n)], batch_size=None)


def trainer(folder: Path, **options: Any) -> L.Trainer:
    options = {"max_epochs": 2, "accelerator": "cpu", "enable_checkpointing": False, **QUIET, **options}
    return L.Trainer(default_root_dir=folder, **options)


def learner(name: str) -> ZooModule:
    """A tiny model that learns by gradients and one optimiser, else the test has nothing to say."""
    model = build(name)
    own = TINY[name].data in ("environment", "replay", "self-play")
    if (
        own or not model.automatic_optimization or name in ("latent-diffusion", "text-ldm")
    ):  # which look at all data first
        pytest.skip("it learns in a way of its own")
    return model


@pytest.mark.filterwarnings("ignore:SWA is currently")
@each
def test_averaging_accumulation_clipping_and_what_checkpoints_watch(name, tmp_path):
    model = learner(name)
    watch = ModelCheckpoint(tmp_path, monitor=None, save_last=True)
    swa = StochasticWeightAveraging(swa_lrs=1e-3, swa_epoch_start=1)
    run = trainer(
        tmp_path,
        callbacks=[watch, swa],
        enable_checkpointing=True,
        accumulate_grad_batches=2,
        gradient_clip_val=0.5,
        limit_val_batches=0,
        log_every_n_steps=1,
    )
    run.fit(model, loader(name))
    assert (tmp_path / "last.ckpt").is_file()
    assert all(p.isfinite().all() for p in model.parameters())
    logged = [key for key in run.callback_metrics if key.startswith("train/")]
    assert logged, "nothing of the training is logged that a ModelCheckpoint could watch"
    best = ModelCheckpoint(tmp_path / "best", monitor=logged[0], save_weights_only=True)
    fresh, values = build(name), Values()
    trainer(tmp_path, callbacks=[best, values], enable_checkpointing=True, limit_val_batches=0).fit(fresh, loader(name))
    assert best.best_model_path
    assert max(len(set(found)) for found in values.seen.values()) > 2  # of eight steps: they follow the training


@cache
def small_data(name: str, options: str) -> L.LightningDataModule:
    """A data module whose batches are small; several architectures learn from the same one, which reads its files once."""
    takes = inspect.signature(registry.datamodule_class(name)).parameters
    small = {"batch_size": min(8, takes["batch_size"].default)} if "batch_size" in takes else {}
    return zoo.datamodule(name, **small | json.loads(options))


def same_data(name: str) -> str:
    """One kind for all architectures of a family that learn from the same data."""
    return f"{family(name)} {TINY[name].data}"


@pytest.mark.filterwarnings("ignore:Total length of")
@pytest.mark.data(lambda name: TINY[name].data)
@pytest.mark.parametrize("name", some([name for name in ARCHITECTURES if TINY[name].data], same_data, few=1))
def test_trains_a_batch_of_its_own_data(name, tmp_path):
    case = TINY[name]
    model, data = build(name).eval(), small_data(case.data, json.dumps(case.data_init))  # eval(): as zoo.load gives it
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    L.Trainer(fast_dev_run=2, accelerator="cpu", default_root_dir=tmp_path, **quiet).fit(model, datamodule=data)
    assert all(p.isfinite().all() for p in model.parameters())
    assert model.training


class Values(L.Callback):
    """The training values that a callback reads after each step."""

    def __init__(self) -> None:
        self.seen: dict[str, list[float]] = {}
        self.losses: list[float] = []

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        for key, value in trainer.callback_metrics.items():
            self.seen.setdefault(key, []).append(value.item())
        self.losses.append(outputs["loss"].item())


@pytest.mark.parametrize("every", [0, 1, 3, 50])
def test_a_callback_reads_the_loss_of_the_newest_step(every, tmp_path):
    values = Values()
    run = trainer(tmp_path, callbacks=[values], log_every_n_steps=every, limit_val_batches=0)
    run.fit(build("lenet5"), loader("lenet5"))
    assert values.seen["train/loss"] == pytest.approx(values.losses) and len(values.losses) == 8


@each
def test_the_tuner_sets_a_rate_that_the_next_fit_uses(name, tmp_path):
    model = learner(name)
    with torch.random.fork_rng():
        found = Tuner(trainer(tmp_path, max_epochs=1)).lr_find(
            model, loader(name, 10), num_training=8, update_attr=True
        )
    assert found is not None
    model.lr = 0.0123
    seen = []

    class Look(L.Callback):
        def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            seen.extend(group.get("initial_lr", group["lr"]) for group in trainer.optimizers[0].param_groups)

    for _ in range(2):  # the second fit starts from the same rate
        seen.clear()
        trainer(tmp_path, callbacks=[Look()], max_steps=1, limit_val_batches=0).fit(model, loader(name))
        assert max(seen) == pytest.approx(0.0123)


def test_the_learning_rate_finder_as_a_callback(tmp_path):
    model = build("lenet5")
    finder = LearningRateFinder(num_training_steps=6)
    trainer(tmp_path, callbacks=[finder], max_epochs=1, limit_val_batches=0).fit(model, loader("lenet5", 8))
    assert finder.optimal_lr is not None


@pytest.mark.parametrize("name", ["gan", "wgan", "lsgan", "fgan", "dcgan", "sngan", "point-gan"])
def test_a_game_of_two_networks_is_validated_and_says_what_it_can_not_do(name, tmp_path):
    batches = loader(name)
    found = trainer(tmp_path).validate(build(name), batches, verbose=False)[0]
    assert {"val/critic_loss", "val/real", "val/fake"} <= found.keys()
    assert found == trainer(tmp_path).validate(build(name), batches, verbose=False)[0]  # the noise is the same
    for option in ({"gradient_clip_val": 0.5}, {"accumulate_grad_batches": 2}):
        with pytest.raises(MisconfigurationException, match="manual optimization"):
            trainer(tmp_path, **option).fit(build(name), batches)


@each
def test_example_inputs_are_what_forward_takes(name, tmp_path):
    model = with_transform(build(name)).eval()
    example = model.example_input_array
    assert example is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ModelSummary(model, max_depth=1)  # which calls forward with them
    model.example_input_array = None
    assert model.example_input_array is not None


@each
def test_copies_and_pickles_answer_alike(name):
    """`deepcopy`, and what a spawned process gets."""
    model = with_transform(build(name)).eval()
    inputs = model.golden_inputs()
    with torch.no_grad():
        expected = model.golden_outputs(inputs)
        copies = [copy.deepcopy(model)]
        if not any(
            torch.nn.utils.parametrize.is_parametrized(module) for module in model.modules()
        ):  # PyTorch refuses those
            copies.append(pickle.loads(pickle.dumps(model)))
        for again in copies:
            for key, value in again.golden_outputs(inputs).items():
                torch.testing.assert_close(value, expected[key], rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("name", ["lenet5", "resnet-cifar", "ddpm"])
def test_weights_in_channels_last_are_laid_out_for_tools_that_flatten(name, tmp_path):
    """Pruning and LBFGS in a Trainer get them in a row, others by one call, as docs/lightning.md says."""
    model = build(name)
    assert not all(p.is_contiguous() for p in model.parameters())
    pruning = ModelPruning("l1_unstructured", amount=0.3, use_global_unstructured=True)
    trainer(tmp_path, callbacks=[pruning], max_epochs=1, limit_val_batches=0).fit(model, loader(name))
    assert parameters_to_vector(build(name).to(memory_format=torch.contiguous_format).parameters()).isfinite().all()
    model = build(name)
    model.configure_optimizers = lambda: torch.optim.LBFGS(model.parameters(), lr=1e-3, max_iter=2)  # type: ignore[method-assign]
    trainer(tmp_path, max_epochs=1, limit_val_batches=0).fit(model, loader(name))
    assert all(p.isfinite().all() for p in model.parameters())


@each
def test_another_default_device_and_dtype_change_nothing(name, tmp_path):
    """ "meta" stands for a device that isn't the model's: a tensor that forgot to say where it belongs has no values there."""
    model = with_transform(build(name)).eval()
    folder = write(model, tmp_path / name, preview=False)
    expected = answers(model)
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        loaded = zoo.load(folder)
        zoo.verify(folder)
        found = answers(loaded)
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    assert all(value.dtype == loaded.state_dict()[key].dtype for key, value in model.state_dict().items())
    for before, after in zip(expected, found, strict=True):
        torch.testing.assert_close(after.float(), before.float(), rtol=1e-3, atol=1e-3)


def answers(model: ZooModule) -> list[torch.Tensor]:
    """What a model answers to a few calls that need nothing but itself."""
    found = []
    if isinstance(model, protocols.Samples):
        found.append(model.sample(2, seed=3))
    if isinstance(model, protocols.SamplesPoints):
        found.append(model.sample_points(2, seed=3))
    if model.task == "image-classification":
        pixels = np.arange(28 * 28, dtype=np.uint8).reshape(28, 28)
        found.append(model.predict_proba(pixels))
    return found


@pytest.mark.filterwarnings("ignore:.*, the size that the model learnt")
@each
def test_numbers_of_numpy_are_numbers(name, tmp_path):
    init = {k: np.int64(v) if type(v) is int else v for k, v in TINY[name].init.items()}
    model = with_transform(zoo.create(name, **init)).eval()
    zoo.load(write(model, tmp_path / "model", preview=False))
    if isinstance(model, protocols.Samples):
        torch.testing.assert_close(model.sample(np.int64(2), seed=np.int64(3)), model.sample(2, seed=3))
    if model.task == "image-classification":
        x = torch.randint(0, 256, (2, *TINY[name].batch()[0].shape[1:]), dtype=torch.uint8)
        assert len(model.predict(x, top=np.int64(2))[0]) == 2
        model.reset_head(np.int64(4))
        assert model.predict_proba(x).shape == (2, 4)
        write(model, tmp_path / "other", preview=False)


@pytest.mark.parametrize("name", ["lenet5", "resnet-cifar", "mlp", "vit"])
def test_classifiers_are_traced(name):
    model = with_transform(build(name)).eval()
    x = model.example_input_array
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(model, x)
        torch.testing.assert_close(traced(x), model(x))
