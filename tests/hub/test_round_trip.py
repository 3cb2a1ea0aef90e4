"""Publish with the official client, load with the official client, count the requests."""

import hashlib
import json

import pytest
import torch

import zoo
from tests.hub.folders import RECIPE, make_folder, small_model
from zoo.errors import CheckpointError, PublishError
from zoo.index import ModelInfo
from zoo.store import hub as zoo_hub
from zoo.store.pin import write_pin
from zoo.store.publish import publish

pytestmark = pytest.mark.usefixtures("hub")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("made") / "tiny-mnist")


@pytest.fixture
def published(hub, folder, as_alice):
    return publish(folder, "alice/tiny-mnist")


def pin(monkeypatch, published, **changes):
    """Put the published model into the index, as the generated file would."""
    facts = {"name": "tiny-mnist", "architecture": "lenet5", "task": "image-classification", "dataset": "mnist"}
    facts |= {"parameters": 1, "size": 1, "licence": "apache-2.0", "paper": "", "summary": ""}
    facts |= {"sha256": published.sha256, "repo": published.repo, "revision": published.revision}
    entry = ModelInfo(**(facts | changes))
    monkeypatch.setattr(zoo_hub, "entries", lambda: {"tiny-mnist": entry})


def test_one_commit_holds_the_whole_folder_and_the_tag_points_at_it(hub, folder, published):
    git = hub.repos["alice/tiny-mnist"].git
    assert published.revision == git.ref("heads/main") == git.ref(f"tags/v{zoo.__version__}")
    assert len(git.history(published.revision)) == 2  # the Hub's initial commit and ours
    files = set(git.files(published.revision)) - {".gitattributes"}
    assert files == {path.name for path in folder.iterdir()}
    for path in folder.iterdir():
        if path.name != "README.md":
            assert git.content(published.revision, path.name) == path.read_bytes()
    assert published.sha256 == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def test_the_published_card_is_valid_and_its_snippet_names_the_repository(hub, published):
    card = hub.repos["alice/tiny-mnist"].git.content(published.revision, "README.md").decode()
    assert 'zoo.load("hf://alice/tiny-mnist")' in card
    from huggingface_hub import HfApi

    info = HfApi().model_info("alice/tiny-mnist")
    assert (info.pipeline_tag, info.library_name) == ("image-classification", "lightning-model-zoo")
    assert info.card_data.license == "apache-2.0" and info.card_data.eval_results[0].metric_value == 0.1


def test_loads_bit_for_bit_by_repository(published):
    loaded = zoo.load("hf://alice/tiny-mnist")
    state = small_model().state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in loaded.state_dict().items())
    assert not loaded.training and loaded.transform is not None


def test_unchanged_content_makes_no_commit(hub, folder, published):
    hub.log.clear()
    again = publish(folder, "alice/tiny-mnist")
    assert (again.revision, again.changed) == (published.revision, ())
    assert not hub.requests("POST .*(commit|preupload|batch)") and not hub.requests("PUT")


def test_changed_content_makes_one_commit_of_the_changed_files(hub, folder, published, tmp_path):
    changed = make_folder(tmp_path / "tiny-mnist", seed=1)
    (changed / "history.csv").unlink()
    again = publish(changed, "alice/tiny-mnist")
    git = hub.repos["alice/tiny-mnist"].git
    assert git.history(again.revision)[1] == published.revision
    assert "model.safetensors" in again.changed and "recipe.yaml" not in again.changed
    assert "history.csv" not in git.files(again.revision)
    assert git.ref(f"tags/v{zoo.__version__}") == again.revision  # names for people move, pins don't
    zoo.load(f"hf://alice/tiny-mnist@{published.revision}")  # the old weights, whose sha256 the old config names


def test_bare_name_loads_the_pinned_commit_and_a_warm_load_makes_no_request(
    hub, published, folder, tmp_path, monkeypatch
):
    pin(monkeypatch, published)
    publish(make_folder(tmp_path / "tiny-mnist", seed=1), "alice/tiny-mnist")  # main moves on
    cold = zoo.load("tiny-mnist")
    assert torch.equal(cold.head.weight, small_model(0).head.weight)
    hub.log.clear()
    warm = zoo.load("tiny-mnist")
    assert torch.equal(warm.head.weight, cold.head.weight) and zoo.verify("tiny-mnist")
    assert hub.log == []
    newest = zoo.load("tiny-mnist", revision="main")
    assert torch.equal(newest.head.weight, small_model(1).head.weight) and hub.log


def test_config_is_fetched_once_per_load_for_the_download_count(hub, published):
    hub.log.clear()
    zoo.load(f"hf://alice/tiny-mnist@{published.revision}")
    assert len(hub.requests("GET .*/config.json")) == 1
    assert not hub.requests("README.md|preview.png|history.csv|recipe.yaml")  # loading needs none of them


def test_offline_and_local_files_only(hub, published, monkeypatch, tmp_path):
    pin(monkeypatch, published)
    with pytest.raises(CheckpointError, match=r"not on this machine .* run `zoo download"):
        zoo.load("tiny-mnist", local_files_only=True)
    elsewhere = tmp_path / "elsewhere"
    zoo.load("tiny-mnist", cache_dir=elsewhere)
    hub.log.clear()
    zoo.load("tiny-mnist", cache_dir=elsewhere, local_files_only=True)
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    zoo.load("tiny-mnist", cache_dir=elsewhere)
    zoo.load("hf://alice/tiny-mnist@" + published.revision, cache_dir=elsewhere)
    with pytest.raises(CheckpointError, match="not on this machine"):
        zoo.load("tiny-mnist")
    assert hub.log == []


def test_tags_branches_and_commits_are_revisions(published):
    for revision in (f"v{zoo.__version__}", "main", published.revision):
        zoo.load("hf://alice/tiny-mnist", revision=revision)
        zoo.load(f"hf://alice/tiny-mnist@{revision}")
    with pytest.raises(CheckpointError, match="no revision 'v9'"):
        zoo.load("hf://alice/tiny-mnist@v9")


def test_private_repository_needs_the_token(hub, folder, as_alice, monkeypatch):
    publish(folder, "alice/secret-mnist", private=True)
    assert hub.repos["alice/secret-mnist"].private
    monkeypatch.delenv("HF_TOKEN")
    zoo.load("hf://alice/secret-mnist", token="hf_alice_secret", cache_dir=hub.root / "a")
    for token in (None, "hf_bob_secret"):
        with pytest.raises(
            CheckpointError, match=r"no repository 'alice/secret-mnist' .* or this token may not read it"
        ):
            zoo.load("hf://alice/secret-mnist", token=token)


def test_gated_repository_says_to_ask_for_access(hub, published, monkeypatch):
    hub.repos["alice/tiny-mnist"].gated = True
    monkeypatch.delenv("HF_TOKEN")
    for token in (None, "hf_bob_secret"):
        with pytest.raises(CheckpointError, match="is gated: ask for access"):
            zoo.load("hf://alice/tiny-mnist", token=token)


def test_unknown_repository_and_malformed_names():
    with pytest.raises(CheckpointError, match="no repository 'alice/none'"):
        zoo.load("hf://alice/none")
    for name in ("hf://", "hf://a/b/c", "hf://alice/../x", "hf://alice/ä"):
        with pytest.raises(CheckpointError, match="is no repository name"):
            zoo.load(name)


def test_two_publishers_at_once_one_is_refused(hub, folder, published, tmp_path):
    changed = make_folder(tmp_path / "tiny-mnist", seed=1)
    git = hub.repos["alice/tiny-mnist"].git

    def somebody_else_commits():
        git.set_ref("heads/main", git.commit(git.files(published.revision), "theirs", published.revision))

    hub.fault("call", "POST .*/commit/", somebody_else_commits)
    with pytest.raises(PublishError, match="somebody else published"):
        publish(changed, "alice/tiny-mnist")
    again = publish(changed, "alice/tiny-mnist")
    assert [git.get(c).decode().rpartition("\n\n")[2].strip() for c in git.history(again.revision)][1] == "theirs"


def test_dry_run_makes_no_request(hub, folder):
    done = publish(folder, "alice/tiny-mnist", dry_run=True)
    assert "model.safetensors" in done.changed and hub.log == []


def test_publishing_without_a_right_to_it(folder, monkeypatch):
    with pytest.raises(PublishError, match="doesn't accept this token"):
        publish(folder, "alice/tiny-mnist")
    with pytest.raises(PublishError, match="may not do that"):
        publish(folder, "alice/tiny-mnist", token="hf_bob_secret")


def test_pin_goes_stale_with_the_weights(folder, published, tmp_path):
    from zoo.store.cards import Folder

    copy = make_folder(tmp_path / "tiny-mnist")
    write_pin(copy, published)
    entry = Folder(copy).entry
    assert (entry["repo"], entry["revision"], entry["sha256"]) == (published.repo, published.revision, published.sha256)
    assert "hub.json" not in publish(copy, "alice/tiny-mnist", dry_run=True).changed
    make_folder(copy, seed=1)
    assert "repo" not in Folder(copy).entry


def test_a_users_fine_tuned_model_publishes_and_loads_alike(hub, published, as_alice, tmp_path, monkeypatch):
    import lightning as L
    from torch.utils.data import DataLoader

    class Flowers(L.LightningDataModule):
        name = "flowers"

        def test_dataloader(self):
            x = torch.rand(32, 1, 28, 28, generator=torch.Generator().manual_seed(0))
            return DataLoader(list(zip(x, torch.arange(32) % 5, strict=True)), batch_size=16)

    model = zoo.load("hf://alice/tiny-mnist", num_classes=5)
    model.classes = ["daisy", "rose", "tulip", "lily", "iris"]
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE.format(name="flowers"))
    with pytest.raises(PublishError, match=r"no recipe .*; it has no metrics"):
        model.push_to_hub("alice/flowers")
    assert "alice/flowers" not in hub.repos
    done = model.push_to_hub(
        "alice/flowers", data=Flowers(), recipe=recipe, licence="mit", base_model="alice/tiny-mnist", private=True
    )
    loaded = zoo.load("hf://alice/flowers")
    assert torch.equal(loaded.head.weight, model.head.weight) and loaded.classes == model.classes
    card = hub.repos["alice/flowers"].git.content(done.revision, "README.md").decode()
    from huggingface_hub import ModelCard

    data = ModelCard(card).data
    assert (data.license, data.base_model) == ("mit", "alice/tiny-mnist")
    assert data.eval_results[0].dataset_name == "flowers"


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (lambda f: (f / "recipe.yaml").unlink(), "it has no recipe"),
        (lambda f: (f / "metrics.json").unlink(), "it has no metrics"),
        (lambda f: (f / "golden.safetensors").unlink(), "golden tensors"),
        (
            lambda f: (f / "README.md").write_text((f / "README.md").read_text().replace("license: apache-2.0\n", "")),
            "licence",
        ),
        (lambda f: (f / "README.md").write_text("---\nlicense: [\n---\n"), "no valid front matter"),
        (lambda f: (f / "metrics.json").write_text("[]"), "holds no metric"),
        (lambda f: (f / "metrics.json").write_text('{"accuracy": 1}'), "isn't a list of measured metrics"),
        (lambda f: edit_metric(f, sha256="0" * 64), "wasn't measured from this model.safetensors"),
        (lambda f: edit_metric(f, how=""), "doesn't say how it was measured"),
        (lambda f: other_weights(f), "another sha256"),
        (lambda f: other_golden(f), "golden output logits deviates"),
        (lambda f: (f / "recipe.yaml").write_text("- 1"), "must hold a mapping"),
    ],
)
def test_unfit_folders_are_refused_before_any_request(hub, as_alice, tmp_path, broken, says):
    folder = make_folder(tmp_path / "tiny-mnist")
    broken(folder)
    with pytest.raises(PublishError, match=says):
        publish(folder, "alice/tiny-mnist")
    assert hub.log == [] and hub.repos == {}


def edit_metric(folder, **changes):
    metrics = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").write_text(json.dumps([{**m, **changes} for m in metrics]))


def other_weights(folder):
    raw = bytearray((folder / "model.safetensors").read_bytes())
    raw[-1] ^= 1
    (folder / "model.safetensors").write_bytes(bytes(raw))


def other_golden(folder):
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "golden.safetensors")
    tensors["out/logits"] += 0.1
    save_file(tensors, folder / "golden.safetensors")
