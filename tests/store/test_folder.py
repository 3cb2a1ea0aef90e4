"""Reading and writing a checkpoint folder: whole or not at all, and a clear error for everything that is wrong with one."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

import zoo
from tests.test_registry import with_transform
from tests.tiny import TINY
from zoo.errors import CheckpointError, InputError
from zoo.store import atomic, int8
from zoo.store import folder as checkpoint


@pytest.fixture
def folder(tmp_path):
    return with_transform(zoo.create("lenet5")).save_pretrained(tmp_path / "lenet5-test")


def edit(folder, **changes):
    path = folder / "config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(config))


def test_round_trip_keeps_all_facts(folder):
    model = zoo.load(folder)
    assert model.name == "lenet5-test"
    assert model.classes == [str(i) for i in range(10)]
    assert model.transform.mode == "L"
    assert {p.name for p in folder.iterdir()} >= {
        "config.json",
        "model.safetensors",
        "golden.safetensors",
        "preview.png",
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "resnet9000"}, "isn't in the registry"),
        ({"architecture": "os:system"}, "isn't in the registry"),
        ({"architecture": "zoo.models.convnets.lenet5:LeNet5"}, "isn't in the registry"),
        ({"architecture": ["lenet5"]}, "isn't in the registry"),
        ({"class_path": "os.system"}, "unknown keys"),
        ({"zoo_format": 99}, "update the package"),
        ({"init": {"num_clases": 10}}, "has no argument num_clases"),
        ({"init": {"num_classes": "ten"}}, "num_classes must be"),
        ({"init": {"num_classes": -1}}, "num_classes must be"),
        ({"init": {"num_classes": 7}}, "don't fit"),
        ({"init": 3}, "must be an object"),
        ({"weights": None}, "weights must be"),
        ({"preprocess": {"size": [28, 28], "mode": "??", "mean": [0], "std": [1]}}, "mode must be"),
    ],
)
def test_a_config_that_is_wrong_is_refused(folder, changes, message):
    edit(folder, **changes)
    with pytest.raises((CheckpointError, InputError), match=message):
        zoo.load(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"zoo_format": 1}', "\x00\x01", "[" * 100_000])
def test_a_config_that_is_no_config_is_refused(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(CheckpointError):
        zoo.load(folder)


def test_truncated_and_bit_flipped_weights_are_refused(folder):
    path = folder / "model.safetensors"
    raw = path.read_bytes()
    for damaged in (raw[: len(raw) // 2], raw[:4], b"", raw[:-1] + bytes([raw[-1] ^ 1])):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="sha256"):
            zoo.load(folder)
    path.unlink()
    with pytest.raises(CheckpointError, match="can't be read"):
        zoo.load(folder)


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff" * 64,  # a header of 2^64 bytes
        (10**11).to_bytes(8, "little") + b"{}",
        (60).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[999999999999],"data_offsets":[0,4]}}'[:60],
        (2).to_bytes(8, "little") + b"[]",
        b"\x80\x04\x95",  # a pickle
    ],
)
def test_a_lying_header_is_refused(folder, raw):
    import hashlib

    (folder / "model.safetensors").write_bytes(raw)
    config = json.loads((folder / "config.json").read_text())
    edit(folder, weights=config["weights"] | {"sha256": hashlib.sha256(raw).hexdigest()})
    with pytest.raises(CheckpointError, match="isn't a valid safetensors"):
        zoo.load(folder)


def test_verify_notices_a_changed_weight_a_changed_layer_and_a_changed_transform(folder, monkeypatch):
    assert max(zoo.verify(folder).values()) < 1e-5
    config = json.loads((folder / "config.json").read_text())
    edit(folder, preprocess=config["preprocess"] | {"mean": [0.5]})
    with pytest.raises(CheckpointError, match=r"golden output (input|logits) deviates"):
        zoo.verify(folder)
    edit(folder, preprocess=config["preprocess"])
    from zoo.models.convnets.lenet5 import LeNet5

    original = LeNet5.features
    monkeypatch.setattr(LeNet5, "features", lambda self, x: {k: v * 1.01 for k, v in original(self, x).items()})
    with pytest.raises(CheckpointError, match="golden output logits deviates"):
        zoo.verify(folder)


def test_writing_is_all_or_nothing(folder, monkeypatch):
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    monkeypatch.setattr(checkpoint, "run_golden", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(CheckpointError, match="disk full"):
        with_transform(zoo.create("lenet5")).save_pretrained(folder)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


def test_a_death_between_the_two_renames_is_mended(folder):
    import os

    os.rename(folder, folder.with_name(f".{folder.name}.old"))
    with atomic.replacing(folder) as staged:
        assert (staged / "config.json").exists()
    assert zoo.load(folder)


def test_a_new_head_replaces_exactly_the_head(folder, capsys):
    old, new = zoo.load(folder), zoo.load(folder, num_classes=3)
    assert new.head.out_features == 3
    assert not new.training
    assert "head.weight" in capsys.readouterr().out
    for key, value in old.state_dict().items():
        if not key.startswith("head."):
            assert torch.equal(value, new.state_dict()[key])
    again = new.save_pretrained(folder.with_name("three-classes"))
    assert zoo.load(again).head.out_features == 3


def test_tied_weights_are_stored_once_and_survive(tmp_path):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.out = nn.Embedding(5, 4), nn.Linear(4, 5, bias=False)
            self.out.weight = self.embed.weight

    model, other = Tied(), Tied()
    (tmp_path / "w.safetensors").write_bytes(checkpoint.weights_bytes(model))
    tensors = checkpoint.read_tensors(tmp_path / "w.safetensors")
    assert len(tensors) == 1
    checkpoint.load_tensors(other, tensors)
    assert torch.equal(other.out.weight, model.embed.weight)
    assert other.out.weight is other.embed.weight


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int8])
def test_weights_stored_in_few_bits_load_as_float32(tmp_path, dtype):
    model = with_transform(zoo.create("lenet5"))
    checkpoint.write(model, tmp_path / "small", dtype=dtype)
    loaded = zoo.load(tmp_path / "small")
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    assert zoo.verify(tmp_path / "small")
    assert json.loads((tmp_path / "small" / "config.json").read_text())["weights"]["dtype"] == str(dtype)[6:]
    first, again = (m.head.weight for m in (model, loaded))
    assert torch.allclose(first, again, atol=first.abs().max().item() / 2**8)


def test_tied_weights_in_int8(tmp_path):
    model = zoo.create("gpt", **TINY["gpt"].init | {"width": 64, "tied": True})
    checkpoint.write(model, tmp_path / "tied", dtype=torch.int8)
    loaded = zoo.load(tmp_path / "tied")
    assert loaded.head.weight is loaded.embedding.weight


@given(st.integers(4096, 4300), st.integers(0, 2**31), st.floats(-40, 4))
@settings(max_examples=30, deadline=None)
def test_int8_is_off_by_half_a_step_of_each_block_at_most(numel, seed, log_scale):
    w = torch.randn(numel, generator=torch.Generator().manual_seed(seed)) * 10**log_scale
    w[:64] = 0
    packed = int8.pack({"w": w, "short": w[:10].double(), "count": torch.arange(5000)})
    assert packed["w"].dtype == torch.int8 and packed["w"].shape == w.shape
    assert packed["short"].dtype == torch.float32 and packed["count"].dtype == torch.int64
    unpacked = int8.unpack(packed)
    assert unpacked.keys() == {"w", "short", "count"}
    step = torch.repeat_interleave(packed["w:scales"], 64)[:numel]
    assert ((unpacked["w"] - w).abs() <= 0.501 * step + torch.finfo(torch.float32).tiny).all()
    assert torch.equal(int8.pack(unpacked)["w"], packed["w"])  # packing again changes nothing


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("w"), "no int8 tensor"),
        (lambda t: t.update({"w": t["w"].float()}), "no int8 tensor"),
        (lambda t: t.update({"w:scales": t["w:scales"][:-1]}), "must be floats"),
        (lambda t: t.update({"w:scales": t["w:scales"].int()}), "must be floats"),
    ],
)
def test_int8_with_scales_that_belong_to_nothing_is_refused(change, message):
    tensors = int8.pack({"w": torch.ones(70, 70)})
    change(tensors)
    with pytest.raises(CheckpointError, match=message):
        int8.unpack(tensors)


def test_a_folder_without_config_is_no_checkpoint(tmp_path):
    save_file({"a": torch.ones(1)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="no checkpoint folder"):
        zoo.load(tmp_path)
