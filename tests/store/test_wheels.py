"""Weights travel without the checkout: in the package's own wheel, and in wheels of weights."""

import re
import shutil
import zipfile

from tests import snippets
from tests.conftest import ROOT
from zoo.paths import CHECKPOINTS, names_in
from zoo.store import wheels


def test_every_checkpoint_is_in_one_wheel_of_bearable_size():
    planned = wheels.plan()
    packed = [name for names in planned.values() for name in names]
    assert sorted(packed) == names_in(CHECKPOINTS, "model.safetensors") and len(packed) == len(set(packed))
    for names in planned.values():
        assert sum(f.stat().st_size for name in names for f in wheels._files(CHECKPOINTS / name)) <= wheels.LIMIT
    assert len(wheels.plan(limit=5 * 10**6)) > len(planned)


def test_an_extra_of_each_family_names_its_wheels():
    import tomllib

    with (ROOT / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    families: dict[str, list[str]] = {}
    for wheel in wheels.plan():
        families.setdefault(re.sub(r"-\d+$", "", wheel), []).append(f"{wheels.PREFIX}-{wheel}")
    found = {name.removeprefix("weights-"): names for name, names in extras.items() if name.startswith("weights-")}
    assert found == families


def test_the_package_carries_small_checkpoints(monkeypatch):
    import setuptools

    monkeypatch.setattr(setuptools, "setup", lambda **_: None)
    space: dict = {}
    exec((ROOT / "setup.py").read_text(), space)
    names = space["carried"](CHECKPOINTS)
    assert {"ddpm-mnist", "lenet5-mnist", "gpt-xor"} <= set(names) and "resnet18-cifar10" not in names
    files = [CHECKPOINTS / name / file for name in names for file in space["FILES"]]
    assert sum(file.stat().st_size for file in files) <= 30 * 10**6


INSTALLED = """
import os
import sys
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1"}
os.environ.pop("ZOO_DATA", None)
sys.path.insert(0, "site")
import zoo
import zoo.errors

print(zoo.info("mlp-xor").where, zoo.info("resnet18-cifar10").where)
assert zoo.load("perceptron-iris").predict([[5.1, 1.4], [6.0, 4.5]]) and zoo.verify("mlp-xor")
config = next(Path("site").glob("*/mlp-xor/config.json"))
config.write_text(config.read_text().replace('"sha256": "', '"sha256": "0'))
try:
    zoo.load("mlp-xor")
except zoo.errors.CheckpointError:
    print("refused")
"""


def test_a_wheel_of_weights_is_found_by_its_entry_point(tmp_path):
    built = wheels.build("mlp", ["perceptron-iris", "mlp-xor"], tmp_path / "dist")
    site = tmp_path / "site"
    for name in ("zoo", "datamodules"):  # a package without checkpoints of its own
        shutil.copytree(ROOT / name, site / name, ignore=shutil.ignore_patterns("__pycache__"))
    with zipfile.ZipFile(built) as archive:
        archive.extractall(site)
    assert snippets.run(INSTALLED, tmp_path).split("\n")[-3:] == ["wheel nowhere yet", "refused", ""]


def test_a_family_that_is_not_there_is_named(tmp_path, capsys):
    assert wheels.main(["--out", str(tmp_path), "--family", "cats"]) == 2
    assert "no wheel of the family 'cats'" in capsys.readouterr().err and not list(tmp_path.iterdir())
