"""Damaged and hostile files: whatever their bytes, reading them gives a model or one of our named errors, nothing else."""

import contextlib
import hashlib
import json
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.faults.counts import FULL, count, record
from tests.hub.folders import make_folder
from zoo.errors import ZooError
from zoo.store import folder as checkpoint
from zoo.store import int8

INPUTS = {
    "config.json": count(200, 36_000),
    "recipe.yaml": count(200, 34_000),
    "safetensors header": count(300, 40_000),
}
YAML_SIGNS = "[]{}:,&*!|>-?%@`'\"#\n\t \\=~a\ufeff\x00\x85"
YAML_WORDS = ["<<", "*a", "&a ", ": ", "- ", "0x", "0b", "1e", ".inf", "1_", "2001-99-99", "? "]
YAML_WORDS += ["!!python/object/apply:os.system", "!!binary ", "!!timestamp ", "!!int ", "!!set ", "!!omap "]
DTYPES = "BOOL U8 I8 I16 U16 F16 BF16 I32 U32 F32 F64 I64 U64 F8_E4M3 F8_E5M2 F8_E8M0 F4 C64 X".split()  # noqa: SIM905
every_kind = list(HealthCheck)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
values = st.recursive(
    scalars | st.sampled_from([2**31, 2**63, -1, 10**18, "", "os.system", "\0", 1e308]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=8,
)


def fuzz(name):
    return settings(
        max_examples=INPUTS[name], deadline=None, database=None, derandomize=not FULL, suppress_health_check=every_kind
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("fuzz") / "tiny-mnist")


@st.composite
def damaged(draw, raw: bytes) -> bytes:
    """Bytes with some flipped, cut out, doubled or put in."""
    found = bytearray(raw)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(found)))
        kind = draw(st.sampled_from(["flip", "cut", "put", "end"]))
        if kind == "flip" and at < len(found):
            found[at] ^= draw(st.integers(1, 255))
        elif kind == "cut":
            del found[at : at + draw(st.integers(1, 40))]
        elif kind == "put":
            found[at:at] = draw(st.binary(min_size=1, max_size=12))
        elif kind == "end":
            del found[at:]
    return bytes(found)


@st.composite
def changed(draw, tree: dict) -> dict:
    """A copy of a JSON object with other values at one to three places, or keys gone or added."""
    found = json.loads(json.dumps(tree))
    for _ in range(draw(st.integers(1, 3))):
        at = found
        while True:
            key = draw(st.sampled_from(sorted(at))) if at and draw(st.booleans()) else None
            if key is not None and isinstance(at[key], dict) and draw(st.booleans()):
                at = at[key]
                continue
            break
        if key is None:
            at[draw(st.sampled_from(["num_classes", "in_channels", "x", "class_path", "size"]))] = draw(values)
        elif draw(st.integers(0, 4)) == 0:
            del at[key]
        else:
            at[key] = draw(values)
    return found


def test_config(folder):
    path = folder / "config.json"
    whole = path.read_bytes()
    tree = json.loads(whole)
    hostile = (
        changed(tree).map(lambda t: json.dumps(t).encode())
        | damaged(whole)
        | values.map(lambda v: json.dumps(v).encode())
    )

    @fuzz("config.json")
    @given(hostile)
    def attack(raw: bytes) -> None:
        path.write_bytes(raw)
        with contextlib.suppress(ZooError):
            checkpoint.read(folder)

    attack()
    path.write_bytes(whole)
    record("fuzzed config.json", INPUTS["config.json"], "a model or a named error, never another exception")


def test_recipe(folder):
    path = folder / "recipe.yaml"
    whole = path.read_bytes()
    yaml_bits = st.lists(st.sampled_from([*YAML_SIGNS, *YAML_WORDS]), max_size=30).map("".join).map(str.encode)
    hostile = damaged(whole) | yaml_bits | yaml_bits.map(lambda bits: whole + bits) | st.binary(max_size=60)

    @fuzz("recipe.yaml")
    @given(hostile)
    def attack(raw: bytes) -> None:
        path.write_bytes(raw)
        with contextlib.suppress(ZooError):
            assert isinstance(checkpoint.read_recipe(path), dict)

    attack()
    path.write_bytes(whole)
    record("fuzzed recipe.yaml", INPUTS["recipe.yaml"], "a mapping or a named error, never another exception")


def test_safetensors_header(folder):
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    header, body = whole[8 : 8 + length], whole[8 + length :]
    tree = json.loads(header)
    model = checkpoint.read(folder)

    def sealed(text: bytes, claimed: int | None = None) -> bytes:
        return struct.pack("<Q", len(text) if claimed is None else claimed) + text

    edges = st.sampled_from([0, 1, 4, 8, 2**31, 2**62, 2**63, 2**64, -1])
    tensor = st.fixed_dictionaries(
        {
            "dtype": st.sampled_from(DTYPES),
            "shape": st.lists(edges | st.integers(0, 8), max_size=5),
            "data_offsets": st.tuples(edges, edges),
        }
    )
    lies = st.dictionaries(
        st.sampled_from([*sorted(tree), "head.weight:scales", "x", "__metadata__"]), tensor | values, max_size=4
    )
    hostile = (
        changed(tree).map(lambda t: sealed(json.dumps(t).encode()) + body)
        | damaged(header).map(lambda h: sealed(h) + body)
        | lies.map(lambda t: sealed(json.dumps(t).encode()) + body[:64])
        | st.tuples(lies, edges).map(lambda t: struct.pack("<Q", t[1] % 2**64) + json.dumps(t[0]).encode())
        | st.binary(max_size=80)
    )

    @fuzz("safetensors header")
    @given(hostile)
    def attack(raw: bytes) -> None:
        path.write_bytes(raw)
        with contextlib.suppress(ZooError):
            tensors = checkpoint.read_tensors(path, hashlib.sha256(raw).hexdigest())
            checkpoint.load_tensors(model, int8.unpack(tensors))

    attack()
    path.write_bytes(whole)
    record(
        "fuzzed safetensors headers", INPUTS["safetensors header"], "tensors that fit or a named error, nothing else"
    )


@pytest.mark.filterwarnings("ignore:.*cut out the part that is meant")
def test_golden_tensors_of_another_model_are_a_named_error(folder):
    from safetensors.torch import load_file, save_file

    path = folder / "golden.safetensors"
    whole, tensors = path.read_bytes(), load_file(path)
    for name, value in (
        ("in/image", tensors["in/image"][:, :, :5].clone()),
        ("in/image", tensors["in/image"].double() * 1e9),
    ):
        save_file({**tensors, name: value}, path)
        with pytest.raises(ZooError):
            checkpoint.verify(folder)
    save_file({k: v for k, v in tensors.items() if not k.startswith("in/")}, path)
    with pytest.raises(ZooError, match="golden inputs don't fit"):
        checkpoint.verify(folder)
    path.write_bytes(whole)
    assert checkpoint.verify(folder)
