"""What make installs: the tested versions, each file held to its hash, from no particular place."""

import re
import tomllib

import pytest

from scripts import lock
from tests.conftest import ROOT

PIN = re.compile(r"([A-Za-z0-9._-]+)==([^ ;\\]+)(?: ; [^\\]+)? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)")


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(group: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{group}.txt").read_text(encoding="utf-8").partition("\n")[2]
    assert not PIN.sub("", text), "a line is no pin with its hashes"
    return {plain(name): version for name, version, _ in PIN.findall(text)}


@pytest.mark.parametrize("group", lock.GROUPS)
def test_every_package_has_the_tested_version_and_a_hash(group):
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    tested = {plain(name): version for name, _, version in (line.partition("==") for line in lines)}
    found = pins(group)
    assert {name: tested.get(name, version) for name, version in found.items()} == found
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(p for e in lock.GROUPS[group] for p in project["optional-dependencies"][e])]
    names = {plain(re.split(r"[^A-Za-z0-9._-]", one)[0]) for one in wanted} - {"lightning-model-zoo"}
    assert names <= found.keys() and "setuptools" in found  # which builds the package itself


def test_the_files_name_no_host():
    for group in lock.GROUPS:
        text = (ROOT / "requirements" / f"{group}.txt").read_text(encoding="utf-8")
        assert "://" not in text and "index" not in text.partition("\n")[2]


def test_pip_fetches_nothing_without_a_hash():
    lines = [line for line in (ROOT / "Makefile").read_text(encoding="utf-8").splitlines() if "pip install" in line]
    assert len(lines) == 2
    assert all(
        "--require-hashes" in line or line.rstrip().endswith("--no-deps --no-build-isolation -e .") for line in lines
    )


@pytest.mark.parametrize(
    ("file", "good"),
    [
        ("a-1-py3-none-any.whl", True), ("a-1-py2.py3-none-any.whl", True), ("a-1-cp312-cp312-manylinux_2_28_x86_64.whl", True),
        ("a-1-cp39-abi3-manylinux2014_aarch64.manylinux_2_17_aarch64.whl", True), ("a-1-cp311-cp311-macosx_11_0_arm64.whl", True),
        ("a-1-cp311-cp311-win_amd64.whl", True), ("a-1-cp311-cp311-win32.whl", False),
        ("a-1-cp310-cp310-manylinux_2_28_x86_64.whl", False),
        ("a-1-cp311-cp311-musllinux_1_2_x86_64.whl", False), ("a-1.tar.gz", False),
    ],
)  # fmt: skip
def test_the_files_that_are_kept(file, good):
    assert lock.fits(f"https://host/{file}") is good


def test_a_source_archive_stands_for_a_package_without_wheels():
    archive = {"name": "a", "version": "1", "marker": "m", "sdist": {"hashes": {"sha256": "0" * 64}}}
    assert lock.entry(archive) == f"a==1 ; m \\\n    --hash=sha256:{'0' * 64}\n"
    with pytest.raises(lock.InputError, match="a 1 has no file"):
        lock.entry({"name": "a", "version": "1"})
