"""Earlier weights stay loadable by revision, and everything is published by one command that can be interrupted."""

import json

import pytest
import torch

import zoo
from tests.hub.folders import make_folder, small_model
from tests.hub.test_clients import checkout as checkout
from zoo.errors import CheckpointError
from zoo.index import ModelInfo, Version
from zoo.store import hub as zoo_hub
from zoo.store import publishing
from zoo.store.cards import Folder
from zoo.store.pin import write_pin
from zoo.store.publish import publish

pytestmark = pytest.mark.usefixtures("hub")


def info_of(folder) -> ModelInfo:
    """The entry that the generated index holds for a folder."""
    entry = json.loads(json.dumps(Folder(folder).entry))
    known = {key: value for key, value in entry.items() if key not in ("metrics", "verbs", "earlier")}
    return ModelInfo(name=folder.name, **known, earlier=tuple(Version(**v) for v in entry.get("earlier", ())))


def test_weights_that_were_replaced_load_by_their_revision(hub, as_alice, tmp_path, monkeypatch):
    folder = make_folder(tmp_path / "tiny-mnist", seed=0)
    first = publish(folder, "alice/tiny-mnist", tag="v1")
    write_pin(folder, first)
    assert "earlier" not in Folder(folder).entry
    make_folder(folder, seed=1)  # trained again
    waiting = info_of(folder)
    assert waiting.repo is None and [v.revision for v in waiting.earlier] == [first.revision]
    second = publish(folder, "alice/tiny-mnist", tag="v2")
    write_pin(folder, second)
    write_pin(folder, second)  # the same command again
    entry = info_of(folder)
    assert (entry.revision, [v.sha256 for v in entry.earlier]) == (second.revision, [first.sha256])
    assert entry.earlier[0].metrics == {"mnist/test/accuracy": 0.1}
    assert f"tiny-mnist@v1  sha256 {first.sha256[:16]}" in str(entry)
    monkeypatch.setattr(zoo_hub, "entries", lambda: {"tiny-mnist": entry})
    monkeypatch.setattr("zoo.index.entries", lambda: {"tiny-mnist": entry})
    new, wanted = small_model(1).head.weight, small_model(0).head.weight
    assert torch.equal(zoo.load("tiny-mnist").head.weight, new)
    for revision in ("v1", first.revision, first.revision[:8]):
        assert torch.equal(zoo.load(f"tiny-mnist@{revision}").head.weight, wanted)
    assert torch.equal(zoo.load("tiny-mnist", revision="v1").head.weight, wanted)
    with pytest.raises(CheckpointError, match="no revision 'v9'"):
        zoo.load("tiny-mnist@v9")
    other = ModelInfo(**{**vars(entry), "earlier": (Version("alice/tiny-mnist", first.revision, "0" * 64, "v1"),)})
    monkeypatch.setattr(zoo_hub, "entries", lambda: {"tiny-mnist": other})
    with pytest.raises(CheckpointError, match="holds other weights of tiny-mnist"):
        zoo.load("tiny-mnist@v1")


def test_what_the_wheel_pins_is_what_the_hub_holds(hub, as_alice, checkout):
    """The index that goes into the wheel names a commit; the Hub's file of that commit has the index's sha256."""
    import hashlib

    for seed, name in enumerate(("a-mnist", "b-mnist")):
        make_folder(checkout / name, seed)
    assert publishing.main(["--all", "--owner", "alice"]) == 0
    entries = json.loads((checkout.parent / "index.json").read_text())["models"]
    assert set(entries) == {"a-mnist", "b-mnist"}
    for name, entry in entries.items():
        raw = hub.repos[f"alice/{name}"].git.content(entry["revision"], "model.safetensors")
        assert hashlib.sha256(raw).hexdigest() == entry["sha256"]


def test_all_are_published_with_a_summary_and_a_collection_and_go_on_where_they_were_cut(
    hub, as_alice, checkout, capsys
):
    for seed, name in enumerate(("a-mnist", "b-mnist", "c-mnist")):
        make_folder(checkout / name, seed)
    (checkout / "b-mnist" / "golden.safetensors").unlink()
    (checkout / "d-mnist").mkdir()
    (checkout / "d-mnist" / "recipe.yaml").write_text("seed_everything: 0\n")  # waits for its training
    command = ["--all", "--owner", "alice"]
    with pytest.MonkeyPatch.context() as cut:
        cut.setattr(publishing, "collect", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            publishing.main(command)
    hub.log.clear()
    capsys.readouterr()
    assert publishing.main(command) == 2
    out, err = capsys.readouterr()
    assert "a-mnist: alice/a-mnist holds all this already" in out and "collection: http" in out
    assert "error: b-mnist isn't fit to be published: it has no golden tensors" in err
    assert out.split("unchanged")[-1].split()[0] == "2" and "refused       1" in out and "d-mnist" not in out
    assert not hub.requests("POST .*commit|/api/models/")  # nothing of the unchanged ones is asked for
    (page,) = hub.collections.values()
    assert [item["id"] for item in page["items"]] == ["alice/a-mnist", "alice/c-mnist"]
    assert publishing.main([*command, "--again"]) == 2
    assert len(page["items"]) == 2 and "a-mnist: alice/a-mnist@" in capsys.readouterr().out


def test_from_pretrained_asks_for_the_class(hub, as_alice, tmp_path):
    from zoo.errors import InputError
    from zoo.models.convnets.lenet5 import LeNet5
    from zoo.models.convnets.resnet import ResNet18

    folder = make_folder(tmp_path / "tiny-mnist")
    publish(folder, "alice/tiny-mnist")
    for name in ("alice/tiny-mnist", "hf://alice/tiny-mnist", folder):
        assert torch.equal(LeNet5.from_pretrained(name).head.weight, small_model().head.weight)
    with pytest.raises(InputError, match="holds a LeNet5, no ResNet18"):
        ResNet18.from_pretrained("alice/tiny-mnist")
