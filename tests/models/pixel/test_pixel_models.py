"""Pixel models: nothing leaks from the future, nothing earlier is out of sight, and probabilities sum to one."""

import math

import pytest
import torch

from zoo.core import protocols
from zoo.errors import InputError
from zoo.models.pixel.pixel_model import PixelModel
from zoo.models.pixel.pixelcnn import MaskedConv2d, PixelCNN, horizontal_mask, vertical_mask
from zoo.models.pixel.pixelrnn import PixelRNN

MODELS = {
    "pixelcnn": lambda size=5, levels=4: PixelCNN((1, size, size), 6, layers=5, levels=levels),
    "pixelrnn": lambda size=5, levels=4: PixelRNN((1, size, size), 6, layers=2, levels=levels),
}
both = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)


def dependences(model: PixelModel, size: int) -> torch.Tensor:
    """[pixel, pixel] bool: whether the logits of the first depend on the second, in reading order, by gradients."""
    x = torch.rand(8, 1, size, size, requires_grad=True)
    logits = model.eval()(x).sum((0, 1)).flatten()
    rows = [torch.autograd.grad(one, x, retain_graph=True)[0].abs().sum((0, 1)).flatten() > 0 for one in logits]
    return torch.stack(rows)


@both
def test_a_pixel_sees_only_earlier_pixels(make):
    size = 5
    seen = dependences(make(), size)
    assert not (seen & ~torch.ones_like(seen).tril(-1)).any(), "a pixel leaks to itself or to an earlier one"
    for pixel in range(1, size * size):
        assert seen[pixel, pixel - 1] or pixel % size == 0, "the pixel before is out of sight"


@both
@torch.no_grad()
def test_nothing_leaks_through_the_grey_level_either(make):
    """An embedding of levels has no gradient to the pixel. Change one level: no logits of it or of earlier pixels may change."""
    model, x = make().eval(), torch.randint(4, (2, 1, 5, 5)) / 3
    before = model(x).flatten(2)
    for pixel in range(25):
        changed = x.clone().flatten(2)
        changed[..., pixel] = (changed[..., pixel] + 1 / 3) % (4 / 3)
        after = model(changed.reshape_as(x)).flatten(2)
        torch.testing.assert_close(after[..., : pixel + 1], before[..., : pixel + 1], rtol=1e-5, atol=1e-6)
        assert pixel % 5 == 4 or not torch.allclose(after[..., pixel + 1], before[..., pixel + 1], atol=1e-4)


def test_the_two_stacks_have_no_blind_spot():
    seen = dependences(MODELS["pixelcnn"](), 5)
    assert torch.equal(seen, torch.ones_like(seen).tril(-1).bool())


def test_one_masked_stack_has_one():
    """What the vertical stack is for: pixels above and to the right are lost in a plain chain of masked kernels."""
    mask = vertical_mask(3, own_row=False)
    mask[1] = horizontal_mask(3, itself=True)[0]
    stack = torch.nn.Sequential(*(MaskedConv2d(1, 1, mask) for _ in range(8)))
    x = torch.rand(1, 1, 7, 7, requires_grad=True)
    (gradient,) = torch.autograd.grad(stack(x)[0, 0, 4, 2], x)
    assert gradient[0, 0, 3, 3] != 0 and gradient[0, 0, 3, 5] == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: PixelCNN((1, 9, 6), 6, layers=2),
        lambda: PixelCNN((1, 9, 6), 6, layers=3, dilations=[1, 1, 2]),
        lambda: PixelCNN((1, 9, 6), 6, layers=3, kernel=5),
        lambda: PixelRNN((1, 9, 6), 6, layers=2),
    ],
)
@torch.no_grad()
def test_drawing_pixel_by_pixel_computes_the_same_logits(make):
    """PixelCNN sees four columns back here, so the last pixels of a row are computed from a part of it."""
    model, x, memory = make().eval(), torch.rand(3, 1, 9, 6), None
    full = model(x)
    for row in range(9):
        memory = model.remember(x, row, memory)
        for column in range(6):
            logits = model.pixel_logits(x, row, column, memory)
            torch.testing.assert_close(logits, full[:, :, row, column], rtol=1e-4, atol=1e-5)


@both
def test_images_are_those_of_a_whole_pass_for_every_pixel(make, monkeypatch):
    """Sums that go on from pixel to pixel round otherwise, and draw the same grey levels."""
    torch.manual_seed(0)
    model, x = make(size=7, levels=16).eval(), torch.randint(16, (4, 1, 7, 7)) / 15
    for weights in model.parameters():  # fresh ones hardly look at the pixels before
        torch.nn.init.normal_(weights, std=0.5)
    drawn = model.sample(4, seed=3), model.complete(x, 3, seed=3)
    monkeypatch.setattr(type(model), "pixel_logits", PixelModel.pixel_logits)
    monkeypatch.setattr(type(model), "remember", PixelModel.remember)
    assert torch.equal(drawn[0], model.sample(4, seed=3)) and torch.equal(drawn[1], model.complete(x, 3, seed=3))
    assert not drawn[0].is_inference()


@both
def test_probabilities_of_all_images_sum_to_one(make):
    model = make(size=2, levels=3)
    every = torch.cartesian_prod(*[torch.arange(3) / 2] * 4).reshape(-1, 1, 2, 2)
    assert model.log_prob(every).double().exp().sum().item() == pytest.approx(1, abs=1e-5)


@both
def test_samples_follow_the_probabilities(make):
    torch.manual_seed(1)
    model = make(size=2, levels=2)
    torch.nn.init.normal_(model.head[-1].weight)
    every = torch.cartesian_prod(*[torch.arange(2) / 1] * 4).reshape(-1, 1, 2, 2)
    p = model.log_prob(every).double().exp()
    drawn = model.sample(4000, seed=0, batch_size=4000).flatten(1) @ torch.tensor([8.0, 4, 2, 1])
    share = torch.bincount(drawn.long(), minlength=16) / 4000
    assert ((share - p).abs() < 4.5 * (p * (1 - p) / 4000).sqrt() + 1e-3).all()


@both
def test_loss_of_an_indifferent_model_is_the_bits_of_a_pixel(make):
    model = make(levels=8)
    torch.nn.init.zeros_(model.head[-1].weight)
    torch.nn.init.zeros_(model.head[-1].bias)
    x = torch.rand(4, 1, 5, 5)
    assert model.loss(x).item() == pytest.approx(3)
    torch.testing.assert_close(model.bits_per_dim(x), torch.full((4,), 3.0))
    torch.testing.assert_close(model.log_prob(x), torch.full((4,), -25 * math.log(8)))


@both
def test_verbs(make):
    model = make()
    assert isinstance(model, protocols.Samples) and isinstance(model, protocols.Scores)
    images = model.sample(3, seed=1, batch_size=2)
    assert set((images * 3).round().flatten().tolist()) <= {0.0, 1.0, 2.0, 3.0}
    assert torch.equal(model.sample(2, temperature=0.0, seed=1), model.sample(2, temperature=0.0, seed=2))
    x = torch.rand(2, 1, 5, 5)
    done = model.complete(x, 3, seed=0)
    assert torch.equal(done[:, :, :3], x[:, :, :3]) and not torch.equal(done[:, :, 3:], x[:, :, 3:])
    assert torch.equal(model.complete(x, 5), x)
    for call in (
        lambda: model.complete(x, 6),
        lambda: model.sample(2, labels=torch.zeros(2)),
        lambda: model.sample(2, temperature=-1.0),
        lambda: model.log_prob(torch.rand(2, 1, 4, 4)),
        lambda: model.log_prob(x + 1),
        lambda: model.log_prob(x[:0]),
    ):
        with pytest.raises(InputError):
            call()


def test_only_grey_images_and_two_levels_or_more():
    with pytest.raises(InputError, match="one channel"):
        PixelCNN((3, 8, 8))
    with pytest.raises(InputError, match="dilations are 2 numbers"):
        PixelCNN((1, 8, 8), layers=2, dilations=[1, 2, 4])
    with pytest.raises(InputError, match="embedding_dim"):
        PixelCNN((1, 8, 8), embedding_dim=0)
    with pytest.raises(InputError, match="levels"):
        PixelRNN((1, 8, 8), levels=1)
