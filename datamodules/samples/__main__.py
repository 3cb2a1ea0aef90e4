"""Draw the packaged samples again from the full data sets: `python -m datamodules.samples`."""

import hashlib
from pathlib import Path

import torch
from safetensors.torch import save as to_safetensors
from torch import Tensor

from datamodules.base import TensorDataModule
from datamodules.cifar10 import CIFAR10
from datamodules.fashion_mnist import FashionMNIST
from datamodules.mnist import MNIST
from zoo.core.files import write_bytes
from zoo.core.samples import SAMPLES

PER_CLASS: dict[type[TensorDataModule], int] = {MNIST: 50, FashionMNIST: 50, CIFAR10: 30}  # under 1 MiB each


def draw(x: Tensor, y: Tensor, per_class: int) -> Tensor:
    """Indices of `per_class` images of each class, those with the smallest hashes of their pixels.

    Such a draw is as good as random and doesn't depend on the order of the images.
    """
    hashes = [hashlib.blake2b(image.numpy().tobytes()).digest() for image in x]
    left = dict.fromkeys(y.unique().tolist(), per_class)
    chosen = []
    for i in sorted(range(len(x)), key=hashes.__getitem__):
        label = int(y[i])
        if left[label]:
            left[label] -= 1
            chosen.append(i)
    return torch.tensor(chosen)


def write(data: TensorDataModule, per_class: int, folder: Path = SAMPLES) -> Path:
    """Write <folder>/<name>.safetensors with `images` and `labels`, both uint8, from the test split."""
    x, y = data.tensors("test")
    index = draw(x, y, per_class)
    path = folder / f"{data.name}.safetensors"
    write_bytes(path, to_safetensors({"images": x[index].contiguous(), "labels": y[index].to(torch.uint8)}))
    return path


if __name__ == "__main__":
    for kind, per_class in PER_CLASS.items():
        path = write(kind(), per_class)
        print(f"{path.name}: {path.stat().st_size / 2**20:.2f} MiB")
