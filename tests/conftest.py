"""Shared set-up: two threads at most, no network, and the full data sets only for tests that bear the marker `data`.

`@pytest.mark.data("mnist", "cora")` names the data modules (or folders of the data root) that a test reads; a function
in place of the names gets the test's parameters. Such a test is skipped where the data root lacks one of them. Every other
test has an empty data root, and fails if it reads the real one all the same, or asks for another machine.
"""

import gc
import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
LOOPBACK = ("localhost", "127.", "::1", "0.0.0.0")

# What presses on Linux's own means: processes that are forked and killed, /proc, memory in KiB.
LINUX = ["faults", "hub", "scale", "core/test_allocator.py", "train/test_finetuning_options.py"]
collect_ignore = [] if sys.platform == "linux" else LINUX

gc.disable()  # while tests are collected, nearly all that is made stays
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
os.fsync = lambda _: None  # no test pulls a plug: what is written need not reach the disk


# The marker `data` -------------------------------------------------------------------------------------------------------


class Guard:
    """What the test that runs may touch, and what it touched beyond that."""

    def __init__(self) -> None:
        from datamodules.files import data_root

        self.given = os.environ.get("ZOO_DATA")
        self.root = str(data_root().absolute())
        self.test, self.may_read = "", True
        self.found: list[str] = []

    def __call__(self, event: str, args: tuple) -> None:
        if not self.test:
            return
        if event in ("open", "os.listdir", "os.scandir") and not self.may_read and isinstance(args[0], str | Path):
            if os.path.abspath(args[0]).startswith(self.root + os.sep):
                self.forbid(f"it reads {args[0]} without the marker data")
        elif event == "socket.getaddrinfo" and args[0] and not str(args[0]).startswith(LOOPBACK):
            self.forbid(f"it asks for the machine {args[0]}")

    def forbid(self, what: str) -> None:
        self.found.append(what)
        raise PermissionError(f"{self.test}: {what}")


GUARD = Guard()
sys.addaudithook(GUARD)


@cache
def holds(name: str) -> bool:
    """Whether the data root holds what a data module needs, or a folder of that name."""
    from datamodules import files
    from zoo import registry

    if name not in registry.DATAMODULES:
        return (files.data_root() / name).is_dir()

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no test downloads data")

    patch = pytest.MonkeyPatch()
    patch.setattr(files, "_download", refuse)
    try:
        registry.datamodule_class(name)().prepare_data()
    except files.DataNotFoundError:
        return False
    finally:
        patch.undo()
    return True


def wanted(item: pytest.Item) -> list[str] | None:
    """The data sets that a test's marker names; None without the marker."""
    markers = list(item.iter_markers("data"))
    if not markers:
        return None
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    names = []
    for name in (arg for marker in markers for arg in marker.args):
        names += [name] if isinstance(name, str) else [found for found in [name(**parameters)] if found]
    return names


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Give a test the data root that it may read, before any fixture looks for it."""
    names = wanted(item)
    GUARD.test, GUARD.may_read, GUARD.found = "", names is not None, []
    os.environ["ZOO_DATA"] = GUARD.root if names is not None else str(ROOT / "runs" / "no-data")
    if missing := [name for name in names or () if not holds(name)]:
        pytest.skip(f"the data root lacks {', '.join(missing)}")
    GUARD.test = item.nodeid


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fail a test that reached too far, whatever it made of the error."""
    result = yield
    if GUARD.found:
        pytest.fail(GUARD.found[0], pytrace=False)
    return result


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    GUARD.test = ""
    if GUARD.given is None:
        os.environ.pop("ZOO_DATA", None)
    else:
        os.environ["ZOO_DATA"] = GUARD.given


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what bears the marker `slow`, unless it is asked for: with ZOO_FULL=1, -m slow, or by its own name."""
    if os.environ.get("ZOO_FULL") or "slow" in config.option.markexpr or any("::" in arg for arg in config.args):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if not item.get_closest_marker("slow")]


def pytest_collection_finish() -> None:
    """Take what stays to the end, a million objects of libraries and tests, out of the garbage collector's sight."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True, scope="session")
def _crowded_pictures() -> Iterator[None]:
    """No test looks at a picture's looks: nothing makes room for its labels, which takes longer than to draw it."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    patch = pytest.MonkeyPatch()
    patch.setattr(ConstrainedLayoutEngine, "execute", lambda *_: None)
    yield
    patch.undo()


@pytest.fixture(autouse=True)
def _same_seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _small_files_of_our_own(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests of the readers write tiny files in the official formats: only those with the real files hold to their hashes."""
    if "real_hashes" not in request.fixturenames and request.node.get_closest_marker("data") is None:
        monkeypatch.setattr("datamodules.files._differs", lambda *_: None)


@pytest.fixture
def real_hashes() -> None:
    """Hold the files on disk to the published hashes."""


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any attempt to connect fails the test."""
    import socket

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the test tried to reach the network")

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror("there is no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
