"""Marked boxes as other tools write them: Pascal VOC (an XML file for each image) and COCO (one JSON file for all).

Both become lists of `Marked`: a file's name, its width and height in pixels, and boxes (class name, x0, y0, x1, y1) with x0 the
left edge of the first pixel and x1 the right edge of the last one. VOC counts pixels from 1 and includes the last: x0 = xmin -
1, x1 = xmax.
"""

import json
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from zoo.errors import InputError, ZooWarning

Box = tuple[str, float, float, float, float]


@dataclass
class Marked:
    """What is marked on one image."""

    file: str
    width: int
    height: int
    boxes: list[Box] = field(default_factory=list)


def read_voc(path: Path, *, one_based: bool = True) -> Marked:
    """The boxes of one VOC file.

    Args:
        one_based: pixels are counted from 1, as VOC does; False for tools that count from 0.

    Raises:
        InputError: for a file that isn't VOC's XML, or a box without a name or numbers.
    """
    try:
        root = ElementTree.parse(path).getroot()
        size: Any = root.find("size")
        width, height = (int(float(size.findtext(key, ""))) for key in ("width", "height"))
        boxes = []
        for thing in root.iter("object"):
            edges: Any = thing.find("bndbox")
            low = 1.0 if one_based else 0.0
            x0, y0, x1, y1 = (float(edges.findtext(key, "")) for key in ("xmin", "ymin", "xmax", "ymax"))
            name = (thing.findtext("name") or "").strip()
            if not name:
                raise ValueError("an object has no name")
            boxes.append((name, x0 - low, y0 - low, x1, y1))
    except (OSError, ElementTree.ParseError, ValueError, AttributeError) as error:
        raise InputError(f"{path} can't be read as a VOC annotation: {error}") from None
    return Marked(
        root.findtext("filename") or path.with_suffix(".jpg").name,
        width,
        height,
        clean(boxes, width, height, path.name),
    )


def read_coco(path: Path) -> list[Marked]:
    """The boxes of all images of a COCO file; regions that mark a crowd are left out.

    Raises:
        InputError: for a file that isn't COCO's JSON, or a box of an image or a class that it doesn't list.
    """
    try:
        table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        names = {one["id"]: str(one["name"]) for one in table["categories"]}
        found = {one["id"]: Marked(one["file_name"], int(one["width"]), int(one["height"])) for one in table["images"]}
        raw: dict[Any, list[Box]] = {key: [] for key in found}
        for number, mark in enumerate(table["annotations"]):
            if mark.get("iscrowd"):
                continue
            if mark["category_id"] not in names or mark["image_id"] not in found:
                raise ValueError(f"annotation {number} names an image or a class that isn't listed")
            x, y, w, h = (float(value) for value in mark["bbox"])
            raw[mark["image_id"]].append((names[mark["category_id"]], x, y, x + w, y + h))
    except (OSError, json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} can't be read as a COCO annotation: {error!r}") from None
    for key, marked in found.items():
        marked.boxes = clean(raw[key], marked.width, marked.height, marked.file)
    return list(found.values())


def clean(boxes: list[Box], width: int, height: int, where: str) -> list[Box]:
    """Boxes with their corners in order, cut at the image's edges; one without area is dropped, with a warning."""
    kept = []
    for name, x0, y0, x1, y1 in boxes:
        low = max(0.0, min(x0, x1)), max(0.0, min(y0, y1))
        high = min(float(width), max(x0, x1)), min(float(height), max(y0, y1))
        if high[0] - low[0] > 1 and high[1] - low[1] > 1:  # a box of one pixel is a slip of the mouse
            kept.append((name, *low, *high))
        else:
            warnings.warn(
                f"{where}: the box {(x0, y0, x1, y1)} of {name} has no area in the image and is left out.",
                category=ZooWarning,
                stacklevel=2,
            )
    return kept
