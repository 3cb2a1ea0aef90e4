"""The shipped extractors and references, on the packaged real images: does the distance see what eyes see?"""

from functools import cache

import pytest
import torch
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

import zoo
from tests.sweeps import some
from zoo.core.classifier import ImageClassifier
from zoo.core.samples import sample_split
from zoo.metrics import reference
from zoo.metrics.features import embed, to_uint8
from zoo.metrics.frechet import frechet_distance, gaussian_statistics
from zoo.metrics.generation import evaluate_images
from zoo.metrics.kernel import kernel_distance
from zoo.paths import CHECKPOINTS

DATASETS = [name for name, extractor in sorted(reference.EXTRACTORS.items()) if (CHECKPOINTS / extractor).is_dir()]
each = pytest.mark.parametrize("dataset", DATASETS)
one = pytest.mark.parametrize("dataset", some(DATASETS, lambda _: "any", few=1))


@cache
def eyes(dataset: str) -> tuple[ImageClassifier, reference.Reference]:
    """The shipped extractor and what it sees in the test images."""
    return zoo.load(reference.EXTRACTORS[dataset]), reference.read(dataset)


@cache
def sample(dataset: str) -> Tensor:
    return sample_split(dataset)[0].float() / 255


def width_of(extractor: ImageClassifier) -> int:
    """Length of an extractor's features."""
    assert extractor.transform
    shape = len(extractor.transform.mean), *extractor.transform.size
    return embed(extractor, torch.zeros(1, *shape, dtype=torch.uint8)).shape[1]


def noisy(x: Tensor, strength: float) -> Tensor:
    return (x + strength * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)


def blurred(x: Tensor, sigma: float) -> Tensor:
    return gaussian_blur(x, 9, sigma).clamp(0, 1) if sigma else x


def covered(x: Tensor, pixels: float) -> Tensor:
    x = x.clone()
    x[:, :, : int(pixels)] = 0
    return x


@each
def test_reference_is_whole_and_its_parts_agree(dataset):
    extractor, ref = eyes(dataset)
    width = width_of(extractor)
    assert ref.features.shape == (10_000, width) and ref.features.dtype == torch.float16
    assert ref.mean.dtype == ref.covariance.dtype == torch.float64
    mean, covariance = gaussian_statistics(ref.features)
    rounding = frechet_distance(mean, covariance, ref.mean, ref.covariance)  # of the features to 16 bits
    assert rounding < 0.01 * ref.floor.min()
    assert len(ref.floor) == len(ref.pca_gaussian) == reference.DRAWS
    assert ref.class_histogram.sum() == pytest.approx(1) and ref.class_histogram.min() > 0.07


@each
def test_extractor_knows_what_it_measures(dataset):
    """A space that confuses classes hides mistakes of generators."""
    accuracy = zoo.info(reference.EXTRACTORS[dataset]).metrics[f"{dataset}/test/accuracy"].value
    assert accuracy >= {"cifar10": 0.94, "fashion-mnist": 0.94, "mnist": 0.99}[dataset]


@each
def test_reference_holds_the_packaged_images(dataset):
    """Each packaged test image's features are found among the reference's."""
    extractor, ref = eyes(dataset)
    x = embed(extractor, to_uint8(sample(dataset)[:20]))
    apart = torch.cdist(x, ref.features.float()).min(1).values
    assert (apart < 0.01 * x.norm(dim=1)).all()


@each
def test_a_gaussian_in_pixel_space_is_far_above_the_floor(dataset):
    ref = eyes(dataset)[1]
    assert ref.pca_gaussian.min() > 10 * ref.floor.max()
    assert ref.floor.std() < 0.2 * ref.floor.mean()


@one
@pytest.mark.parametrize(
    ("damage", "strengths"),
    [
        (noisy, (0, 0.2, 0.8)),
        (blurred, (0, 1.2, 4)),
        (covered, (0, 10, 20)),
        pytest.param(noisy, (0, 0.1, 0.2, 0.4, 0.8), marks=pytest.mark.slow),
        pytest.param(blurred, (0, 0.8, 1.2, 2, 4), marks=pytest.mark.slow),
        pytest.param(covered, (0, 7, 10, 14, 20), marks=pytest.mark.slow),
    ],
)
def test_distances_grow_with_damage(dataset, damage, strengths):
    extractor, ref = eyes(dataset)
    # a photograph's detail is gone sooner
    fine = {noisy: 0.125, blurred: 0.6}.get(damage, 1.0) if dataset == "cifar10" else 1.0
    fcd, kid = [], []
    for strength in strengths:
        features = embed(extractor, to_uint8(damage(sample(dataset), fine * strength)))
        fcd.append(frechet_distance(*gaussian_statistics(features), ref.mean, ref.covariance))
        kid.append(kernel_distance(features, ref.features, subsets=10, subset_size=min(400, len(features)))[0])
    assert fcd == sorted(fcd) and kid == sorted(kid), (fcd, kid)
    assert fcd[-1] > 10 * fcd[0]


@one
def test_fcd_equals_torchmetrics_with_the_shipped_extractor(dataset):
    from torchmetrics.image.fid import FrechetInceptionDistance

    extractor = eyes(dataset)[0]
    real, fake = (to_uint8(x) for x in (sample(dataset), noisy(sample(dataset), 0.1)))
    metric = FrechetInceptionDistance(Embedding(extractor), input_img_size=tuple(real.shape[1:])).set_dtype(
        torch.float64
    )
    metric.update(real, real=True)
    metric.update(fake, real=False)
    ours = frechet_distance(*gaussian_statistics(embed(extractor, real)), *gaussian_statistics(embed(extractor, fake)))
    assert ours == pytest.approx(metric.compute().item(), rel=1e-4)


@one
def test_protocol_on_real_and_on_empty_images(dataset, monkeypatch, tmp_path):
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))  # the check for copies is tested elsewhere
    images = sample(dataset)
    if dataset == "cifar10":  # 300 are fewer than twice the features: a photograph's mirror image is one, too
        images = torch.cat([images, images.flip(-1)])
    good = {e["metric"]: e["value"] for e in evaluate_images(images, dataset)}
    blank = {e["metric"]: e["value"] for e in evaluate_images(torch.zeros_like(images), dataset)}
    assert good["fcd"] < good["fcd_pca_gaussian"] < blank["fcd"]
    assert good["kid"] < blank["kid"]
    assert good["precision"] > 0.8 and good["density"] > 0.8 and blank["coverage"] < 0.01
    assert good["class_entropy_bits"] > 3.2 and blank["class_entropy_bits"] == 0
    assert good["class_histogram_kl"] < 0.02 and blank["class_histogram_kl"] > 2
    # an oracle trained with smoothed labels is never sure: about 4.2 at best
    least = 3.5 if dataset == "cifar10" else 7
    assert good["classifier_score"] > least and blank["classifier_score"] == pytest.approx(1)


@pytest.mark.data(lambda dataset: dataset)
@pytest.mark.slow
@each
def test_reference_follows_from_the_data(dataset):
    """The shipped statistics and the floor's first draw, measured again from the data set."""
    extractor, ref = eyes(dataset)
    train, test = reference.images_of(dataset)
    features = embed(extractor, test)
    mean, covariance = gaussian_statistics(features)
    torch.testing.assert_close(mean, ref.mean, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(features.half(), ref.features, rtol=5e-3, atol=5e-3)
    draw = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[: reference.SAMPLES]
    again = frechet_distance(*gaussian_statistics(embed(extractor, train[draw])), mean, covariance)
    assert again == pytest.approx(ref.floor[0].item(), rel=1e-3)


class Embedding(nn.Module):
    """The shipped extractor as torchmetrics wants it: from uint8 images to features."""

    def __init__(self, extractor: ImageClassifier) -> None:
        super().__init__()
        self.num_features = width_of(extractor)
        self.extractor = [extractor]  # hidden from .to(): torchmetrics would cast it to float64

    def forward(self, x: Tensor) -> Tensor:
        return embed(self.extractor[0], x)
