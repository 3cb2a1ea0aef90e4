"""The packaged real test examples, a few hundred a data set: demos, previews and tests need no download."""

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zoo import registry
from zoo.errors import InputError
from zoo.paths import ROOT

SAMPLES = ROOT / "datamodules" / "samples"
SOUNDS = ("fsdd-mixtures",)  # packaged beside the images, and read by its own data module


def sample_split(name: str) -> tuple[Tensor, Tensor]:
    """The packaged real test images of a data set: uint8 [N, C, H, W], and labels int64 [N]. Needs no download."""
    from safetensors.torch import load_file

    path = SAMPLES / f"{name}.safetensors"
    if not path.is_file() or name in SOUNDS:
        known = sorted(file.stem for file in SAMPLES.glob("*.safetensors") if file.stem not in SOUNDS)
        raise InputError(f"no sample of {name!r} is packaged; there are {', '.join(known)}.")
    tensors = load_file(path)
    return tensors["images"], tensors["labels"].long()


def picture_sample(name: str) -> tuple[Tensor, Any]:
    """A few packaged real test pictures of a data set, uint8 [N, C, H, W], with what is marked on them. Needs no download.

    Of "nuclei" that is a map of instances, int64 [N, H, W]; of "bccd" a list of boxes [(class, (x0, y0, x1, y1))] for each
    picture.

    Raises:
        InputError: for a data set without packaged pictures.
    """
    facts = SAMPLES / f"{name}.pictures.json"
    if not facts.is_file():
        known = sorted(file.name.removesuffix(".pictures.json") for file in SAMPLES.glob("*.pictures.json"))
        raise InputError(f"no pictures of {name!r} are packaged; there are {', '.join(known)}.")
    about = json.loads(facts.read_text(encoding="utf-8"))
    pictures = _strip(SAMPLES / about["pictures"], about["count"])
    if "boxes" in about:
        return pictures, [[(box[0], tuple(box[1:])) for box in boxes] for boxes in about["boxes"]]
    return pictures, _strip(SAMPLES / about["maps"], about["count"])[:, 0].long()


def text_sample(name: str) -> list[tuple[str, int]]:
    """The packaged real test texts of a data module with the numbers of their classes; none where it packages none."""
    module = importlib.import_module(registry.datamodule_class(name).__module__)
    return module.sample() if hasattr(module, "sample") else []


def _strip(path: Path, count: int) -> Tensor:
    """Pictures that stand one above the other in a file, uint8 [count, C, H, W]."""
    with Image.open(path, formats=("PNG", "JPEG")) as image:
        pixels = torch.from_numpy(np.array(image))
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    return pixels.unflatten(0, (count, -1)).permute(0, 3, 1, 2).contiguous()
