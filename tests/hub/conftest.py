"""A loopback Hub for every test of this folder and of tests/faults."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub.server import HubServer

TOKENS = {"hf_alice_secret": "alice", "hf_bob_secret": "bob"}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A fresh server that the client of this process talks to, anonymously, with a cache of its own and xet off."""
    with HubServer(tmp_path / "hub", TOKENS) as server:
        use_hub(server.url, tmp_path / "cache", monkeypatch)
        yield server
    assert not server.errors, server.errors[0]


def use_hub(url: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point the client of this process at a server until the test ends."""
    from huggingface_hub import constants

    for name, value in client_settings(url, cache).items():
        monkeypatch.setattr(constants, name, value)
    sleep = time.sleep
    # the client's waits before it retries
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(min(seconds, 0.02)))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


def client_settings(url: str, cache: Path, *, xet: bool = False) -> dict[str, object]:
    """What HF_ENDPOINT, HF_HUB_CACHE and so on do to a process that imports the client after they are set."""
    return {
        "ENDPOINT": url,
        "HUGGINGFACE_CO_URL_TEMPLATE": url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(cache),
        "HF_XET_CACHE": str(cache / "xet"),
        "HF_HUB_DISABLE_XET": not xet,
        "HF_HUB_DISABLE_TELEMETRY": True,
        "HF_HUB_DISABLE_PROGRESS_BARS": True,
        "HF_TOKEN_PATH": str(cache / "token"),
    }


def be_client(url: str, cache: Path, token: str | None = None, *, xet: bool = False) -> None:
    """The same for a forked process, which lives no longer than its task."""
    from huggingface_hub import constants

    for name, value in client_settings(url, cache, xet=xet).items():
        setattr(constants, name, value)
    os.environ.pop("HF_TOKEN", None)
    if token:
        os.environ["HF_TOKEN"] = token


@pytest.fixture
def as_alice(monkeypatch: pytest.MonkeyPatch) -> str:
    """The token of the owner "alice", set as users set theirs."""
    monkeypatch.setenv("HF_TOKEN", "hf_alice_secret")
    return "hf_alice_secret"


def child_env(url: str, cache: Path, **more: str) -> dict[str, str]:
    """The environment of a process that talks to the server."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_") and "proxy" not in key.lower()}
    settings = {"HF_ENDPOINT": url, "HF_HUB_CACHE": str(cache), "HF_HOME": str(cache), "HF_HUB_DISABLE_XET": "1"}
    return {**kept, **settings, "HF_HUB_DISABLE_TELEMETRY": "1", "OMP_NUM_THREADS": "1", **more}
