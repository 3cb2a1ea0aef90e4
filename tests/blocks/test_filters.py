"""The filters on the worked examples of textbooks, the matched filter on a buried echo, the detector on fresh pictures."""

import pytest
import torch

from zoo.blocks.filters import KERNELS, Detector, correlate, matched_filter, signs
from zoo.errors import InputError


def test_laplacian_of_a_bright_block():
    image = torch.ones(5, 5)
    image[1:5, 2:5] = 10
    found = correlate(image, KERNELS["edges, Laplacian"])
    assert found.tolist() == [[9, -18, -9], [9, -9, 0], [9, -9, 0]]


def test_identity_keeps_the_inside():
    image = torch.randint(100, (5, 5)).float()
    assert torch.equal(correlate(image, KERNELS["identity"]), image[1:-1, 1:-1])


def test_smoothing_keeps_the_mean_and_edges_have_none():
    for name, kernel in KERNELS.items():
        wanted = 0 if "edges" in name else {"lighten": 1.5, "darken": 0.5}.get(name, 1)
        assert kernel.sum().item() == pytest.approx(wanted)
        flat = correlate(torch.full((2, 7, 8), 3.0), kernel)
        assert flat.shape == (2, 8 - len(kernel), 9 - len(kernel))
        torch.testing.assert_close(flat, torch.full_like(flat, 3.0 * wanted))


def test_correlation_equals_scipy():
    from scipy.signal import correlate2d

    torch.manual_seed(0)
    image, kernel = torch.randn(9, 7), torch.randn(3, 4)
    wanted = torch.from_numpy(correlate2d(image.numpy(), kernel.numpy(), mode="valid"))
    torch.testing.assert_close(correlate(image, kernel), wanted)


def test_the_matched_filter_finds_an_echo_and_its_height():
    generator = torch.Generator().manual_seed(0)
    template = torch.sin(torch.linspace(0, 12, 60).square() / 4)
    received = 0.5 * torch.randn(500, generator=generator)
    received[321 : 321 + 60] += 0.8 * template
    found = matched_filter(received, template)
    assert found.shape == (441,) and found.argmax() == 321
    assert found[321].item() == pytest.approx(0.8, abs=0.3)
    clean = torch.zeros(100)
    clean[7:67] = 0.8 * template
    assert matched_filter(clean, template)[7].item() == pytest.approx(0.8)


def test_the_detector_finds_pluses_in_fresh_pictures():
    torch.manual_seed(0)
    detector = Detector()
    course = detector.learn(*signs(1, seed=0), steps=600, lr=0.05)
    assert course[-1] < 0.5 * course[0]
    images, targets = signs(5, seed=1)
    assert ((targets > 0).sum((1, 2)) == 3).all()
    assert torch.equal(detector.find(images), targets > 0)


def test_bad_sizes_are_named():
    for image, kernel in ((torch.zeros(2, 2), KERNELS["box"]), (torch.zeros(5), KERNELS["box"])):
        with pytest.raises(InputError, match="kernel"):
            correlate(image, kernel)
    with pytest.raises(InputError, match="fit"):
        signs(size=12, each=3)
