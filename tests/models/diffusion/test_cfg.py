"""Classifier-free guidance: its identities, what it does to a density that is known, and what it refuses."""

import pytest
import torch

from zoo.core import protocols
from zoo.errors import InputError
from zoo.models.diffusion.cfg import ConditionalDDPM


def small(prediction: str = "v") -> ConditionalDDPM:
    torch.manual_seed(0)
    model = ConditionalDDPM((1, 8, 8), 8, num_classes=3, timesteps=60, prediction=prediction).eval()
    for parameter in model.net.head[-1].parameters():  # starts at zero
        torch.nn.init.normal_(parameter, std=0.1)
    for module in model.net.modules():
        if hasattr(module, "conv2"):
            torch.nn.init.normal_(module.conv2.weight, std=0.1)
    return model


X = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
T, LABELS = torch.tensor([5, 30, 59]), torch.tensor([0, 2, 1])


@torch.no_grad()
def test_weight_one_is_the_conditional_model_and_zero_the_unconditional_one():
    model = small()
    assert torch.equal(model.guided(X, T, LABELS, 1.0), model(X, T, LABELS))
    assert torch.equal(model.guided(X, T, LABELS, 0.0), model(X, T))
    assert not torch.allclose(model(X, T, LABELS), model(X, T))
    untold = torch.full((3,), model.num_classes)
    assert torch.equal(model(X, T, untold), model(X, T))


@torch.no_grad()
def test_guidance_is_linear_and_one_call_of_both_is_two_calls():
    model = small()
    for w in (0.5, 1.0001, 3.0):
        expected = (1 - w) * model(X, T) + w * model(X, T, LABELS)
        torch.testing.assert_close(model.guided(X, T, LABELS, w), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("prediction", ["v", "eps"])
def test_guiding_the_output_is_guiding_the_clean_image(prediction):
    model, w = small(prediction), 2.5
    free, told = (model.denoise(X, T, clip=False, labels=y) for y in (None, LABELS))
    guided = model.denoise(X, T, clip=False, labels=LABELS, guidance=w)
    torch.testing.assert_close(guided, free + w * (told - free), rtol=1e-3, atol=1e-3)


def test_guidance_of_a_gaussian_is_the_tilted_gaussian(monkeypatch):
    """Classes are N(±m, s²) pixelwise and the whole is close to N(0, S²): the guided score is that of p^{1−w} p_y^w."""
    model, m, s, wide, w = small("eps"), 0.3, 0.2, 0.5, 2.0

    def noise(x, t, labels=None):
        alpha, sigma = model.schedule.rates(t)
        told = torch.full((len(x),), model.num_classes) if labels is None else labels
        mean = torch.where(told == 0, m, torch.where(told == 1, -m, 0.0)).reshape(-1, 1, 1, 1)
        spread = torch.where(told < 2, s, wide).reshape(-1, 1, 1, 1)
        return sigma * (x - alpha * mean) / (alpha**2 * spread**2 + sigma**2)

    monkeypatch.setattr(model, "forward", noise)
    x = torch.randn(400, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    *_, drawn = model.trajectory(x, sampler="ddim", steps=60, labels=torch.zeros(400).long(), guidance=w)
    *_, plain = model.trajectory(x, sampler="ddim", steps=60, labels=torch.zeros(400).long(), guidance=1.0)
    assert plain.mean().item() == pytest.approx(m, abs=0.02) and plain.std().item() == pytest.approx(s, rel=0.1)
    assert drawn.mean() > plain.mean() + 0.05 and drawn.std() < 0.9 * plain.std()  # more typical, less varied


def test_labels_are_dropped_at_their_rate(monkeypatch):
    model, seen = small(), []
    model.label_drop = 0.25
    inner = model.forward
    monkeypatch.setattr(model, "forward", lambda x, t, y=None: seen.append(y) or inner(x, t, y))
    for _ in range(10):
        model.loss(torch.rand(200, 1, 8, 8), labels=torch.ones(200).long())
    labels = torch.cat(seen)
    assert set(labels.tolist()) == {1, 3}
    assert (labels == 3).double().mean().item() == pytest.approx(0.25, abs=0.05)


def test_samples_follow_labels_and_seeds():
    model = small()
    assert isinstance(model, protocols.Samples)
    a = model.sample(4, seed=1, labels=[0, 1, 2, 0], steps=3, guidance=2.0, batch_size=3)
    assert a.shape == (4, 1, 8, 8) and torch.equal(
        a, model.sample(4, seed=1, labels=[0, 1, 2, 0], steps=3, guidance=2.0, batch_size=3)
    )
    assert not torch.equal(model.sample(2, seed=1, labels=0, steps=3), model.sample(2, seed=1, labels=1, steps=3))
    assert torch.equal(
        model.sample(2, seed=1, labels=0, steps=3, guidance=0), model.sample(2, seed=1, steps=3, guidance=0)
    )
    x = torch.rand(2, 1, 8, 8)
    assert model.decode(model.encode(x, steps=5), steps=5).shape == x.shape  # as unconditional as ever


def test_without_labels_the_classes_are_drawn_at_random(monkeypatch):
    model, told = small(), []
    whole = model.trajectory
    monkeypatch.setattr(model, "trajectory", lambda x, **given: told.append(given["labels"]) or whole(x, **given))
    free = model.sample(300, seed=1, steps=1, guidance=1)
    labels = torch.cat(told)
    assert labels.bincount(minlength=3).min() > 70  # of a hundred each, and four standard deviations down
    assert torch.equal(free, model.sample(300, seed=1, steps=1, labels=labels))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"guidance": -2.0}, "from 0 on"),
        ({"labels": [0, 1, 2]}, "need 2 labels"),
        ({"labels": [0, 3]}, "there is no 3"),
        ({"labels": -1}, "there is no -1"),
        ({"labels": [0.5, 1.0]}, "whole numbers"),
        ({"labels": "one"}, "whole numbers .*, not 'one'"),
        ({"labels": [None, 1]}, "whole numbers"),
        ({"labels": 0, "batch_size": 0}, "batch_size must be"),
        ({"labels": 0, "guidance": -1.0}, "from 0 on"),
        ({"labels": 0, "guidance": float("nan")}, "from 0 on"),
        ({"labels": 0, "steps": 61}, "from 1 to 60"),
        ({"labels": 0, "eta": 2.0}, "eta"),
    ],
)
def test_bad_conditions_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        small().sample(2, **options)
    with pytest.raises(InputError, match="label_drop"):
        ConditionalDDPM((1, 8, 8), 8, label_drop=2.0)


def test_guidance_has_no_prediction_of_the_clean_image():
    with pytest.raises(InputError, match="not 'x0'"):
        small("x0")
