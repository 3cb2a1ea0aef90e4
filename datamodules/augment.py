"""Augmentation of whole batches, on whatever device they live on.

Every function takes images x [N, C, H, W] (uint8, or float in any range) and draws one independent transformation per
image from an explicit `torch.Generator` on the same device; none loops over samples. `Augment` chains them as the
`augment:` mapping of a recipe says.

Departures from the papers: cutout squares lie wholly inside the image (DeVries and Taylor, 2017, let them hang over the
border); mixup draws one coefficient per image (Zhang et al., 2018: per batch); elastic fields are coarse normal noise
under bicubic interpolation (Simard et al., 2003, blur fine noise with a Gaussian), a tenth of the work.
"""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from datamodules import colours
from zoo.errors import InputError


def flip(x: Tensor, *, generator: Generator) -> Tensor:
    """Mirror each image left to right with probability one half."""
    return mirror(x, _uniform(x, 0, 1, generator) < 0.5)


def alternating_flip(x: Tensor, first: Tensor, epoch: int) -> Tensor:
    """Mirror by turns: `first` [N] bool says which images are mirrored in even epochs, the others are in odd ones.

    Two epochs in a row then show both sides of every image, where random flips repeat a side half of the time
    (Jordan, 2024, arXiv:2404.00498).
    """
    return mirror(x, first ^ bool(epoch % 2))


def mirror(x: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask[:, None, None, None], x.flip(-1), x)


def translate(x: Tensor, pixels: int, *, generator: Generator, pad: str = "zero") -> Tensor:
    """Shift each image by whole pixels, uniform in [-pixels, pixels] along both axes: pad, then crop at random."""
    draw = (2, len(x))
    dy, dx = torch.randint(-pixels, pixels + 1, draw, device=x.device, generator=generator)
    return shift(x, dy, dx, pixels, pad=pad)


def shift(x: Tensor, dy: Tensor, dx: Tensor, limit: int, *, pad: str = "zero") -> Tensor:
    """Move image i down by dy[i] and right by dx[i] pixels, both within [-limit, limit]."""
    if pad == "reflect":
        # reflection isn't implemented for integer tensors everywhere; uint8 is exact in float32
        padded = F.pad(x.float(), (limit,) * 4, mode="reflect").to(x.dtype)
    else:
        padded = F.pad(x, (limit,) * 4)
    crops = padded.unfold(2, x.shape[2], 1).unfold(3, x.shape[3], 1)  # [N, C, 2 limit + 1, 2 limit + 1, H, W], a view
    return crops[torch.arange(len(x), device=x.device), :, limit - dy, limit - dx]


def warp(
    x: Tensor,
    *,
    generator: Generator,
    rotate: float = 0.0,
    scale: float = 0.0,
    shear: float = 0.0,
    elastic: float = 0.0,
    pad: str = "zero",
) -> Tensor:
    """Rotate, scale, shear and bend each image, with one bilinear resampling. Returns float32 in the range of x.

    Args:
        rotate: angle, uniform in [-rotate, rotate] degrees.
        scale: size factor, uniform in [1 - scale, 1 + scale].
        shear: horizontal shear angle, uniform in [-shear, shear] degrees.
        elastic: standard deviation, in pixels, of a smooth random displacement (Simard et al., 2003).
    """
    n, _, height, width = x.shape
    angle = _uniform(x, -rotate, rotate, generator).deg2rad()
    inverse = 1 / _uniform(x, 1 - scale, 1 + scale, generator)  # the grid says where to look: the inverse map
    slant = _uniform(x, -shear, shear, generator).deg2rad().tan()
    cos, sin, zero = angle.cos() * inverse, angle.sin() * inverse, torch.zeros_like(angle)
    aspect = height / width  # affine_grid's axes both run over [-1, 1]; a rotation is one in pixels
    x_row = torch.stack([cos, (cos * slant - sin) * aspect, zero], 1)
    y_row = torch.stack([sin / aspect, sin * slant + cos, zero], 1)
    # [N, H, W, (x, y)]
    grid = F.affine_grid(torch.stack([x_row, y_row], 1), [n, 1, height, width], align_corners=False)
    if elastic:
        rows, columns = _bicubic(height, x.device), _bicubic(width, x.device)
        noise = torch.randn((n, 2, rows.shape[1], columns.shape[1]), device=x.device, generator=generator)
        field = (rows @ noise @ columns.T).movedim(1, -1)  # two matrix products: ten times faster than F.interpolate
        grid = grid + field * (2 * elastic / torch.tensor([width, height], device=x.device))
    padding = "reflection" if pad == "reflect" else "zeros"
    return F.grid_sample(x.float(), grid, mode="bilinear", padding_mode=padding, align_corners=False)


def shrink(x: Tensor, share: float) -> Tensor:
    """Images of `share` of their sides, [N, C, share · H, share · W], each pixel a mean of what it covers; the type stays."""
    if share == 1:
        return x
    size = [int(share * side) for side in x.shape[2:]]
    small = F.interpolate(x.float(), size, mode="bilinear", antialias=True)
    return small if x.is_floating_point() else small.round().to(x.dtype)


def growing(epoch: int, epochs: int) -> float:
    """Share of the images' sides in an epoch: a half at first, then three quarters, and all of them after `epochs`.

    What can be seen from afar is learned in a quarter of the time (Tan and Le, 2021, arXiv:2104.00298).
    """
    return 1.0 if epoch >= epochs else 0.5 if 2 * epoch < epochs else 0.75


def cutout(x: Tensor, size: int, *, generator: Generator, fill: Sequence[float] = (0.0,)) -> Tensor:
    """Paint one size x size square of each image with `fill`, a value per channel (DeVries and Taylor, 2017)."""
    top = torch.randint(0, x.shape[2] - size + 1, (len(x),), device=x.device, generator=generator)
    left = torch.randint(0, x.shape[3] - size + 1, (len(x),), device=x.device, generator=generator)
    return _paint(x, top, left, top + size, left + size, fill)


def erase(x: Tensor, p: float, *, generator: Generator, fill: Sequence[float] = (0.0,)) -> Tensor:
    """With probability p, paint a rectangle of 2 to 33 % of the area, sides 0.3 to 3.3 (Zhong et al., 2020)."""
    height, width = x.shape[2:]
    area = _uniform(x, 0.02, 0.33, generator) * (height * width)
    ratio = _uniform(x, math.log(0.3), math.log(3.3), generator).exp()
    h = (area * ratio).sqrt().round().clamp(1, height)
    w = (area / ratio).sqrt().round().clamp(1, width)
    top = ((height - h + 1) * _uniform(x, 0, 1, generator)).floor()
    left = ((width - w + 1) * _uniform(x, 0, 1, generator)).floor()
    chosen = _uniform(x, 0, 1, generator) < p
    # an empty rectangle where not chosen
    return _paint(x, top, left, torch.where(chosen, top + h, top), left + w, fill)


def mixup(x: Tensor, y: Tensor, num_classes: int, alpha: float, *, generator: Generator) -> tuple[Tensor, Tensor]:
    """Blend each image with another of its batch, x' = l x + (1 - l) x_j, and so the targets (Zhang et al., 2018).

    l ~ Beta(alpha, alpha).

    Shapes:
        y: [N] int64. Returns float images [N, C, H, W] and target probabilities [N, num_classes].
    """
    # torch.distributions takes no generator. Beta(a, a) is g / (g + h) of two Gamma(a) draws, and Gamma(a) is
    # Gamma(a + 1) * u^(1 / a): in logarithms, since a small a gives draws that no float can hold
    uniform = torch.rand((2, len(x)), device=x.device, generator=generator)
    log_gamma = torch._standard_gamma(torch.full_like(uniform, alpha + 1), generator).log() + uniform.log() / alpha
    weight = (log_gamma[0] - log_gamma[1]).sigmoid()
    other = torch.randperm(len(x), device=x.device, generator=generator)
    target = F.one_hot(y, num_classes).float()
    mixed = torch.lerp(x[other].float(), x.float(), weight[:, None, None, None])
    return mixed, torch.lerp(target[other], target, weight[:, None])


Settings = dict[str, bool | int | float | str]  # of `Augment`, as they stand in a recipe


class Augment:
    """The augmentation that a recipe's `augment:` mapping describes, for instance `{translate: 2, rotate: 10}`.

    Args:
        settings: any of
            flip: "random" (or true), or "alternate" for mirror images by turns;
            rotate (degrees), scale (fraction), shear (degrees), elastic (pixels): see `warp`;
            translate (pixels): see `translate`;
            pad: what comes in from outside the image, "zero" (the default) or "reflect";
            brightness, contrast, colour (fractions), noise (share of the range), sharpen (factor), light (deviation along the
            principal colours): see `datamodules.colours`;
            cutout (pixels), erase (probability), mixup (alpha);
            grow (epochs): smaller images at first, see `growing`; for networks that take any size.
        image_shape: (channels, height, width).
        num_classes: width of mixup's targets.
        fill: colour of cutout and erased patches on the scale of the images, a value per channel.
        seed: decides which images `flip: alternate` mirrors first.
    """

    tints = ("brightness", "contrast", "colour")
    numbers = (
        "rotate",
        "scale",
        "shear",
        "elastic",
        "translate",
        *tints,
        "noise",
        "sharpen",
        "light",
        "cutout",
        "erase",
        "mixup",
        "grow",
    )
    choices: ClassVar[dict[str, tuple[bool | str, ...]]] = {
        "flip": (True, False, "random", "alternate"),
        "pad": ("zero", "reflect"),
    }

    def __init__(
        self,
        settings: Settings,
        image_shape: tuple[int, int, int],
        *,
        num_classes: int,
        fill: Sequence[float] = (0.0,),
        seed: int = 0,
    ) -> None:
        for key, value in settings.items():
            _check(key, value, min(image_shape[1:]))
        self.flip, self.pad = settings.get("flip", False), str(settings.get("pad", "zero"))
        self.amount = {key: float(settings.get(key, 0)) for key in self.numbers}
        self.num_classes, self.fill, self.seed = num_classes, tuple(fill), seed

    def __call__(
        self, x: Tensor, y: Tensor, *, index: Tensor, epoch: int, generator: Generator
    ) -> tuple[Tensor, Tensor]:
        """Augmented images and targets; `index` [N] are the images' places in the data set."""
        amount = self.amount
        if self.flip == "alternate":
            x = alternating_flip(x, _coin(index, self.seed), epoch)
        elif self.flip:
            x = flip(x, generator=generator)
        bend = {key: amount[key] for key in ("rotate", "scale", "shear", "elastic")}
        if any(bend.values()):
            x = warp(x, generator=generator, pad=self.pad, **bend)
        if amount["translate"]:
            x = translate(x, int(amount["translate"]), generator=generator, pad=self.pad)
        if any(amount[key] for key in self.tints):
            x = colours.jitter(x, generator=generator, **{key: amount[key] for key in self.tints})
        for key, change in (("light", colours.principal), ("sharpen", colours.sharpen), ("noise", colours.noise)):
            if amount[key]:
                x = change(x, amount[key], generator=generator)
        if amount["cutout"]:
            x = cutout(x, int(amount["cutout"]), generator=generator, fill=self.fill)
        if amount["erase"]:
            x = erase(x, amount["erase"], generator=generator, fill=self.fill)
        x = shrink(x, growing(epoch, int(amount["grow"])))
        if amount["mixup"]:
            return mixup(x, y, self.num_classes, amount["mixup"], generator=generator)
        return x, y


def _check(key: str, value: bool | int | float | str, side: int) -> None:
    limits = {"rotate": 180, "scale": 0.99, "shear": 89, "translate": side - 1, "cutout": side, "erase": 1}
    limits |= dict.fromkeys(Augment.tints, 1)
    choices = Augment.choices
    if key not in choices and key not in Augment.numbers:
        raise InputError(f"augment has no setting {key!r}; it knows {', '.join([*choices, *Augment.numbers])}.")
    if key in choices:
        if value not in choices[key] or (isinstance(value, int) and not isinstance(value, bool)):
            raise InputError(f"augment.{key} is {value!r}; it can be {' or '.join(map(str, choices[key]))}.")
    elif isinstance(value, bool | str) or not 0 <= value <= limits.get(key, math.inf):
        raise InputError(f"augment.{key} is {value!r}; it's a number from 0 to {limits.get(key, 'infinity')}.")
    elif key in ("translate", "cutout", "grow") and value != int(value):
        raise InputError(f"augment.{key} is {value!r}; it counts whole {'epochs' if key == 'grow' else 'pixels'}.")


def _coin(index: Tensor, seed: int) -> Tensor:
    """A fixed fair coin per image, bool [N]: a bit of the hashed index, so no order of visits matters."""
    h = (index + (0x9E3779B9 * (seed + 1) & 0xFFFFFFFF)) & 0xFFFFFFFF
    for _ in range(2):  # 32-bit integer hash in int64 arithmetic
        h = ((h ^ (h >> 16)) * 0x45D9F3B) & 0xFFFFFFFF
    return ((h ^ (h >> 16)) & 1).bool()


def _bicubic(size: int, device: torch.device) -> Tensor:
    """Weights [size, nodes] that interpolate nodes 4 pixels apart: near enough to bend a stroke, not to fray it."""
    nodes = math.ceil(size / 4) + 1
    eye = torch.eye(nodes, device=device)[None, None]
    return F.interpolate(eye, (size, nodes), mode="bicubic", align_corners=True)[0, 0]


def _uniform(x: Tensor, low: float, high: float, generator: Generator) -> Tensor:
    return torch.rand(len(x), device=x.device, generator=generator) * (high - low) + low


def _paint(x: Tensor, top: Tensor, left: Tensor, bottom: Tensor, right: Tensor, fill: Sequence[float]) -> Tensor:
    rows, columns = torch.arange(x.shape[2], device=x.device), torch.arange(x.shape[3], device=x.device)
    row_in = (rows >= top[:, None]) & (rows < bottom[:, None])  # [N, H]
    column_in = (columns >= left[:, None]) & (columns < right[:, None])  # [N, W]
    colour = torch.tensor(fill, device=x.device)
    if not x.is_floating_point():
        colour = colour.round()
    inside = row_in[:, None, :, None] & column_in[:, None, None, :]  # [N, 1, H, W]
    return torch.where(inside, colour.to(x.dtype)[:, None, None], x)
