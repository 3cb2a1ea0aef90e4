"""MNIST digits as sets of points: the brightest strokes of each image, their places and brightness, no pixels' grid.

Of every image, `points` places are drawn without repetition with probability proportional to brightness, by a draw that belongs
to the image for ever; an image with fewer bright pixels gives fewer points. A point is (x, y, brightness), places in [-1, 1].
"""

from typing import ClassVar

import torch
from torch import Tensor
from torch_geometric.data import Data

from datamodules.base import key
from datamodules.graphs import GraphDataModule
from datamodules.mnist import MNIST
from zoo.errors import InputError


class MNISTPoints(GraphDataModule):
    """Point sets of MNIST digits.

    Args:
        batch_size: digits per batch.
        points: points per digit.
        train_size: training digits, the first of the official part less the 5000 that validate.
        root: folder of the raw files; default `$ZOO_DATA`, else the user's cache folder.
    """

    name = "mnist-points"
    classes = tuple("0123456789")
    protocol = "official test part, 10000 digits as point sets, epoch chosen by validation accuracy"
    hub_id: ClassVar[str] = "ylecun/mnist"
    licence: ClassVar[str] = MNIST.licence
    licence_note: ClassVar[str] = MNIST.licence_note
    homepage: ClassVar[str] = MNIST.homepage

    def __init__(
        self, batch_size: int = 64, *, points: int = 48, train_size: int = 55000, root: str | None = None
    ) -> None:
        super().__init__(batch_size, root=root)
        if not 2 <= points <= 784:
            raise InputError(f"points is {points}; it lies in 2..784.")
        if not 1 <= train_size <= 55000:
            raise InputError(f"train_size is {train_size}; it lies in 1..55000.")
        self.points, self.train_size = points, train_size
        self.save_hyperparameters()
        self.images = MNIST(root=root)
        self._parts: dict[str, list[Data]] = {}

    def prepare_data(self) -> None:
        self.images.prepare_data()

    def part(self, name: str) -> list[Data]:
        """The point sets of "train", "val" or "test"."""
        if name not in self._parts:
            with torch.inference_mode(False):
                x, y = self.images.tensors(name)
                if name == "train":
                    x, y = x[: self.train_size], y[: self.train_size]
                self._parts[name] = point_sets(x, y, self.points, seed=len(name))
        return self._parts[name]


def point_sets(images: Tensor, labels: Tensor, points: int, *, seed: int) -> list[Data]:
    """Point sets of uint8 images [N, 1, H, W]: places drawn by brightness, without repetition (Gumbel trick)."""
    n, _, height, width = images.shape
    brightness = images.flatten(1).float() / 255  # [N, H * W]
    generator = torch.Generator().manual_seed(key(seed, points))
    noise = -torch.empty_like(brightness).exponential_(generator=generator).log()
    order = (brightness.log() + noise).topk(points, 1).indices  # places of zero brightness have log -inf: last
    value = brightness.gather(1, order)
    place = torch.stack([order % width * 2 / (width - 1) - 1, order // width * 2 / (height - 1) - 1, value], 2)
    return [Data(x=place[i, value[i] > 0], y=labels[i : i + 1]) for i in range(n)]
