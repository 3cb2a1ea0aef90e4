"""What `tests.forked` imports once, so that a new process starts in milliseconds."""

# ruff: noqa: F401

import lightning.pytorch.cli
import torch

import datamodules.mnist
import zoo.api
import zoo.models.convnets.lenet5
import zoo.store.publish
import zoo.train.experiment
import zoo.train.recipe

torch.set_num_threads(1)
