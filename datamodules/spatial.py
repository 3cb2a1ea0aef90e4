"""Augmentation that moves an image and what is marked on it together: maps of classes or instances, or boxes.

One affine window per image is drawn from an explicit `torch.Generator`: how far it zooms, where it lies, whether it is mirrored
or turned. The image is sampled bilinearly under it, a map by its nearest pixel, and boxes by the inverse of the same
transformation. Nothing loops over images.
"""

import math
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from zoo.errors import InputError

KEYS = {"crop", "scale", "flip", "dihedral", "shift", "gain", "tint"}
LEAST_VISIBLE = 0.35  # of a box's area: what a window cuts off further is no longer marked


class JointAugment:
    """The augmentation of a recipe's `augment:` mapping for images with maps or boxes.

    Args:
        settings: any of
            crop: [height, width] of the window in pixels of the result, default the whole image's;
            scale: [least, most] zoom, drawn evenly in its logarithm;
            flip: mirror left to right with probability one half; "both" upside down as well;
            dihedral: any of the eight turns and mirrorings of a square, for pictures without an up;
            shift: how far a window may leave the image, as a share of the window's side;
            gain: brightness is multiplied by 1 - gain … 1 + gain;
            tint: so is each colour by itself.
        image_shape: (channels, height, width).
        fill: colour outside the image, a value per channel on the scale of the images.
        void: what a map holds outside the image.

    Shapes:
        x: uint8 or float [N, C, H, W]; y: integers [N, H, W] (a map), or float [N, M, 5] of (class, x0, y0, x1, y1) in pixels,
        padded with class -1.
    """

    def __init__(
        self, settings: dict[str, Any], image_shape: tuple[int, int, int], *, fill: tuple[float, ...], void: int = 0
    ) -> None:
        if unknown := settings.keys() - KEYS:
            raise InputError(
                f"augment has no setting {', '.join(sorted(unknown))}; it knows {', '.join(sorted(KEYS))}."
            )
        height, width = settings.get("crop") or image_shape[1:]
        self.size = (int(height), int(width))
        low, high = settings.get("scale") or (1.0, 1.0)
        self.scale = (float(low), float(high))
        if min(self.size) < 1 or not 0 < self.scale[0] <= self.scale[1]:
            raise InputError(f"augment needs a crop of at least 1 pixel and 0 < least <= most scale, not {settings}.")
        self.flip, self.dihedral = settings.get("flip", False), bool(settings.get("dihedral", False))
        if self.flip not in (True, False, "both"):
            raise InputError(f"augment.flip is {self.flip!r}; it can be true, false or both.")
        if self.dihedral and height != width:
            raise InputError(f"augment.dihedral turns squares, but the crop is {height} x {width}.")
        self.shift, self.gain = float(settings.get("shift", 0.0)), float(settings.get("gain", 0.0))
        self.tint = float(settings.get("tint", 0.0))
        if not (0 <= self.shift < 1 and 0 <= self.gain < 1 and 0 <= self.tint < 1):
            raise InputError(f"augment.shift, gain and tint are shares from 0 to below 1, not {settings}.")
        self.fill, self.void = fill, void

    def __call__(
        self, x: Tensor, y: Tensor, *, index: Tensor, epoch: int, generator: Generator
    ) -> tuple[Tensor, Tensor]:
        matrix, centre = self.window(len(x), x.shape[-2:], x.device, generator)
        fill = torch.tensor(self.fill, device=x.device)[:, None, None]
        grid = self.grid(matrix, centre, x.shape[-2:])
        moved = F.grid_sample(x.float() - fill, grid, mode="bilinear", align_corners=False) + fill
        if y.is_floating_point():
            marks = move_boxes(y, matrix, centre, self.size)
        else:
            shifted = y[:, None].float() - self.void  # zero is what grid_sample puts outside
            marks = (F.grid_sample(shifted, grid, mode="nearest", align_corners=False)[:, 0] + self.void).round()
            marks = marks.to(y.dtype)
        return self._light(moved, generator), marks

    def window(self, n: int, image: torch.Size, device: torch.device, generator: Generator) -> tuple[Tensor, Tensor]:
        """The windows of n images: a matrix [n, 2, 2] from an offset in the result to one in the image, both (x, y) in pixels,
        and the windows' centres in the image [n, 2]."""

        def uniform(*shape: int) -> Tensor:
            return torch.rand(shape, device=device, generator=generator)

        zoom = torch.exp(math.log(self.scale[0]) + uniform(n) * math.log(self.scale[1] / self.scale[0]))
        matrix = torch.eye(2, device=device).expand(n, 2, 2) / zoom[:, None, None]
        signs = torch.where(uniform(n, 2) < 0.5, -1.0, 1.0)
        if not self.dihedral and self.flip != "both":
            signs[:, 1] = 1.0
        if self.flip or self.dihedral:
            matrix = matrix * signs[:, None, :]
        if self.dihedral:
            turned = uniform(n) < 0.5
            matrix = torch.where(turned[:, None, None], matrix.flip(2), matrix)
        image_wh = torch.tensor([image[1], image[0]], dtype=torch.float32, device=device)
        span = torch.tensor([self.size[1], self.size[0]], device=device) / zoom[:, None]  # [n, (w, h)] in the image
        # a window smaller than the image stays inside it, a larger one keeps the image inside; `shift` loosens both
        slack = (image_wh - span).abs() / 2 + self.shift * span
        whole = (zoom[:, None] == 1) & (self.shift == 0)  # whole pixels are moved without being blurred
        offset = (2 * uniform(n, 2) - 1) * slack
        return matrix, image_wh / 2 + torch.where(whole, offset.round(), offset)

    def grid(self, matrix: Tensor, centre: Tensor, image: torch.Size) -> Tensor:
        """What `grid_sample` takes: where each pixel of the result lies in the image, [n, h, w, 2] in -1 … 1."""
        height, width = self.size
        rows = torch.arange(height, device=matrix.device) + 0.5 - height / 2
        columns = torch.arange(width, device=matrix.device) + 0.5 - width / 2
        offsets = torch.stack(torch.broadcast_tensors(columns[None, :], rows[:, None]), -1).float()  # [h, w, (x, y)]
        points = torch.einsum("nij,hwj->nhwi", matrix, offsets) + centre[:, None, None]
        size = torch.tensor([image[1], image[0]], device=matrix.device)
        return 2 * points / size - 1

    def _light(self, x: Tensor, generator: Generator) -> Tensor:
        if not self.gain and not self.tint:
            return x
        n, channels = x.shape[:2]
        draws = 2 * torch.rand((n, 1 + channels), device=x.device, generator=generator) - 1
        factor = (1 + self.gain * draws[:, :1]) * (1 + self.tint * draws[:, 1:])
        peak = 255.0
        return (x * factor[:, :, None, None]).clamp(0, peak)


def move_boxes(boxes: Tensor, matrix: Tensor, centre: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes [N, M, 5] of the image in the pixels of a window; what it cuts off to less than a third gets class -1."""
    height, width = size
    inverse = torch.linalg.inv(matrix)  # [N, 2, 2]
    corners = boxes[..., 1:].unflatten(-1, (2, 2)) - centre[:, None, None]  # [N, M, 2, (x, y)]
    moved = torch.einsum("nij,nmkj->nmki", inverse, corners)
    moved = moved + torch.tensor([width / 2, height / 2], device=boxes.device)
    low, high = moved.amin(2), moved.amax(2)  # a mirrored box has its corners swapped
    limit = torch.tensor([width, height], device=boxes.device, dtype=boxes.dtype)
    cut_low, cut_high = low.clamp(min=0).minimum(limit), high.clamp(min=0).minimum(limit)
    visible = (cut_high - cut_low).prod(-1) >= LEAST_VISIBLE * (high - low).prod(-1).clamp(min=1e-6)
    label = torch.where(visible & (boxes[..., 0] >= 0), boxes[..., 0], -1.0)
    return torch.cat([label[..., None], cut_low, cut_high], -1)
