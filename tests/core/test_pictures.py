"""Own pictures: every way in gives the same pixels, and whatever is no picture gives one sentence, quickly."""

import contextlib
import io
import os
import struct
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

import zoo
from datamodules.image_folder import ImageFolder
from zoo.core import pictures
from zoo.core.images import Transform
from zoo.core.samples import sample_split
from zoo.errors import InputError

SIDE = 8
GREY = Transform(size=[SIDE, SIDE], mode="L", mean=[0.0], std=[1.0])
RGB = Transform(size=[SIDE, SIDE], mode="RGB", mean=[0.0] * 3, std=[1.0] * 3)


def noise(*shape: int, high: int = 256, kind: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, high, shape).astype(kind)


def same(image: Image.Image, path: Path, expected: np.ndarray, tolerance: int = 0, **save: object) -> None:
    """The picture as a file and as a PIL image has the expected pixels [H, W] or [H, W, 3]."""
    image.save(path, **save)
    wanted = torch.from_numpy(expected.astype(np.int64))
    wanted = wanted[None] if wanted.ndim == 2 else wanted.permute(2, 0, 1)
    with Image.open(path) as opened:
        for found in (pictures.read_picture(path), pictures.pixels_of(image), pictures.pixels_of(opened)):
            assert found.shape == wanted.shape and (found.long() - wanted).abs().max() <= tolerance


@pytest.mark.parametrize("note", range(1, 9))
def test_all_eight_ways_to_hold_a_camera(tmp_path, note):
    from PIL import ImageOps

    image, exif = Image.fromarray(noise(SIDE, 6)), Image.Exif()
    exif[0x0112] = note
    image.save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as opened:
        upright = ImageOps.exif_transpose(opened)
        assert torch.equal(GREY(tmp_path / "a.png"), GREY(np.asarray(upright)))
        assert torch.equal(GREY(opened), GREY(np.asarray(upright)))


@pytest.mark.parametrize("high", [65536, 250])
@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_sixteen_bits_of_either_order_however_dark(tmp_path, high, order):
    values = noise(SIDE, SIDE, high=high, kind=np.uint16)
    expected = (values / 257).round()
    same(Image.fromarray(values), tmp_path / "a.png", expected)
    same(Image.fromarray(values), tmp_path / "a.tiff", expected)
    assert torch.equal(pictures.read_picture(tmp_path / "a.png"), GREY.pixels(values.astype(order)))
    assert torch.equal(pictures.read_picture(tmp_path / "a.png"), GREY.pixels(torch.from_numpy(values)))
    big = tmp_path / "big.tiff"
    big.write_bytes(big_endian_tiff(values))
    assert torch.equal(pictures.read_picture(big), pictures.read_picture(tmp_path / "a.png"))


def big_endian_tiff(values: np.ndarray) -> bytes:
    """A TIFF of 16-bit grey pixels, most significant byte first: Pillow's mode I;16B."""
    height, width = values.shape
    raw = values.astype(">u2").tobytes()
    tags = [
        (256, width),
        (257, height),
        (258, 16),
        (259, 1),
        (262, 1),
        (273, 8),
        (277, 1),
        (278, height),
        (279, len(raw)),
    ]
    body = b"".join(struct.pack(">HHII", tag, 4, 1, value) for tag, value in tags)
    return b"MM\0*" + struct.pack(">I", 8 + len(raw)) + raw + struct.pack(">H", len(tags)) + body + bytes(4)


@pytest.mark.parametrize("peak", [1, 255, 65535])
def test_floats_of_any_scale(tmp_path, peak):
    eight = noise(SIDE, SIDE)
    values = (eight / np.float32(255) * peak).astype(np.float32)
    values[0, 0], eight[0, 0] = peak, 255
    same(Image.fromarray(values), tmp_path / "a.tiff", eight, tolerance=1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1, 1e9])
def test_floats_that_are_no_brightness(tmp_path, value):
    Image.fromarray(np.full((4, 4), value, np.float32)).save(tmp_path / "a.tiff")
    with pytest.raises(InputError, match="can't be read as an image: "):
        pictures.read_picture(tmp_path / "a.tiff")


@pytest.mark.filterwarnings("ignore:.*transparent in parts")
def test_ink_on_a_transparent_sheet_is_ink_on_white(tmp_path):
    alpha = noise(SIDE, SIDE)
    ink = np.zeros((SIDE, SIDE), np.uint8)
    expected = 255 - alpha
    same(Image.fromarray(np.stack([ink, alpha], -1)), tmp_path / "la.png", expected)
    rgba = np.stack([ink, ink, ink, alpha], -1)
    same(Image.fromarray(rgba), tmp_path / "rgba.png", np.repeat(expected[..., None], 3, -1))
    for array in (rgba, rgba / np.float32(255), np.stack([rgba, rgba])):
        assert (RGB.pixels(array).int() - torch.from_numpy(expected).int()).abs().max() <= 1
    assert (GREY.pixels(Image.fromarray(rgba).convert("RGBa")).int() - torch.from_numpy(expected)).abs().max() <= 1
    assert (
        GREY.pixels(Image.fromarray(np.stack([ink, alpha], -1)).convert("La"))[0].int() - torch.tensor(expected)
    ).abs().max() <= 1


@pytest.mark.filterwarnings("ignore:.*transparent in parts")
def test_palettes_and_their_transparent_colours(tmp_path):
    image = Image.fromarray(noise(SIDE, SIDE, high=3)).convert("P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    index = np.asarray(image)
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
    same(image, tmp_path / "a.png", colours[index])
    clear = np.array([[255, 0, 0], [255, 255, 255], [0, 0, 255]], np.uint8)
    image.info["transparency"] = 1
    same(image, tmp_path / "b.gif", clear[index], transparency=1)
    same(image, tmp_path / "c.png", clear[index], transparency=1)
    assert torch.equal(RGB.pixels(image.convert("PA")), RGB.pixels(image))


def test_one_bit_and_cmyk(tmp_path):
    bits = noise(SIDE, SIDE, high=2).astype(bool)
    same(Image.fromarray(bits), tmp_path / "a.png", bits * 255)
    assert torch.equal(GREY.pixels(bits), pictures.read_picture(tmp_path / "a.png"))
    assert torch.equal(GREY.pixels(torch.from_numpy(bits)), GREY.pixels(bits))
    cmyk = Image.fromarray(noise(SIDE, SIDE, 3)).convert("CMYK")
    same(cmyk, tmp_path / "a.tiff", np.asarray(cmyk.convert("RGB")))


@pytest.mark.parametrize("kind", ["<f4", ">f4", ">f8", "<f2", ">i4", "O", "U1", "M8[s]", "c8", "V2", "g"])
def test_arrays_of_every_kind_are_read_or_refused(kind):
    values = (noise(SIDE, SIDE) / 255).astype(kind) if kind not in ("U1", "V2", "M8[s]") else np.zeros((8, 8), kind)
    if np.dtype(kind).kind in "fO":
        assert (GREY.pixels(values)[0].int() - torch.from_numpy(noise(SIDE, SIDE)).int()).abs().max() <= 1
    else:
        with pytest.raises(InputError, match="an image is"):
            GREY.pixels(values)


@pytest.mark.parametrize(
    "bad", [np.zeros((0, 4), np.uint16), np.zeros((4, 0, 3), np.uint8), Image.new("L", (0, 4)), [[0.0, 1.0]]]
)
def test_nothing_to_see(bad):
    with pytest.raises(InputError):
        GREY(bad)


def png(width: int, height: int, kind: int = 0) -> bytes:
    """A PNG of zeros, compressed a thousandfold."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    row = bytes(1 + width * (3 if kind == 2 else 1))
    pack = zlib.compressobj(1)
    data = b"".join(pack.compress(row) for _ in range(height)) + pack.flush()
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0))
        + chunk(b"IDAT", data)
        + chunk(b"IEND", b"")
    )


def test_far_too_many_pixels_are_refused_at_once(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(png(9000, 9000))
    started = time.process_time()
    with pytest.raises(InputError, match="9,000 × 9,000 pixels, the limit is 40,000,000"):
        GREY(tmp_path / "a.png")
    assert time.process_time() - started < 1
    (tmp_path / "b.png").write_bytes(png(300, 300))
    monkeypatch.setattr(pictures, "MAX_PIXELS", 300 * 300 - 1)
    with pytest.raises(InputError, match="raise"):
        GREY(tmp_path / "b.png")
    assert pictures.read_picture(tmp_path / "b.png", max_pixels=300 * 300).shape == (1, 300, 300)
    with Image.open(tmp_path / "b.png") as opened, pytest.raises(InputError, match="pixels"):
        GREY(opened)


@pytest.mark.filterwarnings("ignore:.*, the size that the model learnt")
def test_a_large_jpeg_is_decoded_smaller(tmp_path, monkeypatch):
    smooth = np.linspace(0, 255, 640).astype(np.uint8)[None].repeat(480, 0)
    Image.fromarray(smooth).save(tmp_path / "a.jpg")
    whole = GREY(tmp_path / "a.jpg")
    monkeypatch.setattr(pictures, "MAX_PIXELS", 640 * 480 // 5)
    assert pictures.read_picture(tmp_path / "a.jpg").shape[1:].numel() <= 640 * 480 // 5
    assert (GREY(tmp_path / "a.jpg") - whole).abs().max() < 0.02


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"


@pytest.mark.parametrize("name", ["photo.png", "photo.eps"])
def test_no_picture_starts_another_program(tmp_path, monkeypatch, name):
    import subprocess

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a program was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(os, "posix_spawn", refuse)
    (tmp_path / name).write_bytes(EPS)
    with pytest.raises(InputError, match="can't be read as an image"):
        GREY(tmp_path / name)


def test_files_that_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", tmp_path, "/dev/zero", "a" * 5000, "a\0b", ""):
        with pytest.raises(InputError):
            GREY(path)


def of_format(kind: str, image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["DDS", "BLP", "AVIF", "TIFF", "WEBP", "JPEG2000", "GIF", "PCX", "TGA", "ICO"])
def test_a_broken_file_is_one_sentence_alone_and_skipped_in_a_folder(tmp_path, kind):
    try:
        whole = of_format(kind, Image.fromarray(noise(16, 16, 3)).convert("P" if kind == "BLP" else "RGB"))
    except (OSError, KeyError, ValueError):
        pytest.skip(f"Pillow writes no {kind} here")
    for share in (0.3, 0.6, 0.9):
        path = tmp_path / f"{share}.png"
        path.write_bytes(whole[: int(share * len(whole))])
        with contextlib.suppress(InputError):
            RGB(path)
    root = tmp_path / "root"
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        for i in range(4):
            Image.fromarray(noise(8, 8, 3)).save(root / name / f"{i}.png")
    (root / "a" / "x.png").write_bytes(whole[: len(whole) // 3])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert sum(len(ImageFolder(str(root), image_size=8).tensors(part)[0]) for part in ("train", "val", "test")) in (
            8,
            9,
        )


def test_a_folder_walk_skips_what_systems_leave_and_says_what_it_leaves_out(tmp_path):
    names = ("$5_$10", "<b>", "שלום ☕", "a b")
    for name in names:
        for place in ("", ".ipynb_checkpoints", "@eaDir", "__MACOSX", "more"):
            (tmp_path / name / place).mkdir(parents=True, exist_ok=True)
            Image.fromarray(noise(8, 8)).save(tmp_path / name / place / f"{place.strip('.@_') or 'picture'}.png")
        (tmp_path / name / "phone.HEIC").write_bytes(b"heic")
        (tmp_path / name / "no-suffix").write_bytes(b"")
        (tmp_path / name / "loop").symlink_to(tmp_path / name)
        (tmp_path / name / "Thumbs.db").write_bytes(b"")
    with pytest.warns(
        UserWarning, match=r"2 files in .* left out for their suffix: 1 with .*(heic|no suffix).*, 1 with "
    ):
        data = ImageFolder(str(tmp_path), image_size=8)
    assert set(data.classes) == set(names)
    assert {name: len(files) for name, files in data._files["train"].items()} == dict.fromkeys(names, 2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": [20_000, 20_000]}, {"size": [8]}, {"size": [8, 8, 8]}, {"size": "88"}, {"size": [0, 8]}, {"size": [8.5, 8]},
        {"size": None}, {"size": 8}, {"size": [True, 8]}, {"mean": ["a"]}, {"mean": [None]}, {"mean": [float("nan")]},
        {"std": [0.0]}, {"std": [-1.0]}, {"std": [float("inf")]}, {"std": 1.0}, {"mean": {"a": 1}}, {"mode": ["L"]},
        {"mode": None}, {"interpolation": "lanczos"}, {"interpolation": ["area"]}, {"antialias": "yes"}, {"mean": [1e300]},
        {"std": [1e-300]}, {"mean": [0.0, 0.0]},
    ],
)  # fmt: skip
def test_a_transform_is_checked_when_it_is_made(wrong):
    with pytest.raises(InputError):
        Transform(**(GREY.to_dict() | wrong))


@pytest.mark.parametrize("how", ["bilinear", "bicubic", "nearest", "nearest-exact", "area"])
def test_every_interpolation_resizes(how):
    transform = Transform(**(GREY.to_dict() | {"interpolation": how}))
    assert transform(noise(20, 12)).shape == (1, SIDE, SIDE)


def test_a_preview_names_the_true_class_of_a_mistake(monkeypatch, tmp_path):
    model, (images, labels) = zoo.load("lenet5-mnist"), sample_split("mnist")
    labels = labels[:20].clone()
    labels[3] = (labels[3] + 1) % 10
    monkeypatch.setattr(model, "_examples", lambda n: (images[:n], labels[:n]))
    written: list[tuple[str, str]] = []
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda self, place, text, fill: written.append((text, fill)))
    model.preview(tmp_path / "preview.png")
    assert len(written) == 21 and written[4] == (f"true: {labels[3]}", "red")
    assert [text for text, fill in written if fill == "red"] == [written[3][0], written[4][0]]


def test_a_preview_of_a_new_head_calls_nothing_wrong(monkeypatch, tmp_path):
    model = zoo.load("lenet5-mnist", num_classes=3)
    colours: list[str] = []
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda self, place, text, fill: colours.append(fill))
    model.preview(tmp_path / "preview.png")
    assert colours == ["black"] * 20
