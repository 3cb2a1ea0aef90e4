"""A checkpoint folder: written as a whole, read strictly.

    config.json          what rebuilds the model, plain values only        model.safetensors    the weights
    recipe.yaml          what trained it                                   metrics.json         what it was measured at
    provenance.json      where, when, with what                            history.csv          the training curve
    golden.safetensors   fixed inputs and their outputs                    preview.png, README.md

Reading checks the sha256 of the very bytes that are parsed, looks the architecture up in our registry, and accepts a tensor
only under its name and shape. Nothing is ever unpickled.
"""

import hashlib
import inspect
import json
import os
import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load as parse_safetensors
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from zoo import registry
from zoo.errors import CheckpointError, ZooError
from zoo.images import Transform
from zoo.module import ZooModule

FORMAT = 1
FILES = ("config.json", "model.safetensors", "recipe.yaml", "metrics.json", "provenance.json", "golden.safetensors")
CONFIG_KEYS = {"zoo_format", "name", "architecture", "init", "task", "preprocess", "classes", "data", "weights"}
OPTIONAL_KEYS = {"base_model"}
GOLDEN_TOLERANCE = 2e-4  # other processors sum in another order; a wrong layer is off by orders of magnitude more


def read_config(folder: Path) -> dict[str, Any]:
    """The checked content of config.json.

    Raises:
        CheckpointError: if it is missing, no JSON, of another format, or has keys or values that aren't ours.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{folder} is no checkpoint: it has no config.json") from None
    except (ValueError, RecursionError, OSError) as error:
        raise CheckpointError(f"{path} is damaged: {type(error).__name__}: {error}") from None
    if not isinstance(config, dict):
        raise CheckpointError(f"{path} must hold a JSON object, not {type(config).__name__}")
    if config.get("zoo_format") != FORMAT:
        raise CheckpointError(
            f"{path} has zoo_format {config.get('zoo_format')!r}, this version reads {FORMAT}: update the package"
        )
    missing, unknown = CONFIG_KEYS - config.keys(), config.keys() - CONFIG_KEYS - OPTIONAL_KEYS
    if missing or unknown:
        raise CheckpointError(f"{path}: missing keys {sorted(missing)}, unknown keys {sorted(unknown)}")
    if not isinstance(config["architecture"], str) or config["architecture"] not in registry.ARCHITECTURES:
        raise CheckpointError(
            f"{path} names the architecture {config['architecture']!r}, which isn't in the registry: "
            "a file can only choose among the architectures of this package"
        )
    if not isinstance(config["init"], dict):
        raise CheckpointError(f"{path}: init must be an object of arguments, not {type(config['init']).__name__}")
    weights = config["weights"]
    if not isinstance(weights, dict) or not isinstance(weights.get("sha256"), str):
        raise CheckpointError(f"{path}: weights must be an object with the sha256 of model.safetensors")
    return config


def build(config: dict[str, Any]) -> ZooModule:
    """A model with fresh weights from a checked config.

    Raises:
        CheckpointError: if the arguments don't fit the architecture.
    """
    cls = registry.architecture(config["architecture"])
    known = set(inspect.signature(cls).parameters)
    if unknown := config["init"].keys() - known:
        raise CheckpointError(
            f"{config['architecture']} has no argument {', '.join(sorted(unknown))}; it has: {', '.join(sorted(known))}"
        )
    try:
        model = cls(**config["init"])
        if config["preprocess"] is not None:
            model.transform = Transform(**config["preprocess"])
    except ZooError:
        raise
    except Exception as error:  # whatever a hostile value provokes in a constructor
        raise CheckpointError(
            f"config.json can't build {config['architecture']}: {type(error).__name__}: {error}"
        ) from error
    model.name, model.classes, model.data = config["name"], config["classes"], config["data"]
    return model


def read_tensors(path: Path, sha256: str | None = None) -> dict[str, Tensor]:
    """The tensors of a safetensors file, after checking its hash.

    Raises:
        CheckpointError: if the file is missing, has other bytes, or isn't valid safetensors.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} can't be read: {error.strerror}") from None
    found = hashlib.sha256(raw).hexdigest()
    if sha256 is not None and found != sha256:
        raise CheckpointError(
            f"{path} is damaged or was changed: its sha256 is {found[:12]}…, config.json says {sha256[:12]}…; "
            "get it again"
        )
    try:
        return parse_safetensors(raw)
    except (safetensors.SafetensorError, ValueError, OverflowError, KeyError, RuntimeError) as error:
        raise CheckpointError(f"{path} isn't a valid safetensors file: {error}") from None


def load_tensors(model: nn.Module, tensors: dict[str, Tensor], *, replaced: Collection[str] = ()) -> None:
    """Copy tensors into a model: every name with its shape, except exactly the `replaced` names, which keep fresh values.

    A tied weight may stand in the file under any of its names.

    Raises:
        CheckpointError: with a line for each missing, unexpected and misshapen tensor.
    """
    target = model.state_dict(keep_vars=True)
    aliases: dict[int, list[str]] = {}
    for name, tensor in target.items():
        aliases.setdefault(id(tensor), []).append(name)
    problems = []
    for name, tensor in target.items():
        if name in replaced:
            continue
        if name not in tensors:
            if not any(alias in tensors for alias in aliases[id(tensor)]):
                problems.append(f"missing {name} {list(tensor.shape)}")
        elif tensors[name].shape != tensor.shape:
            problems.append(f"{name} is {list(tensors[name].shape)} in the file, {list(tensor.shape)} in the model")
    problems += [f"unexpected {name} {list(tensors[name].shape)}" for name in tensors if name not in target]
    if problems:
        shown = "; ".join(problems[:6]) + (f"; and {len(problems) - 6} more" if len(problems) > 6 else "")
        raise CheckpointError(f"the weights don't fit {type(model).__name__}: {shown}")
    with torch.no_grad():
        for name, tensor in tensors.items():
            if name not in replaced:
                target[name].copy_(tensor)


def read(folder: Path) -> ZooModule:
    """The model of a folder in eval mode, with its weights checked and loaded.

    Raises:
        CheckpointError: for anything that is missing, damaged or doesn't fit.
    """
    config = read_config(folder)
    model = build(config)
    load_tensors(model, read_tensors(folder / "model.safetensors", config["weights"]["sha256"]))
    return model.eval()


def weights_bytes(model: nn.Module, dtype: torch.dtype = torch.float32) -> bytes:
    """The model's tensors as safetensors bytes, each tied weight once, floating point ones in `dtype`."""
    tensors: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        value = tensor.detach().cpu().contiguous()
        tensors[name] = value.to(dtype) if value.is_floating_point() else value
    return to_safetensors(tensors, metadata={"format": "pt"})


def init_arguments(module: Any) -> dict[str, Any]:
    """The arguments a module was made with, as plain JSON values; LightningCLI adds keys of its own to hparams."""
    known = inspect.signature(type(module)).parameters
    return json.loads(json.dumps({key: value for key, value in module.hparams.items() if key in known}))


def write(
    model: ZooModule,
    folder: Path,
    *,
    name: str | None = None,
    averaged: bool = False,
    dtype: torch.dtype = torch.float32,
    data: dict[str, Any] | None = None,
    base_model: str | None = None,
) -> Path:
    """Write the model's part of a checkpoint folder (config, weights, golden tensors, preview): all of it or nothing."""
    raw = weights_bytes(model, dtype)
    config = {
        "zoo_format": FORMAT,
        "name": name or model.name or folder.name,
        "architecture": registry.name_of(type(model), registry.ARCHITECTURES),
        "init": init_arguments(model),
        "task": model.task,
        "preprocess": model.transform.to_dict() if model.transform else None,
        "classes": model.classes,
        "data": data or model.data,
        "weights": {
            "sha256": hashlib.sha256(raw).hexdigest(),
            "dtype": str(dtype).removeprefix("torch."),
            "parameters": sum(p.numel() for p in model.parameters()),
            "averaged": averaged,
        },
    }
    if base_model:
        config["base_model"] = base_model
    with replacing(folder) as staged:
        (staged / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        (staged / "model.safetensors").write_bytes(raw)
        published = read(staged)  # golden tensors are those of the file, after its rounding
        golden = run_golden(published, published.golden_inputs())
        (staged / "golden.safetensors").write_bytes(to_safetensors(golden))
        published.preview(staged / "preview.png")
    return folder


def run_golden(model: ZooModule, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Golden inputs and outputs under the keys "in/..." and "out/...", always in float32 and eval mode."""
    with torch.inference_mode():
        outputs = model.eval().golden_outputs(inputs)
    tensors = {f"in/{k}": v for k, v in inputs.items()} | {f"out/{k}": v for k, v in outputs.items()}
    return {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}


def verify(folder: Path) -> dict[str, float]:
    """Largest deviation of each golden output from the stored one, relative to the output's scale.

    Raises:
        CheckpointError: if the weights' hash is wrong or an output deviates by more than `GOLDEN_TOLERANCE`.
    """
    model = read(folder)
    stored = read_tensors(folder / "golden.safetensors")
    inputs = {key.removeprefix("in/"): value for key, value in stored.items() if key.startswith("in/")}
    now = run_golden(model, inputs)
    deviations = {}
    for key in (k for k in stored if k.startswith("out/")):
        if key not in now or now[key].shape != stored[key].shape:
            raise CheckpointError(f"{folder.name}: the model gives no {key} of shape {list(stored[key].shape)}")
        scale = stored[key].double().abs().max().clamp(min=1.0)
        deviation = ((now[key].double() - stored[key].double()).abs().max() / scale).item()
        if not deviation <= GOLDEN_TOLERANCE:
            raise CheckpointError(
                f"{folder.name}: golden output {key.removeprefix('out/')} deviates by {deviation:.2g} "
                f"(allowed {GOLDEN_TOLERANCE:g}): the weights, a layer or the transform isn't what was published"
            )
        deviations[key.removeprefix("out/")] = deviation
    if not deviations:
        raise CheckpointError(f"{folder / 'golden.safetensors'} holds no outputs")
    return deviations


class replacing:
    """Context manager: a staged copy of a folder that takes the folder's place at the end, or vanishes on an error.

    The old folder is moved aside before the new one moves in; if the process dies between the two renames, the next
    `replacing` of the same folder brings the old one back.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.aside = folder.with_name(f".{folder.name}.old")

    def __enter__(self) -> Path:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        if self.aside.exists() and not self.folder.exists():
            os.rename(self.aside, self.folder)
        shutil.rmtree(self.aside, ignore_errors=True)
        self.staged = Path(tempfile.mkdtemp(prefix=f".{self.folder.name}.new-", dir=self.folder.parent))
        self.staged.chmod(0o755)
        if self.folder.exists():
            shutil.copytree(self.folder, self.staged, dirs_exist_ok=True)
        return self.staged

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is not None:
            shutil.rmtree(self.staged, ignore_errors=True)
            return
        if self.folder.exists():
            os.rename(self.folder, self.aside)
        os.rename(self.staged, self.folder)
        shutil.rmtree(self.aside, ignore_errors=True)
