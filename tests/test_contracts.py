"""What every architecture promises Lightning and its users beyond its own method, each on its tiny configuration."""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import zoo
from tests.sweeps import some
from tests.test_registry import ARCHITECTURES, build, loss_of, with_transform
from tests.tiny import TINY
from zoo import registry
from zoo.core import protocols
from zoo.core.module import ZooModule
from zoo.errors import InputError
from zoo.store.folder import write

each = pytest.mark.parametrize("name", ARCHITECTURES)
PAIRS = [
    name
    for name, tiny in TINY.items()
    if isinstance(batch := tiny.batch(), tuple) and len(batch) == 2 and isinstance(batch[1], Tensor)
]


def tensors(found: Any) -> Iterator[Tensor]:
    """All tensors of an answer."""
    if isinstance(found, Tensor):
        yield found
    elif isinstance(found, dict | list | tuple):
        for part in found.values() if isinstance(found, dict) else found:
            yield from tensors(part)


@each
def test_predict_step_takes_the_batches_of_training(name):
    model = build(name).eval()
    needed = [p for p in inspect.signature(model.forward).parameters.values() if p.default is p.empty]
    if len(needed) > 1 and type(model).predict_step is ZooModule.predict_step:
        with pytest.raises(InputError, match="predicts nothing of inputs alone") as error:
            model.predict_step(TINY[name].batch(), 0)
        assert "\n" not in str(error.value)
        return
    if name == "hopfield":
        pytest.skip("it stores the patterns of its data first: its own test recalls them")
    with torch.no_grad():
        found = list(tensors(model.predict_step(TINY[name].batch(), 0)))
    assert found and not any(value.isnan().any() for value in found)


def task_in_family(name: str) -> str:
    return f"{registry.family(name)} {registry.architecture(name).task}"


@pytest.mark.parametrize("name", some(ARCHITECTURES, task_in_family, few=1))
def test_a_fresh_model_is_saved_or_says_what_it_lacks(name, tmp_path):
    model = build(name)
    if model.task == "image-classification":
        with pytest.raises(InputError, match="how its images are prepared"):
            model.save_pretrained(tmp_path / name)
        assert not list(tmp_path.iterdir())
    else:
        assert zoo.verify(write(model, tmp_path / name, preview=False))


@each
def test_what_travels_with_the_weights_travels_with_ckpt_files(name):
    model, again, kept = with_transform(build(name)), build(name), {}
    model.name, model.classes, model.data = "a-name", ["a", "b"], {"name": "mnist", "init": {}}
    model.on_save_checkpoint(kept)
    again.on_load_checkpoint(kept)
    assert (again.name, again.classes, again.data) == (model.name, model.classes, model.data)
    assert (again.transform and again.transform.to_dict()) == (model.transform and model.transform.to_dict())
    assert kept["zoo"]["architecture"] == name


@pytest.mark.parametrize("name", PAIRS)
def test_batches_of_every_kind_train_alike(name):
    """A pair, a list and a dict are the same batch; inputs alone are too, or are refused in one sentence."""
    x, y = TINY[name].batch()
    if not build(name).automatic_optimization:
        pytest.skip("manual optimisation: its own test trains it")
    losses, said = [], []
    for batch in ((x, y), [x, y], {"image": x, "label": y}, x):
        model = build(name).train()
        torch.manual_seed(0)
        try:
            losses.append(loss_of(model, batch))
        except InputError as error:
            said.append(str(error))
    assert len(losses) >= 3 and all("learns from labels" in sentence for sentence in said)
    for loss in losses[1:]:
        torch.testing.assert_close(loss, losses[0])


@each
def test_verbs_leave_the_model_as_it_is(name):
    """A method that is marked as a verb writes to no attribute of the model: where another thread trains, a copy would get it."""
    cls = registry.architecture(name)
    for verb in (line.partition("(")[0] for line in protocols.verbs_of(cls)):
        method = inspect.unwrap(getattr(cls, verb))
        tree = ast.parse(textwrap.dedent(inspect.getsource(method))).body[0]
        assert isinstance(tree, ast.FunctionDef)
        if not any(isinstance(each, ast.Name) and each.id == "verb" for each in tree.decorator_list):
            continue
        written = [target for node in ast.walk(tree) if isinstance(node, ast.Assign) for target in node.targets]
        written += [
            node.func.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr.endswith("_")
        ]
        names = [ast.unparse(target) for target in written]
        assert not [target for target in names if target.startswith("self.")], f"{verb} changes the model"
