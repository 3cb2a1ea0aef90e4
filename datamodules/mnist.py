"""MNIST: 28 x 28 grey handwritten digits, 60000 to train on and 10000 to test (LeCun, Cortes and Burges, 1998).

The four official idx files, packed or unpacked, under `MNIST/raw`: the layout that torchvision also reads.
"""

import math
import struct
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from datamodules.base import TensorDataModule
from datamodules.files import check, data_root, fetch, read_checked
from zoo.errors import InputError


class MNIST(TensorDataModule):
    """Handwritten digits. See `TensorDataModule` for the arguments."""

    name = "mnist"
    classes = tuple("0123456789")
    image_shape = (1, 28, 28)
    mean = (0.1307,)
    std = (0.3081,)
    counts: ClassVar[dict[str, int]] = {"train": 60000, "test": 10000}
    hub_id: ClassVar[str] = "ylecun/mnist"
    licence: ClassVar[str] = "CC BY-SA 3.0"
    licence_note: ClassVar[str] = "Attribution, and adaptations of the images under the same licence."
    photographs: ClassVar[str] = (
        "A photograph makes sense if it shows one handwritten digit, light on a dark even ground, upright, in the middle, and "
        "about square. Ink on paper has to be inverted first (`PIL.ImageOps.invert`), and a number cut into its digits: of "
        "anything else the model names a digit all the same, often with a high probability."
    )
    homepage: ClassVar[str] = "http://yann.lecun.com/exdb/mnist/"
    folder: ClassVar[str] = "MNIST/raw"
    mirrors: ClassVar[tuple[str, ...]] = (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    )
    sha256: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    }

    def prepare_data(self) -> None:
        for file in self.sha256:
            self._path(file)

    def missing(self) -> list[str]:
        folder = data_root(self.root) / self.folder
        return [file for file in self.sha256 if not any((folder / name).is_file() for name in (file, f"{file}.gz"))]

    def load(self, part: str) -> tuple[Tensor, Tensor]:
        stem = {"train": "train", "test": "t10k"}[part]
        images = read_idx(self._path(f"{stem}-images-idx3-ubyte"), dimensions=3)
        labels = read_idx(self._path(f"{stem}-labels-idx1-ubyte"), dimensions=1)
        return images[:, None], labels.long()

    def _path(self, file: str) -> Path:
        unpacked = data_root(self.root) / self.folder / file
        if unpacked.is_file():
            return check(unpacked, root=self.root)
        packed = f"{file}.gz"
        urls = [mirror + packed for mirror in self.mirrors]
        return fetch(f"{self.folder}/{packed}", urls, self.sha256[file], root=self.root)


def read_idx(path: Path, *, dimensions: int) -> Tensor:
    """Tensor of an idx file of unsigned bytes: a magic number that names type and rank, the sizes, then the values."""
    data = read_checked(path, most=2**26)
    magic = 0x0800 + dimensions  # 08: unsigned byte
    header = 4 + 4 * dimensions
    if len(data) < header or struct.unpack_from(">I", data)[0] != magic:
        start = data[:4].hex() or "nothing"
        raise InputError(
            f"{path} starts with {start}, not with the idx magic number {magic:08x}: remove it to fetch it again."
        )
    shape = struct.unpack_from(f">{dimensions}I", data, 4)
    if len(data) - header != math.prod(shape) or not math.prod(shape):
        raise InputError(
            f"{path} holds {len(data) - header} values where its header says {math.prod(shape)}: "
            "remove it to fetch it again."
        )
    return torch.frombuffer(bytearray(data), dtype=torch.uint8, offset=header).view(shape)
