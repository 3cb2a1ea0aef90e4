"""A full disk, and many processes that want the same model at once."""

import ctypes
import os
import resource
import time

import pytest

import zoo
from tests import forked
from tests.faults.counts import count, record
from tests.faults.test_kill import digest
from tests.hub.conftest import be_client
from tests.hub.folders import small_model
from zoo.errors import CheckpointError
from zoo.store import folder as checkpoint
from zoo.store.publish import publish

NAME = "hf://alice/tiny-mnist"
NO_MOUNT = 77


@pytest.fixture
def published(hub, folders, as_alice):
    return publish(folders[0], "alice/tiny-mnist")


def small_disk(place, kilobytes: int) -> None:
    """Mount a file system of that size, for this process alone; ends it with NO_MOUNT where that isn't allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    user, mounts, private = 0x10000000, 0x00020000, 0x4000 | 0x40000  # CLONE_NEWUSER, CLONE_NEWNS, MS_REC | MS_PRIVATE
    place.mkdir(parents=True, exist_ok=True)
    who = os.getuid(), os.getgid()
    if libc.unshare(mounts):  # not root: be root in a name space of one's own
        if libc.unshare(user | mounts):
            os._exit(NO_MOUNT)
        for file, text in (("setgroups", "deny"), ("uid_map", f"0 {who[0]} 1"), ("gid_map", f"0 {who[1]} 1")):
            with open(f"/proc/self/{file}", "w") as control:
                control.write(text)
    libc.mount(b"none", b"/", None, private, None)
    if libc.mount(b"none", os.fsencode(place), b"tmpfs", 0, f"size={kilobytes}k".encode()):
        os._exit(NO_MOUNT)


def load_on_a_small_disk(url, cache, mounted):
    if mounted:
        small_disk(cache, 150)
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    be_client(url, cache)
    with pytest.raises(CheckpointError, match="no space is left"):
        zoo.load(NAME)
    if mounted:
        assert ctypes.CDLL(None).mount(b"none", os.fsencode(cache), b"tmpfs", 0x20, b"size=4096k") == 0  # MS_REMOUNT
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    zoo.load(NAME)  # raises no more


@pytest.mark.parametrize("mounted", [True, False])
def test_disk_full_during_download(hub, published, tmp_path, mounted):
    code = forked.run(load_on_a_small_disk, hub.url, tmp_path / "small", mounted, fine=(0, NO_MOUNT))
    if code == NO_MOUNT:
        pytest.skip("mounting isn't allowed here")
    record("disk full during download", 1, "one named error; with space again the load succeeds")


def export_on_a_small_disk(place, mounted):
    folder = place / "tiny-mnist"
    if mounted:
        small_disk(place, 450)
    checkpoint.write(small_model(0), folder)
    before = digest(folder)
    if not mounted:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    with pytest.raises(CheckpointError, match=r"can't be written: .* is untouched"):
        checkpoint.write(small_model(1), folder)
    assert digest(folder) == before and checkpoint.verify(folder)
    assert [path.name for path in place.iterdir()] == ["tiny-mnist"]


@pytest.mark.parametrize("mounted", [True, False])
def test_disk_full_during_export(tmp_path, mounted):
    code = forked.run(export_on_a_small_disk, tmp_path / "small", mounted, fine=(0, NO_MOUNT))
    if code == NO_MOUNT:
        pytest.skip("mounting isn't allowed here")
    record("disk full during export", 1, "one named error; the old folder stands, no leftovers")


def load_and_compare(url, cache, revision, gate):
    be_client(url, cache)
    while not gate.exists():
        time.sleep(0.001)
    model = zoo.load(f"{NAME}@{revision}")
    wanted = small_model(0).state_dict()
    assert all((tensor == wanted[name]).all() for name, tensor in model.state_dict().items())


def test_many_processes_load_the_same_model_at_once(hub, published, tmp_path):
    rounds, together = count(1, 5), count(6, 20)
    for i in range(rounds):
        gate = tmp_path / f"gate{i}"
        arguments = (hub.url, tmp_path / f"shared{i}", published.revision, gate)
        processes = [forked.start(load_and_compare, *arguments) for _ in range(together)]
        time.sleep(1.0)
        gate.touch()
        forked.finish(*processes)
        fetched = len(hub.requests("GET /cdn/"))
        hub.log.clear()
        assert fetched <= together  # the cache's lock lets one of them fetch, the others wait
        zoo.load(f"{NAME}@{published.revision}", cache_dir=tmp_path / f"shared{i}")
        assert hub.log == []
    record(
        "processes that load the same model at once into an empty cache", rounds * together, "all get the exact weights"
    )
