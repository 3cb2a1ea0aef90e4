"""The bottleneck on the noisy typewriter: exact constants, measured points, and an independent implementation."""

import itertools
import math

import pytest
import torch

from zoo.errors import InputError
from zoo.theory import bottleneck
from zoo.theory.entropy import mutual_information

KEYS = bottleneck.noisy_typewriter()


def test_the_typewriter_carries_one_bit():
    assert mutual_information(KEYS) == pytest.approx(1)
    assert mutual_information(bottleneck.noisy_typewriter(itself=True)) == pytest.approx(0.9556, abs=1e-4)


def test_below_the_critical_beta_the_summary_is_constant():
    assert bottleneck.critical_beta(KEYS) == pytest.approx(2.7333, abs=1e-4)
    i_xt, i_ty, encoder = bottleneck.solve(KEYS, 2.5, 64, 0)
    assert i_xt < 1e-3 and i_ty < 1e-3
    assert torch.allclose(encoder, encoder[:1], atol=0.02)
    assert bottleneck.solve(KEYS, 2.8, 64, 0).i_ty > 0.1
    assert bottleneck.critical_beta(torch.ones(3, 4) / 12) == math.inf


@pytest.mark.parametrize(("beta", "expected"), [(3, (1.067, 0.377)), (5, (2.139, 0.672)), (10, (3.190, 0.823))])
def test_points_of_the_curve(beta, expected):
    i_xt, i_ty, encoder = bottleneck.solve(KEYS, beta, 64, 0)
    assert (i_xt, i_ty) == pytest.approx(expected, abs=2e-3)
    torch.testing.assert_close(encoder.sum(1), torch.ones(64, dtype=torch.float64))
    joint = encoder / 64
    assert mutual_information(joint) == pytest.approx(i_xt)
    assert mutual_information(encoder.T @ KEYS) == pytest.approx(i_ty)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_functional_falls_in_every_round(seed):
    _, functional = bottleneck.trace(KEYS, 10, 64, seed, iterations=200)
    assert all(after <= before + 1e-9 for before, after in itertools.pairwise(functional))


def test_several_starts_take_the_lowest_functional():
    one = [bottleneck.trace(KEYS, 50, 64, seed)[1][-1] for seed in range(3)]
    best = bottleneck.solve(KEYS, 50, 64, 0, starts=3)
    assert math.log(2) * (best.i_xt - 50 * best.i_ty) == pytest.approx(min(one))


def test_no_summary_knows_more_than_the_whole():
    p = torch.rand(6, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    p[2] = 0  # a value that never occurs
    p /= p.sum()
    found = bottleneck.solve(p, 500, 6, 0, starts=4)
    assert found.i_ty == pytest.approx(mutual_information(p), rel=0.01) and not found.encoder[2].any()


def test_agrees_with_an_independent_implementation():
    embo = pytest.importorskip("embo")
    p = torch.rand(5, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64) ** 3
    p /= p.sum()
    other = embo.InformationBottleneck(pxy=p.numpy(), minbeta=1.5, maxbeta=20, numbeta=4, processes=1, restarts=4)
    i_x, i_y, *_, betas = other.get_bottleneck()
    for beta, x, y in zip(betas, i_x, i_y, strict=True):
        found = bottleneck.solve(p, float(beta) / math.log(2), 5, 0, starts=4)  # it exponentiates bits
        assert (found.i_xt, found.i_ty) == pytest.approx((x, y), rel=0.01), beta


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (([[0.5, 0.4]], 2.0, 2), "sums to 0.9"),
        (([[1.5, -0.5]], 2.0, 2), "negative"),
        (([0.5, 0.5], 2.0, 2), "dimension"),
        ((KEYS, 0.0, 2), "beta"),
        ((KEYS, math.nan, 2), "beta"),
        ((KEYS, 2.0, 0), "clusters"),
    ],
)
def test_bad_input(arguments, word):
    with pytest.raises(InputError, match=word):
        bottleneck.solve(*arguments)
