"""What holds for every data set of official files, MNIST first: tiny files always, the real ones where they are."""

import gzip
import json

import numpy as np
import pytest
import torch
from conftest import TEST, TRAIN, write_idx

from datamodules.base import TensorLoader
from datamodules.cifar10 import CIFAR10
from datamodules.fashion_mnist import FashionMNIST
from datamodules.files import DataNotFoundError, data_root, sha256_of
from datamodules.mnist import MNIST, read_idx
from zoo.errors import InputError

KINDS = [MNIST, FashionMNIST, CIFAR10]
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


@each_kind
def test_splits_are_disjoint_fixed_and_complete(kind, tiny_root):
    data = kind(val_size=15)
    parts = {split: data.tensors(split) for split in ("train", "val", "test")}
    assert [len(x) for x, _ in parts.values()] == [TRAIN - 15, 15, TEST]
    for x, y in parts.values():
        assert x.dtype == torch.uint8
        assert y.dtype == torch.int64
        assert x.shape[1:] == kind.image_shape
        assert len(x) == len(y)
    everything = torch.cat([x for x, _ in parts.values()]).flatten(1)
    assert len(everything.unique(dim=0)) == TRAIN + TEST
    again = kind(val_size=15, seed=7).tensors("val")[0]  # the seed moves shuffles, never the split
    assert torch.equal(again, parts["val"][0])
    smaller = kind(val_size=5).tensors("val")[0]
    assert {image.numpy().tobytes() for image in smaller} < {image.numpy().tobytes() for image in parts["val"][0]}


@each_kind
def test_train_on_all_keeps_no_validation_split(kind, tiny_root):
    data = kind(batch_size=30, val_size=15, train_on_all=True)
    assert len(data.tensors("train")[0]) == TRAIN
    assert len(data.tensors("val")[0]) == 0
    assert data.val_dataloader() == []
    assert len(data.train_dataloader()) == 2


@each_kind
def test_hyper_parameters_are_json_and_rebuild_it(kind, tiny_root):
    data = kind(32, val_size=15, augment={"translate": 2, "flip": True}, normalize=False, seed=3)
    again = kind(**json.loads(json.dumps(dict(data.hparams))))
    assert dict(again.hparams) == dict(data.hparams)
    ours, theirs = next(iter(data.train_dataloader())), next(iter(again.train_dataloader()))
    assert torch.equal(ours[0], theirs[0])
    assert torch.equal(ours[1], theirs[1])


@each_kind
def test_preprocess_is_what_the_loaders_do(kind, tiny_root):
    for normalize in (True, False):
        data = kind(val_size=15, normalize=normalize)
        settings = json.loads(json.dumps(data.preprocess))
        assert settings["size"] == list(kind.image_shape[1:])
        assert settings["mode"] == {1: "L", 3: "RGB"}[kind.image_shape[0]]
        mean, std = (torch.tensor(settings[key])[:, None, None] for key in ("mean", "std"))
        x, y = data.tensors("test")
        batch, target = next(iter(data.test_dataloader()))
        torch.testing.assert_close(batch, (x / 255 - mean) / std)
        assert torch.equal(target, y)
        if not normalize:
            assert batch.min() >= 0
            assert batch.max() <= 1
            assert settings["std"] == [1.0] * kind.image_shape[0]


def test_training_batches_are_shuffled_augmented_and_full(tiny_root):
    data = MNIST(batch_size=16, val_size=20, augment={"cutout": 20})
    loader = data.train_dataloader()
    assert [len(y) for _, y in loader] == [16, 16]  # of 40
    holes = next(iter(loader))[0].abs() < 0.01  # the mean colour, which is zero once normalised
    assert (holes.sum((1, 2, 3)) >= 400).all()
    assert isinstance(data.val_dataloader(), TensorLoader)
    assert data.val_dataloader().augment is None


def test_setup_reads_each_part_once(tiny_root, monkeypatch):
    read = []
    monkeypatch.setattr(MNIST, "load", lambda self, part, load=MNIST.load: read.append(part) or load(self, part))
    data = MNIST(val_size=15)
    for stage in ("fit", "validate", "fit", "test", "test", None):
        data.setup(stage)
    assert read == ["train", "test"]


def test_unpacked_files_are_read_as_well(tiny_root):
    packed = MNIST(val_size=15).tensors("test")
    for path in (tiny_root / MNIST.folder).iterdir():
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    unpacked = MNIST(val_size=15).tensors("test")
    assert torch.equal(packed[0], unpacked[0])
    assert torch.equal(packed[1], unpacked[1])


def test_root_goes_before_the_environment(tiny_root, tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_DATA", str(tmp_path / "elsewhere"))
    assert len(MNIST(val_size=15, root=str(tiny_root)).tensors("train")[0]) == TRAIN - 15


@each_kind
def test_offline_and_missing_is_one_sentence_with_the_fix(kind, offline):
    with pytest.raises(
        DataNotFoundError, match=r"set ZOO_DATA to a folder that has .*, or connect to the network"
    ) as error:
        kind().prepare_data()
    assert str(offline) in str(error.value)
    assert "\n" not in str(error.value)


def test_prepare_data_downloads_what_is_missing_and_checks_it(tiny_root, server, monkeypatch):
    monkeypatch.setattr(MNIST, "mirrors", (server.url,))
    folder = tiny_root / MNIST.folder
    hashes = {path.stem: sha256_of(path) for path in folder.iterdir()}
    for path in folder.iterdir():
        path.rename(server.folder / path.name)
    with pytest.raises(DataNotFoundError, match="its sha256 is"):  # of the real files
        MNIST().prepare_data()
    monkeypatch.setattr(MNIST, "sha256", hashes)
    data = MNIST(val_size=15)
    data.prepare_data()
    assert sorted(path.stem for path in folder.iterdir()) == sorted(hashes)
    asked = len(server.asked)
    data.prepare_data()
    assert len(server.asked) == asked


IMAGES = "t10k-images-idx3-ubyte"


def test_truncated_file_is_named(tiny_root):
    images = tiny_root / MNIST.folder / IMAGES
    write_idx(images, np.zeros((TEST, 28, 28), np.uint8), packed=False)
    images.write_bytes(images.read_bytes()[:-100])
    with pytest.raises(InputError, match=f"{IMAGES} holds 15580 values where its header says 15680: remove it"):
        MNIST().tensors("test")


def test_cut_off_gzip_is_named(tiny_root):
    images = tiny_root / MNIST.folder / f"{IMAGES}.gz"
    images.write_bytes(images.read_bytes()[:-100])
    with pytest.raises(InputError, match=f"{IMAGES}.gz can't be unpacked .*: remove it to fetch it again"):
        MNIST().tensors("test")
    images.write_bytes(b"<html>not found</html>")
    with pytest.raises(InputError, match="can't be unpacked"):
        MNIST().tensors("test")


@pytest.mark.parametrize(
    ("content", "start"), [(b"<html>", "3c68746d"), (b"", "nothing"), (b"\0\0\x08\x01" * 9, "00000801")]
)
def test_wrong_magic_number_is_named(tmp_path, content, start):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"starts with {start}, not with the idx magic number 00000803"):
        read_idx(path, dimensions=3)


def test_wrong_number_of_images_or_labels_is_named(tiny_root, monkeypatch):
    monkeypatch.setattr(MNIST, "counts", {"train": 60000, "test": 10000})
    with pytest.raises(InputError, match=f"the test part of mnist has {TEST} images and {TEST} labels, not 10000"):
        MNIST().tensors("test")


def test_label_out_of_range_is_named(tiny_root):
    write_idx(tiny_root / MNIST.folder / "t10k-labels-idx1-ubyte.gz", np.full(TEST, 10, np.uint8))
    with pytest.raises(InputError, match="the test part of mnist has the label 10; the last is 9"):
        MNIST().tensors("test")


@each_kind
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0; it must be at least 1"),
        ({"val_size": -1}, "val_size is -1; it must be 0 or more"),
        ({"val_size": TRAIN}, f"val_size is {TRAIN}; it must be below the {TRAIN} training images"),
        ({"augment": {"rotation": 10}}, "augment has no setting 'rotation'; it knows flip, pad, rotate,"),
    ],
)
def test_bad_arguments_are_named(kind, arguments, message, tiny_root):
    with pytest.raises(InputError, match=message):
        kind(**arguments).tensors("train")


def test_unknown_split_is_named(tiny_root):
    with pytest.raises(InputError, match="split is 'validation'; it can be 'train', 'val' or 'test'"):
        MNIST().tensors("validation")


@pytest.mark.data(lambda kind: kind.name)
@each_kind
def test_real_files_hold_what_was_published(kind):
    data = kind()
    parts = [data.tensors(split) for split in ("train", "val", "test")]
    official = {MNIST: 60000, FashionMNIST: 60000, CIFAR10: 50000}[kind]
    assert [len(y) for _, y in parts] == [official - 5000, 5000, 10000]
    train = torch.cat([parts[0][1], parts[1][1]]).bincount().tolist()
    test = parts[2][1].bincount().tolist()
    if kind is MNIST:
        assert train == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
        assert test == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    else:
        assert train == [official // 10] * 10
        assert test == [1000] * 10
    pixels = torch.cat([parts[0][0], parts[1][0]]).movedim(1, 0).flatten(1)
    for channel, mean, std in zip(pixels, kind.mean, kind.std, strict=True):
        values = channel.bincount(minlength=256).double() / channel.numel()
        grey = torch.arange(256) / 255
        average = (values * grey).sum()
        assert average.item() == pytest.approx(mean, abs=6e-5)
        assert (values * (grey - average) ** 2).sum().sqrt().item() == pytest.approx(std, abs=6e-5)
    train_images, val_images = ({hash(i.numpy().tobytes()) for i in x} for x, _ in parts[:2])
    if kind is not FashionMNIST:  # which has duplicates in its official files
        assert not train_images & val_images


@pytest.mark.data(lambda kind: kind.name)
@pytest.mark.parametrize("kind", [MNIST, FashionMNIST], ids=lambda kind: kind.name)
def test_real_files_have_the_hashes_that_downloads_are_checked_against(kind):
    files = [(data_root() / kind.folder / f"{name}.gz", sha256) for name, sha256 in kind.sha256.items()]
    if not all(path.is_file() for path, _ in files):
        pytest.skip("the packed files aren't there")
    assert [sha256_of(path) for path, _ in files] == [sha256 for _, sha256 in files]


@pytest.mark.data(lambda kind: kind.name)
@each_kind
def test_packaged_samples_are_test_images_with_their_labels(kind):
    from zoo.core.samples import sample_split

    x, y = kind().tensors("test")
    label_of = {image.numpy().tobytes(): int(label) for image, label in zip(x, y, strict=True)}
    images, labels = sample_split(kind.name)
    assert [label_of[image.numpy().tobytes()] for image in images] == labels.tolist()
