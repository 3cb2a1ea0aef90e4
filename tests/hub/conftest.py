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
    """What HF_ENDPOINT, HF_HUB_CACHE and HF_HUB_DISABLE_XET do to a process that imports the client after they are set."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache / "token"))
    sleep = time.sleep
    monkeypatch.setattr(
        time, "sleep", lambda seconds: sleep(min(seconds, 0.02))
    )  # the client's waits before it retries
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


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
