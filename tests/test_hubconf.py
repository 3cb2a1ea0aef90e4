"""`torch.hub.load` finds every checkpoint, and nothing else, in a checkout."""

import re
import sys
import tomllib

import torch

import hubconf
import zoo
from tests.conftest import ROOT


def test_torch_hub_lists_explains_and_loads():
    names = [
        name for name, value in vars(hubconf).items() if callable(value) and not name.startswith("_")
    ]  # as torch.hub
    assert sorted(names) == sorted(re.sub(r"[-.]", "_", name) for name in zoo.list_models())
    assert zoo.info("lenet5-mnist").summary in hubconf.lenet5_mnist.__doc__
    model = torch.hub.load(str(ROOT), "lenet5_mnist", source="local", num_classes=3)
    assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 3)


def test_what_models_import_later_is_there_already_and_missing_packages_are_named():
    assert hubconf._datamodules is sys.modules["datamodules"]  # its place on the disk is known from then on
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {re.split(r"[^A-Za-z_-]", one)[0].replace("-", "_") for one in project["dependencies"]}
    assert set(hubconf.dependencies) <= wanted
