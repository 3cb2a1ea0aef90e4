"""A Hub in trouble: what it answers, how it breaks off, what it sends in place of what was asked for."""

import random

import pytest
import torch

import zoo
from tests.faults.counts import count, record
from tests.hub.conftest import use_hub
from tests.hub.folders import small_model
from tests.hub.server import HubServer
from zoo.errors import CheckpointError, PublishError
from zoo.store.hub import locate
from zoo.store.publish import publish

NAME = "hf://alice/tiny-mnist"
STEPS = {  # the requests of a cold load
    "revision": "GET /api/models/.*/revision",
    "tree": "GET /api/models/.*/tree",
    "metadata": "HEAD .*/resolve/",
    "config": "GET .*/config.json",
    "weights": "GET /cdn/",
}


@pytest.fixture
def published(hub, folders, as_alice):
    done = publish(folders[0], "alice/tiny-mnist")
    hub.log.clear()
    return done


def same_weights(model, seed=0):
    wanted = small_model(seed).state_dict()
    return all(torch.equal(tensor, wanted[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize("step", STEPS)
def test_a_load_outlasts_passing_trouble(hub, published, step, status):
    hub.fault("status", STEPS[step], status, times=3)
    assert same_weights(zoo.load(NAME))
    record("the Hub answers 429, 500 or 503 three times in a row, at any step of a load", 1, "the load succeeds")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_lasting_trouble_has_a_name_and_leaves_no_half_model(hub, published, status):
    fault = hub.fault("status", ".*", status, times=10**6)
    with pytest.raises(CheckpointError, match=f"has trouble and answers {status}"):
        zoo.load(NAME)
    fault.times = 0
    assert same_weights(zoo.load(NAME))
    record("the Hub answers 429, 500 or 503 for good", 1, "one named error; the next load succeeds")


@pytest.mark.parametrize("step", STEPS)
def test_a_hanging_server_is_given_up(hub, published, monkeypatch, step):
    from huggingface_hub import constants

    for name in ("HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT", "DEFAULT_REQUEST_TIMEOUT"):
        monkeypatch.setattr(constants, name, 0.3, raising=False)
    hub.fault("hang", STEPS[step], 1.0, times=1)
    assert same_weights(zoo.load(NAME))
    record("the server hangs at one step of a load", 1, "the request is broken off and made again")


def test_a_body_cut_at_any_byte_is_completed(hub, published, folders, tmp_path):
    size = (folders[0] / "model.safetensors").stat().st_size
    tries = count(6, 100)
    for i, k in enumerate(random.Random(0).sample(range(size), tries)):
        hub.log.clear()
        hub.faults.clear()
        hub.fault("cut", "GET /cdn/.*", k, times=2)
        model = zoo.load(NAME, cache_dir=tmp_path / str(i))
        assert same_weights(model)
    record(
        "the connection breaks at a random byte of the weights", tries, "the download resumes; the weights are exact"
    )


def test_a_connection_that_always_breaks_has_a_name(hub, published):
    fault = hub.fault("cut", "GET /cdn/", 0, times=10**6)
    with pytest.raises(CheckpointError, match=r"couldn't be fetched|can't be reached"):
        zoo.load(NAME)
    fault.times = 0
    assert same_weights(zoo.load(NAME))
    record("the connection breaks every time", 1, "one named error; the next load succeeds")


@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])
def test_other_bytes_under_the_same_name_are_refused_until_fetched_again(hub, published, file):
    hub.fault("bytes", "GET /cdn/" if file == "model.safetensors" else f"GET .*resolve-cache.*{file}", times=1000)
    with pytest.raises(CheckpointError, match=r"damaged"):
        zoo.load(NAME)
    hub.faults.clear()
    with pytest.raises(CheckpointError, match=r"damaged"):
        zoo.load(NAME)  # the client's cache holds them now: still refused
    locate(NAME, force=True)
    assert same_weights(zoo.load(NAME))
    record(
        "the server sends other bytes under the same name", 1, "refused by sha256 before use; a forced download repairs"
    )


def test_other_weights_with_a_config_that_agrees_break_the_pin(hub, published, folders, monkeypatch):
    from tests.hub.test_round_trip import pin

    pin(monkeypatch, published)
    git = hub.repos["alice/tiny-mnist"].git
    changed = publish(folders[1], "alice/tiny-mnist")
    honest = git.files
    monkeypatch.setattr(git, "files", lambda commit: honest(changed.revision))  # a Hub that lies about a commit
    with pytest.raises(CheckpointError, match="holds other weights of tiny-mnist"):
        zoo.load("tiny-mnist")
    record(
        "a Hub that serves another model, config and all, at the pinned commit", 1, "refused by the sha256 of the index"
    )


@pytest.mark.parametrize("when", ["HEAD .*/model.safetensors", "GET /cdn/", "HEAD .*/config.json"])
def test_a_server_that_disappears_halfway(hub, published, tmp_path, monkeypatch, when):
    hub.fault("call", when, hub.vanish)
    with pytest.raises(CheckpointError, match=r"can't be reached|couldn't be fetched"):
        zoo.load(NAME)
    with pytest.raises(CheckpointError):
        zoo.load(NAME, local_files_only=True)  # half a model is no model
    with HubServer(hub.root, hub.tokens) as again:
        again.repos = hub.repos
        use_hub(again.url, tmp_path / "cache", monkeypatch)
        assert same_weights(zoo.load(NAME))
    record("the server disappears between config and weights", 1, "one named error; half a model never loads")


PUBLISHING = [
    "POST .*/preupload/",
    "POST .*/objects/batch",
    "PUT /cdn",
    "POST .*/commit/",
    "POST .*/tag/",
    "GET .*/tree/",
]


@pytest.mark.parametrize("step", PUBLISHING)
@pytest.mark.parametrize("action", ["status", "cut"])
def test_publishing_outlasts_passing_trouble(hub, published, folders, step, action):
    git = hub.repos["alice/tiny-mnist"].git
    hub.fault(action, step, 503 if action == "status" else 0, times=2)
    done = publish(folders[1], "alice/tiny-mnist", tag="v9")
    assert git.ref("heads/main") == git.ref("tags/v9") == done.revision
    assert git.history(done.revision)[1] == published.revision  # one commit, though its answer was lost
    assert git.content(done.revision, "model.safetensors") == (folders[1] / "model.safetensors").read_bytes()
    record("the Hub breaks off or answers 503 at a step of publishing", 1, "published once, by one commit")


def test_publishing_against_lasting_trouble_has_a_name(hub, published, folders):
    hub.fault("status", "POST .*/commit/", 503, times=10**6)
    with pytest.raises(PublishError, match="has trouble and answers 503"):
        publish(folders[1], "alice/tiny-mnist")
    assert hub.repos["alice/tiny-mnist"].git.ref("heads/main") == published.revision
    record("the Hub refuses every commit", 1, "one named error; the repository is as it was")
