"""What `tests.forked` imports once, so that a new process starts in milliseconds."""

# ruff: noqa: F401

import lightning.pytorch.cli
import torch

import datamodules.mnist
import zoo.api
import zoo.convnets.lenet5
import zoo.experiment
import zoo.publish
import zoo.training

torch.set_num_threads(1)
