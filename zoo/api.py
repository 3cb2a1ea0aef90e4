"""The public functions that need torch: load, create, datamodule, verify, evaluate."""

from pathlib import Path
from typing import Any, overload

import torch

from zoo import registry
from zoo.core.module import ZooModule
from zoo.errors import InputError
from zoo.paths import CHECKPOINTS, names_in
from zoo.store import folder as checkpoint
from zoo.store.hub import locate
from zoo.store.measure import datamodule as datamodule
from zoo.store.measure import evaluate as evaluate


def load(
    name: str | Path,
    *,
    num_classes: int | None = None,
    in_channels: int | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    revision: str | None = None,
    token: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
) -> ZooModule:
    """A pretrained model in eval mode; its weights' sha256 is checked and every tensor must fit.

    Args:
        name: a name of `zoo.list_models()`, "hf://owner/name[@revision]", or a checkpoint folder.
        num_classes: put a new head with so many classes on a classifier; all other tensors load as usual.
        in_channels: adapt the first layer: its weights are summed for one channel, spread for more.
        revision, token, cache_dir, local_files_only: as in huggingface_hub, for a model that isn't on this machine.

    Raises:
        UnknownNameError: a LookupError with the nearest names.
        CheckpointError: a ValueError for a file that is damaged, doesn't fit, or isn't ours.
        InputError: a ValueError for an argument that this model can't take.
    """
    folder = locate(name, revision=revision, token=token, cache_dir=cache_dir, local_files_only=local_files_only)
    model = checkpoint.read(folder)
    if num_classes is not None or in_channels is not None:
        for method, value in (("reset_head", num_classes), ("reset_input", in_channels)):
            if value is not None and not hasattr(model, method):
                raise InputError(f"{model.name} is made for {model.task}: it has no classes or channels to replace")
            if value is not None:
                getattr(model, method)(value)
        model.eval()
    return model.to(device=device, dtype=dtype)


def create(architecture: str, **init: Any) -> ZooModule:
    """A model of an architecture ("resnet18") with fresh weights; `init` are the arguments of its class.

    Raises:
        UnknownNameError: a LookupError with the nearest names.
        CheckpointError: for arguments that the architecture doesn't have.
    """
    registry.architecture(architecture)
    keys = dict.fromkeys(checkpoint.CONFIG_KEYS) | {"architecture": architecture, "init": init}
    return checkpoint.build(keys)


@overload
def verify(name: str | Path) -> dict[str, float]: ...
@overload
def verify(name: None = None) -> dict[str, dict[str, float]]: ...
def verify(name: str | Path | None = None) -> dict[str, float] | dict[str, dict[str, float]]:
    """Check a checkpoint's sha256 and golden tensors in seconds, without data: {output name: largest deviation}.

    Without a name, all checkpoints of this machine: {name: {output name: largest deviation}}.

    Raises:
        CheckpointError: if anything isn't what was published.
    """
    if name is None:
        return {each: checkpoint.verify(locate(each)) for each in names_in(CHECKPOINTS)}
    return checkpoint.verify(locate(name))
