"""Pictures of what was found: classes and objects in their colours over the picture, boxes around them; and texts as pictures."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from zoo.core.files import write_picture
from zoo.core.images import stretch
from zoo.core.samples import text_sample
from zoo.errors import InputError

COLOURS = ["#d62728", "#1f77b4", "#2ca02c", "#ff7f0e", "#9467bd", "#17becf", "#e377c2", "#bcbd22", "#8c564b", "#7f7f7f"]
SHARE = 0.55  # of the colour, beside the picture
ROWS = 256  # that are painted at a time


def verbatim(text: str) -> str:
    """A stranger's text as matplotlib has to be given it: no dollar sign begins a formula."""
    return text.replace("$", r"\$")


def palette(n: int) -> Tensor:
    """n colours that are easy to tell apart, uint8 [n, 3]: hues a golden angle apart."""
    hue = torch.arange(n) * 0.618034 % 1
    value = 1 - 0.35 * (torch.arange(n) % 3) / 2
    wheel = (hue[:, None] * 6 - torch.tensor([3.0, 2.0, 4.0])).abs()
    rgb = torch.stack([wheel[:, 0] - 1, 2 - wheel[:, 1], 2 - wheel[:, 2]], 1).clamp(0, 1)
    return (255 * value[:, None] * (0.25 + 0.75 * rgb)).to(torch.uint8)


def paint(picture: Tensor, labels: Tensor, colours: Tensor, *, clear: int | None = None) -> Tensor:
    """A picture uint8 [C, H, W] under a map [H, W] of colour numbers, uint8 [3, H, W]; `clear` is left as it is."""
    result = torch.empty(3, *labels.shape, dtype=torch.uint8)
    for base, some, part in zip(picture.split(ROWS, 1), labels.split(ROWS), result.split(ROWS, 1), strict=True):
        base = base.expand(3, -1, -1).float()
        over = colours[some.long() % len(colours)].permute(2, 0, 1).float()
        mixed = (1 - SHARE) * base + SHARE * over
        part.copy_((mixed if clear is None else torch.where((some == clear)[None], base, mixed)).round())
    return result


def paint_classes(picture: Tensor, labels: Tensor, classes: Sequence[str]) -> Tensor:
    """Every class in its colour; a first one called background or ground is left as it is."""
    clear = 0 if classes[0] in ("background", "ground") else None
    return paint(picture, labels, palette(len(classes)), clear=clear)


def paint_instances(picture: Tensor, objects: Tensor) -> Tensor:
    """Every object in a colour, over the picture stretched to full brightness."""
    return paint(stretch(picture, (1.0, 99.8)), objects, palette(24), clear=0)


def side_by_side(rows: list[tuple[Tensor, Tensor]], path: Path, *, most: int = 240) -> Path:
    """Write pictures uint8 above their paintings as one PNG, each at most `most` pixels wide."""
    columns = []
    for picture, painted in rows:
        top = stretch(picture, (0.0, 99.9)) if picture.shape[0] == 1 else picture
        both = torch.cat([top.expand(3, -1, -1), painted], 1)
        image = Image.fromarray(both.permute(1, 2, 0).numpy())
        if image.width > most:
            image = image.resize((most, round(image.height * most / image.width)), Image.Resampling.BILINEAR)
        columns.append(np.pad(np.asarray(image), ((2, 2), (2, 2), (0, 0)), constant_values=255))
    height = max(column.shape[0] for column in columns)
    columns = [np.pad(c, ((0, height - c.shape[0]), (0, 0), (0, 0)), constant_values=255) for c in columns]
    whole = Image.fromarray(np.concatenate(columns, 1))
    write_picture(path, whole.quantize(128), optimize=True)
    return path


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
    write_picture(path, Image.fromarray(strip).quantize(96), optimize=True)
    return path


def drawn_street() -> Tensor:
    """A road between houses under a sky, drawn by hand, uint8 [1, 3, 240, 320]: for data whose pictures can't be passed on."""
    image = Image.new("RGB", (320, 240), (205, 215, 225))
    draw = ImageDraw.Draw(image)
    draw.rectangle([0, 60, 110, 150], fill=(120, 95, 85))
    draw.rectangle([215, 40, 320, 150], fill=(135, 120, 105))
    draw.ellipse([95, 70, 160, 140], fill=(60, 85, 55))
    draw.polygon([(0, 240), (150, 135), (180, 135), (320, 240)], fill=(90, 90, 95))
    draw.polygon([(0, 150), (150, 135), (0, 240)], fill=(150, 145, 140))
    draw.polygon([(320, 150), (180, 135), (320, 240)], fill=(150, 145, 140))
    draw.rectangle([185, 140, 235, 175], fill=(110, 30, 30))
    return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)[None]


def outputs(files: list[Path], output: Path, suffix: str) -> list[Path]:
    """Where the drawing of each file goes: into a folder, or for one picture to a PNG file. Checked before any work.

    Raises:
        InputError: for files that aren't there, a folder that isn't, two drawings of one name, or another format than PNG.
    """
    if missing := [str(file) for file in files if not file.is_file()]:
        raise InputError(f"there is no file {missing[0]!r}")
    if output.suffix and not output.is_dir():
        if output.suffix.lower() != ".png":
            raise InputError(f"{output} must end with .png, or be a folder")
        if len(files) > 1:
            raise InputError(f"{len(files)} pictures don't go into the one file {output}: name a folder")
        targets = [output]
    else:
        targets = [output / f"{file.stem}{suffix}" for file in files]
    if len(set(targets)) < len(targets):
        raise InputError("two of the files have the same name: draw them one by one")
    try:
        for target in targets:
            target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{output} can't be made: {error.strerror}") from None
    return targets


def draw_text(text: str, path: Path, *, columns: bool = False) -> Path:
    """A PNG of a text, black on white; with `columns` its letters are of one width, so that a table stays one."""
    font: Any
    name, width = ("DejaVuSansMono.ttf", 120) if columns else ("DejaVuSans.ttf", 80)
    try:  # Pillow's own font has no umlauts
        import matplotlib

        font = ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", name), 11)
    except (ImportError, OSError):
        font = ImageFont.load_default()
    text = "\n".join(short for line in text.splitlines() for short in wrapped(line, width))
    left, top, right, bottom = ImageDraw.Draw(Image.new("L", (1, 1))).multiline_textbbox((0, 0), text, font=font)
    image = Image.new("L", (int(right - left) + 24, int(bottom - top) + 24), 255)
    ImageDraw.Draw(image).multiline_text((12 - left, 12 - top), text, fill=0, font=font)
    write_picture(path, image, optimize=True)
    return path


def wrapped(line: str, width: int) -> list[str]:
    """A line in parts of at most `width` characters, broken between words where it can be and indented as it is itself."""
    indent = line[: len(line) - len(line.lstrip())][: width // 2]
    return textwrap.wrap(
        line, width, subsequent_indent=indent, replace_whitespace=False, expand_tabs=False, break_on_hyphens=False
    ) or [""]


def draw_answers(model: Any, path: Path) -> Path | None:
    """A PNG of packaged test texts with the class a model gives them and their own; None where the data packages none."""
    if model.classes is None or model.data is None or not (rows := text_sample(model.data["name"])):
        return None
    rows = rows[:: max(1, len(rows) // 24)][:24]
    texts, lines = [textwrap.shorten(text, 60, placeholder=" …") for text, _ in rows], []
    wide = max(map(len, texts))
    for text, (_, label), ((name, p), *_) in zip(texts, rows, model.predict([t for t, _ in rows], top=1), strict=True):
        mark = "" if name == model.classes[label] else f"  (is {model.classes[label]})"
        lines.append(f"{p:.2f} {name:12}{text:{wide}}{mark}")
    return draw_text("\n".join(lines), path, columns=True)
