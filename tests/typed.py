"""What a type checker knows of `zoo.load` and `zoo.create`: mypy reads this file in `make lint`, nothing runs it."""

from typing import assert_type

import zoo
from zoo.core.module import ZooModule
from zoo.models.convnets.lenet5 import LeNet5
from zoo.models.diffusion.ddpm import DDPM

NAME: str = "lenet5-mnist"

assert_type(zoo.load("lenet5-mnist"), LeNet5)
assert_type(zoo.load("ddpm-mnist", device="cpu"), DDPM)
assert_type(zoo.load(NAME), ZooModule)
assert_type(zoo.create("lenet5", num_classes=3), LeNet5)
