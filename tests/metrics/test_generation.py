"""The whole protocol, with small untrained networks in place of the shipped ones: reports, references and refusals."""

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from datamodules.mnist import MNIST
from zoo.core.images import Transform
from zoo.core.samples import sample_split
from zoo.errors import CheckpointError
from zoo.index import Metric
from zoo.metrics import generation, reference
from zoo.metrics.frechet import frechet_distance, gaussian_statistics
from zoo.metrics.generation import evaluate_images
from zoo.models.convnets.cnn import CNN
from zoo.models.convnets.lenet5 import LeNet5
from zoo.store.files import REFERENCE

DIMENSIONS = 16


def save(folder: Path, model: CNN | LeNet5) -> str:
    model.transform, model.data = Transform([28, 28], "L", [0.1307], [0.3081]), {"name": "mnist", "init": {}}
    return str(model.eval().save_pretrained(folder))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_network: None) -> tuple[Tensor, Tensor]:
    """Training and test images of a small world whose reference file is built; no data set on disk."""
    monkeypatch.setenv("ZOO_DATA", str(tmp_path / "no-data"))
    torch.manual_seed(0)
    monkeypatch.setitem(reference.EXTRACTORS, "mnist", save(tmp_path / "eyes", CNN(width=2, embedding_dim=DIMENSIONS)))
    images, oracle = sample_split("mnist")[0], LeNet5().eval()
    with torch.no_grad():
        oracle.head.bias -= oracle((images / 255 - 0.1307) / 0.3081).mean(0)  # an untrained network sees few classes
    monkeypatch.setitem(reference.ORACLES, "mnist", save(tmp_path / "oracle", oracle))
    train, test = images[:300], images[300:]
    monkeypatch.setattr(reference, "images_of", lambda dataset: (train, test))
    reference.build("mnist")
    return train, test


def values(entries: list[dict]) -> dict[str, float]:
    return {entry["metric"]: entry["value"] for entry in entries}


def test_the_test_images_themselves_are_perfect(world):
    train, test = world
    found = values(evaluate_images(test.float() / 255, "mnist", train=train))
    assert found["fcd"] == pytest.approx(0, abs=1e-6)
    assert found["precision"] == found["recall"] == found["coverage"] == 1
    assert found["class_histogram_kl"] == pytest.approx(0, abs=1e-12)
    assert found["memorisation_ratio"] == pytest.approx(1, abs=1e-6)
    assert found["kid"] < 1e-6


def test_copies_of_training_images_are_found_out(world):
    train, _ = world
    assert values(evaluate_images(train, "mnist", train=train))["memorisation_ratio"] < 1e-6


def test_report(world):
    _, test = world
    entries = evaluate_images(test, "mnist", how="drawn by hand")
    names = [entry["metric"] for entry in entries]
    assert names == [
        "fcd",
        "fcd_floor",
        "fcd_pca_gaussian",
        "fcd_half",
        "fcd_infinity",
        "kid",
        "kid_subset_std",
        "precision",
        "recall",
        "density",
        "coverage",
        "oracle_confidence",
        "class_entropy_bits",
        "class_histogram_kl",
        "classifier_score",
    ]
    assert json.loads(json.dumps(entries)) == entries
    for entry in entries:
        assert entry["how"].startswith(f"zoo.metrics {reference.VERSIONS['mnist']}: ")
        assert entry["dataset"] == "mnist" and entry["split"] == "test"
        assert ("drawn by hand" in entry["how"]) == (entry["metric"] not in ("fcd_floor", "fcd_pca_gaussian"))
        Metric(**{key: value for key, value in entry.items() if key != "n"})
    assert entries[0]["n"] == len(test) and "200 images" in entries[0]["how"]
    floor = entries[1]
    assert floor["n_seeds"] == 3 and floor["mean"] == floor["value"] and floor["std"] > 0


def test_fcd_is_that_of_the_parts_and_extrapolates_in_one_over_n(world):
    train, test = world
    features = reference.embed(reference.load_pair("mnist")[0], train)
    target = gaussian_statistics(reference.embed(reference.load_pair("mnist")[0], test))
    whole, first, second = (
        frechet_distance(*gaussian_statistics(x), *target) for x in (features, features[:150], features[150:])
    )
    found = values(evaluate_images(train, "mnist"))
    assert found["fcd"] == pytest.approx(whole, rel=1e-6)
    assert found["fcd_half"] == pytest.approx((first + second) / 2, rel=1e-6)
    assert found["fcd_infinity"] == pytest.approx(2 * whole - (first + second) / 2, rel=1e-6)
    assert found["fcd_infinity"] < found["fcd"] < found["fcd_half"]


def test_images_are_measured_at_eight_bits(world):
    _, test = world
    x = test.float() / 255
    shifted = (x + 0.4 / 255).clamp(max=1)
    assert values(evaluate_images(shifted, "mnist")) == values(evaluate_images(x, "mnist"))


def test_several_draws_give_mean_and_deviation(world):
    train, test = world
    draws = [train[:100], train[100:200], train[200:]]
    entry = evaluate_images(draws, "mnist")[0]
    single = [evaluate_images(x, "mnist")[0]["value"] for x in draws]
    assert entry["value"] == entry["mean"] == pytest.approx(sum(single) / 3)
    assert entry["std"] == pytest.approx(torch.tensor(single).std().item(), rel=1e-4)
    assert entry["n_seeds"] == 3 and entry["n"] == 100
    assert "std" not in evaluate_images(test, "mnist")[0]


def test_labels_that_were_asked_for(world):
    _, test = world
    given = reference.class_probabilities(reference.load_pair("mnist")[1], test).argmax(1)
    assert values(evaluate_images(test, "mnist", labels=given))["label_accuracy"] == 1
    assert values(evaluate_images(test, "mnist", labels=(given + 1) % 10))["label_accuracy"] == 0
    with pytest.raises(ValueError, match=r"one class for each image of a single draw, not \[3\]"):
        evaluate_images(test, "mnist", labels=given[:3])


def test_bad_input_is_refused(world):
    _, test = world
    x = test.float() / 255
    for images, words in (
        (x[:33], "needs at least 34 images, not 33: draw more"),
        ([x, x[:33]], "needs at least 34 images, not 33"),
        ([], "list of draws is empty"),
        ([x, x[:100]], "equally large, not 200, 100 images"),
        (x[:, :, :27], r"shape \[N, 1, 28, 28\], not \[200, 1, 27, 28\]"),
        (x * torch.nan, "200 of 200 images hold NaN"),
        (x * 2 - 1, "from -1 to 1: rescale or clamp"),
    ):
        with pytest.raises(ValueError, match=words):
            evaluate_images(images, "mnist")
    with pytest.raises(LookupError, match="Did you mean mnist"):
        evaluate_images(x, "mnst")


def test_a_missing_reference_names_the_command(world):
    (Path(reference.EXTRACTORS["mnist"]) / REFERENCE).unlink()
    with pytest.raises(CheckpointError, match=r"is missing: make it with `python -m zoo\.metrics\.reference mnist`"):
        reference.read("mnist")


def test_another_extractor_or_oracle_is_refused(world):
    for role, name in ((reference.EXTRACTORS, "extractor_sha256"), (reference.ORACLES, "oracle_sha256")):
        path = Path(role["mnist"]) / "config.json"
        text = path.read_text()
        sha256 = json.loads(text)["weights"]["sha256"]
        path.write_text(text.replace(sha256, "0" * 64))
        with pytest.raises(CheckpointError, match=f"was made with {name} '{sha256}', not '0000"):
            reference.read("mnist")
        path.write_text(text)
    reference.read("mnist")


@pytest.mark.parametrize("keep", [0, 7, 1000])
def test_a_damaged_reference_is_refused(world, keep):
    path = Path(reference.EXTRACTORS["mnist"]) / REFERENCE
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="is damaged"):
        reference.read("mnist")


def test_a_reference_without_a_tensor_is_refused(world):
    path = Path(reference.EXTRACTORS["mnist"]) / REFERENCE
    with safetensors.safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = safetensors.torch.load_file(path)
    del tensors["floor"]
    safetensors.torch.save_file(tensors, path, metadata)
    with pytest.raises(CheckpointError, match="holds class_histogram, covariance, features, mean"):
        reference.read("mnist")


def test_rebuilding_gives_the_same_values(world):
    path = Path(reference.EXTRACTORS["mnist"]) / REFERENCE
    before = safetensors.torch.load_file(path)
    assert reference.build("mnist") == path and not list(path.parent.glob("*.tmp"))
    after = safetensors.torch.load_file(path)
    assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)


def test_a_new_oracle_needs_only_new_class_shares(world, tmp_path, monkeypatch):
    before = reference.read("mnist")
    torch.manual_seed(1)
    monkeypatch.setitem(reference.ORACLES, "mnist", save(tmp_path / "other", LeNet5()))
    with pytest.raises(CheckpointError, match="oracle_sha256"):
        reference.read("mnist")
    assert reference.main(["mnist", "--classes-only"]) == 0
    after = vars(reference.read("mnist"))
    changed = [key for key, value in vars(before).items() if not torch.equal(value, after[key])]
    assert changed == ["class_histogram"]


def test_new_class_shares_are_not_put_in_the_file_of_another_extractor(world, tmp_path, monkeypatch):
    file = Path(reference.EXTRACTORS["mnist"]) / REFERENCE
    monkeypatch.setitem(reference.EXTRACTORS, "mnist", save(tmp_path / "other", CNN(width=2, embedding_dim=DIMENSIONS)))
    (tmp_path / "other" / REFERENCE).write_bytes(file.read_bytes())
    with pytest.raises(CheckpointError, match="was made with extractor_sha256"):
        reference.build_histogram("mnist")


def test_command_line(world, capsys):
    assert reference.main(["mnist"]) == 0
    assert "floor: " in capsys.readouterr().out
    assert reference.main(["mnits"]) == 2
    assert "Did you mean mnist" in capsys.readouterr().err


def test_training_images_are_read_where_the_data_set_is(world, tmp_path, monkeypatch):
    train, test = world
    monkeypatch.setattr(generation, "images_of", lambda dataset: (train, test))
    assert "memorisation_ratio" not in values(evaluate_images(test, "mnist"))
    folder = tmp_path / "no-data" / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name in MNIST.sha256:
        assert not reference.is_on_disk("mnist")
        (folder / f"{name}.gz").touch()
    assert values(evaluate_images(test, "mnist"))["memorisation_ratio"] == pytest.approx(1, abs=1e-6)

    def again() -> float:
        generation._train_features.cache_clear()
        return values(evaluate_images(test, "mnist"))["memorisation_ratio"]

    (kept,) = folder.parent.rglob("features-*")  # beside the images, for the next process
    monkeypatch.setattr(generation, "images_of", lambda dataset: pytest.fail("the features were to be read"))
    assert again() == pytest.approx(1, abs=1e-6)
    kept.write_bytes(kept.read_bytes()[:-1])  # cut off: measured anew
    monkeypatch.setattr(generation, "images_of", lambda dataset: (train, test))
    assert again() == pytest.approx(1, abs=1e-6)
    generation._train_features.cache_clear()


def test_gaussian_samples_have_the_pixels_mean_and_covariance():
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(9, 9, generator=generator) * 6
    train = (128 + torch.randn(20_000, 9, generator=generator) @ mix).clamp(0, 255).byte().reshape(-1, 1, 3, 3)
    drawn = reference.pca_gaussian(train, 20_000, generator)
    assert drawn.shape == (20_000, 1, 3, 3) and drawn.dtype == torch.uint8
    x, y = train.flatten(1).double(), drawn.flatten(1).double()
    torch.testing.assert_close(x.mean(0), y.mean(0), atol=1.0, rtol=0)
    torch.testing.assert_close(x.T.cov(), y.T.cov(), atol=0.05 * x.T.cov().abs().max().item(), rtol=0)
