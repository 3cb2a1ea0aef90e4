import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules import augment, colours
from datamodules.augment import Augment
from zoo.errors import InputError


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(n: int = 32, shape: tuple[int, int, int] = (3, 12, 12)) -> torch.Tensor:
    return torch.randint(1, 256, (n, *shape), dtype=torch.uint8, generator=generator(9))  # no zeros: zero is padding


DRAWN = {
    "flip": lambda x, g: augment.flip(x, generator=g),
    "translate": lambda x, g: augment.translate(x, 2, generator=g),
    "reflect": lambda x, g: augment.translate(x, 2, generator=g, pad="reflect"),
    "warp": lambda x, g: augment.warp(x, generator=g, rotate=20, scale=0.2, shear=10, elastic=1),
    "cutout": lambda x, g: augment.cutout(x, 4, generator=g),
    "erase": lambda x, g: augment.erase(x, 0.5, generator=g),
    "jitter": lambda x, g: colours.jitter(x, generator=g, brightness=0.4, contrast=0.4, colour=0.4),
    "noise": lambda x, g: colours.noise(x, 0.1, generator=g),
    "sharpen": lambda x, g: colours.sharpen(x, 2.0, generator=g),
    "light": lambda x, g: colours.principal(x, 0.3, generator=g),
    "mixup": lambda x, g: augment.mixup(x, torch.zeros(len(x), dtype=torch.int64), 2, 0.4, generator=g)[0],
}


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_the_generator_alone_decides_and_each_image_gets_its_own_draw(draw):
    x = images(1).repeat(32, 1, 1, 1)
    x = x if draw is not DRAWN["mixup"] else images()
    before = x.clone()
    torch.manual_seed(1)
    first = draw(x, generator(5))
    torch.manual_seed(2)
    assert torch.equal(first, draw(x, generator(5)))
    assert not torch.equal(first, draw(x, generator(6)))
    assert len(first.flatten(1).unique(dim=0)) > 1
    assert first.shape == x.shape
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    "identity",
    [
        lambda x, g: augment.translate(x, 0, generator=g),
        lambda x, g: augment.cutout(x, 0, generator=g),
        lambda x, g: augment.erase(x, 0.0, generator=g),
        lambda x, g: augment.warp(x, generator=g),
    ],
    ids=["translate", "cutout", "erase", "warp"],
)
def test_settings_of_zero_change_nothing(identity):
    x = images()
    torch.testing.assert_close(identity(x, generator()).float(), x.float(), rtol=0, atol=1e-3)


def test_flip_mirrors_half_of_the_images_left_to_right():
    x = images(2000, (1, 2, 3))
    flipped = augment.flip(x, generator=generator())
    mirrored = (flipped == x.flip(-1)).flatten(1).all(1)
    assert torch.equal(torch.where(mirrored[:, None, None, None], x.flip(-1), x), flipped)
    assert 0.45 < mirrored.float().mean() < 0.55


def test_alternating_flip_shows_both_sides_in_any_two_epochs():
    x, index = images(1000, (1, 2, 3)), torch.arange(1000)
    data = Augment({"flip": "alternate"}, (1, 2, 3), num_classes=2)
    epochs = [data(x, index, index=index, epoch=e, generator=generator())[0] for e in range(3)]
    assert torch.equal(epochs[1], epochs[0].flip(-1))
    assert torch.equal(epochs[2], epochs[0])
    first = (epochs[0] != x).flatten(1).any(1).float().mean()
    assert 0.45 < first < 0.55
    order = torch.randperm(1000, generator=generator())  # which image starts mirrored doesn't depend on its batch
    assert torch.equal(data(x[order], order, index=order, epoch=0, generator=generator())[0], epochs[0][order])
    other = Augment({"flip": "alternate"}, (1, 2, 3), num_classes=2, seed=2**32 - 1)
    assert not torch.equal(other(x, index, index=index, epoch=0, generator=generator())[0], epochs[0])


@settings(deadline=None, max_examples=30)
@given(dy=st.integers(-3, 3), dx=st.integers(-3, 3))
def test_shift_by_known_offsets_is_a_roll_with_zeros_behind(dy, dx):
    x = images(2)
    moved = augment.shift(x, torch.tensor([dy, 0]), torch.tensor([dx, 0]), 3)
    expected = x[0].roll((dy, dx), (1, 2))
    expected[:, :dy] = 0 if dy > 0 else expected[:, :dy]
    expected[:, 12 + dy :] = 0 if dy < 0 else expected[:, 12 + dy :]
    expected[:, :, :dx] = 0 if dx > 0 else expected[:, :, :dx]
    expected[:, :, 12 + dx :] = 0 if dx < 0 else expected[:, :, 12 + dx :]
    assert torch.equal(moved[0], expected)
    assert torch.equal(moved[1], x[1])


def test_shift_by_reflection_repeats_the_inside():
    x = torch.arange(5, dtype=torch.uint8).expand(1, 1, 5, 5)
    moved = augment.shift(x, torch.tensor([0]), torch.tensor([2]), 2, pad="reflect")
    assert moved[0, 0, 0].tolist() == [2, 1, 0, 1, 2]


def test_translate_draws_every_offset_equally_often():
    x = torch.zeros(5000, 1, 9, 9, dtype=torch.uint8)
    x[:, 0, 4, 4] = 1
    where = augment.translate(x, 2, generator=generator()).sum(0)[0]
    assert where.sum() == 5000
    assert (where > 0).sum() == 25
    assert where[2:7, 2:7].min() > 130


@pytest.mark.parametrize(("height", "width"), [(13, 13), (9, 15)])
def test_warp_rotates_about_the_centre_by_the_angle_drawn(height, width, monkeypatch):
    quarter = iter([90.0, 1.0, 0.0])  # angle, scale, shear
    monkeypatch.setattr(augment, "_uniform", lambda x, *_: torch.full((len(x),), next(quarter)))
    x = torch.zeros(1, 1, height, width)
    x[0, 0, height // 2, width // 2 + 3] = 1  # three pixels right of the centre
    turned = augment.warp(x, generator=generator(), rotate=90)
    expected = torch.zeros_like(x)
    expected[0, 0, height // 2 - 3, width // 2] = 1  # three above: a rotation keeps distances in pixels
    torch.testing.assert_close(turned, expected, rtol=0, atol=1e-4)


def test_warp_scales_by_the_factor_drawn(monkeypatch):
    double = iter([0.0, 2.0, 0.0])
    monkeypatch.setattr(augment, "_uniform", lambda x, *_: torch.full((len(x),), next(double)))
    x = torch.zeros(1, 1, 12, 12)
    x[..., 4:8, 4:8] = 1
    bigger = augment.warp(x, generator=generator(), scale=0.5)
    assert bigger.sum().item() == pytest.approx(4 * 16, rel=0.02)  # twice the side, four times the area


def test_warp_shears_rows_against_each_other(monkeypatch):
    slant = iter([0.0, 1.0, 45.0])
    monkeypatch.setattr(augment, "_uniform", lambda x, *_: torch.full((len(x),), next(slant)))
    x = torch.zeros(1, 1, 11, 11)
    x[..., 5] = 1  # an upright line
    sheared = augment.warp(x, generator=generator(), shear=45)
    columns = sheared[0, 0].argmax(1)
    assert (columns[1:] - columns[:-1]).abs().tolist() == [1] * 10  # leans one pixel per row


def test_elastic_bends_smoothly_by_the_pixels_asked_for():
    ramp = torch.arange(28.0).expand(64, 1, 28, 28)  # reads off where each pixel came from
    bent = augment.warp(ramp, generator=generator(), elastic=1.5, pad="reflect")
    move = (bent - ramp)[:, 0, 6:-6, 6:-6]
    assert 0.9 < move.std() < 1.8
    assert move.diff(dim=-1).abs().mean() < 0.5 * move.std()  # neighbours move together
    assert abs(move.mean()) < 0.1


@settings(deadline=None, max_examples=20)
@given(size=st.integers(1, 12), seed=st.integers(0, 1000))
def test_cutout_zeroes_exactly_one_square(size, seed):
    x = images(16)
    holes = (augment.cutout(x, size, generator=generator(seed)) == 0).all(1)  # [N, H, W]
    assert holes.sum((1, 2)).tolist() == [size * size] * 16
    assert holes.any(2).sum(1).tolist() == holes.any(1).sum(1).tolist() == [size] * 16


def test_cutout_fills_with_the_colour_given():
    x = images(4)
    painted = augment.cutout(x, 12, generator=generator(), fill=(1.0, 127.6, 255.0))
    assert painted[0, :, 0, 0].tolist() == [1, 128, 255]
    kept = augment.cutout(x.float(), 12, generator=generator(), fill=(1.0, 127.6, 255.0))
    assert kept[0, :, 0, 0].tolist() == pytest.approx([1.0, 127.6, 255.0])


def test_erase_paints_rectangles_of_the_share_of_images_asked_for():
    x = images(2000, (1, 24, 24))
    holes = (augment.erase(x, 0.3, generator=generator()) == 0)[:, 0]
    area = holes.sum((1, 2)) / 24**2
    assert 0.26 < (area > 0).float().mean() < 0.34
    assert torch.equal(holes.sum((1, 2)), holes.any(1).sum(1) * holes.any(2).sum(1))  # a full rectangle
    assert area[area > 0].min() > 0.015
    assert area.max() < 0.36


@pytest.mark.parametrize("alpha", [0.001, 0.2, 1.0])
def test_mixup_blends_images_and_targets_by_the_same_weights(alpha):
    y = torch.arange(500) % 10
    x = y.float()[:, None, None, None].expand(-1, 1, 2, 2)  # each image shows its label
    mixed, target = augment.mixup(x, y, 10, alpha, generator=generator())
    torch.testing.assert_close(target.sum(1), torch.ones(500))
    assert target.min() >= 0
    assert ((target > 0).sum(1) <= 2).all()
    torch.testing.assert_close(mixed[:, 0, 0, 0], target @ torch.arange(10.0))
    weight = target.max(1).values
    larger = {0.001: 1.0, 0.2: 0.90, 1.0: 0.75}[alpha]  # the mean of max(l, 1 - l)
    expected = 0.1 + 0.9 * larger  # one partner in ten shows the same class
    assert weight.mean().item() == pytest.approx(expected, abs=0.03)


def test_pipeline_applies_all_its_settings_on_uint8_and_float():
    everything = {
        "flip": True,
        "rotate": 10,
        "scale": 0.1,
        "shear": 5,
        "elastic": 0.5,
        "translate": 2.0,  # a recipe's number may arrive as a float
        "pad": "reflect",
        "cutout": 3.0,
        "erase": 0.5,
        "mixup": 0.2,
    }
    data = Augment(everything, (3, 12, 12), num_classes=5, fill=(1, 2, 3))
    y = torch.arange(32) % 5
    for x in (images(), images().float()):
        out, target = data(x, y, index=torch.arange(32), epoch=0, generator=generator())
        assert out.shape == x.shape
        assert out.dtype == torch.float32
        assert target.shape == (32, 5)
        assert out.isfinite().all()
        assert out.min() >= 0
        assert out.max() <= 255.01


def test_integer_operations_keep_uint8():
    data = Augment({"flip": "random", "translate": 1, "cutout": 2}, (3, 12, 12), num_classes=5, fill=(1, 2, 3))
    x, y = data(images(), torch.arange(32), index=torch.arange(32), epoch=0, generator=generator())
    assert x.dtype == torch.uint8
    assert torch.equal(y, torch.arange(32))


def test_images_grow_from_half_of_their_sides_to_all_of_them():
    """Halved images are means of 2×2 pixels but for the filter's tails; from epoch `grow` on nothing is touched."""
    data = Augment({"grow": 4}, (3, 12, 16), num_classes=5)
    x, y = images(shape=(3, 12, 16)), torch.arange(32) % 5
    grown = [data(x, y, index=torch.arange(32), epoch=epoch, generator=generator())[0] for epoch in range(6)]
    assert [tuple(g.shape[2:]) for g in grown] == [(6, 8)] * 2 + [(9, 12)] * 2 + [(12, 16)] * 2
    assert {g.dtype for g in grown} == {torch.uint8}
    assert torch.equal(grown[4], x)
    flat = torch.full((1, 3, 12, 16), 201, dtype=torch.uint8)
    assert torch.equal(augment.shrink(flat, 0.75), torch.full((1, 3, 9, 12), 201, dtype=torch.uint8))
    slope = torch.arange(16.0).expand(1, 1, 12, 16)  # a linear filter keeps a slope: 0.5, 2.5, … away from the border
    torch.testing.assert_close(augment.shrink(slope, 0.5)[0, 0, 0, 1:-1], 0.5 + 2 * torch.arange(1.0, 7))
    assert [augment.growing(epoch, 0) for epoch in (0, 5)] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"rotation": 10}, "augment has no setting 'rotation'; it knows flip, pad, rotate, scale, .*mixup"),
        ({"translate": 12}, "augment.translate is 12; it's a number from 0 to 11"),
        ({"translate": 1.5}, "augment.translate is 1.5; it counts whole pixels"),
        ({"grow": 2.5}, "augment.grow is 2.5; it counts whole epochs"),
        ({"cutout": -1}, "augment.cutout is -1"),
        ({"rotate": "much"}, "augment.rotate is 'much'"),
        ({"rotate": True}, "augment.rotate is True"),
        ({"mixup": math.nan}, "augment.mixup is nan"),
        ({"erase": 2}, "augment.erase is 2; it's a number from 0 to 1"),
        ({"flip": "vertical"}, "augment.flip is 'vertical'; it can be True or False or random or alternate"),
        ({"flip": 1}, "augment.flip is 1"),
        ({"pad": "wrap"}, "augment.pad is 'wrap'; it can be zero or reflect"),
    ],
)
def test_bad_settings_are_named(setting, message):
    with pytest.raises(InputError, match=message):
        Augment(setting, (1, 12, 12), num_classes=2)


def test_principal_colours_move_along_the_axes_of_the_batch():
    shade = torch.linspace(0.3, 0.7, 64).reshape(4, 1, 4, 4)
    direction = torch.tensor([1.0, 0.5, 0.0])[:, None, None]
    x = 0.2 + (shade - 0.5) * direction + 0.3  # all colours lie on one line
    moved = colours.principal(x, 0.5, generator=generator()) - x
    assert moved.abs().max() > 0.01 and moved[:, 2].abs().max() < 1e-5
    torch.testing.assert_close(moved[:, 1], 0.5 * moved[:, 0], atol=1e-4, rtol=0)
    assert (moved.std((2, 3)) < 1e-5).all()  # one shift an image


def test_contrast_keeps_the_mean_and_colour_the_grey():
    x = 0.4 + 0.2 * torch.rand(8, 3, 6, 6, generator=generator())
    harder = colours.jitter(x, generator=generator(), contrast=0.5)
    torch.testing.assert_close(harder.mean((1, 2, 3)), x.mean((1, 2, 3)))
    assert ((harder.std((1, 2, 3)) / x.std((1, 2, 3)) - 1).abs() > 0.02).any()
    paler = colours.jitter(x, generator=generator(), colour=0.9)
    torch.testing.assert_close(paler.mean(1), x.mean(1))


def test_sharpening_leaves_flat_places_and_lifts_edges():
    x = torch.zeros(2, 1, 8, 8)
    x[..., 4:] = 0.5
    sharp = colours.sharpen(x + 0.2, 2.0, generator=generator())
    torch.testing.assert_close(sharp[..., :3], torch.full((2, 1, 8, 3), 0.2))
    assert (sharp[..., 4] > 0.7).all() and (sharp[..., 3] < 0.2).all()


def test_noise_has_its_deviation_and_augment_takes_all_of_them():
    x = torch.full((4, 3, 64, 64), 128, dtype=torch.uint8)
    assert colours.noise(x, 0.05, generator=generator()).std().item() == pytest.approx(0.05 * 255, rel=0.05)
    settings_ = {"brightness": 0.2, "contrast": 0.2, "colour": 0.2, "noise": 0.02, "sharpen": 1.0, "light": 0.1}
    change = Augment(settings_, (3, 64, 64), num_classes=2)
    y, _ = change(x, torch.zeros(4, dtype=torch.int64), index=torch.arange(4), epoch=0, generator=generator())
    assert y.shape == x.shape and 0 <= y.min() and y.max() <= 255
    with pytest.raises(InputError, match=r"augment\.contrast"):
        Augment({"contrast": 2.0}, (3, 64, 64), num_classes=2)
