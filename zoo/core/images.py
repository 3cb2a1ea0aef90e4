"""From anything that is an image to the tensor a model takes, and from samples to a picture file."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from zoo.core.checks import check_count, readable
from zoo.core.files import write_picture
from zoo.core.pictures import array_pixels, picture_size, pixels_of, read_picture, tensor_pixels
from zoo.core.progress import track
from zoo.errors import InputError, ZooWarning

ImageLike = str | Path | Image.Image | np.ndarray | Tensor
Images = ImageLike | Sequence[ImageLike]
Labels = Tensor | Sequence[int] | int | None  # of conditional models: a class for each image, or one for all
CHANNELS = {"L": 1, "RGB": 3}
INTERPOLATIONS = ("bilinear", "bicubic", "nearest", "nearest-exact", "area")
LARGEST = 4096  # pixels of a side that a network takes
STRETCH, SHRINK = 2.0, 4.0  # how far a picture's aspect and size may be from the training's before a warning
PART = 2**20  # values of a picture that are looked up at a time
LARGE = 4_000_000  # values of a batch from which on channels are resized one by one, to save memory


@dataclass(frozen=True)
class Transform:
    """The evaluation transform that weights were trained with, as data: it is stored in config.json.

    Every input becomes a uint8 tensor first, so a path, a PIL image, an array and a uint8 tensor of the same pixels
    give the same result.

    Args:
        size: (height, width) of the result.
        mode: "L" for grey, "RGB" for colour.
        mean, std: per channel, of pixels in [0, 1].
        percentiles: stretch each image so that these two percentiles of its values become black and white; None for as it is.
    """

    size: Sequence[int]
    mode: str
    mean: Sequence[float]
    std: Sequence[float]
    interpolation: str = "bilinear"
    antialias: bool = True
    percentiles: Sequence[float] | None = None

    def __post_init__(self) -> None:
        for side in ("size", "mean", "std"):
            value = getattr(self, side)
            if isinstance(value, str) or not isinstance(value, Sequence | np.ndarray):
                raise InputError(f"{side} must be a list of numbers, not {value!r:.60}")
        if len(self.size) != 2 or not all(
            isinstance(n, int | np.integer) and not isinstance(n, bool) and 1 <= n <= LARGEST for n in self.size
        ):
            raise InputError(
                f"size must be a height and a width from 1 to {LARGEST} pixels, not {list(self.size)!r:.60}"
            )
        numbers = [*self.mean, *self.std]
        if not all(isinstance(n, Real) and not isinstance(n, bool) and math.isfinite(n) for n in numbers):
            raise InputError(
                f"mean and std must be finite numbers, not {list(self.mean)!r:.60} and {list(self.std)!r:.60}"
            )
        if not all(abs(n) < 1e6 for n in numbers) or not all(n > 1e-6 for n in self.std):
            raise InputError(
                f"std must be above 0 and mean below a million, not {list(self.std)!r:.60}, {list(self.mean)!r:.60}"
            )
        if self.interpolation not in INTERPOLATIONS:
            raise InputError(
                f"interpolation must be one of {', '.join(INTERPOLATIONS)}, not {self.interpolation!r:.60}"
            )
        if not isinstance(self.antialias, bool):
            raise InputError(f"antialias must be true or false, not {self.antialias!r:.60}")
        if not isinstance(self.mode, str) or self.mode not in CHANNELS:
            raise InputError(f"mode must be one of {', '.join(CHANNELS)}, not {self.mode!r}")
        if self.percentiles is not None and not 0 <= self.percentiles[0] < self.percentiles[1] <= 100:
            raise InputError(f"percentiles are two rising numbers in 0..100, not {list(self.percentiles)}")
        channels = CHANNELS[self.mode]
        if len(self.mean) != channels or len(self.std) != channels:
            raise InputError(f"mode {self.mode} has {channels} channel(s) but mean {self.mean} and std {self.std}")

    def __call__(self, image: ImageLike | Sequence[ImageLike]) -> Tensor:
        """Float tensor [C, H, W] for one image, [N, C, H, W] for a list of images or a tensor or array of four dimensions.

        Raises:
            InputError: for a file that is no image, a shape, a dtype or values that are none of an image.
        """
        if isinstance(image, Sequence) and not isinstance(image, str):
            if not len(image):
                raise InputError("the list of images is empty")
            return torch.stack([self(one) for one in track(image, "reading images")])
        read = self._read(image)
        whole = max(picture_size(image)) / max(read.shape[-2:]) if isinstance(image, str | Path) else 1
        self._doubt([round(n * whole) for n in read.shape[-2:]])
        pixels = self.pixels(read).float() / 255  # [..., C, H, W]
        mean, std = (torch.tensor(list(v), device=pixels.device).reshape(-1, 1, 1) for v in (self.mean, self.std))
        return (pixels - mean) / std

    def _doubt(self, found: Sequence[int]) -> None:
        """Warn of pictures whose shape or size is far from that of the training."""
        (height, width), (h, w) = self.size, found
        stretched, shrunk = (width / height) / (w / h), max(h / height, w / width)
        if not 1 / STRETCH < stretched < STRETCH:
            warnings.warn(
                f"a picture of {w} × {h} pixels is stretched to {width} × {height}: cut out the part that is meant",
                category=ZooWarning,
                stacklevel=4,
            )
        elif not 1 / SHRINK < shrunk < SHRINK:
            warnings.warn(
                f"a picture of {w} × {h} pixels becomes {width} × {height}, the size that the model learnt: it has to show "
                "one object that fills it, as in the training",
                category=ZooWarning,
                stacklevel=4,
            )

    def pixels(self, image: ImageLike) -> Tensor:
        """The same before scaling: uint8 [C, H, W] or [N, C, H, W] at the model's size and mode.

        A JPEG file of four times that size or more is decoded at ½, ¼ or ⅛ of its own, never below twice the model's.
        """
        x = self.levels(self._read(image))
        if tuple(x.shape[-2:]) != tuple(self.size):
            planes = x.reshape(-1, 1, *x.shape[-2:])
            parts = planes.split(1) if planes.numel() > LARGE else [planes]
            smooth = self.antialias and self.interpolation in ("bilinear", "bicubic")
            resized = [
                F.interpolate(part.float(), tuple(self.size), mode=self.interpolation, antialias=smooth)
                .round()
                .clamp(0, 255)
                .to(torch.uint8)
                for part in parts
            ]
            x = torch.cat(resized).reshape(*x.shape[:-2], *self.size)
        return x

    def levels(self, x: Tensor) -> Tensor:
        """Pixels uint8 [..., 1 or 3, H, W] in the model's mode, stretched as it asks, at their own size whatever it is."""
        if self.percentiles is not None:
            x = stretch(x, self.percentiles)
        if x.shape[-3] != CHANNELS[self.mode]:
            x = _grey(x) if self.mode == "L" else x.expand(*x.shape[:-3], 3, *x.shape[-2:])
        return x

    def _read(self, image: ImageLike) -> Tensor:
        """uint8 pixels; of a file no more than twice the model's size needs, unless each of them counts."""
        if not isinstance(image, str | Path):
            return _to_uint8(image)
        smooth = self.antialias and self.interpolation in ("bilinear", "bicubic") and self.percentiles is None
        return read_picture(image, enough=2 * max(self.size) if smooth else None)

    def to_dict(self) -> dict[str, Any]:
        facts = {key: list(v) if isinstance(v, list | tuple) else v for key, v in asdict(self).items()}
        if self.percentiles is None:
            del facts["percentiles"]
        return facts


def read_image(image: ImageLike) -> Tensor:
    """The pixels of a path, PIL image, array or tensor at their own size: uint8 [C, H, W] or [N, C, H, W] with C of 1 or 3.

    Raises:
        InputError: for a file that is no image, a shape, a dtype or values that are none of an image.
    """
    return _to_uint8(image)


def stretch(x: Tensor, percentiles: Sequence[float]) -> Tensor:
    """Images uint8 [..., C, H, W], each with its two percentiles at 0 and 255; what lies beyond them is cut."""
    if x.ndim > 3:
        return torch.stack([stretch(one, percentiles) for one in x])
    flat = x.cpu().flatten()
    parts = flat.split(PART)  # as indices they take eight bytes each
    counts = torch.stack([part.bincount(minlength=256) for part in parts]).sum(0)
    below = counts.cumsum(0)  # pixels up to each grey level
    low, high = (int((below > p / 100 * (x.numel() - 1)).nonzero()[0]) for p in percentiles)
    levels = (torch.arange(256, device="cpu") - low) * (255 / max(1, high - low))
    table = levels.round().clamp(0, 255).to(torch.uint8)
    stretched = torch.empty_like(flat)
    for part, place in zip(parts, stretched.split(PART), strict=True):
        torch.index_select(table, 0, part.int(), out=place)
    return stretched.view(x.shape).to(x.device)


def as_images(x: Images, shape: Sequence[int]) -> Tensor:
    """A batch of images in [0, 1] from whatever `predict` takes; a single image is a batch of one.

    Float tensors, and float arrays of the model's shape, are taken as they are. Paths, PIL images, bytes and lists of them
    get the size and the channels of `shape` (C, H, W).

    Raises:
        InputError: for what is no image.
    """
    shape = tuple(shape)
    if isinstance(x, np.ndarray) and x.dtype.kind == "f" and x.shape[-len(shape) :] == shape:
        x = torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32))
    if isinstance(x, Tensor) and x.is_floating_point():
        return x[None] if x.ndim == len(shape) else x
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise InputError(f"images are float tensors [N, {', '.join(map(str, shape))}], not {type(x).__name__}")
    if isinstance(x, Sequence) and not isinstance(x, str):
        if not len(x):
            raise InputError("the list of images is empty")
        return torch.cat([as_images(one, shape) for one in track(x, "reading images")])
    found = Transform(shape[1:], "L" if shape[0] == 1 else "RGB", [0.0] * shape[0], [1.0] * shape[0])(x)
    return found if found.ndim == 4 else found[None]


def several(x: Images) -> bool:
    """Whether `predict` takes x for several images: a list, or a batch of four dimensions."""
    return isinstance(x, list | tuple) or getattr(x, "ndim", 3) >= 4


def check_images(x: Images, shape: Sequence[int]) -> Tensor:
    """Images [N, *shape] in [0, 1] of what `as_images` takes, as generative models take and give them.

    Raises:
        InputError: for another shape, or values that are not in [0, 1].
    """
    x = as_images(x, shape)
    _check_batch(x, shape, "images")
    if not torch.isfinite(x).all() or x.min() < 0 or x.max() > 1:
        raise InputError("images hold finite values in 0..1")
    return x


def check_codes(z: Tensor, shape: Sequence[int]) -> Tensor:
    """z if it is codes [N, *shape].

    Raises:
        InputError: for another shape, or values that aren't finite.
    """
    _check_batch(z, shape, "codes")
    if not torch.isfinite(z).all():
        raise InputError("the codes hold NaN or infinite values")
    return z


def _check_batch(x: Tensor, shape: Sequence[int], what: str) -> None:
    empty = x.shape[:1] == (0,)
    if empty or x.ndim != 1 + len(shape) or tuple(x.shape[1:]) != tuple(shape):
        least = " with N of at least 1" if empty else ""
        raise InputError(f"{what} are [N, {', '.join(map(str, shape))}]{least}, not {list(x.shape)}")


def check_labels(labels: Labels, n: int, num_classes: int) -> Tensor:
    """Labels int64 [n], from one for each image or one for all.

    Raises:
        InputError: without labels, for another number of them, or classes that the model doesn't have.
    """
    if labels is None:
        raise InputError(f"this model is conditional: give labels, {n} classes in 0..{num_classes - 1}")
    try:
        found = torch.as_tensor(labels)
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"labels are whole numbers [n], not {labels!r}") from None
    if found.is_floating_point() or found.dtype == torch.bool or found.ndim > 1:
        raise InputError(f"labels are whole numbers [n], not {found.dtype} {list(found.shape)}")
    if found.ndim == 0:
        found = found.expand(n)
    if found.shape[0] != n:
        raise InputError(f"{n} images need {n} labels, or one for all, not {len(found)}")
    if readable() and (found.min() < 0 or found.max() >= num_classes):
        bad = sorted({label for label in found.tolist() if not 0 <= label < num_classes})
        raise InputError(f"labels run from 0 to {num_classes - 1}, there is no {', '.join(map(str, bad))}")
    return found.long()


def check_ends(a: ImageLike, b: ImageLike, steps: int, shape: Sequence[int]) -> Tensor:
    """The two images [2, *shape] between which a path of so many steps is to run; each is one image, or a batch of one.

    Raises:
        InputError: for anything else, or steps that are no whole number of at least 1.
    """
    check_count(steps, "steps")
    start, end = (check_images(image, shape) for image in (a, b))
    if len(start) != 1 or len(end) != 1:
        raise InputError(f"interpolate takes two images, not batches of {len(start)} and {len(end)}: take one of each")
    return torch.cat([start, end])


def great_circle(start: Tensor, end: Tensor, steps: int) -> Tensor:
    """The path [steps, D] between codes [D] that turns evenly: Gaussian codes lie near a sphere, the straight line inside it."""
    cosine = start @ end / (start.norm() * end.norm()).clamp(min=1e-12)
    angle = torch.arccos(cosine.clamp(-1, 1)).clamp(1e-4, math.pi - 1e-4)  # its sine is divided by
    share = torch.linspace(0, 1, steps, device=start.device)[:, None]
    return (((1 - share) * angle).sin() * start + (share * angle).sin() * end) / angle.sin()


def _to_uint8(image: ImageLike) -> Tensor:
    """uint8 [C, H, W] or [N, C, H, W] with C in {1, 3} from any supported input."""
    if isinstance(image, str | Path):
        return read_picture(image)
    if isinstance(image, Image.Image):
        return pixels_of(image)
    if isinstance(image, np.ndarray):
        return tensor_pixels(array_pixels(image))
    if isinstance(image, Tensor):
        return tensor_pixels(image.detach())
    raise InputError(f"an image is a path, a PIL image, an array or a tensor, not {type(image).__name__}")


def _grey(x: Tensor) -> Tensor:
    weights = torch.tensor([0.299, 0.587, 0.114], device=x.device).reshape(3, 1, 1)  # ITU-R 601, as Pillow
    rows = max(1, PART // max(1, x.shape[-1] * x[..., 0, 0].numel()))  # as floats they take four bytes each
    parts = [(part.float() * weights).sum(-3, keepdim=True).round().to(torch.uint8) for part in x.split(rows, -2)]
    return parts[0] if len(parts) == 1 else torch.cat(parts, -2)


def save_grid(images: Tensor, path: str | Path, *, columns: int | None = None, scale: int = 2) -> Path:
    """Write images [N, C, H, W] in [0, 1] as one PNG grid, each pixel `scale` wide; returns the path.

    Where there are not three channels, the first is drawn.

    Raises:
        InputError: for another shape, or values that aren't finite.
    """
    from torchvision.utils import make_grid

    if not isinstance(images, Tensor) or images.ndim != 4 or len(images) == 0:
        found = list(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise InputError(f"a grid takes images [N, C, H, W] with N > 0, not {found}")
    if not torch.isfinite(images).all():
        raise InputError("the images hold NaN or infinite values")
    columns = columns or max(1, round(len(images) ** 0.5))
    big = F.interpolate(images.detach().float().cpu().clamp(0, 1), scale_factor=scale, mode="nearest")
    grid = make_grid(big, nrow=columns, padding=2, pad_value=0.5)  # [3, H, W]
    pixels = (grid * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    write_picture(path, Image.fromarray(pixels if images.shape[1] == 3 else pixels[..., 0]), optimize=True)
    return Path(path)


def resize_input(model: Any, size: int | tuple[int, int]) -> None:
    """Let a network take images of another size (a side, or height and width), if its layers can.

    Raises:
        InputError: for a size that the layers can't take; the model is as it was then.
    """
    sides = [size, size] if isinstance(size, int) else list(size)
    before = model.transform
    if before is None:
        raise InputError(
            f"this {type(model).__name__} doesn't know yet how its images are prepared: load a trained one"
        )
    wanted = replace(before, size=sides)
    name, training = model.name or type(model).__name__, model.training
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, len(wanted.mean), *sides, device=model.device, dtype=model.dtype))
    except (RuntimeError, ValueError, AssertionError, IndexError) as error:
        said = f"{name} can't take images of {sides}: its layers are made for {list(before.size)}"
        raise InputError(said) from error
    finally:
        model.train(training)
    model.transform = wanted
