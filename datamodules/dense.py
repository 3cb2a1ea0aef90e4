"""What the data modules of segmentation and detection share: images with a map of classes or instances, or with boxes.

Everything lies in memory as one tensor, as in `datamodules.base`: images uint8 [N, C, H, W], maps of whole numbers [N, H, W],
boxes float32 [N, M, 5] of (class, x0, y0, x1, y1) in pixels of the image, with M the most boxes of one image and class -1 where
there is none.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor

from datamodules.base import CLI_KEYS, TensorDataModule
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
    offers: ClassVar[tuple[str, ...]] = ("masks",)  # or boxes, see zoo.core.own_data
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
