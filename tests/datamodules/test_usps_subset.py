"""USPS's text format, tiny always and the real files where they are; parts of a data set for transfer learning."""

import bz2
import json

import numpy as np
import pytest
import torch

from datamodules.files import DataNotFoundError
from datamodules.subset import Subset
from datamodules.usps import USPS, read_libsvm
from zoo.errors import InputError, UnknownNameError


def pack(path, images, labels):
    rows = [
        f"{label + 1} " + " ".join(f"{i + 1}:{v / 127.5 - 1:.6f}" for i, v in enumerate(image.ravel()))
        for image, label in zip(images.astype(float), labels, strict=True)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bz2.compress("\n".join(rows).encode()))


def test_usps_reads_what_was_written(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (12, 16, 16))
    pack(tmp_path / "usps.bz2", images, np.arange(12) % 10)
    x, y = read_libsvm(tmp_path / "usps.bz2")
    assert x.dtype == torch.uint8 and torch.equal(x[:, 0], torch.from_numpy(images).byte())
    assert y.tolist() == [*range(10), 0, 1]


@pytest.mark.parametrize("text", ["", "3 1:0.5", "x 1:2", "1 " + " ".join(f"{i}:0" for i in range(256))])
def test_usps_refuses_other_files(tmp_path, text):
    (tmp_path / "usps.bz2").write_bytes(bz2.compress(text.encode()))
    with pytest.raises(InputError, match="isn't a USPS file"):
        read_libsvm(tmp_path / "usps.bz2")


def test_usps_says_where_its_files_belong(tmp_path):
    with pytest.raises(DataNotFoundError, match=r"usps/usps\.bz2"):
        USPS(root=str(tmp_path)).prepare_data()


@pytest.mark.data("usps")
def test_the_real_usps():
    data = USPS()
    x, y = data.load("train")
    counts = [1194, 1005, 731, 658, 652, 556, 664, 645, 542, 644]  # those of the published files
    assert list(x.shape) == [7291, 1, 16, 16] and y.bincount().tolist() == counts
    pixels = x.float() / 255
    assert pixels.mean().item() == pytest.approx(data.mean[0], abs=1e-3)
    assert pixels.std().item() == pytest.approx(data.std[0], abs=1e-3)
    assert len(data.tensors("test")[0]) == 2007


def test_subset_keeps_classes_and_draws_from_the_training_part_alone(tiny_root):
    data = Subset("cifar10", 4, only=["dog", "cat"], per_class=2, val_size=20)
    assert data.classes == ("cat", "dog") and data.num_classes == 2
    x, y = data.tensors("train")
    assert y.sort().values.tolist() == [0, 0, 1, 1] and x.shape[1:] == (3, 32, 32)
    whole, labels = data.whole.tensors("test")
    kept = (labels == 3) | (labels == 5)
    assert torch.equal(data.tensors("test")[0], whole[kept])
    assert torch.equal(data.tensors("test")[1], (labels[kept] == 5).long())
    other = Subset("cifar10", 4, only=["dog", "cat"], per_class=2, val_size=20, draw=1).tensors("train")[0]
    assert not torch.equal(other, x)


def test_subset_gives_images_as_the_network_wants_them(tiny_root):
    wanted = {"size": [32, 32], "mode": "RGB", "mean": [0.5] * 3, "std": [0.25] * 3}
    data = Subset("mnist", 5, transform=wanted, val_size=10)
    x, _ = next(iter(data.test_dataloader()))
    assert x.shape == (5, 3, 32, 32) and torch.equal(x[:, 0], x[:, 2])
    raw = data.whole.tensors("test")[0][:5]
    torch.testing.assert_close(x, data._transform(raw))
    again = Subset(**json.loads(json.dumps(dict(data.hparams))))
    assert torch.equal(next(iter(again.test_dataloader()))[0], x)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"only": ["dog", "wolf"]}, "no class wolf; it has airplane"),
        ({"only": ["dog"]}, "two classes"),
        ({"per_class": 0}, "per_class is 0"),
        ({"per_class": 50, "val_size": 20}, "class airplane has . training images, not 50"),
    ],
)
def test_subset_refuses(tiny_root, settings, said):
    with pytest.raises(InputError, match=said):
        Subset("cifar10", **settings).tensors("train")


def test_subset_of_what_has_no_classes():
    for name in ("tinyshakespeare", "cifar11"):
        with pytest.raises(UnknownNameError, match=rf"image data set with classes.*{name}.*cifar10"):
            Subset(name)
