"""The protocol for generated images, in one place: which measures, against what, and how each is reported ("FCD-v1" or later).

Without an Inception network the features are those of a small classifier of the data set itself, frozen and shipped. So values
compare between the models of this zoo and with nothing published elsewhere; the name FCD says so. Every distance is printed
beside two anchors: the floor that real images reach, and the value of a Gaussian in pixel space.

The Fréchet distance falls with the number of samples N, nearly as a + b/N. It is therefore given at N and N/2, and as the
limit 2 d(N) − d(N/2) that this line has for infinitely many.
"""

from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file
from safetensors.torch import save as to_safetensors
from torch import Tensor

from zoo.core.files import write_bytes
from zoo.core.metric import entry
from zoo.errors import InputError
from zoo.metrics import diversity
from zoo.metrics.features import class_probabilities, embed, to_uint8
from zoo.metrics.frechet import frechet_distance, gaussian_statistics
from zoo.metrics.kernel import kernel_distance
from zoo.metrics.neighbours import neighbour_scores, train_distance
from zoo.metrics.reference import (
    ORACLES,
    VERSIONS,
    Reference,
    extractor_of,
    folder_of,
    images_of,
    is_on_disk,
    load_pair,
    made_with,
)
from zoo.metrics.reference import read as read_reference

K = 5  # neighbours
SUBSETS, SUBSET_SIZE = 100, 1000


def evaluate_images(
    images: Tensor | Sequence[Tensor],
    dataset: str,
    *,
    labels: Tensor | None = None,
    how: str = "",
    train: Tensor | None = None,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Measure generated images against the test split of a data set: a list of metric entries as in metrics.json.

    It takes seconds on a CPU and no data set: the reference is shipped. Where the data set is on disk, the check for copies
    of training images comes on top; its features take half a minute, once, and are kept beside the images.

    Args:
        images: [N, C, H, W] in [0, 1] (or uint8), best 10,000; or a list of several draws, which then give mean and std.
        dataset: "mnist", "fashion-mnist" or "cifar10".
        labels: the classes [N] that were asked of a conditional model, for its label accuracy; only with one draw.
        how: how the images were drawn, appended to how each value was measured.
        train: the training images, uint8 [T, C, H, W]; read from disk by default.
        seed: of the subsets of the kernel distance.

    Raises:
        InputError: for images of another shape, values outside [0, 1], NaN, or fewer than twice the feature dimensions.
        UnknownNameError: if the data set has no extractor.
        CheckpointError: if the shipped reference doesn't fit the networks.
    """
    reference = read_reference(dataset)
    extractor, oracle = load_pair(dataset)
    assert extractor.transform is not None
    shape = (len(extractor.transform.mean), *extractor.transform.size)
    draws = [to_uint8(x, shape) for x in ([images] if isinstance(images, Tensor) else images)]
    if not draws:
        raise InputError("the list of draws is empty")
    least = 2 * (len(reference.mean) + 1)  # half of them still determine a covariance
    if min(map(len, draws)) < least:
        raise InputError(f"the Fréchet distance needs at least {least} images, not {min(map(len, draws))}: draw more")
    if len(set(map(len, draws))) > 1:
        raise InputError(f"the draws must be equally large, not {', '.join(str(len(x)) for x in draws)} images")
    if labels is not None and (len(draws) > 1 or labels.shape != (len(draws[0]),)):
        raise InputError(f"labels must be one class for each image of a single draw, not {list(labels.shape)}")
    if train is not None:
        train_features = embed(extractor, to_uint8(train, shape))
    elif is_on_disk(dataset):
        train_features = _train_features(dataset, made_with(dataset)["extractor_sha256"])
    else:
        train_features = None

    tables = []
    for draw in draws:
        table = feature_measures(embed(extractor, draw), reference, train_features, seed=seed)
        table |= class_measures(class_probabilities(oracle, draw), reference.class_histogram, labels)
        tables.append(table)
    n = len(draws[0])
    entries = [_entry(dataset, name, [t[name] for t in tables], n, _how(name, dataset, n, how)) for name in tables[0]]
    anchors = [
        _entry(dataset, name, values.tolist(), len(reference.features), _how(name, dataset, n, ""))
        for name, values in (("fcd_floor", reference.floor), ("fcd_pca_gaussian", reference.pca_gaussian))
    ]
    return [entries[0], *anchors, *entries[1:]]  # the distance never stands without its anchors


def feature_measures(
    features: Tensor, reference: Reference, train_features: Tensor | None = None, *, seed: int = 0
) -> dict[str, float]:
    """The measures in feature space of generated features [N, D]; without training features no check for copies."""

    def distance(x: Tensor) -> float:
        return frechet_distance(*gaussian_statistics(x), reference.mean, reference.covariance)

    half = len(features) // 2
    fcd = distance(features)
    fcd_half = (distance(features[:half]) + distance(features[half : 2 * half])) / 2
    size = min(SUBSET_SIZE, len(features), len(reference.features))
    kid, kid_std = kernel_distance(features, reference.features, subsets=SUBSETS, subset_size=size, seed=seed)
    scores = neighbour_scores(reference.features, features, k=K)
    table = {
        "fcd": fcd,
        "fcd_half": fcd_half,
        "fcd_infinity": 2 * fcd - fcd_half,
        "kid": kid,
        "kid_subset_std": kid_std,
        **scores._asdict(),
    }
    if train_features is not None:
        table["memorisation_ratio"] = train_distance(features, train_features) / reference.test_to_train.item()
    return table


def class_measures(probabilities: Tensor, histogram: Tensor, labels: Tensor | None = None) -> dict[str, float]:
    """The measures of generated images from the oracle's class probabilities [N, K], given the data's class shares [K]."""
    found = diversity.class_histogram(probabilities)
    table = {
        "oracle_confidence": diversity.mean_confidence(probabilities),
        "class_entropy_bits": diversity.class_entropy_bits(found),
        "class_histogram_kl": diversity.histogram_kl(found, histogram),
        "classifier_score": diversity.classifier_score(probabilities),
    }
    if labels is not None:
        table["label_accuracy"] = (probabilities.argmax(1) == labels.cpu()).double().mean().item()
    return table


# Measures of this protocol that are better when larger; distances and divergences are better when smaller.
HIGHER = {
    "oracle_confidence", "class_entropy_bits", "precision", "recall", "density", "coverage", "classifier_score",
    "label_accuracy",
}  # fmt: skip


def _how(name: str, dataset: str, n: int, drawn: str) -> str:
    """How a value was measured: protocol, numbers of images, networks."""
    space = f"{extractor_of(dataset)} features"
    eyes = f"classes by {ORACLES[dataset]}"
    texts = {
        "fcd": f"{n:,} images against the test split, {space}, float64",
        "fcd_half": f"{n // 2:,} images, mean of both halves",
        "fcd_infinity": "extrapolated in 1/N from the values at N and N/2",
        "fcd_floor": "draws of real training images in place of samples: the best that can be expected",
        "fcd_pca_gaussian": "samples of a Gaussian with the pixels' mean and covariance: what any model should beat",
        "kid": f"cubic kernel, unbiased, {SUBSETS} subsets of {min(n, SUBSET_SIZE):,}, {space}",
        "kid_subset_std": "standard deviation of the kernel distance over its subsets",
        "memorisation_ratio": "median distance to the nearest training image, over that of test images: 1 is ideal, 0 a copy",
        "oracle_confidence": f"mean highest probability, {eyes}",
        "class_entropy_bits": f"of the class shares, {eyes}",
        "class_histogram_kl": f"KL(class shares ‖ those of the test split) in nats, {eyes}",
        "classifier_score": f"exp E KL(p(y|x) ‖ p(y)), {eyes}",
        "label_accuracy": f"share recognised as the class asked for, {eyes}",
    }
    text = texts.get(name, f"k = {K}, {n:,} images against the test split, {space}")
    return "; ".join(filter(None, (f"zoo.metrics {VERSIONS[dataset]}: {text}", drawn)))


def _entry(dataset: str, metric: str, values: list[float], n: int, how: str) -> dict[str, Any]:
    """A metric entry; several draws give mean and standard deviation."""
    found = torch.tensor(values, dtype=torch.float64)
    claim = entry(dataset, "test", metric, found.mean(), how, better="higher" if metric in HIGHER else "lower", n=n)
    if len(values) > 1:
        claim |= {"mean": claim["value"], "std": found.std().item(), "n_seeds": len(values)}
    return claim


@lru_cache(maxsize=2)
def _train_features(dataset: str, extractor_sha256: str) -> Tensor:
    """Features of all training images, kept for the next call with the same extractor, in memory and beside the images."""
    kept = folder_of(dataset) / f"features-{extractor_sha256[:16]}.safetensors"
    with suppress(OSError, safetensors.SafetensorError, KeyError):  # not there, or cut off: measured anew
        return load_file(kept)["features"]
    features = embed(load_pair(dataset)[0], images_of(dataset)[0])
    with suppress(InputError):  # a folder that can't be written to only costs the time
        write_bytes(kept, to_safetensors({"features": features}))
    return features
