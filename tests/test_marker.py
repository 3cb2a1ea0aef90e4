"""The marker `data`: skipped without the data, refused without the marker."""

from pathlib import Path

import pytest

from tests import snippets

ROOT = Path(__file__).resolve().parents[1]
TESTS = """
import os
from pathlib import Path

import pytest

from datamodules.files import data_root

FILE = Path(os.environ["FILE"])


@pytest.mark.data("there")
def test_marked_and_there():
    assert (data_root() / "there" / "file").read_text() == "data"


@pytest.mark.data("mnist")
def test_marked_and_missing():
    raise AssertionError


@pytest.mark.data(lambda name: name)
@pytest.mark.parametrize("name", ["there", "mnist", None])
def test_by_parameter(name):
    assert name != "mnist"


def test_unmarked():
    assert not data_root().exists()


def test_unmarked_that_reads():
    try:
        FILE.read_text()
    except OSError:
        pass


def test_unmarked_that_asks():
    from urllib.request import urlopen

    try:
        urlopen("https://storage.googleapis.com/")
    except OSError:
        pass
"""


RUN = """
import os
import sys

os.environ |= {env!r}
import pytest

pytest.main(["-q", "-p", "no:cacheprovider", "-c", {config!r}, "--rootdir", {folder!r}, "-rA", {folder!r} + "/tests"])
"""


@pytest.mark.parametrize("given", [True, False])
def test_one_rule_for_every_test(tmp_path, given):
    (tmp_path / "data" / "there").mkdir(parents=True)
    file = tmp_path / "data" / "there" / "file"
    file.write_text("data", encoding="utf-8")
    inner = tmp_path / "tests"
    inner.mkdir()
    (inner / "conftest.py").write_text("from tests.conftest import *  # noqa\n", encoding="utf-8")
    (inner / "test_inner.py").write_text(TESTS, encoding="utf-8")
    env = {"ZOO_DATA": str(tmp_path / ("data" if given else "none")), "FILE": str(file)}
    found = snippets.run(RUN.format(env=env, config=str(ROOT / "pyproject.toml"), folder=str(tmp_path)), tmp_path)
    lines = [line for line in found.splitlines() if line.startswith(("PASSED", "FAILED", "SKIPPED"))]
    passed = {line.rpartition("::")[2] for line in lines if line.startswith("PASSED")}
    failed = {line.partition("::")[2].partition(" ")[0] for line in lines if line.startswith("FAILED")}
    assert failed == {"test_unmarked_that_asks"} | ({"test_unmarked_that_reads"} if given else set()), found
    always = {"test_unmarked", "test_by_parameter[None]"}
    with_data = {"test_marked_and_there", "test_by_parameter[there]"}
    assert passed == always | (with_data if given else {"test_unmarked_that_reads"}), found
    assert "lacks mnist" in found and ("lacks there" in found) != given
