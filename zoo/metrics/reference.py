"""What generated images are compared with, measured once and shipped: `reference.safetensors` in the extractor's folder.

    python -m zoo.metrics.reference mnist fashion-mnist      # measure again, from the data sets
    python -m zoo.metrics.reference mnist --classes-only     # after the oracle alone was trained again
    python -m zoo.metrics.reference mnist --freeze cnn-mnist  # first make the extractor, a copy of a classifier

A classifier is trained again as soon as a better recipe is found; an extractor never, or distances lose their scale. So it is a
checkpoint of its own: trained by its own recipe, or copied from a published classifier by `--freeze`, which writes its folder,
NAME.fcd, and measures the data set with it (`python scripts/cards.py` then lists it). scripts/train.py puts no other network in
its place, but leaves a new one in its run's folder. Another extractor makes another version of the protocol, and everything that
was measured with the last one is measured anew.

The file holds the statistics and features of the 10,000 test images, and two anchors that give a Fréchet distance its meaning:
the floor, which real training images reach against the test images, and the distance of samples of a Gaussian with the pixels'
own mean and covariance, which any generator should beat. It names the sha256 of the extractor and of the oracle, a second
classifier that names classes, that it was made with; with others it is refused.
"""

import argparse
import json
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import safetensors
import torch
import yaml
from safetensors.torch import save as to_safetensors
from torch import Tensor

from datamodules.base import TensorDataModule
from datamodules.files import data_root
from zoo import api
from zoo.core.classifier import ImageClassifier
from zoo.core.files import write_bytes
from zoo.errors import CheckpointError, InputError, UnknownNameError, one_sentence
from zoo.metrics.diversity import class_histogram
from zoo.metrics.features import class_probabilities, embed
from zoo.metrics.frechet import frechet_distance, gaussian_statistics
from zoo.metrics.neighbours import train_distance
from zoo.paths import CHECKPOINTS
from zoo.store.atomic import replacing
from zoo.store.files import REFERENCE
from zoo.store.folder import read_config
from zoo.store.hub import locate

SAMPLES = 10_000  # images of a draw, as many as a test split has
DRAWS = 3

EXTRACTORS = {  # whose embedding measures distance
    "cifar10": "speednet-cifar10.long",
    "fashion-mnist": "cnn-fashion-mnist.fcd",
    "mnist": "cnn-mnist.fcd",
}
VERSIONS = {  # of the protocol
    "cifar10": "FCD-v2",  # the first extractor had 90.9 %
    "fashion-mnist": "FCD-v2",  # the first extractor had 93.8 %
    "mnist": "FCD-v1",
}
ORACLES = {  # trained differently; names the classes
    "cifar10": "resnet18-cifar10",
    "fashion-mnist": "lenet5-fashion-mnist",
    "mnist": "lenet5-mnist",
}
SUMMARY = (
    "{source}, frozen: its {width} features before the head are the space in which the zoo measures generated images of "
    "{dataset} (FCD, KID, precision and recall). It classifies as well as {source} did when it was copied, but is kept as it is "
    "so that distances stay comparable."
)
LIMITS = (
    "Distances in its feature space compare the generators of {dataset} in this zoo and nothing else; a network trained again, "
    "even by this recipe, has another scale."
)


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


def freeze(dataset: str, source: str) -> Path:
    """Make the extractor of a data set: a copy of a published classifier's folder under the extractor's name and card.

    Raises:
        InputError: if there is an extractor already, or if the source classifies other images.
        CheckpointError: if the source's folder is unfinished.
    """
    from zoo.store.cards import Folder, write_card
    from zoo.store.files import FINISHED

    target = CHECKPOINTS / extractor_of(dataset)
    if target.exists():
        raise InputError(f"{target} is there: remove it first, and measure anew what was measured with it")
    model, origin = api.load(source), Folder(locate(source))
    if not isinstance(model, ImageClassifier) or model.transform is None or origin.dataset != dataset:
        raise InputError(f"{source} is made for {model.task} of {origin.dataset}, no image classifier of {dataset}")
    one = torch.zeros(1, len(model.transform.mean), *model.transform.size, dtype=torch.uint8)
    words = {"source": origin.name, "width": embed(model, one).shape[1], "dataset": dataset}
    card = origin.words | {"summary": SUMMARY.format(**words), "limits": LIMITS.format(**words)}
    settings = (origin.path / "recipe.yaml").read_text(encoding="utf-8").partition("\ncard:")[0].partition("\n")[2]
    text = yaml.safe_dump({"card": card}, sort_keys=False, allow_unicode=True, width=120)
    with replacing(target) as staged:
        for file in (*FINISHED, "history.csv", "preview.png"):  # no figures of its own, no place on the Hub
            if (origin.path / file).is_file():
                shutil.copyfile(origin.path / file, staged / file)
        config = json.dumps(origin.config | {"name": target.name}, indent=2)
        (staged / "config.json").write_text(config + "\n", encoding="utf-8")
        recipe = f"# python scripts/train.py {target.name}\n{settings}\n{text}"
        (staged / "recipe.yaml").write_text(recipe, encoding="utf-8")
        write_card(staged)
    return target


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
    extractor = read_config(_folder(dataset))["weights"]["sha256"]
    return {
        "protocol": VERSIONS[dataset],
        "dataset": dataset,
        "extractor_sha256": extractor,
        "oracle_sha256": read_config(locate(ORACLES[dataset]))["weights"]["sha256"],
    }


def _folder(dataset: str) -> Path:
    """The extractor's folder."""
    name = extractor_of(dataset)
    try:
        return locate(name)
    except UnknownNameError:
        how = f"python -m zoo.metrics.reference {dataset} --freeze CLASSIFIER"
        raise CheckpointError(f"{name}, which measures images of {dataset}, isn't made yet: `{how}` does") from None


def _read(dataset: str, made: dict[str, str]) -> Reference:
    path = _folder(dataset) / REFERENCE
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
    path = _folder(dataset) / REFERENCE
    write_bytes(path, to_safetensors({key: v.contiguous() for key, v in vars(reference).items()}, made))
    return path


def load_pair(dataset: str) -> tuple[ImageClassifier, ImageClassifier]:
    """The extractor and the oracle of a data set, in eval mode."""
    pair = []
    for model in (api.load(extractor_of(dataset)), api.load(ORACLES[dataset])):
        if not isinstance(model, ImageClassifier):
            raise InputError(f"{model.name} is made for {model.task}, but features come from an image classifier")
        pair.append(model)
    return pair[0], pair[1]


def images_of(dataset: str) -> tuple[Tensor, Tensor]:
    """All images of the official training part and of the test part, uint8 [N, C, H, W]."""
    data = _data(dataset)
    parts = [data.tensors(split)[0] for split in ("train", "val", "test")]
    return torch.cat(parts[:2]), parts[2]


def is_on_disk(dataset: str) -> bool:
    """Whether the raw files of a data set are here, packed or not, so that reading them needs no download."""
    return not _data(dataset).missing()


def folder_of(dataset: str) -> Path:
    """Where the raw files of a data set are."""
    return data_root() / _data(dataset).folder


def _data(dataset: str) -> TensorDataModule:
    data = api.datamodule(dataset)
    assert isinstance(data, TensorDataModule)  # so are all that have an extractor
    return data


def pca_gaussian(train: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """n samples of the Gaussian with the mean and covariance of uint8 images [N, C, H, W], clipped to images, uint8."""
    x = train.flatten(1).double()
    mean = x.mean(0)
    x -= mean
    variances, components = torch.linalg.eigh(x.T @ x / (len(x) - 1))
    codes = torch.randn(n, len(mean), generator=generator, dtype=torch.float64) * variances.clamp(min=0).sqrt()
    return (mean + codes @ components.T).round().clamp(0, 255).to(torch.uint8).reshape(n, *train.shape[1:])


@one_sentence
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m zoo.metrics.reference", description="Measure reference statistics."
    )
    parser.add_argument("datasets", nargs="+", metavar="DATASET", help=", ".join(EXTRACTORS))
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--classes-only", action="store_true", help="only the class shares, for a new oracle")
    ways.add_argument("--freeze", metavar="CLASSIFIER", help="first copy this checkpoint to be the extractor")
    options = parser.parse_args(argv)
    if options.freeze:
        if len(options.datasets) > 1:
            raise InputError(f"--freeze makes the extractor of one data set, not of {', '.join(options.datasets)}")
        print(f"made {freeze(options.datasets[0], options.freeze)}")
    for dataset in options.datasets:
        path = build_histogram(dataset) if options.classes_only else build(dataset)
        reference = read(dataset)
        print(f"{dataset}: wrote {path.parent.name}/{path.name}, {path.stat().st_size / 2**20:.1f} MiB")
        for name in ("floor", "pca_gaussian"):
            values = getattr(reference, name)
            print(f"  {name}: {values.mean():.4g} ± {values.std():.2g} ({len(values)} draws)")
        print(f"  test_to_train: {reference.test_to_train:.4g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
