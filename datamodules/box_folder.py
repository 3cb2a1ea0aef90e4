"""A person's own pictures with boxes, as other tools write them.

    blood/Annotations/*.xml, blood/JPEGImages/*.jpg                Pascal VOC; ImageSets/Main/{train,val,test}.txt where it is
    split blood/annotations.json, blood/images/*.jpg                     COCO, or {train,val,test}.json blood/a.xml, blood/a.jpg
    VOC files beside their pictures

Boxes without area are left out, and so are COCO's crowds. What isn't split by its owner is split here, the same way every time.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from datamodules.base import CLI_KEYS
from datamodules.bccd import load_marked
from datamodules.dense import SPLITS, DenseDataModule
from datamodules.files import DataNotFoundError
from datamodules.formats.boxes import Marked, read_coco, read_voc
from datamodules.image_folder import _settings
from datamodules.own import Own, check_shares, parts_of
from zoo.core.images import Transform
from zoo.errors import InputError


class BoxFolder(Own, DenseDataModule):
    """Pictures with boxes, all scaled to one size.

    Args:
        root: the folder.
        batch_size: pictures per batch and process.
        size: (height, width) that everything is scaled to; the transform's, else 256 x 256.
        classes: names in the order of a model's; they are kept where all names of the folder are among them.
        one_based: VOC files count pixels from 1, as VOC does; false for tools that count from 0.
        transform: a network's transform or its settings; decides mode, mean and std.
        val_share, test_share: parts of the pictures to hold out where the folder isn't split.
        augment, normalize, seed: see `DenseDataModule`.
    """

    name = "box-folder"
    offers: ClassVar[tuple[str, ...]] = ("boxes",)
    counted: ClassVar[str] = "pictures"

    def __init__(
        self,
        root: str,
        batch_size: int = 8,
        *,
        size: tuple[int, int] | None = None,
        classes: Sequence[str] | None = None,
        one_based: bool = True,
        transform: Transform | dict[str, Any] | None = None,
        val_share: float = 0.15,
        test_share: float = 0.15,
        augment: dict[str, Any] | None = None,
        normalize: bool = True,
        seed: int = 0,
    ) -> None:
        check_shares(val_share, test_share)
        folder, settings = Path(os.fspath(root)), _settings(transform, 256)
        if size is not None:
            settings["size"] = [int(size[0]), int(size[1])]
        self._transform = Transform(**settings)
        self._marked = find_marked(folder, one_based)
        names = sorted({box[0] for part in self._marked.values() for one, _ in part for box in one.boxes})
        if not names:
            raise InputError(f"no box is marked in {folder}: there is nothing to learn.")
        self.classes = tuple(classes) if classes and set(names) <= set(classes) else tuple(names)
        height, width = self._transform.size
        self.image_shape = (len(self._transform.mean), height, width)
        self.mean, self.std = tuple(self._transform.mean), tuple(self._transform.std)
        self.val_share, self.test_share = val_share, test_share
        super().__init__(batch_size, augment=augment, normalize=normalize, seed=seed, root=str(folder))
        self.save_hyperparameters(ignore=CLI_KEYS)
        self.hparams.update(root=str(folder), transform=settings, classes=list(self.classes))

    @property
    def preprocess(self) -> dict[str, Any]:
        return self._transform.to_dict()

    def prepare_data(self) -> None:
        """Everything is on disk."""

    def load_split(self, split: str) -> tuple[Tensor, Tensor]:
        rows = self._marked.get(split)
        if rows is None or split == "train":
            everything = self._marked["train"]
            shares = {part: 0.0 if part in self._marked else getattr(self, f"{part}_share") for part in SPLITS[1:]}
            chosen = parts_of(len(everything), shares["val"], shares["test"])[split]
            rows = [everything[i] for i in chosen.tolist()]
        if not rows:
            raise InputError(f"no picture is left for the {split} part of {self.root}: add some, or split the folder.")
        return load_marked([path for _, path in rows], [one for one, _ in rows], self.classes, self._transform)


def find_marked(root: Path, one_based: bool = True) -> dict[str, list[tuple[Marked, Path]]]:
    """Boxes with the pictures they lie on, as {part: pairs}; only "train" where the folder isn't split.

    Raises:
        InputError: for a folder that is missing, without annotations, or whose pictures are missing.
    """
    if not root.is_dir():
        raise DataNotFoundError(f"there is no folder {str(root)!r}: name one with VOC's or COCO's annotations.")
    files = {part: root / f"{part}.json" for part in SPLITS if (root / f"{part}.json").is_file()}
    if not files and (root / "annotations.json").is_file():
        files = {"train": root / "annotations.json"}
    if files:
        if "train" not in files:
            raise InputError(f"{root} has {', '.join(files)} but no train.json to learn from.")
        return {
            part: [(one, _picture(root, one.file, str(file))) for one in read_coco(file)]
            for part, file in files.items()
        }
    folder = root / "Annotations" if (root / "Annotations").is_dir() else root
    found = sorted(folder.glob("*.xml"))
    if not found:
        raise InputError(f"{root} holds no annotations: it needs VOC's *.xml, or COCO's annotations.json.")
    marked = {path.stem: (path, read_voc(path, one_based=one_based)) for path in found}
    rows = {stem: (one, _picture(root, one.file, str(path), stem)) for stem, (path, one) in marked.items()}
    lists = {part: root / "ImageSets" / "Main" / f"{part}.txt" for part in SPLITS}
    if not lists["train"].is_file():
        return {"train": list(rows.values())}
    parts = {part: file.read_text(encoding="utf-8").split() for part, file in lists.items() if file.is_file()}
    if lost := [name for names in parts.values() for name in names if name not in rows]:
        raise InputError(f"{root / 'ImageSets'} lists {lost[0]!r}, which has no annotation.")
    return {part: [rows[name] for name in names] for part, names in parts.items()}


def _picture(root: Path, file: str, where: str, stem: str = "") -> Path:
    """The picture that an annotation names, in the usual folders; by the annotation's own name where that one isn't there."""
    folders = [root / "JPEGImages", root / "images", root]
    for folder in folders:
        if (folder / Path(file).name).is_file():
            return folder / Path(file).name
        for suffix in (".jpg", ".jpeg", ".png", ".webp", ".bmp"):
            if stem and (folder / f"{stem}{suffix}").is_file():
                return folder / f"{stem}{suffix}"
    raise InputError(f"{where} marks {file!r}, which isn't in {', '.join(str(folder) for folder in folders)}.")
