"""Conformal sets keep their promise, for a good model and for a useless one."""

import math

import pytest
import torch

from zoo.errors import InputError
from zoo.theory import conformal


@pytest.mark.parametrize("skill", [0.0, 3.0])
@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_the_right_class_is_in_the_set_as_often_as_promised(skill, alpha):
    generator, hit, size = torch.Generator().manual_seed(0), [], []
    for _ in range(200):
        y = torch.randint(5, (300,), generator=generator)
        logits = torch.randn(300, 5, generator=generator) + skill * torch.nn.functional.one_hot(y, 5)
        p = logits.softmax(1)
        q = conformal.threshold(p[:200], y[:200], alpha)
        found = conformal.sets(p[200:], q)
        hit.append(found.gather(1, y[200:, None]).float().mean().item())
        size.append(found.float().sum(1).mean().item())
    assert sum(hit) / len(hit) == pytest.approx(1 - alpha, abs=0.015)
    assert (sum(size) / len(size) > 3) is (
        skill == 0.0
    )  # a useless model can promise only what nearly everything holds


def test_few_examples_promise_nothing():
    p = torch.full((5, 2), 0.5)
    assert conformal.threshold(p, torch.zeros(5, dtype=torch.int64), 0.05) == math.inf
    assert conformal.sets(p, math.inf).all()


def test_bad_input():
    p, y = torch.full((5, 2), 0.5), torch.zeros(5, dtype=torch.int64)
    with pytest.raises(InputError, match="alpha"):
        conformal.threshold(p, y, 1.0)
    with pytest.raises(InputError, match=r"\[N, C\]"):
        conformal.threshold(p, y[:3], 0.1)
