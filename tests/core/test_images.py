"""The transform: the same pixels give the same tensor however they come; anything else is refused in a sentence."""

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from zoo.core import images
from zoo.core.images import Transform, save_grid, stretch
from zoo.errors import InputError

GREY = Transform(size=[28, 28], mode="L", mean=[0.1307], std=[0.3081])
RGB = Transform(size=[32, 32], mode="RGB", mean=[0.5, 0.5, 0.5], std=[0.25, 0.25, 0.25])


def picture(height: int = 28, width: int = 28, mode: str = "L") -> Image.Image:
    generator = np.random.default_rng(0)
    shape = (height, width) if mode == "L" else (height, width, len(mode))
    return Image.fromarray(generator.integers(0, 256, shape, dtype=np.uint8))


@pytest.mark.parametrize(("transform", "mode"), [(GREY, "L"), (RGB, "RGB"), (GREY, "RGB"), (RGB, "L")])
@pytest.mark.parametrize("size", [(28, 28), (32, 32), (61, 40)])
def test_path_pil_array_and_tensor_agree(transform, mode, size, tmp_path):
    image = picture(*size, mode=mode)
    image.save(tmp_path / "a.png")
    array = np.asarray(image)
    tensor = torch.from_numpy(array.copy())
    tensor = tensor[None] if mode == "L" else tensor.permute(2, 0, 1)
    expected = transform(image)
    assert expected.shape == (len(transform.mean), *transform.size)
    for other in (tmp_path / "a.png", str(tmp_path / "a.png"), array, tensor, tensor.float() / 255):
        assert torch.equal(transform(other), expected)
    assert torch.equal(transform([image, array]), torch.stack([expected, expected]))
    assert torch.equal(transform(torch.stack([tensor, tensor])), torch.stack([expected, expected]))


@pytest.mark.filterwarnings("ignore:.*transparent in parts")
@pytest.mark.parametrize(("transform", "mode"), [(GREY, "LA"), (RGB, "RGBA"), (GREY, "RGBA"), (RGB, "LA")])
def test_transparency_is_dropped_from_arrays_as_from_files(transform, mode, tmp_path):
    image = picture(40, 30, mode="RGBA").convert(mode)
    image.save(tmp_path / "a.png")
    assert np.asarray(image).shape[-1] == len(mode)
    assert torch.equal(transform(np.asarray(image)), transform(tmp_path / "a.png"))
    assert torch.equal(transform(np.stack([image, image]))[1], transform(image))


def test_resizing_agrees_with_torchvision_within_one_level():
    from torchvision.transforms.v2.functional import resize

    image = torch.from_numpy(np.asarray(picture(64, 48)).copy())[None]
    expected = resize(image, [28, 28], antialias=True).float()
    assert (GREY.pixels(image).float() - expected).abs().max() <= 1


def test_grey_agrees_with_pillow_within_one_level():
    image = picture(28, 28, "RGB")
    tensor = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)
    expected = torch.from_numpy(np.asarray(image.convert("L")).copy()).float()
    assert (GREY.pixels(tensor)[0].float() - expected).abs().max() <= 1


def test_normalises():
    assert torch.allclose(GREY(torch.full((1, 28, 28), 255, dtype=torch.uint8)), torch.tensor((1 - 0.1307) / 0.3081))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (torch.full((1, 28, 28), float("nan")), "NaN"),
        (torch.full((1, 28, 28), 7.0), "divide by 255"),
        (torch.zeros(2, 28, 28, dtype=torch.uint8), "has shape"),
        (torch.zeros(28, dtype=torch.uint8), "has shape"),
        (torch.zeros(1, 0, 28, dtype=torch.uint8), "has shape"),
        (torch.zeros(1, 28, 28, dtype=torch.int64), "uint8"),
        (np.zeros((28, 28, 7), dtype=np.uint8), "has shape"),
        ("no-such-file.png", "there is no file"),
        (3.5, "an image is a path"),
        ([], "empty"),
    ],
)
def test_what_is_no_image_is_refused(bad, message):
    with pytest.raises(InputError, match=message):
        GREY(bad)


def test_a_file_that_is_no_image_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"not a picture")
    with pytest.raises(InputError, match="can't be read as an image"):
        GREY(tmp_path / "a.png")


def test_a_bomb_and_a_broken_file_are_refused(tmp_path, monkeypatch):
    picture(40, 40).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(InputError, match="can't be read as an image"):
        GREY(tmp_path / "a.png")
    monkeypatch.undo()
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "b.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="can't be read as an image"):
        GREY(tmp_path / "b.png")


def test_a_turned_photo_is_turned_back(tmp_path):
    image, exif = picture(28, 28), Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: show it turned by 90 degrees
    image.save(tmp_path / "a.png", exif=exif)
    assert torch.equal(GREY(tmp_path / "a.png"), GREY(image.rotate(-90)))


def test_sixteen_bits_keep_their_shades(tmp_path):
    eight = np.asarray(picture(28, 28))
    Image.fromarray(eight.astype(np.uint16) * 257).save(tmp_path / "a.png")
    assert torch.equal(GREY(tmp_path / "a.png"), GREY(eight))


def test_transform_round_trips_through_json():
    assert Transform(**GREY.to_dict()).to_dict() == GREY.to_dict()
    with pytest.raises(InputError, match="mode"):
        Transform(size=[8, 8], mode="CMYK", mean=[0], std=[1])
    with pytest.raises(InputError, match="channel"):
        Transform(size=[8, 8], mode="RGB", mean=[0], std=[1])


@pytest.mark.parametrize("channels", [1, 3])
def test_grid_is_written_and_shows_the_images(channels, tmp_path):
    path = zoo.save_grid(torch.ones(6, channels, 5, 5), tmp_path / "deep" / "grid.png", columns=3)
    with Image.open(path) as image:
        assert image.size == (3 * 12 + 2, 2 * 12 + 2)
        assert np.asarray(image)[4, 4].max() == 255
    for bad in (torch.ones(0, 1, 5, 5), torch.ones(5, 5), torch.full((1, 1, 5, 5), float("nan"))):
        with pytest.raises(InputError):
            save_grid(bad, tmp_path / "never.png")
    assert not (tmp_path / "never.png").exists()


def photo(height: int, width: int) -> Image.Image:
    """Smooth colours with some noise, as a camera gives them."""
    rows, columns = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(0).normal(0, 6, (height, width, 3))
    waves = [120 + 80 * np.sin(rows / height * a) * np.cos(columns / width * b) for a, b in ((5, 3), (9, 2), (4, 7))]
    return Image.fromarray((np.stack(waves, 2) + noise).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("transform", [GREY, RGB])
def test_a_large_photo_is_decoded_at_a_part_of_its_size(transform, tmp_path, monkeypatch):
    side = max(transform.size)
    decoded = []
    monkeypatch.setattr("zoo.core.pictures.check_size", lambda image, most: decoded.append(image.size))
    for factor, exact in ((1, True), (2, True), (3.9, True), (4, False), (20, False)):
        photo(round(factor * side), round(1.25 * factor * side)).save(tmp_path / "photo.jpg", quality=95)
        decoded.clear()
        found = transform.pixels(tmp_path / "photo.jpg")
        with Image.open(tmp_path / "photo.jpg") as opened:
            whole = transform.pixels(np.asarray(opened))
        if exact:
            assert torch.equal(found, whole)
        else:
            assert (found.float() - whole.float()).abs().mean() < 2
        assert 2 * side <= min(decoded[0]) < 4 * side or factor < 2


def test_a_stretched_or_unsmoothed_photo_is_read_in_full(tmp_path):
    photo(400, 500).save(tmp_path / "photo.jpg", quality=95)
    for options in ({"percentiles": [1, 99]}, {"antialias": False}, {"interpolation": "nearest"}):
        transform = Transform([28, 28], "RGB", [0.0] * 3, [1.0] * 3, **options)
        with Image.open(tmp_path / "photo.jpg") as opened:
            assert torch.equal(transform.pixels(tmp_path / "photo.jpg"), transform.pixels(np.asarray(opened)))


def test_the_warning_names_the_size_of_the_whole_photo(tmp_path):
    photo(600, 800).save(tmp_path / "photo.jpg")
    with pytest.warns(UserWarning, match="800 × 600 pixels becomes 28 × 28"):
        GREY(tmp_path / "photo.jpg")


def test_a_picture_worked_on_in_parts_is_the_same(monkeypatch):
    x = torch.randint(256, (3, 11, 7), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    whole = stretch(x, (1, 99)), images._grey(x)
    monkeypatch.setattr(images, "PART", 8)
    assert torch.equal(stretch(x, (1, 99)), whole[0]) and torch.equal(images._grey(x), whole[1])
    assert torch.equal(images._grey(x[None].repeat(2, 1, 1, 1))[1], whole[1])
