"""Classifier guidance: with strength 1 and a perfect classifier it samples the class, by Bayes' rule."""

import pytest
import torch

from zoo.errors import InputError
from zoo.models.diffusion.ddpm import DDPM
from zoo.models.diffusion.guidance import NoisyClassifier, guided_denoise, sample_guided

SHAPE = (1, 4, 4)
MEANS, SPREAD = torch.tensor([-0.5, 0.5]), 0.1  # two classes of images, pixels N(±0.5, 0.1²), equally frequent


def perfect_pair(monkeypatch) -> tuple[DDPM, NoisyClassifier]:
    """A diffusion model of the mixture and a classifier of its classes, both exact."""
    model = DDPM(SHAPE, 8, patch=1, timesteps=200).eval()
    classifier = NoisyClassifier(SHAPE, 2, width=8, patch=1, timesteps=200).eval()

    def log_parts(x, t):
        alpha, sigma = (rate.flatten() for rate in model.schedule.rates(t))
        variance = alpha**2 * SPREAD**2 + sigma**2
        squares = (x.flatten(1)[:, None] - alpha[:, None, None] * MEANS[:, None]).square().sum(2)
        return -squares / (2 * variance[:, None])

    def clean(x, t, *, clip=True):
        alpha, sigma = model.schedule.rates(t)
        share = log_parts(x, t).softmax(1)
        mean = (share @ MEANS).reshape(-1, 1, 1, 1)
        return mean + alpha * SPREAD**2 / (alpha**2 * SPREAD**2 + sigma**2) * (x - alpha * mean)

    monkeypatch.setattr(model, "denoise", clean)
    monkeypatch.setattr(classifier, "forward", log_parts)
    return model, classifier


def test_by_bayes_rule_the_guided_guess_is_that_of_the_class(monkeypatch):
    model, classifier = perfect_pair(monkeypatch)
    t, labels = 150, torch.tensor([0, 1, 1])
    x = 0.7 * torch.randn(3, *SHAPE)
    alpha, sigma = model.schedule.rates(torch.full((3,), t))
    mean = MEANS[labels].reshape(-1, 1, 1, 1)
    expected = mean + alpha * SPREAD**2 / (alpha**2 * SPREAD**2 + sigma**2) * (x - alpha * mean)
    found = guided_denoise(model, classifier, labels, 1.0)(x, t)
    torch.testing.assert_close(found, expected.clamp(-1, 1), rtol=0, atol=1e-3)
    free = guided_denoise(model, classifier, labels, 0.0)(x, t)
    torch.testing.assert_close(free, model.denoise(x, torch.full((3,), t)).clamp(-1, 1))


def test_guided_samples_are_of_the_class(monkeypatch):
    model, classifier = perfect_pair(monkeypatch)
    labels = torch.tensor([0, 1] * 50)
    images = 2 * sample_guided(model, classifier, labels, seed=0, steps=50) - 1
    torch.testing.assert_close(images.flatten(1).mean(1), MEANS[labels], rtol=0, atol=0.12)
    free = 2 * sample_guided(model, classifier, labels, seed=0, steps=50, strength=0.0) - 1
    wrong = (free.flatten(1).mean(1).sign() != MEANS[labels].sign()).double().mean().item()
    assert wrong == pytest.approx(0.5, abs=0.2)


def test_the_gradient_is_that_of_the_log_probability():
    torch.manual_seed(0)
    classifier = NoisyClassifier((1, 8, 8), 3, width=8, timesteps=50).eval()
    x, t, labels = torch.randn(2, 1, 8, 8), torch.tensor([3, 40]), torch.tensor([0, 2])
    found, step = classifier.gradient(x, t, labels), torch.zeros_like(x)
    step[:, 0, 2, 5] = 1e-2

    def log_p(y):
        return classifier(y, t).log_softmax(1)[torch.arange(2), labels]

    with torch.no_grad():
        slope = (log_p(x + step) - log_p(x - step)) / 2e-2
    torch.testing.assert_close(found[:, 0, 2, 5], slope, rtol=0.02, atol=1e-4)


def test_what_does_not_fit_is_refused():
    model, classifier = DDPM((1, 8, 8), 8, timesteps=50), NoisyClassifier((1, 8, 8), 3, width=8, timesteps=50)
    with pytest.raises(InputError, match="another noise schedule"):
        sample_guided(DDPM((1, 8, 8), 8, timesteps=60), classifier, torch.tensor([0]))
    for bad in (torch.tensor([3]), torch.tensor([-1])):
        with pytest.raises(InputError, match="from 0 to 2"):
            sample_guided(model, classifier, bad)
    with pytest.raises(InputError, match="whole numbers"):
        sample_guided(model, classifier, torch.tensor([0.5]))
    for strength in (-1.0, float("inf")):
        with pytest.raises(InputError, match="strength"):
            sample_guided(model, classifier, torch.tensor([0]), strength=strength)
    for options in ({"labels": []}, {"labels": [0], "batch_size": 0}):
        with pytest.raises(InputError, match="at least 1"):
            sample_guided(model, classifier, **options)
    assert sample_guided(model, classifier, [0, 2], steps=1).shape == (2, 1, 8, 8)
