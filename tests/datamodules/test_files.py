import bz2
import gzip
import hashlib
import re
import struct
from pathlib import Path

import pytest

import datamodules
import zoo
from datamodules import files
from datamodules.files import DataNotFoundError, data_root, fetch, read_checked, sha256_of
from zoo.errors import InputError, ZooError

CONTENT = b"official bytes"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("ZOO_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def test_data_root_follows_argument_then_variable_then_cache_folder(tmp_path, root, monkeypatch):
    assert data_root() == root
    assert data_root(tmp_path) == tmp_path
    monkeypatch.delenv("ZOO_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert data_root() == tmp_path / "xdg" / "zoo" / "data"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert data_root() == Path.home() / ".cache" / "zoo" / "data"
    assert data_root("~/flowers") == Path.home() / "flowers"


def test_existing_file_is_taken_without_the_network(root):
    (root / "set").mkdir(parents=True)
    (root / "set" / "file").write_bytes(CONTENT)
    assert fetch("set/file", ["http://127.0.0.1:9/file"], SHA256) == root / "set" / "file"


def test_an_existing_file_is_held_to_the_hash(root, real_hashes):
    from datamodules.mnist import MNIST

    (root / "set").mkdir(parents=True)
    (root / "set" / "file").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"isn't the published file .*remove it"):
        fetch("set/file", ["http://127.0.0.1:9/file"], SHA256)
    images = root / "MNIST" / "raw" / "t10k-images-idx3-ubyte"
    images.parent.mkdir(parents=True)
    images.write_bytes(struct.pack(">IIII", 0x803, 10000, 28, 28) + bytes(10000 * 784))
    with pytest.raises(InputError, match="isn't the published file"):
        MNIST().load("test")


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_a_file_that_unpacks_to_too_much_is_refused_at_once(root, pack):
    path = root / ("a.gz" if pack is gzip.compress else "a.bz2")
    root.mkdir()
    path.write_bytes(pack(bytes(10**7)))
    assert read_checked(path, most=10**7) == bytes(10**7)
    with pytest.raises(InputError, match="more than 9,999,999 bytes"):
        read_checked(path, most=10**7 - 1)
    whole = path.read_bytes()
    path.write_bytes(whole + pack(b"tail"))
    assert read_checked(path)[-4:] == b"tail"
    for bad in (whole[:-20], b"junk", whole[:20] + bytes(8) + whole[28:], whole + b"junk"):
        path.write_bytes(bad)
        with pytest.raises(InputError, match="can't be unpacked"):
            read_checked(path)


def test_no_mirror_speaks_plain_http():
    for path in Path(datamodules.__file__).parent.glob("*.py"):
        for url in re.findall(r"http://[^\s\"']+", path.read_text(encoding="utf-8")):
            assert (
                "yann.lecun.com" in url
                and "homepage" in path.read_text(encoding="utf-8").split(url)[0].splitlines()[-1]
            ), url


def test_second_mirror_answers_when_the_first_fails(root, server):
    (server.folder / "file").write_bytes(CONTENT)
    path = fetch("set/file", [server.url + "absent", server.url + "file"], SHA256)
    assert path == root / "set" / "file"
    assert path.read_bytes() == CONTENT
    assert server.asked == ["/absent", "/file"]
    assert sha256_of(path) == SHA256
    assert path.stat().st_mode & 0o044  # a shared data folder can be read by others


@pytest.mark.parametrize("bad", ["changed", "cut/file"])
def test_changed_or_cut_off_download_is_removed_and_the_next_mirror_asked(root, server, bad):
    (server.folder / "changed").write_bytes(b"something else")
    (server.folder / "file").write_bytes(CONTENT)
    assert fetch("file", [server.url + bad, server.url + "file"], SHA256).read_bytes() == CONTENT
    assert [path.name for path in root.iterdir()] == ["file"]


def test_wrong_hash_everywhere_leaves_nothing_and_says_so(root, server):
    (server.folder / "changed").write_bytes(b"something else")
    with pytest.raises(DataNotFoundError) as error:
        fetch("file", [server.url + "changed"], SHA256)
    assert list(root.iterdir()) == []
    wrong = hashlib.sha256(b"something else").hexdigest()
    assert all(words in str(error.value) for words in (wrong, SHA256, str(root / "file"), "ZOO_DATA"))


def test_offline_and_missing_is_one_sentence_with_the_fix(root):
    with pytest.raises(FileNotFoundError, match=r"set ZOO_DATA to a folder that has set/file, or connect") as error:
        fetch("set/file", ["http://127.0.0.1:9/file"], SHA256)
    assert str(root / "set" / "file") in str(error.value)
    assert "\n" not in str(error.value)
    assert not root.exists()  # nothing that could pass for a data folder


@pytest.mark.parametrize(
    "name",
    [
        "bccd", "camvid", "cifar10", "cifar100", "cora", "esol", "fashion-mnist", "fsdd-mixtures", "mnist", "moby-dick",
        "multi30k", "mutag", "names", "nuclei", "sst2", "tinyshakespeare", "usps",
    ],
)  # fmt: skip
def test_setup_without_files_says_what_to_do(name, tmp_path, monkeypatch):
    def no_network(*_: object, **__: object) -> None:
        raise OSError("there is no network")

    monkeypatch.setattr(files, "urlopen", no_network)
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    data = zoo.datamodule(name)

    def first() -> None:
        data.setup("fit")
        next(iter(data.train_dataloader()))

    with pytest.raises(ZooError) as error:
        first()
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)
