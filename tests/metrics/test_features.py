"""What counts as an image, and what the networks make of it."""

import pytest
import torch

from zoo.core.images import Transform
from zoo.metrics.features import check_features, class_probabilities, embed, to_uint8
from zoo.models.convnets.lenet5 import LeNet5


def classifier() -> LeNet5:
    torch.manual_seed(0)
    model = LeNet5(dropout=0.5)
    model.transform = Transform([28, 28], "L", [0.1307], [0.3081])
    return model


def test_every_grey_level_survives():
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    assert torch.equal(to_uint8(levels.float() / 255), levels)
    assert torch.equal(to_uint8(levels.double() / 255), levels)
    assert torch.equal(to_uint8(levels), levels)


def test_values_between_levels_are_rounded():
    x = torch.full((1, 1, 2, 2), 100.4 / 255)
    assert (to_uint8(x) == 100).all() and (to_uint8(x + 0.2 / 255) == 101).all()


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (torch.rand(28, 28), r"shape \[N, 1, 28, 28\], not \[28, 28\]"),
        (torch.rand(4, 3, 28, 28), r"not \[4, 3, 28, 28\]"),
        (torch.rand(4, 1, 32, 32), r"not \[4, 1, 32, 32\]"),
        (torch.rand(4, 1, 28, 28) * 2 - 1, r"in \[0, 1\] but run from -(0\.99|1)\S* to (0\.99|1)\S*: rescale or clamp"),
        (torch.rand(4, 1, 28, 28) * 255, r"but run from .* to 25"),
        (torch.ones(4, 1, 28, 28).long(), "float in .* or uint8, not int64"),
        (
            torch.where(torch.arange(4).view(4, 1, 1, 1) < 3, torch.nan, torch.zeros(4, 1, 28, 28)),
            "3 of 4 images hold NaN",
        ),
        (torch.full((4, 1, 28, 28), torch.inf), "4 of 4 images hold NaN or infinite"),
    ],
)
def test_bad_images_are_refused(images, words):
    with pytest.raises(ValueError, match=words):
        to_uint8(images, (1, 28, 28))


def test_embedding_and_probabilities_are_the_models_own_in_eval_mode():
    model, images = classifier().train(), torch.randint(0, 256, (23, 1, 28, 28), dtype=torch.uint8)
    found, probability = embed(model, images, batch_size=7), class_probabilities(model, images, batch_size=7)
    x = model.eval().transform(images)
    torch.testing.assert_close(found, model.features(x)["embedding"])
    torch.testing.assert_close(probability, model(x).softmax(1))
    torch.testing.assert_close(probability, model.predict_proba(images))
    assert not found.requires_grad


def test_a_model_without_a_transform_is_refused():
    with pytest.raises(ValueError, match=r"LeNet5 has no transform: load it with zoo\.load"):
        embed(LeNet5(), torch.zeros(1, 1, 28, 28, dtype=torch.uint8))


def test_features_become_float64():
    assert check_features(torch.rand(3, 2, requires_grad=True)).dtype == torch.float64
