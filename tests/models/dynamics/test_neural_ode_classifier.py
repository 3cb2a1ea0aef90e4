"""A classifier with an ODE: what the field does is what the solver follows, by few steps or by chosen ones."""

import pytest
import torch

from zoo.errors import InputError
from zoo.models.dynamics.neural_ode_classifier import NeuralODEClassifier

X = torch.randn(3, 1, 12, 12, generator=torch.Generator().manual_seed(0))


def net(**settings) -> NeuralODEClassifier:
    torch.manual_seed(0)
    return NeuralODEClassifier(4, width=8, **settings).eval()


def test_a_field_of_zeros_leaves_the_maps_alone():
    model = net()
    torch.nn.init.zeros_(model.field.norms[2].weight)
    stages = model.features(X)
    assert torch.equal(stages["end"], stages["start"])
    logits, calls = model.adaptive_logits(X)
    torch.testing.assert_close(logits, model(X))
    assert calls > 0


def test_a_field_of_ones_adds_the_time_that_passes():
    model = net(steps=3)
    torch.nn.init.zeros_(model.field.norms[2].weight)
    torch.nn.init.ones_(model.field.norms[2].bias)
    stages = model.features(X)
    torch.testing.assert_close(stages["end"], stages["start"] + 1)


def test_more_steps_come_to_the_adaptive_answer():
    pytest.importorskip("torchdiffeq")
    torch.manual_seed(0)
    model = net()
    for parameter in model.field.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    exact, calls = model.adaptive_logits(X, rtol=1e-6)
    gaps = []
    for steps in (1, 4, 16):
        model.steps = steps
        gaps.append((model(X) - exact).abs().max().item())
    assert gaps[0] > 4 * gaps[1] > 16 * gaps[2] and calls > model.adaptive_logits(X, rtol=1e-1)[1]


def test_an_image_gets_the_same_answer_alone_and_in_a_batch():
    torch.testing.assert_close(net()(X)[:1], net()(X[:1]))


def test_bad_input():
    with pytest.raises(InputError, match="steps"):
        NeuralODEClassifier(steps=0)
    with pytest.raises(InputError, match="rtol"):
        net().adaptive_logits(X, rtol=0)
