"""What only CIFAR-10 and CIFAR-100 have: one archive for all their files."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TRAIN

from datamodules.cifar10 import CIFAR10, read_records
from datamodules.cifar100 import CIFAR100
from datamodules.files import DataNotFoundError, sha256_of
from zoo.errors import InputError


def pack(root: Path, archive: Path) -> None:
    with tarfile.open(archive, "w:gz") as tar:
        for path in sorted((root / CIFAR10.folder).iterdir()):
            tar.add(path, f"{CIFAR10.folder}/{path.name}")
            path.unlink()


def test_records_are_label_then_red_green_and_blue_rows(tmp_path):
    record = np.zeros((2, 3073), np.uint8)
    record[:, 0] = 7, 3
    record[1, 1 + 1024 + 32 * 2 + 5] = 200  # green, row 2, column 5
    record.tofile(tmp_path / "batch.bin")
    records = read_records(tmp_path / "batch.bin")
    assert records[:, 0].tolist() == [7, 3]
    images = records[:, 1:].reshape(-1, 3, 32, 32)
    assert images[1, 1, 2, 5] == 200
    assert images.sum() == 200


def test_missing_files_come_out_of_the_checked_archive(tiny_root, server, monkeypatch):
    expected = CIFAR10(val_size=15).tensors("train")
    pack(tiny_root, server.folder / CIFAR10.archive)
    monkeypatch.setattr(CIFAR10, "mirrors", (server.url + "absent/", server.url))
    with pytest.raises(DataNotFoundError, match=r"lacks data_batch_1.bin, .*its sha256 is .*ZOO_DATA"):
        CIFAR10().prepare_data()
    monkeypatch.setattr(CIFAR10, "sha256", sha256_of(server.folder / CIFAR10.archive))
    data = CIFAR10(val_size=15)
    data.prepare_data()
    assert torch.equal(data.tensors("train")[0], expected[0])
    assert torch.equal(data.tensors("train")[1], expected[1])
    assert not [path for path in tiny_root.iterdir() if path.name.startswith(".")]  # nothing is left half done


def test_only_missing_files_are_unpacked(tiny_root, server, monkeypatch):
    folder = tiny_root / CIFAR10.folder
    kept = (folder / "data_batch_2.bin").read_bytes()
    pack(tiny_root, tiny_root / CIFAR10.archive)  # an archive at hand needs no network
    (folder / "data_batch_2.bin").write_bytes(kept[:3073])
    CIFAR10().prepare_data()
    assert len(list(folder.iterdir())) == 6
    assert (folder / "data_batch_2.bin").stat().st_size == 3073


@pytest.mark.parametrize("attack", ["outside", "link", "not a tar"])
def test_hostile_or_broken_archive_writes_nothing_outside(tiny_root, attack):
    archive = tiny_root / CIFAR10.archive
    pack(tiny_root, archive)
    secret = tiny_root.parent / "secret"
    secret.write_bytes(b"secret")
    with tarfile.open(archive, "w:gz") as tar:
        for name in (name for part in CIFAR10.files.values() for name in part):
            member = tarfile.TarInfo(f"{CIFAR10.folder}/{name}")
            if attack == "link":
                member.type, member.linkname = tarfile.SYMTYPE, str(secret)
            elif attack == "outside":
                member.name = f"../{name}"
            tar.addfile(member, io.BytesIO())
    if attack == "not a tar":
        archive.write_bytes(b"<html>not found</html>")
    with pytest.raises(InputError, match=r"can't be unpacked .*: remove it to fetch it again"):
        CIFAR10().prepare_data()
    assert not any((tiny_root / CIFAR10.folder).iterdir())
    assert not (tiny_root.parent / "data_batch_1.bin").exists()
    assert secret.read_bytes() == b"secret"


@pytest.mark.parametrize("length", [0, 3072, 3074])
def test_truncated_file_is_named(tiny_root, length):
    (tiny_root / CIFAR10.folder / "test_batch.bin").write_bytes(b"\0" * length)
    with pytest.raises(InputError, match=rf"test_batch.bin has {length} bytes, no multiple of 3073: remove it"):
        CIFAR10().tensors("test")


def test_lost_batch_is_named(tiny_root):
    (tiny_root / CIFAR10.folder / "data_batch_3.bin").write_bytes(b"\0" * 3073)
    wrong = TRAIN - TRAIN // 5 + 1
    with pytest.raises(InputError, match=rf"the train part of cifar10 has {wrong} images .*, not {TRAIN}"):
        CIFAR10().tensors("train")


def test_class_of_cifar100_is_the_second_label(tmp_path, monkeypatch):
    monkeypatch.setattr(CIFAR100, "counts", {"train": 6, "test": 4})
    folder = tmp_path / CIFAR100.folder
    folder.mkdir()
    for part, n in CIFAR100.counts.items():
        records = np.zeros((n, 2 + 3072), np.uint8)
        records[:, 0], records[:, 1] = 19, np.arange(n) + 90  # group, class
        records[:, 2 + 1024] = np.arange(n) + 1  # green, first pixel
        records.tofile(folder / f"{part}.bin")
    data = CIFAR100(2, val_size=2, normalize=False, root=str(tmp_path))
    data.prepare_data()
    x, y = data.tensors("test")
    assert x.shape == (4, 3, 32, 32) and y.tolist() == [90, 91, 92, 93] and x[:, 1, 0, 0].tolist() == [1, 2, 3, 4]
    assert [data.classes[i] for i in (0, 90, 99)] == ["apple", "train", "worm"]
    (folder / "test.bin").write_bytes(b"\0" * 3073)
    with pytest.raises(InputError, match=r"test.bin has 3073 bytes, no multiple of 3074: remove it"):
        CIFAR100(val_size=2, root=str(tmp_path)).tensors("test")
