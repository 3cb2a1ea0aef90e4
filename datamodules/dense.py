"""What the data modules of segmentation and detection share: images with a map of classes or instances, or with boxes.

Everything lies in memory as one tensor, as in `datamodules.base`: images uint8 [N, C, H, W], maps of whole numbers [N, H, W], boxes
float32 [N, M, 5] of (class, x0, y0, x1, y1) in pixels of the image, with M the most boxes of one image and class -1 where there is none.
"""

import json
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from datamodules.base import CLI_KEYS, SAMPLES, TensorDataModule
from datamodules.spatial import JointAugment
from zoo.errors import InputError

SPLITS = ("train", "val", "test")


class DenseDataModule(TensorDataModule):
    """Base of the data sets whose labels are maps or boxes.

    A subclass names its facts and gives `load_split`, images and labels of "train", "val" or "test".

    Args:
        batch_size, normalize, seed, root: see `TensorDataModule`.
        augment: settings of `datamodules.spatial.JointAugment` for training batches, or None.
    """

    counts: ClassVar[dict[str, int]]  # images of "train", "val" and "test"
    void: ClassVar[int] = 0  # what a map holds outside of the image
    percentiles: ClassVar[tuple[float, float] | None] = None  # see zoo.core.images.Transform

    def __init__(
        self,
        batch_size: int = 16,
        *,
        augment: dict[str, Any] | None = None,
        normalize: bool = True,
        seed: int = 0,
        root: str | None = None,
    ) -> None:
        super().__init__(batch_size, val_size=0, augment=augment, normalize=normalize, seed=seed, root=root)
        self.save_hyperparameters(ignore=CLI_KEYS)

    @property
    def preprocess(self) -> dict[str, Any]:
        stretched = {"percentiles": list(self.percentiles)} if self.percentiles else {}
        return super().preprocess | stretched

    def load_split(self, split: str) -> tuple[Tensor, Tensor]:
        """Images uint8 [N, C, H, W], and maps [N, H, W] or boxes [N, M, 5], of a split."""
        raise NotImplementedError

    def setup(self, stage: str | None = None) -> None:
        """Read what a stage needs into memory, once."""
        wanted = {"fit": SPLITS[:2], "validate": SPLITS[1:2], "test": SPLITS[2:], "predict": SPLITS[2:]}
        with torch.inference_mode(False):  # an evaluation may be what asks first, and training needs ordinary tensors
            for split in wanted.get(stage or "", SPLITS):
                if split not in self._splits:
                    self._splits[split] = self._checked(split, *self.load_split(split))

    def tensors(self, split: str) -> tuple[Tensor, Tensor]:
        """Images and labels of "train", "val" or "test", on the CPU."""
        if split not in SPLITS:
            raise InputError(f"split is {split!r}; it can be 'train', 'val' or 'test'.")
        if split not in self._splits:
            self.prepare_data()
            self.setup({"train": "fit", "val": "validate", "test": "test"}[split])
        return self._splits[split]

    def _checked(self, split: str, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        counts = getattr(self, "counts", None)  # a person's own folder has none
        if counts and (len(x) != counts[split] or len(y) != len(x)):
            raise InputError(
                f"the {split} part of {self.name} has {len(x)} images and {len(y)} labels, not {counts[split]}: "
                "put the official files there again."
            )
        return x, y

    def _augment(self, settings: dict[str, Any]) -> JointAugment:  # type: ignore[override]
        fill = tuple(255 * m for m in self.mean)  # zero once normalised
        return JointAugment(settings, self.image_shape, fill=fill, void=self.void)


def dense_sample(name: str) -> tuple[Tensor, Any]:
    """A few packaged real test pictures of a data set, uint8 [N, C, H, W], with what is marked on them. Needs no download.

    Of "nuclei" that is a map of instances, int64 [N, H, W]; of "bccd" a list of boxes [(class, (x0, y0, x1, y1))] for each picture.

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


def _strip(path: Any, count: int) -> Tensor:
    """Pictures that stand one above the other in a file, uint8 [count, C, H, W]."""
    with Image.open(path) as image:
        pixels = torch.from_numpy(np.array(image))
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    return pixels.unflatten(0, (count, -1)).permute(0, 3, 1, 2).contiguous()
