"""The public functions that need torch: load, create, datamodule, verify, evaluate."""

import inspect
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch

from zoo import registry
from zoo.core.checks import check_keywords
from zoo.core.module import ZooModule
from zoo.core.progress import quiet, track
from zoo.errors import InputError, Interrupted
from zoo.index import entries, known_as
from zoo.paths import CHECKPOINTS, names_in
from zoo.store import ckpt
from zoo.store import folder as checkpoint
from zoo.store.hub import locate
from zoo.store.measure import datamodule as datamodule
from zoo.store.measure import evaluate as evaluate


def load(
    name: str | Path,
    *,
    num_classes: int | None = None,
    in_channels: int | None = None,
    image_size: int | tuple[int, int] | None = None,
    block_size: int | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    revision: str | None = None,
    token: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    **unknown: Any,
) -> ZooModule:
    """A pretrained model in eval mode; its weights' sha256 is checked and every tensor must fit.

    Args:
        name: a name of `zoo.list_models()`, also with "@revision" for earlier weights, "hf://owner/name[@revision]", a
            checkpoint folder, or a `.ckpt` that Lightning wrote of a zoo model.
        num_classes: put a new head with so many classes on a classifier; all other tensors load as usual.
        in_channels: adapt the first layer: its weights are summed for one channel, spread for more.
        image_size: take images of another size, a side or (height, width): positions of a ViT are interpolated; networks with
            dense layers on pixels can't.
        block_size: cut the context of a GPT to so many tokens.
        revision, token, cache_dir, local_files_only: as in huggingface_hub, for a model that isn't on this machine.

    Raises:
        UnknownNameError: a LookupError with the nearest names.
        CheckpointError: a ValueError for a file that is damaged, doesn't fit, or isn't ours.
        InputError: a ValueError for an argument that this model can't take, or a device that isn't here.
    """
    refuse_keywords(unknown, load, name)
    device = usable_device(device)
    if dtype is not None and not (isinstance(dtype, torch.dtype) and (dtype.is_floating_point or dtype.is_complex)):
        raise InputError(f"dtype is a floating-point type of torch such as torch.float16, not {dtype!r:.60}")
    if str(name).endswith(ckpt.SUFFIX) and Path(name).is_file():
        model = ckpt.read(Path(name))
    else:
        options: dict[str, Any] = {"token": token, "cache_dir": cache_dir, "local_files_only": local_files_only}
        model = checkpoint.read(locate(name, revision=revision, **options))
    for method, value, what in (
        ("reset_head", num_classes, "classes or channels"),
        ("reset_input", in_channels, "classes or channels"),
        ("reset_image_size", image_size, "size of images"),
        ("reset_context", block_size, "context"),
    ):
        if value is not None and not hasattr(model, method):
            raise InputError(f"{model.name} is made for {model.task}: it has no {what} to replace")
        if value is not None:
            getattr(model, method)(value)
    model.eval()
    return model.to(device=device, dtype=dtype)


def refuse_keywords(unknown: dict[str, Any], function: Any, name: str | Path) -> None:
    """Raises InputError for keywords that a function doesn't have, with what may be meant."""
    if not unknown:
        return
    known = [key for key, p in inspect.signature(function).parameters.items() if p.kind is not p.VAR_KEYWORD]
    entry = entries().get(known_as(str(name)))
    if entry is not None and (key := next(iter(unknown))) not in known:
        taken = inspect.signature(registry.architecture(entry.architecture)).parameters
        if key in taken:
            raise InputError(
                f"{entry.name} is trained with its {key}, which can't change: make a fresh one by "
                f"zoo.create({entry.architecture!r}, {key}={unknown[key]!r:.40})"
            )
    check_keywords(unknown, known, f"zoo.{function.__name__}")


def usable_device(device: str | torch.device) -> torch.device:
    """A device that this machine has.

    Raises:
        InputError: for one that it hasn't, or that torch doesn't know.
    """
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, TypeError, ValueError, NotImplementedError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f'device={device!r} can\'t be used here ({reason:.150}): take "cpu"') from None
    return found


def create(architecture: str, **init: Any) -> ZooModule:
    """A model of an architecture ("resnet18") with fresh weights; `init` are the arguments of its class.

    Raises:
        UnknownNameError: a LookupError with the nearest names.
        CheckpointError: for arguments that the architecture doesn't have.
    """
    registry.architecture(architecture)
    init = {key: value.item() if isinstance(value, np.generic) else value for key, value in init.items()}
    keys = dict.fromkeys(checkpoint.CONFIG_KEYS) | {"architecture": architecture, "init": init}
    return checkpoint.build(keys)


@overload
def verify(name: str | Path, *, progress: bool = True) -> dict[str, float]: ...
@overload
def verify(name: None = None, *, progress: bool = True) -> dict[str, dict[str, float]]: ...
def verify(name: str | Path | None = None, *, progress: bool = True) -> dict[str, float] | dict[str, dict[str, float]]:
    """Check a checkpoint's sha256 and golden tensors in seconds, without data: {output name: largest deviation}.

    Without a name, all checkpoints of this machine: {name: {output name: largest deviation}}.

    Raises:
        CheckpointError: if anything isn't what was published.
        Interrupted: a KeyboardInterrupt, with those that were checked before it in `done`.
    """
    if name is None:
        with quiet(not progress):
            found: dict[str, dict[str, float]] = {}
            try:
                for each in track(names_in(CHECKPOINTS), "verifying"):
                    found[each] = checkpoint.verify(locate(each))
            except KeyboardInterrupt:
                raise Interrupted(found) from None
            return found
    return checkpoint.verify(locate(name))
