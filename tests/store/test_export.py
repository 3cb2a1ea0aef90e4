"""Exported models give the model's own outputs, for batches of other sizes too."""

import pytest
import torch
from safetensors.torch import load_file

import zoo
from tests.sweeps import some
from zoo.cli.main import main
from zoo.errors import InputError
from zoo.store import export as exporting
from zoo.store.export import export

QUICK = ("lenet5-mnist", "vae-mnist", "pca-mnist", "boltzmann-bars")
SLOW = ("vit-mnist", "gpt-xor", "realnvp-moons")


@pytest.mark.filterwarnings("ignore:No complete tensor found")
@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_a_program_of_torch_export_equals_the_model(name, tmp_path):
    path, deviation = export(zoo.load(name), "pt2", tmp_path / "model.pt2")
    assert path.stat().st_size > 1000 and deviation < 1e-5


@pytest.mark.parametrize("name", some(["lenet5-mnist", "gpt-xor", "vae-mnist"], lambda _: "any", few=1))
def test_onnx_equals_the_model_at_any_batch(name, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    path, deviation = export(zoo.load(name), "onnx", tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(path))
    assert deviation < 1e-4 and not isinstance(session.get_inputs()[0].shape[0], int)
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]


def test_a_program_that_froze_the_size_of_a_batch_is_refused():
    model = zoo.load("logistic-mnist")
    inputs = exporting.example(model)
    frozen = model(*inputs)
    with pytest.raises(InputError, match=f"for batches of {len(inputs[0])} alone: with {len(inputs[0]) + 1} it gives"):
        exporting._deviation(model, inputs, lambda _: frozen)


def test_plain_tensors_are_the_weights_in_float32(tmp_path):
    model = zoo.load("lstm-shakespeare")  # stored in int8
    path, _ = export(model, "safetensors", tmp_path / "model.safetensors")
    tensors = load_file(path)
    assert tensors.keys() == model.state_dict().keys()
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in tensors.items())


def test_what_cannot_be_written_is_said_before_the_work(tmp_path, monkeypatch, capsys):
    model = zoo.load("lenet5-mnist")
    for to, path, said in (
        ("tflite", None, "onnx, pt2, safetensors, not 'tflite'"),
        ("onnx", tmp_path / "a.pt2", "ends in .onnx"),
        ("onnx", tmp_path / "no" / "a.onnx", "is no folder"),
    ):
        with pytest.raises(InputError, match=said):
            export(model, to, path)
    with pytest.raises(InputError, match="gcn-karate"):
        export(zoo.load("gcn-karate"), "pt2", tmp_path / "a.pt2")
    assert not list(tmp_path.iterdir())
    monkeypatch.chdir(tmp_path)
    assert main(["export", "lenet5-mnist", "--to", "safetensors"]) == 0
    assert (
        tmp_path / "lenet5-mnist.safetensors"
    ).is_file() and "its outputs are the model's" in capsys.readouterr().out
