"""`compile:` in a recipe changes how a model runs, never what it is called or computes."""

import copy

import torch

from tests.hub.folders import small_model
from zoo.store.folder import weights_bytes
from zoo.train.recipe import compile_parts


def test_compiled_parts_keep_keys_values_and_gradients():
    plain = small_model(batch_norm=True)
    compiled = copy.deepcopy(plain)
    compile_parts(compiled, "default", backend="eager")  # the graph is captured; its kernels are torch's own
    assert all(part._compiled_call_impl is not None for part in compiled.children())
    x = torch.rand(4, 1, 28, 28)
    for model in (plain, compiled):
        torch.manual_seed(0)
        model.train()(x).square().mean().backward()
    torch.testing.assert_close(compiled.head.weight.grad, plain.head.weight.grad)
    assert list(compiled.state_dict()) == list(plain.state_dict())
    assert weights_bytes(compiled) == weights_bytes(plain)


def test_no_compiles_nothing():
    model = small_model()
    compile_parts(model, "no")
    assert all(part._compiled_call_impl is None for part in model.children())


def test_a_copy_of_a_compiled_model_is_whole():
    model = small_model()
    compile_parts(model, "default", backend="eager")
    twin = copy.deepcopy(model)  # what weight averaging does
    torch.testing.assert_close(twin(torch.ones(1, 1, 28, 28)), model(torch.ones(1, 1, 28, 28)))
