"""Pictures of detections: a box in its class's colour around each object, with the class and its probability."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

COLOURS = ["#d62728", "#1f77b4", "#2ca02c", "#ff7f0e", "#9467bd", "#17becf", "#e377c2", "#bcbd22", "#8c564b", "#7f7f7f"]


def draw_boxes(picture: Tensor, found: Any, classes: list[str], truth: Any = ()) -> Image.Image:
    """A picture uint8 [C, H, W] with boxes [(class, probability, (x0, y0, x1, y1))]; true ones [(class, box)] thin and white."""
    image = Image.fromarray(picture.expand(3, -1, -1).permute(1, 2, 0).numpy().copy())
    draw = ImageDraw.Draw(image)
    width = max(1, round(image.width / 320))
    for _, box in truth:
        draw.rectangle(list(box), outline="white", width=1)
    for name, p, box in reversed(list(found)):  # the likeliest on top
        colour = COLOURS[classes.index(name) % len(COLOURS)] if name in classes else COLOURS[0]
        draw.rectangle(list(box), outline=colour, width=width)
        draw.text((box[0] + width + 1, box[1] + width), f"{name} {p:.2f}", fill=colour)
    return image


def in_a_row(images: list[Image.Image], path: Path, *, height: int = 240) -> Path:
    """Write pictures side by side as one PNG of that height."""
    scaled = [image.resize((round(image.width * height / image.height), height)) for image in images]
    strip = np.concatenate([np.pad(np.asarray(i), ((2, 2), (2, 2), (0, 0)), constant_values=255) for i in scaled], 1)
    Image.fromarray(strip).quantize(96).save(path, optimize=True)
    return path
