"""Networks whose hidden layer isn't trained: the read-out against least squares, k-means, and interpolation."""

import pytest
import torch

from zoo.errors import InputError
from zoo.models.mlp.elm import ELM
from zoo.models.mlp.rbf_network import RBFNetwork, k_means


def images(n: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(n) % 3
    return (0.2 * torch.rand(n, 1, 5, 5, generator=generator) + 0.25 * y[:, None, None, None]).clamp(0, 1), y


@pytest.mark.parametrize("kind", [ELM, RBFNetwork])
def test_the_read_out_is_least_squares(kind):
    torch.manual_seed(0)
    count = {"units": 8} if kind is ELM else {"centres": 8}
    model, (x, y) = kind(3, image_size=(5, 5), ridge=1e-12, **count), images()
    model.fit(x, y)
    h = model.features(x)["embedding"].double()
    target = torch.nn.functional.one_hot(y, 3).double() - 1 / 3
    torch.testing.assert_close(
        h @ model.head.weight.double().T, h @ torch.linalg.lstsq(h, target).solution, atol=1e-3, rtol=0
    )
    assert (model(x).argmax(1) == y).float().mean() > 0.9


def test_random_units_have_the_spread_that_was_asked_for():
    torch.manual_seed(0)
    model, (x, y) = ELM(3, image_size=(5, 5), units=40, scale=0.5), images()
    signs = model.signs.clone()
    model.fit(x, y)
    assert torch.equal(model.signs, signs) and set(signs.unique().tolist()) == {-1, 1}
    u = model.features(x)["embedding"].atanh()
    torch.testing.assert_close(u.std(0), torch.full((40,), 0.5))


def test_as_many_centres_as_images_interpolate():
    torch.manual_seed(0)
    x, y = images(20)
    x = (255 * x).round() / 255  # centres are kept in 256 steps
    model = RBFNetwork(3, image_size=(5, 5), centres=20, rounds=1, ridge=1e-9).fit(x, y)
    model.width.fill_(0.1)
    model.draw = lambda _: None  # type: ignore[method-assign]
    model.fit(x, y)
    torch.testing.assert_close(model(x), torch.nn.functional.one_hot(y, 3) - 1 / 3, atol=1e-3, rtol=0)


def test_k_means_finds_separate_heaps():
    torch.manual_seed(1)
    heaps = torch.tensor([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]])
    x = heaps.repeat_interleave(50, 0) + 0.1 * torch.randn(150, 2)
    found = min((k_means(x, 3, 20) for _ in range(5)), key=lambda result: result[1])
    assert torch.cdist(heaps, found[0]).min(1).values.max() < 0.1
    assert found[1].item() == pytest.approx(0.1 * 2**0.5, rel=0.1)


def test_what_makes_no_sense_is_refused():
    for kind in (ELM, RBFNetwork):
        for bad in ({"scale": 0.0}, {"ridge": 0.0}):
            with pytest.raises(InputError, match=next(iter(bad))):
                kind(**bad)
    with pytest.raises(InputError, match="60 images for 61 centres"):
        RBFNetwork(3, image_size=(5, 5), centres=61).fit(*images())
