"""Bits-back coding: exact round trips, a length near the bound, and bytes that aren't right."""

import math

import pytest
import torch

from zoo.errors import InputError
from zoo.models.autoencoders.autoencoder import Autoencoder
from zoo.models.autoencoders.vae import VAE
from zoo.theory import bits_back

pytest.importorskip("constriction")


def small_vae() -> VAE:
    torch.manual_seed(0)
    return VAE((1, 6, 6), latent_dim=3, hidden=(16,)).eval()


def digits(n: int = 12) -> torch.Tensor:
    return (torch.rand(n, 1, 6, 6, generator=torch.Generator().manual_seed(0)) < 0.5).float()


def test_images_come_back_and_their_number_travels():
    vae = small_vae()
    for images in (digits(), digits(1), digits()[:0]):
        assert torch.equal(bits_back.decompress(vae, bits_back.compress(vae, images, seed=3)), images)
    assert vae.training is False


def test_the_net_length_is_near_the_bound():
    vae, x = small_vae(), digits(300)
    report = bits_back.report(vae, x)
    bound = torch.stack([torch.stack(vae.elbo(x, seed=seed)) for seed in range(20)]).mean(0)  # likelihood, rate
    expected = (bound[1] - bound[0]).mean().item() / math.log(2) / 36
    assert report.bits_per_dim == pytest.approx(expected, rel=0.02)
    assert report.start_bits > 0 and len(report.data) * 8 >= report.net_bits


def test_two_gaussians_to_the_printed_digits():
    table = {0: (9.6910, 8.6910), 0.5: (9.4056, 8.8517), 1: (9.4506, 9.1769), 2: (9.6420, 9.6038)}
    for mean, (shortest, back) in table.items():
        found = bits_back.two_gaussians(mean)
        assert found[:2] == pytest.approx((shortest, back), abs=6e-5) and found[1] == pytest.approx(found[2])


def test_bytes_that_are_not_right():
    vae, data = small_vae(), bits_back.compress(small_vae(), digits())
    with pytest.raises(InputError, match="no message"):
        bits_back.decompress(vae, b"nothing")
    with pytest.raises(InputError, match="checksum"):
        bits_back.decompress(vae, data[:-4] + b"abcd")
    other = small_vae()
    torch.nn.init.ones_(next(other.parameters()))
    with pytest.raises(InputError, match="another model"):
        bits_back.decompress(other, data)
    with pytest.raises(InputError, match="0 or 1"):
        bits_back.compress(vae, digits() * 0.5)
    with pytest.raises(InputError, match="images are"):
        bits_back.compress(vae, torch.zeros(1, 1, 5, 5))
    with pytest.raises(InputError, match="no variational"):
        bits_back.compress(Autoencoder((1, 6, 6), latent_dim=2, hidden=(4,)), digits())
