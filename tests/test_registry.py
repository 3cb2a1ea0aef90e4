"""What holds for every architecture in the registry, each on its tiny configuration."""

import inspect
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zoo
from tests.tiny import TINY
from zoo import registry
from zoo.core import protocols
from zoo.core.module import ZooModule
from zoo.errors import InputError
from zoo.store import folder as checkpoint

ARCHITECTURES = sorted(registry.ARCHITECTURES)
pytestmark = pytest.mark.parametrize("name", ARCHITECTURES)


def build(name: str) -> ZooModule:
    torch.manual_seed(0)
    return zoo.create(name, **TINY[name].init)


def loss_of(model: ZooModule, batch: Any) -> Tensor:
    model.log_train = lambda **_: None  # type: ignore[method-assign]  # there is no trainer here
    result = model.training_step(batch, 0)
    return result["loss"] if isinstance(result, dict) else result


def test_has_a_tiny_configuration_and_a_docstring(name):
    assert name in TINY, f"add {name} to tests/tiny/"
    cls = registry.architecture(name)
    module = inspect.getmodule(cls)
    assert module and module.__doc__ and cls.__doc__
    assert registry.name_of(cls, registry.ARCHITECTURES) == name


def test_arguments_are_plain_typed_and_keyword_only_after_two(name):
    parameters = list(inspect.signature(registry.architecture(name)).parameters.values())
    for position, parameter in enumerate(parameters):
        assert parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL), f"{parameter} swallows typos"
        assert parameter.annotation is not parameter.empty
        assert not isinstance(parameter.default, list | dict | set), f"{parameter.name} has a mutable default"
        if position >= 2:
            assert parameter.kind is parameter.KEYWORD_ONLY


LARGER = {
    "accuracy",
    "accuracy_tta",
    "ap",
    "ap50",
    "auc",
    "dice",
    "elbo",
    "iou",
    "log_likelihood",
    "pseudo_likelihood",
    "si_sdr_improvement",
}


source_of = cache(inspect.getsource)


def test_a_logged_value_that_is_to_grow_says_so(name):
    """Fine-tuning keeps the epoch with the best value: it has to know which way is better."""
    cls = registry.architecture(name)
    source = "".join(source_of(base) for base in cls.__mro__ if base.__module__.startswith("zoo."))
    logged = set(re.findall(r'f?"(?:val|test|\{split\})/(\w+)"', source))
    assert logged & LARGER <= cls.larger_is_better
    assert not logged - LARGER & cls.larger_is_better


def test_hyper_parameters_are_json_and_rebuild_the_model(name):
    model = build(name)
    init = checkpoint.init_arguments(model)
    assert json.loads(json.dumps(init)) == init
    again = zoo.create(name, **init)
    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in model.state_dict().items()}


def test_every_trainable_parameter_gets_a_gradient(name):
    model = build(name).train()
    if not model.automatic_optimization:
        pytest.skip("manual optimisation: its own test checks the gradients")
    for parameter in model.parameters():  # layers that start at zero block the gradient of those before them
        if not parameter.detach().any():
            nn.init.normal_(parameter, std=0.02)
    loss_of(model, TINY[name].batch()).backward()
    without = [n for n, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert set(without) <= set(TINY[name].no_gradient)


def test_one_batch_overfits(name):
    model, case = build(name).train(), TINY[name]
    if not model.automatic_optimization:
        pytest.skip("manual optimisation: its own test trains it")
    batch, optimizer = case.batch(), torch.optim.Adam(model.parameters(), lr=case.lr)
    losses: list[float] = []
    for _ in range(120):
        torch.manual_seed(0)  # the same noise, steps and dropout too: what is left is learning
        loss = loss_of(model, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if len(losses) >= 10 and sum(losses[-10:]) / 10 < case.overfits * losses[0]:
            return
    pytest.fail(f"the loss stays above {case.overfits} of its first value: {losses[::20]}")


# Each way to draw a preview, and the first architecture that has it.
PREVIEWS = {registry.architecture(name).preview: name for name in reversed(ARCHITECTURES)}


def test_saves_and_loads_bit_equal(name, tmp_path):
    model = with_transform(build(name)).eval()
    folder = checkpoint.write(model, tmp_path / name, preview=PREVIEWS[type(model).preview] == name)
    loaded = zoo.load(folder)
    assert not loaded.training and type(loaded) is type(model)
    for key, value in model.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[key]), key
    assert zoo.verify(folder)
    inputs = model.golden_inputs()
    with torch.inference_mode():
        expected, found = model.golden_outputs(inputs), loaded.golden_outputs(inputs)
    for key in expected:
        torch.testing.assert_close(found[key], expected[key], rtol=0, atol=0)


def test_a_missing_an_extra_and_a_misshapen_tensor_are_named(name):
    model = build(name)
    tensors = {key: value.clone() for key, value in model.state_dict().items()}
    first = next(iter(tensors))
    for damage, word in (
        (lambda t: t.pop(first), "missing"),
        (lambda t: t.update(extra=torch.ones(1)), "unexpected extra"),
        (lambda t: t.update({first: torch.ones(9, 9, 9)}), r"in the file"),
    ):
        damaged = dict(tensors)
        damage(damaged)
        with pytest.raises(checkpoint.CheckpointError, match=word):
            checkpoint.load_tensors(model, damaged)


def test_compile_keeps_the_keys(name):
    model = build(name)
    keys = set(model.state_dict())
    for child in model.children():
        child.compile()
    assert set(model.state_dict()) == keys


def test_no_activation_is_shared_or_in_place(name):
    seen: dict[int, str] = {}
    for path, module in build(name).named_modules(remove_duplicate=False):
        if type(module).__module__ == "torch.nn.modules.activation":
            assert not getattr(module, "inplace", False), f"{path} works in place"
            assert id(module) not in seen, f"{path} is {seen[id(module)]} again"
            seen[id(module)] = path


def test_freeze_survives_train_and_keeps_statistics(name):
    model = build(name)
    part = "backbone" if "backbone" in model.parts else model.parts[0]
    model.freeze(part).train()
    frozen = [module for module, _ in model._named_parts((part,))]
    assert not any(p.requires_grad for module in frozen for p in module.parameters())
    assert not any(module.training for module in frozen)
    model.unfreeze(part)
    assert all(module.training for module in frozen)
    with pytest.raises(InputError, match="its parts"):
        model.freeze("nonsense")


@pytest.mark.filterwarnings("ignore:.*, the size that the model learnt")
@pytest.mark.filterwarnings("ignore:.*cut out the part that is meant")
def test_verbs_of_its_protocols(name):
    """Samplers draw images that follow the seed; classifiers give probabilities; both refuse what makes no sense."""
    model = with_transform(build(name)).eval()
    if isinstance(model, protocols.Samples):
        images = model.sample(3, seed=1)
        assert images.shape[0] == 3 and images.ndim == 4 and 0 <= images.min() and images.max() <= 1
        assert torch.equal(images, model.sample(3, seed=1)) and not torch.equal(images, model.sample(3, seed=2))
        for bad in (0, -1, 2.5, True):
            with pytest.raises(InputError, match="at least 1"):
                model.sample(bad)
    if isinstance(model, protocols.Generates):
        model.classes = [chr(ord("A") + i) for i in range(model.vocab_size)]
        text = model.generate("AB", 9, seed=1)
        assert len(text) == 9 and set(text) <= set(model.classes)
        assert text == model.generate("AB", 9, seed=1) == "".join(model.stream("AB", 9, seed=1))
        assert len({model.generate("AB", 9, seed=seed) for seed in range(5)}) > 1
        assert len({model.generate("AB", 9, temperature=0, seed=seed) for seed in range(3)}) == 1
        for bad in ({"n": 0}, {"temperature": -1.0}, {"top_k": 0}, {"top_p": 1.5}, {"prompt": ""}, {"prompt": "€"}):
            with pytest.raises(InputError):
                model.generate(**({"prompt": "AB", "n": 9} | bad))
    if isinstance(model, protocols.Segments | protocols.Detects):
        verb = model.segment if isinstance(model, protocols.Segments) else model.detect
        picture = torch.randint(0, 256, (1, 45, 70), dtype=torch.uint8)
        found, several = verb(picture), verb([picture, picture[:, :20]])
        assert isinstance(several, list) and len(several) == 2
        if isinstance(model, protocols.Segments):
            assert found.dtype == torch.int64 and found.shape == (45, 70) and several[1].shape == (20, 70)
            probability = model.segment(picture, probability=True)
            torch.testing.assert_close(probability.sum(0), torch.ones(45, 70))
            assert torch.equal(probability.argmax(0), found)
        else:
            for name, p, (x0, y0, x1, y1) in model.detect(picture, threshold=0.0):
                assert name in (model.classes or []) and 0 <= p <= 1 and 0 <= x0 <= x1 <= 70 and 0 <= y0 <= y1 <= 45
            with pytest.raises(InputError, match="threshold"):
                model.detect(picture, threshold=2)
        with pytest.raises(InputError, match="NaN"):
            verb(torch.full((1, 9, 9), float("nan")))
    if model.task == "image-classification":
        assert isinstance(model, protocols.Classifies)
        shape = TINY[name].batch()[0].shape[1:]
        x = torch.randint(0, 256, (2, *shape), dtype=torch.uint8)
        probability = model.predict_proba(x)
        torch.testing.assert_close(probability.sum(1), torch.ones(2))
        assert len(model.predict(x, top=2)) == 2 and len(model.predict(x[0], top=2)) == 2
        assert next(reversed(model.features(model.transform(x)))) == "embedding"
        with pytest.raises(InputError, match="NaN"):
            model.predict(torch.full(shape, float("nan")))
        model.reset_head(3)
        assert model.predict_proba(x).shape == (2, 3)
        with pytest.raises(InputError, match="num_classes"):
            model.reset_head(0)


def with_transform(model: ZooModule) -> ZooModule:
    """Give an image model the facts that training gives it."""
    from zoo.core.images import Transform

    case = TINY[model_name(model)]
    if case.data in ("mnist", "fashion-mnist", "cifar10", "atoms", "mnist-canvases", "bccd", "camvid"):
        data = zoo.datamodule(case.data)
        model.transform, model.classes = Transform(**data.preprocess), list(data.classes)
        model.data = {"name": case.data, "init": {}}
    return model


def model_name(model: ZooModule) -> str:
    return registry.name_of(type(model), registry.ARCHITECTURES)


def test_file_reads_in_one_sitting(name):
    module = registry.ARCHITECTURES[name].partition(":")[0]
    path = Path(zoo.__file__).parents[1] / (module.replace(".", "/") + ".py")
    assert path.read_text(encoding="utf-8").count("\n") <= 300
