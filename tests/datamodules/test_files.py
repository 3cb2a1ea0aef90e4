import hashlib
from pathlib import Path

import pytest

from datamodules.files import DataNotFoundError, data_root, fetch, sha256_of

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
    (root / "set" / "file").write_bytes(b"mine")
    assert fetch("set/file", ["http://127.0.0.1:9/file"], SHA256) == root / "set" / "file"


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
