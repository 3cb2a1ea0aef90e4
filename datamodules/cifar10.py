"""CIFAR-10: 32 x 32 colour photographs of ten kinds of things (Krizhevsky, 2009), in the official binary version.

`cifar-10-batches-bin` holds six files of 10000 records, each a label byte and 3072 pixel bytes, channel by channel. The
"python version" of the same images is a pickle, which may run code when it's read, so it isn't supported.
"""

import shutil
import tarfile
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from datamodules.base import TensorDataModule
from datamodules.files import MOST, DataNotFoundError, check, data_root, fetch
from zoo.core.files import read_bounded
from zoo.errors import InputError

PIXELS = 3 * 32 * 32


class CIFAR10(TensorDataModule):
    """Ten classes, 5000 to train on and 1000 to test in each. See `TensorDataModule` for the arguments."""

    name = "cifar10"
    classes: tuple[str, ...] = (
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    )
    image_shape = (3, 32, 32)
    mean = (0.4914, 0.4822, 0.4465)
    std = (0.2470, 0.2435, 0.2616)
    counts: ClassVar[dict[str, int]] = {"train": 50000, "test": 10000}
    hub_id: ClassVar[str] = "uoft-cs/cifar10"
    licence: ClassVar[str] = "none stated"
    licence_note: ClassVar[str] = (
        "The authors state no licence; the images come from the 80 Million Tiny Images. Cite the technical report."
    )
    homepage: ClassVar[str] = "https://www.cs.toronto.edu/~kriz/cifar.html"
    labels: ClassVar[int] = 1  # bytes before the pixels of a record, of which the last is the class
    folder: ClassVar[str] = "cifar-10-batches-bin"
    archive: ClassVar[str] = "cifar-10-binary.tar.gz"
    mirrors: ClassVar[tuple[str, ...]] = (
        "https://www.cs.toronto.edu/~kriz/",
        "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/",
    )
    sha256: ClassVar[str] = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
    files: ClassVar[dict[str, tuple[str, ...]]] = {
        "train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
        "test": ("test_batch.bin",),
    }

    def prepare_data(self) -> None:
        root, missing = data_root(self.root), self.missing()
        if not missing:
            for path in (root / self.folder / name for part in self.files.values() for name in part):
                check(path, root=self.root)
            return
        try:
            archive = fetch(
                self.archive, [mirror + self.archive for mirror in self.mirrors], self.sha256, root=self.root
            )
        except DataNotFoundError as error:
            raise DataNotFoundError(f"{root / self.folder} lacks {', '.join(missing)}, and {error}") from error
        unpack(archive, root, [f"{self.folder}/{name}" for name in missing])

    def missing(self) -> list[str]:
        folder = data_root(self.root) / self.folder
        return [name for part in self.files.values() for name in part if not (folder / name).is_file()]

    def load(self, part: str) -> tuple[Tensor, Tensor]:
        paths = [check(data_root(self.root) / self.folder / name, root=self.root) for name in self.files[part]]
        records = torch.cat([read_records(path, self.labels) for path in paths])
        return records[:, self.labels :].reshape(-1, 3, 32, 32), records[:, self.labels - 1].long()


def unpack(archive: Path, root: Path, members: list[str]) -> None:
    """Take the named files out of a tar archive, each whole or not at all."""
    staging = archive.parent / f".{archive.name}.unpacked"
    try:
        with tarfile.open(archive) as tar:
            for member in members:
                tar.extract(member, staging, filter="data")  # refuses links and paths that lead outside
        for member in members:
            (root / member).parent.mkdir(parents=True, exist_ok=True)
            (staging / member).replace(root / member)
    except (tarfile.TarError, EOFError, OSError, KeyError) as error:
        reason = " ".join(str(error).split())  # tarfile lists its attempts on lines of their own
        raise InputError(f"{archive} can't be unpacked ({reason}): remove it to fetch it again.") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def read_records(path: Path, labels: int = 1) -> Tensor:
    """Records of a CIFAR binary file, uint8 [N, labels + 3072]: the labels, then red, green and blue, row by row."""
    data, record = np.frombuffer(bytearray(read_bounded(path, MOST)), np.uint8), labels + PIXELS
    if not len(data) or len(data) % record:
        raise InputError(f"{path} has {len(data)} bytes, no multiple of {record}: remove it to fetch it again.")
    return torch.from_numpy(data).view(-1, record)
