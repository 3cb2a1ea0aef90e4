"""What a repository or a server can't do to a user: run code, reach other files, take memory, or get hold of a token."""

import json
import logging
import re
import struct

import pytest
import torch

import zoo
from tests.hub.folders import make_folder
from zoo.errors import CheckpointError, PublishError
from zoo.store import folder as checkpoint
from zoo.store.publish import publish

SECRET = "hf_alice_secret"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("made") / "tiny-mnist")


def put(hub, files, name="mallory/model"):
    """Place any files in a repository of the server, as somebody does who doesn't use this package."""
    repo = hub.repos.get(name) or hub.add_repo(name)
    git, head = repo.git, repo.git.ref("heads/main")
    blobs = git.files(head) | {path: git.put("blob", raw) for path, raw in files.items()}
    git.set_ref("heads/main", git.commit(blobs, "put", head))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_foreign_files_are_not_even_fetched(hub, folder):
    mark = "import pathlib; pathlib.Path('ran').touch()"
    extra = {
        "modeling.py": mark,
        "lenet5.py": mark,
        "__init__.py": mark,
        "pytorch_model.bin": "x",
        "data.pkl": "x",
        "setup.json": "1",
    }
    put(hub, contents(folder) | {path: text.encode() for path, text in extra.items()})
    zoo.load("hf://mallory/model")
    fetched = {request.rpartition("/")[2] for request in hub.requests("GET .*resolve-cache")}
    assert fetched == {"config.json", "model.safetensors", "golden.safetensors", "metrics.json"}


@pytest.mark.parametrize(
    "path", ["../../../escaped.json", "a/../../../../escaped.safetensors", "/tmp/escaped.json", "..\\escaped.json"]
)
def test_paths_that_lead_elsewhere_are_ignored(hub, folder, tmp_path, monkeypatch, path):
    put(hub, contents(folder))
    honest = hub.items
    monkeypatch.setattr(
        hub, "items", lambda *a: [*honest(*a), {"type": "file", "oid": "0" * 40, "size": 1, "path": path}]
    )
    zoo.load("hf://mallory/model")
    assert not [p for p in tmp_path.rglob("escaped*")] and not hub.requests("escaped")


def test_config_cannot_name_a_python_path(hub, folder):
    config = json.loads((folder / "config.json").read_text())
    for architecture in (
        "os.system",
        "zoo.models.convnets.lenet5:LeNet5",
        "builtins.eval",
        ["lenet5"],
        None,
        "lenet5\0",
    ):
        put(hub, contents(folder) | {"config.json": json.dumps({**config, "architecture": architecture}).encode()})
        with pytest.raises(CheckpointError, match="isn't in the registry"):
            zoo.load("hf://mallory/model")


def test_nothing_on_the_way_unpickles(hub, folder, monkeypatch):
    import pickle

    def refuse(*_, **__):
        raise AssertionError("something was unpickled")

    put(hub, contents(folder))
    for module, name in ((torch, "load"), (pickle, "load"), (pickle, "loads"), (pickle, "Unpickler")):
        monkeypatch.setattr(module, name, refuse)
    zoo.load("hf://mallory/model")
    zoo.verify(folder)


def header(tensors: dict, body: bytes = b"") -> bytes:
    raw = json.dumps(tensors).encode()
    return struct.pack("<Q", len(raw)) + raw + body


LIES = {
    "header longer than the file": struct.pack("<Q", 2**40) + b"{}",
    "header of 2^63 bytes": struct.pack("<Q", 2**63) + b"{}",
    "100 GB shape": header({"head.weight": {"dtype": "F32", "shape": [25 * 10**9], "data_offsets": [0, 10**11]}}),
    "100 GB shape on four bytes": header(
        {"w": {"dtype": "F32", "shape": [25 * 10**9], "data_offsets": [0, 4]}}, b"1234"
    ),
    "shape that overflows": header({"w": {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 4]}}, b"1234"),
    "empty shape of 2^60 columns": header({"w": {"dtype": "F32", "shape": [0, 2**60, 2**60], "data_offsets": [0, 0]}}),
    "overlapping tensors": header(
        {n: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for n in ("a", "b")}, b"1234"
    ),
    "negative offsets": header({"w": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}, b"1234"),
    "no JSON": struct.pack("<Q", 8) + b"notjson!",
    "a pickle": b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00cos\nsystem\n.",
    "empty file": b"",
    "unknown dtype": header({"w": {"dtype": "PICKLE", "shape": [1], "data_offsets": [0, 4]}}, b"1234"),
}


@pytest.mark.parametrize("lie", LIES)
def test_lying_headers_are_refused(hub, folder, lie):
    import hashlib

    raw = LIES[lie]
    config = json.loads((folder / "config.json").read_text())
    config["weights"]["sha256"] = hashlib.sha256(raw).hexdigest()  # the hash itself is right
    put(hub, contents(folder) | {"model.safetensors": raw, "config.json": json.dumps(config).encode()})
    with pytest.raises(CheckpointError, match=r"valid safetensors|don't fit"):
        zoo.load("hf://mallory/model")


@pytest.mark.parametrize("init", [{"num_classes": 3 * 10**8}, {"in_channels": 10**9}, {"num_classes": 2**62}])
def test_config_cannot_ask_for_more_memory_than_the_weights_explain(folder, tmp_path, init):
    import resource

    copy = make_folder(tmp_path / "tiny-mnist")
    config = json.loads((copy / "config.json").read_text())
    config["init"] |= init
    (copy / "config.json").write_text(json.dumps(config))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError, match=r"far larger model|can't build"):
        checkpoint.read(copy)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # KiB


@pytest.mark.parametrize("damage", ["flip", "cut", "append"])
def test_weights_are_hashed_before_they_are_parsed(hub, folder, monkeypatch, damage):
    raw = (folder / "model.safetensors").read_bytes()
    changed = {"flip": raw[:-1] + bytes([raw[-1] ^ 1]), "cut": raw[:-100], "append": raw + b"\0"}[damage]
    put(hub, contents(folder) | {"model.safetensors": changed})
    monkeypatch.setattr(checkpoint, "parse_safetensors", lambda raw: pytest.fail("unchecked bytes were parsed"))
    with pytest.raises(CheckpointError, match="damaged or was changed"):
        zoo.load("hf://mallory/model")


# Tokens ------------------------------------------------------------------------------------------------------------------


def test_token_goes_to_the_endpoint_and_not_to_the_cdn(hub, folder, as_alice):
    publish(folder, "alice/tiny-mnist", private=True)
    zoo.load("hf://alice/tiny-mnist")
    sent = {bool(r.headers.get("authorization")) for r in hub.log if "/cdn" not in r.path}
    assert sent == {True}
    elsewhere = [r for r in hub.log if r.path.startswith("/cdn")]
    assert {r.method for r in elsewhere} == {"GET", "PUT"}
    assert not any("authorization" in r.headers or SECRET in str(r.headers) + r.query for r in elsewhere)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 418, 500, 503])
def test_a_server_that_sends_the_token_back_doesnt_get_it_into_the_error(hub, folder, status, monkeypatch, capfd):
    records: list[logging.LogRecord] = []
    handler = logging.Handler(logging.DEBUG)
    monkeypatch.setattr(handler, "emit", records.append)
    monkeypatch.setattr(logging.root, "handlers", [handler])
    monkeypatch.setattr(logging.root, "level", logging.DEBUG)
    put(hub, contents(folder))
    hub.fault("status", ".*", status, times=10**6, **{"X-Error-Message": f"you sent {SECRET}", "X-Error-Code": "Odd"})
    for call in (
        lambda: zoo.load("hf://mallory/model", token=SECRET),
        lambda: publish(folder, "alice/tiny-mnist", token=SECRET),
    ):
        with pytest.raises((CheckpointError, PublishError)) as caught:
            call()
        import traceback

        assert SECRET not in "".join(traceback.format_exception(caught.value))
    ours = [record for record in records if not record.name.startswith(("httpcore", "h11"))]
    assert SECRET not in "".join(record.getMessage() for record in ours)
    out, err = capfd.readouterr()
    assert SECRET not in out + err


def test_token_is_blotted_out_of_a_login_too(hub, folder, as_alice):
    put(hub, contents(folder))
    hub.fault("status", ".*", 418, times=10**6, **{"X-Error-Message": f"you sent {SECRET}"})
    with pytest.raises(CheckpointError) as caught:
        zoo.load("hf://mallory/model")
    assert SECRET not in str(caught.value) and "hf_***" in str(caught.value)


def test_no_file_of_the_package_holds_a_way_to_unpickle():
    from pathlib import Path

    root = Path(zoo.__file__).parent
    for path in root.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if path.name == "ckpt.py":  # Lightning's own files, of which tensors and plain values are read
            text = re.sub(r"torch\.load\([^\n]*weights_only=True\)", "", text)
        for word in ("torch.load(", "import pickle", "allow_pickle=True", "trust_remote_code", "weights_only=False"):
            assert word not in text, f"{path.name} uses {word}"
