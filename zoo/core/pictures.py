"""From a picture of any kind (a file, a PIL image, an array) to uint8 pixels: the one place that opens image files.

Only the formats of `FORMATS` are tried, so no file starts another program. Whatever a decoder raises becomes one sentence.
More than `MAX_PIXELS` pixels are refused before they are decoded, or decoded at a smaller size where the format can.
Transparent parts lie on white, as on paper. A picture turned by its EXIF note is turned back.
"""

import contextlib
import math
import os
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps
from torch import Tensor

from zoo.errors import InputError, ZooError, ZooWarning

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "AVIF", "JPEG2000", "ICO", "TGA", "PCX")
MAX_PIXELS = 40_000_000  # of one picture; 8K video frames have 33 million
MAX_BYTES = 2**28  # of a file
SIDE = 2**16


def suffixes() -> set[str]:
    """Suffixes of the files that `read_picture` reads, lower case."""
    return {suffix for suffix, kind in Image.registered_extensions().items() if kind in FORMATS and kind in Image.OPEN}


def read_picture(path: str | Path, *, max_pixels: int | None = None, enough: int | None = None) -> Tensor:
    """The picture of a file as uint8 [1 or 3, H, W].

    Args:
        max_pixels: how many pixels are read at most; default `MAX_PIXELS`. A larger JPEG is read at ½, ¼ or ⅛.
        enough: pixels that both sides need at least; a JPEG that has twice as many or more is read at ½, ¼ or ⅛, in a small part
            of the time and memory. None for all there are.

    Raises:
        InputError: for whatever keeps a file from being read as a picture.
    """
    most = MAX_PIXELS if max_pixels is None else max_pixels
    with opening(path) as opened:
        if math.prod(opened.size) > most and opened.format in ("JPEG", "MPO"):
            shrink = math.sqrt(most / math.prod(opened.size))
            opened.draft(opened.mode, (int(opened.width * shrink / 2) + 1, int(opened.height * shrink / 2) + 1))
        elif enough is not None and opened.format in ("JPEG", "MPO"):
            opened.draft(opened.mode, (enough, enough))
        check_size(opened, most)
        return pixels_of(opened, max_pixels=most)


def read_labels(path: str | Path) -> Tensor:
    """The numbers in the pixels of a file, int32 [H, W]; those of a palette are read, not its colours.

    Raises:
        InputError: for a picture in colours, and for whatever keeps a file from being read.
    """
    with opening(path) as opened:
        if opened.mode not in ("L", "P", "1", "I", "I;16"):
            raise InputError(f"it is in colours ({opened.mode}), a map holds one whole number in each pixel")
        check_size(opened)
        return torch.from_numpy(np.array(opened).astype(np.int32))


def picture_size(path: str | Path) -> tuple[int, int]:
    """(width, height) of the picture of a file, which isn't decoded.

    Raises:
        InputError: for whatever keeps it from being read.
    """
    with opening(path) as opened:
        return opened.size


@contextlib.contextmanager
def opening(path: str | Path) -> Iterator[Image.Image]:
    """The picture of a file, not decoded yet; whatever goes wrong with it is one sentence that names the file.

    Raises:
        InputError: for a file that isn't there, is none, is too large, or no picture of `FORMATS`.
    """
    try:
        about = os.stat(path)
    except FileNotFoundError:
        raise InputError(f"there is no file {_shown(path)}") from None
    except (OSError, ValueError) as error:  # no right to look, too long, a zero in the name
        raise InputError(
            f"{_shown(path)} can't be read as an image: {getattr(error, 'strerror', None) or error}"
        ) from None
    if not stat.S_ISREG(about.st_mode):
        raise InputError(f"{_shown(path)} can't be read as an image: it is no regular file")
    if about.st_size > MAX_BYTES:
        raise InputError(
            f"{_shown(path)} can't be read as an image: it has {about.st_size:,} bytes, the limit is {MAX_BYTES:,}"
        )
    try:
        with Image.open(path, formats=FORMATS) as opened:
            yield opened
    except ZooError as error:
        raise InputError(f"{_shown(path)} can't be read as an image: {error}") from None
    except Exception as error:  # decoders raise whatever their bytes happen to mean
        raise InputError(f"{_shown(path)} can't be read as an image: {type(error).__name__}: {error}") from None


def check_size(image: Image.Image, most: int = MAX_PIXELS) -> None:
    """Refuse a picture with no pixels, or too many."""
    width, height = image.size
    if not width or not height:
        raise InputError(f"a picture has at least one pixel, not {width} × {height}")
    if width * height > most or max(width, height) > SIDE:
        raise InputError(
            f"it has {width:,} × {height:,} pixels, the limit is {most:,}: make it smaller, or raise "
            "zoo.core.pictures.MAX_PIXELS"
        )


def pixels_of(image: Image.Image, *, max_pixels: int | None = None) -> Tensor:
    """A PIL image as uint8 [1 or 3, H, W].

    Raises:
        InputError: for one that can't be decoded, is too large, or has values that are no brightness.
    """
    check_size(image, MAX_PIXELS if max_pixels is None else max_pixels)
    try:
        image.load()
        if (
            image.getexif().get(ExifTags.Base.Orientation, 1) != 1
        ):  # phones store a turned picture with a note to turn it back
            image = ImageOps.exif_transpose(image)
        if image.mode == "F" or image.mode.startswith("I"):
            x = torch.from_numpy(_eight_bits(np.array(image), known=image.mode.startswith("I;16")))
            return x[None]
        image = _on_white(image)
        grey = image.mode in ("1", "L")
        mode = "L" if grey else "RGB"
        x = torch.from_numpy(np.array(image if image.mode == mode else image.convert(mode)))
    except ZooError:
        raise
    except Exception as error:  # a lazily opened file that is cut, a mode without a way to RGB
        raise InputError(f"the picture can't be decoded: {type(error).__name__}: {error}") from None
    return x[None] if grey else x.permute(2, 0, 1)


def _on_white(image: Image.Image) -> Image.Image:
    """The picture without transparency: what shows through is white, which a warning says where there is any."""
    if image.mode == "La":
        image = image.convert("LA")
    elif image.mode == "RGBa":
        image = image.convert("RGBA")
    clear = "transparency" in image.info
    if image.mode == "LA" or (image.mode == "L" and clear):
        full = image.convert("LA")
        _say_white(full)
        white = Image.new("L", full.size, 255)
        white.paste(full.getchannel("L"), mask=full.getchannel("A"))
        return white
    if image.mode in ("RGBA", "PA") or clear:
        full = image.convert("RGBA")
        _say_white(full)
        white = Image.new("RGB", full.size, (255, 255, 255))
        white.paste(full.convert("RGB"), mask=full.getchannel("A"))
        return white
    return image


def _say_white(image: Image.Image) -> None:
    extremes: Any = image.getchannel("A").getextrema()
    if extremes[0] < 255:
        warnings.warn("a picture is transparent in parts: they are taken as white", category=ZooWarning, stacklevel=4)


def _eight_bits(values: np.ndarray, *, known: bool = False) -> np.ndarray:
    """Brightness of any depth as uint8: floats in 0..1, whole numbers in 0..255 or 0..65535.

    Args:
        known: the depth is 16 bits, however dark the picture is.

    Raises:
        InputError: for values that fit none of these.
    """
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InputError("the image holds NaN or infinite values: clean it before the call")
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 65535:
        raise InputError(f"its values lie in {low:.3g}..{high:.3g}, those of a picture in 0..1, 0..255 or 0..65535")
    if known or high > 255:
        values = values / 257  # 0 … 65535 onto 0 … 255
    elif values.dtype.kind == "f" and high <= 1:
        values = values * 255
    return np.round(values).astype(np.uint8)


def array_pixels(array: np.ndarray) -> Tensor:
    """An array, channels last as Pillow and matplotlib give them, as a tensor with channels before the two sides.

    Raises:
        InputError: for an array that holds no numbers.
    """
    if array.dtype.kind == "O":  # lists of lists, columns of a table
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError):
            raise InputError("an array of objects is no image: its elements aren't all numbers") from None
        if (
            array.size
            and array.max() > 1
            and (array == array.round()).all()
            and 0 <= array.min()
            and array.max() <= 255
        ):
            array = array.astype(np.uint8)
    if array.dtype.kind not in "buif":
        raise InputError(f"an image is uint8 in 0..255 or float in 0..1, not an array of {array.dtype}")
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype == np.uint16:
        array = _eight_bits(array, known=True) if array.size else array.astype(np.uint8)
    if array.dtype == np.longdouble:
        array = array.astype(np.float64)
    x = torch.from_numpy(np.ascontiguousarray(array).copy())
    if x.ndim >= 3 and x.shape[-1] in (2, 4) and x.shape[-3] not in (1, 3):
        x = _over_white(x)
    if x.ndim >= 3 and x.shape[-1] in (1, 3) and x.shape[-3] not in (1, 3):
        x = x.movedim(-1, -3)
    return x


def _over_white(x: Tensor) -> Tensor:
    """Values [..., C + 1] whose last channel is their opacity, over white: [..., C], as `_on_white` does it."""
    colour, alpha = x[..., :-1], x[..., -1:]
    if x.dtype != torch.uint8:
        return colour * alpha + (1 - alpha) if x.is_floating_point() else colour
    product = colour.int() * alpha + 255 * (255 - alpha.int()) + 128
    return ((product + (product >> 8)) >> 8).to(torch.uint8)  # Pillow's own rounding of a product over 255


def tensor_pixels(x: Any) -> Tensor:
    """uint8 [C, H, W] or [N, C, H, W] with C in {1, 3} from a tensor with channels before the two sides.

    Raises:
        InputError: for a shape, a dtype or values that are none of an image.
    """
    if x.ndim == 2:
        x = x[None]
    if x.ndim not in (3, 4) or x.shape[-3] not in (1, 3) or 0 in x.shape:
        raise InputError(f"an image has shape [1 or 3, height, width] (or a batch of them), not {list(x.shape)}")
    if x.dtype == torch.uint8:
        return x
    if x.dtype == torch.bool:
        return x.to(torch.uint8) * 255
    if x.dtype == torch.uint16:
        return torch.from_numpy(_eight_bits(x.numpy(force=True), known=True))
    if not x.is_floating_point():
        raise InputError(f"an image is uint8 in 0..255 or float in 0..1, not {x.dtype}")
    if not torch.isfinite(x).all():
        raise InputError("the image holds NaN or infinite values: clean it before the call")
    if x.min() < 0 or x.max() > 1:
        raise InputError(f"a float image lies in 0..1, this one in {x.min():.3g}..{x.max():.3g}: divide by 255?")
    return (x.float() * 255).round().to(torch.uint8)


def _shown(path: str | Path) -> str:
    text = repr(str(path))
    return text if len(text) < 200 else f"{text[:200]}…"
