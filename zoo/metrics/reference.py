"""What generated images are compared with, measured once and shipped: `reference.safetensors` in the extractor's folder.

    python -m zoo.metrics.reference mnist fashion-mnist      # measure again, from the data sets
    python -m zoo.metrics.reference mnist --classes-only     # after the oracle alone was trained again

It holds the statistics and features of the 10,000 test images, and two anchors that give a Fréchet distance its meaning: the
floor, which real training images reach against the test images, and the distance of samples of a Gaussian with the pixels' own
mean and covariance, which any generator should beat. The file names the sha256 of the extractor and of the oracle, a second
classifier that names classes, that it was made with; with others it is refused.
"""

import argparse
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import safetensors
import torch
from safetensors.torch import save as to_safetensors
from torch import Tensor

from datamodules.files import data_root
from datamodules.mnist import MNIST
from zoo import api, registry
from zoo.checkpoint import read_config
from zoo.convnets.classifier import ImageClassifier
from zoo.errors import CheckpointError, InputError, UnknownNameError, ZooError
from zoo.hub import locate
from zoo.metrics.diversity import class_histogram
from zoo.metrics.features import class_probabilities, embed
from zoo.metrics.frechet import frechet_distance, gaussian_statistics
from zoo.metrics.neighbours import train_distance

PROTOCOL = "FCD-v1"
FILE = "reference.safetensors"
SAMPLES = 10_000  # images of a draw, as many as a test split has
DRAWS = 3

EXTRACTORS = {"fashion-mnist": "cnn-fashion-mnist.fcd", "mnist": "cnn-mnist.fcd"}  # whose embedding measures distance
ORACLES = {"fashion-mnist": "lenet5-fashion-mnist", "mnist": "lenet5-mnist"}  # trained differently; names the classes


@dataclass(frozen=True)
class Reference:
    """The measured facts of a data set under its extractor.

    Shapes:
        mean: [D] and covariance: [D, D], of the test features, float64; features: [N, D], float16;
        floor: [DRAWS] distances of training draws to the test set; pca_gaussian: [DRAWS] distances of Gaussian samples;
        class_histogram: [K] shares of the classes that the oracle sees in the test set;
        test_to_train: [], median distance of test features to the nearest training features.
    """

    mean: Tensor
    covariance: Tensor
    features: Tensor
    floor: Tensor
    pca_gaussian: Tensor
    class_histogram: Tensor
    test_to_train: Tensor


def extractor_of(dataset: str) -> str:
    """Name of the frozen extractor of a data set.

    Raises:
        UnknownNameError: a LookupError with the data sets that have one.
    """
    if dataset not in EXTRACTORS:
        raise UnknownNameError("data set with a feature extractor", dataset, EXTRACTORS)
    return EXTRACTORS[dataset]


def read(dataset: str) -> Reference:
    """The shipped reference of a data set, checked against the networks at hand.

    Raises:
        UnknownNameError: if the data set has no extractor.
        CheckpointError: if the file is missing, damaged, or was made with other networks.
    """
    return _read(dataset, made_with(dataset))


def build(dataset: str) -> Path:
    """Measure a data set with its extractor and oracle, and write the reference file; minutes on a CPU."""
    made = made_with(dataset)  # first: a network replaced meanwhile must not vouch for these numbers
    extractor, oracle = load_pair(dataset)
    train, test = images_of(dataset)
    test_features, train_features = embed(extractor, test), embed(extractor, train)
    mean, covariance = gaussian_statistics(test_features)

    def distance(features: Tensor) -> float:
        return frechet_distance(*gaussian_statistics(features), mean, covariance)

    generator = torch.Generator().manual_seed(0)
    size = min(SAMPLES, len(train) // DRAWS)
    draws = torch.randperm(len(train), generator=generator)[: size * DRAWS].split(size)  # disjoint
    gaussian = pca_gaussian(train, size * DRAWS, generator).split(size)
    reference = Reference(
        mean=mean,
        covariance=covariance,
        features=test_features.half(),
        floor=torch.tensor([distance(train_features[draw]) for draw in draws], dtype=torch.float64),
        pca_gaussian=torch.tensor([distance(embed(extractor, x)) for x in gaussian], dtype=torch.float64),
        class_histogram=class_histogram(class_probabilities(oracle, test)),
        test_to_train=torch.tensor(train_distance(test_features, train_features), dtype=torch.float64),
    )
    return _write(dataset, reference, made)


def build_histogram(dataset: str) -> Path:
    """Measure the class shares alone again, for an oracle that was trained anew; seconds.

    Raises:
        CheckpointError: if there is no reference file of this extractor to put them in.
    """
    made = made_with(dataset)
    reference = _read(dataset, {key: value for key, value in made.items() if key != "oracle_sha256"})
    shares = class_histogram(class_probabilities(load_pair(dataset)[1], images_of(dataset)[1]))
    return _write(dataset, replace(reference, class_histogram=shares), made)


def made_with(dataset: str) -> dict[str, str]:
    """What a reference file must have been made with: its metadata."""
    return {
        "protocol": PROTOCOL,
        "dataset": dataset,
        "extractor_sha256": read_config(locate(extractor_of(dataset)))["weights"]["sha256"],
        "oracle_sha256": read_config(locate(ORACLES[dataset]))["weights"]["sha256"],
    }


def _read(dataset: str, made: dict[str, str]) -> Reference:
    path = locate(extractor_of(dataset)) / FILE
    rebuild = f"make it with `python -m zoo.metrics.reference {dataset}`"
    if not path.is_file():
        raise CheckpointError(f"{path} is missing: {rebuild}")
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            found = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - the file is no mapping
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged ({error}): {rebuild}") from None
    for key, value in made.items():
        if found.get(key) != value:
            raise CheckpointError(f"{path} was made with {key} {found.get(key)!r}, not {value!r}: {rebuild}")
    try:
        return Reference(**tensors)
    except TypeError:
        raise CheckpointError(f"{path} holds {', '.join(sorted(tensors))}: {rebuild}") from None


def _write(dataset: str, reference: Reference, made: dict[str, str]) -> Path:
    path = locate(extractor_of(dataset)) / FILE
    staged = path.with_suffix(".tmp")
    staged.write_bytes(to_safetensors({key: v.contiguous() for key, v in vars(reference).items()}, made))
    os.replace(staged, path)
    return path


def load_pair(dataset: str) -> tuple[ImageClassifier, ImageClassifier]:
    """The extractor and the oracle of a data set, in eval mode."""
    pair = api.load(extractor_of(dataset)), api.load(ORACLES[dataset])
    for model in pair:
        if not isinstance(model, ImageClassifier):
            raise InputError(f"{model.name} is a {model.task} model, but features come from an image classifier")
    return pair  # type: ignore[return-value]  # checked above


def images_of(dataset: str) -> tuple[Tensor, Tensor]:
    """All images of the official training part and of the test part, uint8 [N, C, H, W]."""
    data = api.datamodule(dataset)
    assert isinstance(data, MNIST)  # so are all that have an extractor
    parts = [data.tensors(split)[0] for split in ("train", "val", "test")]
    return torch.cat(parts[:2]), parts[2]


def is_on_disk(dataset: str) -> bool:
    """Whether the raw files of a data set are here, packed or not, so that reading them needs no download."""
    folder, names = folder_of(dataset), _data_class(dataset).sha256
    return all((folder / name).is_file() or (folder / f"{name}.gz").is_file() for name in names)


def folder_of(dataset: str) -> Path:
    """Where the raw files of a data set are."""
    return data_root() / _data_class(dataset).folder


def _data_class(dataset: str) -> type[MNIST]:
    data = registry.datamodule_class(dataset)
    assert issubclass(data, MNIST)  # so are all that have an extractor
    return data


def pca_gaussian(train: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """n samples of the Gaussian with the mean and covariance of uint8 images [N, C, H, W], clipped to images, uint8."""
    x = train.flatten(1).double()
    mean = x.mean(0)
    x -= mean
    variances, components = torch.linalg.eigh(x.T @ x / (len(x) - 1))
    codes = torch.randn(n, len(mean), generator=generator, dtype=torch.float64) * variances.clamp(min=0).sqrt()
    return (mean + codes @ components.T).round().clamp(0, 255).to(torch.uint8).reshape(n, *train.shape[1:])


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m zoo.metrics.reference", description="Measure reference statistics."
    )
    parser.add_argument("datasets", nargs="+", metavar="DATASET", help=", ".join(EXTRACTORS))
    parser.add_argument("--classes-only", action="store_true", help="only the class shares, for a new oracle")
    options = parser.parse_args(argv)
    try:
        for dataset in options.datasets:
            path = build_histogram(dataset) if options.classes_only else build(dataset)
            reference = read(dataset)
            print(f"{dataset}: wrote {path.parent.name}/{path.name}, {path.stat().st_size / 2**20:.1f} MiB")
            for name in ("floor", "pca_gaussian"):
                values = getattr(reference, name)
                print(f"  {name}: {values.mean():.4g} ± {values.std():.2g} ({len(values)} draws)")
            print(f"  test_to_train: {reference.test_to_train:.4g}")
    except ZooError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
