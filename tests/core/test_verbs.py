"""What every verb promises: no gradient but ordinary tensors, the mode put back, the weights' dtype followed."""

import inspect
import threading

import pytest
import torch
from torch import nn

import zoo
import zoo.registry
from tests.tiny import TINY
from zoo.core.batch import images_of, inputs_of, labelled
from zoo.errors import InputError

IMAGE_VERBS = ("encode", "reconstruct", "predict_proba", "log_prob", "bits_per_dim")
SAMPLERS = [name for name in TINY if hasattr(zoo.registry.architecture(name), "sample")]


def make(name):
    torch.manual_seed(0)
    return zoo.create(name, **TINY[name].init).train()


@pytest.mark.parametrize("name", SAMPLERS)
def test_sampling_leaves_the_mode_and_gives_ordinary_tensors(name):
    model = make(name)
    model.get_submodule(next(n for n, m in model.named_modules() if n and list(m.parameters(recurse=False)))).eval()
    before = [module.training for module in model.modules()]
    few = {"steps": 4} if "steps" in inspect.signature(model.sample).parameters else {}
    try:
        images = model.sample(2, seed=0, **few)
    except InputError:  # some need a trained part or a prompt
        images = None
    assert [module.training for module in model.modules()] == before
    if images is not None:
        assert images.dtype == torch.float32 and not images.is_inference() and not images.requires_grad
        half = model.to(torch.bfloat16).sample(2, seed=0, **few)
        assert half.dtype == torch.float32 and half.shape == images.shape


def test_a_probe_learns_from_embeddings():
    model = zoo.load("lenet5-mnist")
    probability = model.predict_proba(torch.randint(0, 256, (4, 1, 28, 28), dtype=torch.uint8))
    probe = nn.Linear(10, 2)
    probe(probability).sum().backward()
    assert probe.weight.grad is not None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_a_cast_classifier_takes_ordinary_images(dtype):
    x = torch.randint(0, 256, (4, 1, 28, 28), dtype=torch.uint8)
    exact, found = zoo.load("lenet5-mnist").predict_proba(x), zoo.load("lenet5-mnist", dtype=dtype).predict_proba(x)
    torch.testing.assert_close(found.float(), exact, atol=0.05, rtol=0)


def test_weights_are_float32_under_any_default_dtype():
    torch.set_default_dtype(torch.float64)
    try:
        model = zoo.load("lenet5-mnist")
        assert model.dtype == torch.float32 == next(model.parameters()).dtype
        assert (
            zoo.verify("lenet5-mnist")
            and model.predict_proba(torch.zeros(1, 1, 28, 28, dtype=torch.uint8)).isfinite().all()
        )
    finally:
        torch.set_default_dtype(torch.float32)


def test_another_thread_does_not_disturb_training():
    model = make("lenet5")
    model.transform = zoo.load("lenet5-mnist").transform
    model.trained_by, model._trainer = 1, type("Trainer", (), {"training": True})()
    seen = []
    model.conv1.register_forward_hook(lambda *_: seen.append(model.training)) if hasattr(model, "conv1") else None
    thread = threading.Thread(target=lambda: model.predict_proba(torch.zeros(1, 1, 28, 28, dtype=torch.uint8)))
    thread.start()
    thread.join()
    assert model.training and not seen  # the model itself wasn't called: a copy answered


@pytest.mark.parametrize(
    "batch", [torch.zeros(2, 1, 4, 4), (torch.zeros(2, 1, 4, 4), 0), {"image": torch.zeros(2, 1, 4, 4)}]
)
def test_batches_of_all_kinds(batch):
    assert images_of(batch).shape == (2, 1, 4, 4) == inputs_of(batch).shape


def test_batches_that_cannot_be_meant():
    with pytest.raises(InputError, match=r"\[N, C, H, W\], not \[1, 4, 4\]"):
        images_of(torch.zeros(1, 4, 4))
    with pytest.raises(InputError, match="keys picture"):
        inputs_of({"picture": 1})
    with pytest.raises(InputError, match="pair"):
        labelled(torch.zeros(2, 1, 4, 4))
    assert labelled({"x": 1, "y": 2}) == (1, 2)


@pytest.mark.parametrize("name", ["ddpm", "flow-matching", "nice", "maf-image", "autoencoder", "pixelcnn"])
def test_a_loader_of_plain_images_trains_as_one_of_pairs(name):
    model = make(name)
    pairs = TINY[name].batch()
    losses = []
    for batch in (pairs, pairs[0]):
        torch.manual_seed(0)
        model.log_train = lambda **_: None
        losses.append(model.training_step(batch, 0))
    if losses[0] is not None:
        torch.testing.assert_close(*losses)


def test_what_travels_travels_with_ckpt_files(tmp_path):
    import lightning as L

    model = zoo.load("lenet5-mnist")
    trainer = L.Trainer(max_epochs=0, logger=False, enable_checkpointing=False, enable_progress_bar=False)
    trainer.strategy.connect(model)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    again = type(model).load_from_checkpoint(tmp_path / "a.ckpt", weights_only=True)
    assert (again.name, again.classes, again.data) == (model.name, model.classes, model.data)
    assert again.transform.to_dict() == model.transform.to_dict()
