"""Class measures on distributions whose answer is known, and against scipy."""

import math

import pytest
import scipy.stats
import torch

from zoo.metrics.diversity import class_entropy_bits, class_histogram, classifier_score, histogram_kl, mean_confidence


def test_histogram_counts_the_most_probable_class():
    p = torch.tensor([[0.6, 0.3, 0.1], [0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.4, 0.3, 0.3]])
    assert class_histogram(p).tolist() == [0.75, 0.25, 0.0]
    assert mean_confidence(p) == pytest.approx((0.6 + 0.5 + 0.8 + 0.4) / 4)


def test_kl_and_entropy_equal_scipy():
    a, b = torch.rand(10).double(), torch.rand(10).double()
    a, b = a / a.sum(), b / b.sum()
    assert histogram_kl(a, b) == pytest.approx(scipy.stats.entropy(a, b))
    assert class_entropy_bits(a) == pytest.approx(scipy.stats.entropy(a, base=2))


def test_known_cases():
    uniform, single = torch.full((10,), 0.1), torch.eye(10)[3]
    assert class_entropy_bits(uniform) == pytest.approx(math.log2(10))
    assert class_entropy_bits(single) == 0
    assert histogram_kl(uniform, uniform) == pytest.approx(0, abs=1e-12)
    assert histogram_kl(single, uniform) == pytest.approx(math.log(10))  # a collapse to one of ten equal classes


def test_classifier_score_runs_from_one_to_the_number_of_classes():
    assert classifier_score(torch.eye(10).repeat(5, 1)) == pytest.approx(10)
    assert classifier_score(torch.eye(10)[:1].repeat(5, 1)) == pytest.approx(1)  # sure, but always of one class
    assert classifier_score(torch.full((5, 10), 0.1)) == pytest.approx(1)  # never sure


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="sum to 1"):
        mean_confidence(torch.randn(5, 10))
    with pytest.raises(ValueError, match=r"\[N, K\], not \[10\]"):
        class_histogram(torch.full((10,), 0.1))
    with pytest.raises(ValueError, match="sum to 1"):
        classifier_score(torch.full((2, 3), torch.nan))
    with pytest.raises(ValueError, match="a class occurs that the reference data lacks"):
        histogram_kl(torch.tensor([0.5, 0.5]), torch.tensor([1.0, 0.0]))
    with pytest.raises(ValueError, match="2 and 3 classes"):
        histogram_kl(torch.ones(2) / 2, torch.ones(3) / 3)
