"""Nuclei of cells under fluorescence: the 334 grey images of 256 x 256 pixels of the 2018 Data Science Bowl (BBBC038, CC0).

The official archive `stage1_train` holds a folder for each image, ID/images/ID.png and a mask for each nucleus in ID/masks.
There is no
official split that has masks: here `fixed_permutation` of the sorted identifiers gives 234 to train, 33 to validate and 67 to
test. Each image is stretched between two of its percentiles, since the mean grey of the originals runs from 3 to 35 of 255.
"""

from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from datamodules.base import fixed_permutation
from datamodules.dense import DenseDataModule
from datamodules.files import DataNotFoundError, data_root
from zoo.core.images import stretch
from zoo.core.pictures import picture_size, read_picture
from zoo.errors import InputError

SIDE = 256


class Nuclei(DenseDataModule):
    """Images [N, 1, 256, 256] with maps of instances, int16 [N, 256, 256]: 0 is background, 1 … n are the nuclei."""

    use: ClassVar[str] = (
        "from zoo.core.samples import picture_sample\n"
        "\n"
        'cells, _ = picture_sample("nuclei")                 # packaged test images; a path, PIL image or array will do too\n'
        "nuclei = model.instances(cells[0])                  # int64 [H, W]: 0 is background, 1 … n are the nuclei\n"
        'print(int(nuclei.max()), "nuclei")\n'
        "print(model.segment(cells[0]).float().mean())       # share of the pixels that belong to one"
    )

    name = "nuclei"
    classes = ("background", "nucleus")
    image_shape = (1, SIDE, SIDE)
    mean = (0.06,)
    std = (0.135,)
    percentiles = (1.0, 99.8)
    counts: ClassVar[dict[str, int]] = {"train": 234, "val": 33, "test": 67}
    licence: ClassVar[str] = "CC0"
    licence_note: ClassVar[str] = (
        "Nothing is asked of you. Cite Caicedo et al. (2019) and BBBC038v1 of the Broad Institute."
    )
    homepage: ClassVar[str] = "https://bbbc.broadinstitute.org/BBBC038"
    folder: ClassVar[str] = "stage1_train"
    _all: list[tuple[Tensor, Tensor]] | None = None  # read once for all splits: there are 9,543 files of masks

    def prepare_data(self) -> None:
        if not (data_root(self.root) / self.folder).is_dir():
            raise DataNotFoundError(
                f"there is no folder {data_root(self.root) / self.folder}: unpack stage1_train.zip of {self.homepage} there, "
                "or set ZOO_DATA to the folder that holds it."
            )

    def missing(self) -> list[str]:
        return [] if (data_root(self.root) / self.folder).is_dir() else [self.folder]

    def load_split(self, split: str) -> tuple[Tensor, Tensor]:
        folder = data_root(self.root) / self.folder
        if self._all is None:
            self.prepare_data()
            self._all = [pair for path in sorted(folder.iterdir()) if path.is_dir() and (pair := read_sample(path))]
        read, total = self._all, sum(self.counts.values())
        if len(read) != total:
            raise InputError(
                f"{folder} holds {len(read)} grey images of 256 x 256, not {total}: unpack the archive again."
            )
        order = fixed_permutation(total)
        start = {"train": 0, "val": self.counts["train"], "test": self.counts["train"] + self.counts["val"]}[split]
        chosen = [read[i] for i in order[start : start + self.counts[split]].tolist()]
        return torch.stack([image for image, _ in chosen]), torch.stack([instances for _, instances in chosen])


def read_sample(folder: Path) -> tuple[Tensor, Tensor] | None:
    """One image, stretched, uint8 [1, 256, 256], and its instances int16 [256, 256]; None for other sizes and for colour."""
    path = folder / "images" / f"{folder.name}.png"
    if picture_size(path) != (SIDE, SIDE):
        return None
    pixels = read_picture(path)
    masks = [read_picture(file)[0] > 127 for file in sorted((folder / "masks").glob("*.png"))]
    if (pixels != pixels[:1]).any():
        return None
    instances = torch.zeros(SIDE, SIDE, dtype=torch.int16)
    for number, mask in enumerate(masks, start=1):
        if mask.shape != instances.shape:
            raise InputError(
                f"a mask in {folder / 'masks'} has {list(mask.shape)} pixels, not {list(instances.shape)}."
            )
        instances[mask] = number
    return stretch(pixels[:1], Nuclei.percentiles), instances
