"""A person's own images: one sub-folder per class, any size and format that Pillow reads.

    flowers/rose/*.jpg, flowers/tulip/*.png              split here, the same way every time
    flowers/{train,val,test}/rose/*.jpg, …               split by its owner; val or test may be missing

Each file is read once and kept as uint8 at the network's size, so later epochs cost what the network costs. That takes
150 kB of memory an image at 224 x 224.
"""

import os
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from datamodules.augment import Settings
from datamodules.base import CLI_KEYS, TensorDataModule, fixed_permutation
from datamodules.files import DataNotFoundError
from zoo.core.images import Transform
from zoo.core.pictures import suffixes
from zoo.core.progress import track
from zoo.errors import InputError, ZooWarning

PARTS = ("train", "val", "test")


class ImageFolder(TensorDataModule):
    """Images in class folders. A part without a folder of its own is held out of the training images, class by class.

    Args:
        root: the folder.
        batch_size: images per batch and process.
        image_size: height and width that every image is resized to, unless `transform` says.
        transform: a network's transform (`clf.transform`) or its settings; decides size, mode, mean and std.
        val_share, test_share: parts of each class to hold out where there is no folder for them.
        augment, normalize, seed: see `TensorDataModule`.
    """

    own: ClassVar[bool] = True  # a person's own data: models are measured on it by `measure`
    name = "image-folder"
    licence: ClassVar[str] = "the owner's"
    licence_note: ClassVar[str] = (
        "Whoever owns the images says what may be done with them and with what was trained on them."
    )
    homepage: ClassVar[str] = ""

    def __init__(
        self,
        root: str,
        batch_size: int = 64,
        *,
        image_size: int = 64,
        transform: Transform | dict[str, Any] | None = None,
        val_share: float = 0.15,
        test_share: float = 0.15,
        augment: Settings | None = None,
        normalize: bool = True,
        seed: int = 0,
    ) -> None:
        root = os.fspath(root)
        transform = _settings(transform, image_size)  # plain values, so that the hyper-parameters are JSON
        if min(val_share, test_share) < 0 or val_share + test_share >= 1:
            raise InputError(f"val_share {val_share} and test_share {test_share} must leave something to train on.")
        self._transform = Transform(**transform)
        self._files = self.find(Path(root))
        self.classes = tuple(self._files["train"])
        height, width = self._transform.size
        self.image_shape = (len(self._transform.mean), height, width)
        self.mean, self.std = tuple(self._transform.mean), tuple(self._transform.std)
        self.val_share, self.test_share = val_share, test_share
        super().__init__(batch_size, val_size=0, augment=augment, normalize=normalize, seed=seed, root=root)
        self.save_hyperparameters(ignore=CLI_KEYS)
        self.hparams.update(root=root, transform=transform)  # what a command line gave was saved as given

    def find(self, root: Path) -> dict[str, dict[str, list[Path]]]:
        """Image files as {part: {class: files}}; only "train" where the folder isn't split."""
        return find_images(root)

    @property
    def preprocess(self) -> dict[str, Any]:
        kept = {key: self._transform.to_dict()[key] for key in ("interpolation", "antialias")}
        return super().preprocess | kept

    def setup(self, stage: str | None = None) -> None:
        """Read every image, once, whatever the stage: the split needs to know which files are readable."""
        if self._splits:
            return
        with torch.inference_mode(False):  # an evaluation may be what asks first, and training needs ordinary tensors
            read = {part: self._read(classes) for part, classes in self._files.items()}
            x, y = read["train"]
            if empty := [name for label, name in enumerate(self.classes) if not (y == label).any()]:
                raise InputError(
                    f"no file of class {', '.join(empty)} in {self.root} can be read: add some or remove it."
                )
            shares = {"val": self.val_share, "test": self.test_share}
            parts = hold_out(y, {part: share for part, share in shares.items() if part not in read})
            self._splits = read | {part: (x[index], y[index]) for part, index in parts.items()}

    def _read(self, classes: dict[str, list[Path]]) -> tuple[Tensor, Tensor]:
        items = [(path, self.classes.index(name)) for name, paths in classes.items() for path in paths]
        with ThreadPoolExecutor() as pool:  # Pillow decodes outside the interpreter lock
            images = list(track(pool.map(self._pixels, [path for path, _ in items]), "reading images", len(items)))
        if bad := [path.name for (path, _), image in zip(items, images, strict=True) if image is None]:
            names = ", ".join(bad[:5]) + (", …" if len(bad) > 5 else "")
            warnings.warn(
                f"{len(bad)} of {len(items)} files in {self.root} can't be read and are skipped: {names}",
                category=ZooWarning,
                stacklevel=4,
            )
        kept = [(image, label) for image, (_, label) in zip(images, items, strict=True) if image is not None]
        if not kept:
            return torch.empty(0, *self.image_shape, dtype=torch.uint8), torch.empty(0, dtype=torch.int64)
        return torch.stack([image for image, _ in kept]), torch.tensor([label for _, label in kept])

    def _pixels(self, path: Path) -> Tensor | None:
        try:
            return self._transform.pixels(path)
        except InputError:
            return None


def find_images(root: Path) -> dict[str, dict[str, list[Path]]]:
    """Image files as {part: {class: files}}, all sorted; only "train" where the folder isn't split."""
    if not root.is_dir():
        raise DataNotFoundError(
            f"there is no folder {str(root)!r}: name one that holds a sub-folder of images per class."
        )
    split = (root / "train").is_dir() and any((root / part).is_dir() for part in PARTS[1:])
    folders = {part: root / part for part in PARTS if (root / part).is_dir()} if split else {"train": root}
    found = {part: _classes(folder) for part, folder in folders.items()}
    train = found["train"]
    if not any(train.values()):
        raise InputError(f"{str(folders['train'])!r} holds no images: it needs a sub-folder of images per class.")
    if empty := [name for name, files in train.items() if not files]:
        raise InputError(
            f"class folder {', '.join(empty)} in {str(folders['train'])!r} is empty: fill it or remove it."
        )
    if len(train) == 1:
        raise InputError(
            f"{str(folders['train'])!r} has the one class {next(iter(train))!r}: it takes two to tell apart."
        )
    for part, classes in found.items():
        if unknown := [name for name, files in classes.items() if files and name not in train]:
            raise InputError(
                f"{str(folders[part])!r} has the class {', '.join(unknown)}, which train lacks: rename or remove it."
            )
    return {part: {name: files for name, files in classes.items() if name in train} for part, classes in found.items()}


def hold_out(y: Tensor, shares: dict[str, float]) -> dict[str, Tensor]:
    """Indices of "train" and of each part to hold out, by share of each class; disjoint, and the same every time.

    A class of three images or more is in every part, and each class keeps an image to train on.
    """
    parts: dict[str, list[Tensor]] = {"train": [], **{part: [] for part in shares}}
    for label in y.unique():
        index = (y == label).nonzero()[:, 0]
        total = len(index)
        index = index[fixed_permutation(total)]
        for part, share in shares.items():
            least = 1 if share and total >= 3 else 0
            n = min(max(round(share * total), least), len(index) - 1)
            parts[part].append(index[:n])
            index = index[n:]
        parts["train"].append(index)
    return {part: torch.cat(chunks).sort().values for part, chunks in parts.items()}


def _classes(folder: Path) -> dict[str, list[Path]]:
    return {
        entry.name: image_files(entry)
        for entry in sorted(folder.iterdir())
        if entry.is_dir() and not _is_hidden(entry.name)
    }


def _walk(folder: Path, seen: set[str]) -> Iterator[Path]:
    """Files below a folder, sorted; nothing hidden, and each folder once, however many links lead to it."""
    for path in sorted(folder.iterdir()):
        if _is_hidden(path.name):
            continue
        if path.is_dir():
            if (real := os.path.realpath(path)) not in seen:
                seen.add(real)
                yield from _walk(path, seen)
        elif path.is_file():
            yield path


def _is_hidden(name: str) -> bool:
    """Whether a name is one that file systems, archives and notebooks leave behind."""
    return name.startswith((".", "@eaDir", "__MACOSX")) or name in ("Thumbs.db", "desktop.ini")


def _settings(transform: Transform | dict[str, Any] | None, image_size: int) -> dict[str, Any]:
    if transform is None:
        if image_size < 1:
            raise InputError(f"image_size is {image_size}; it must be at least 1.")
        half = [0.5] * 3  # pixels in [-1, 1]: a folder has no published statistics
        return Transform(size=[image_size] * 2, mode="RGB", mean=half, std=half).to_dict()
    if isinstance(transform, dict):
        return Transform(**transform).to_dict()
    keys = ("size", "mode", "mean", "std", "interpolation", "antialias")
    return Transform(**{key: getattr(transform, key) for key in keys if hasattr(transform, key)}).to_dict()


def image_files(folder: Path) -> list[Path]:
    """All files of a folder and its sub-folders whose suffix is that of an image, sorted; hidden ones are left out.

    Files with another suffix are counted and named in one warning; a folder that several links lead to is read once.
    """
    known, left_out = suffixes(), Counter[str]()
    found = []
    for path in _walk(folder, {os.path.realpath(folder)}):
        if path.suffix.lower() in known:
            found.append(path)
        else:
            left_out[path.suffix.lower() or "no suffix"] += 1
    if left_out:
        shown = ", ".join(f"{n} with {suffix}" for suffix, n in left_out.most_common(5))
        warnings.warn(
            f"{left_out.total()} files in {folder} are left out for their suffix: {shown}",
            category=ZooWarning,
            stacklevel=2,
        )
    return found
