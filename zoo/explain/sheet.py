"""Pictures and maps of explanations side by side, a line of text below each."""

from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from zoo.explain.explanation import Explanation

SHORT = {
    "integrated-gradients": "integrated gr.",
    "expected-gradients": "expected gr.",
    "gradient-x-input": "gradient x in.",
}


def shown(image: Tensor, side: int = 84) -> Image.Image:
    """An image [C, H, W] in 0..1 as a picture of this side."""
    pixels = (255 * image.clamp(0, 1)).round().to(torch.uint8).expand(3, -1, -1).permute(1, 2, 0).numpy()
    return Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST)


def sheet(rows: Sequence[Sequence[tuple[Image.Image, str]]], side: int = 84) -> Image.Image:
    """Pictures with a line of text below each, row by row."""
    wide = max(len(row) for row in rows)
    canvas = Image.new("RGB", (wide * (side + 6), len(rows) * (side + 16)), "white")
    draw = ImageDraw.Draw(canvas)
    for i, row in enumerate(rows):
        for j, (picture, text) in enumerate(row):
            left, top = j * (side + 6), i * (side + 16)
            canvas.paste(picture.resize((side, side), Image.Resampling.NEAREST), (left, top))
            draw.text((left + 1, top + side + 1), SHORT.get(text, text)[:15], fill="black")
    return canvas


def map_of(found: Explanation, side: int = 84) -> Image.Image:
    """The map of an explained image as a picture of this side."""
    return found.picture(scale=1).resize((side, side), Image.Resampling.NEAREST)
