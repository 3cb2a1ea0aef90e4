"""The marker `data`: skipped without the data, refused without the marker."""

import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("given", [True, False])
def test_one_rule_for_every_test(tmp_path, given):
    (tmp_path / "data" / "there").mkdir(parents=True)
    file = tmp_path / "data" / "there" / "file"
    file.write_text("data", encoding="utf-8")
    inner = tmp_path / "tests"
    inner.mkdir()
    (inner / "conftest.py").write_text("from tests.conftest import *  # noqa\n", encoding="utf-8")
    (inner / "test_inner.py").write_text(TESTS, encoding="utf-8")
    data = tmp_path / ("data" if given else "none")
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "ZOO_DATA": str(data), "FILE": str(file)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml")]
    command += ["--rootdir", str(tmp_path), "-rA", str(inner)]
    found = subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path)
    lines = [line for line in found.stdout.splitlines() if line.startswith(("PASSED", "FAILED", "SKIPPED"))]
    passed = {line.rpartition("::")[2] for line in lines if line.startswith("PASSED")}
    failed = {line.partition("::")[2].partition(" ")[0] for line in lines if line.startswith("FAILED")}
    assert failed == {"test_unmarked_that_asks"} | ({"test_unmarked_that_reads"} if given else set()), found.stdout
    always = {"test_unmarked", "test_by_parameter[None]"}
    with_data = {"test_marked_and_there", "test_by_parameter[there]"}
    assert passed == always | (with_data if given else {"test_unmarked_that_reads"}), found.stdout
    assert "lacks mnist" in found.stdout and ("lacks there" in found.stdout) != given
