"""A checkpoint folder: written as a whole, read strictly.

    config.json          what rebuilds the model, plain values only        model.safetensors    the weights
    recipe.yaml          what trained it                                   metrics.json         what it was measured at
    provenance.json      where, when, with what                            history.csv          the training curve
    golden.safetensors   fixed inputs and their outputs                    preview.png, README.md
    tokenizer.json       word pieces or byte pairs, where a model has them; tokenizer_config.json for transformers

Reading checks the sha256 of the very bytes that are parsed, looks the architecture up in our registry, and accepts a tensor
only under its name and shape. Nothing is ever unpickled.
"""

import hashlib
import inspect
import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import safetensors
import torch
import yaml
from safetensors.torch import load as parse_safetensors
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from zoo import registry
from zoo.core.checks import check_keywords
from zoo.core.files import is_plain, parse_json, plain_name, read_bounded
from zoo.core.images import Transform
from zoo.core.module import ZooModule, init_arguments
from zoo.core.verbs import plain_floats
from zoo.errors import CheckpointError, InputError, ZooError
from zoo.index import digest_of, entries
from zoo.store import int8
from zoo.store.atomic import check_writable, replacing, settle
from zoo.store.files import TOKENIZER, TOKENIZER_CONFIG
from zoo.store.guard import bounded
from zoo.store.migrations import FORMAT, migrated

SPECIAL = {
    "pad": "pad",
    "unk": "unk",
    "mask": "mask",
    "begin": "bos",
    "end": "eos",
}  # our tokens in brackets, and their roles
CONFIG_KEYS = {"zoo_format", "name", "architecture", "init", "task", "preprocess", "classes", "data", "weights"}
OPTIONAL_KEYS = {"base_model"}
LARGEST_FILE = 2**31  # bytes of weights; ours hold a few million
SMALL_FILE = 4 * 2**20  # bytes of JSON or YAML; ours hold a few thousand
GOLDEN_TOLERANCE = 2e-4  # other processors sum in another order; a wrong layer is off by orders of magnitude more


def read_config(folder: Path) -> dict[str, Any]:
    """The checked content of config.json.

    Raises:
        CheckpointError: if it is missing, no JSON, of another format, or has keys or values that aren't ours.
    """
    path = folder / "config.json"
    settle(folder)
    if not path.exists():
        raise CheckpointError(f"{folder} is no checkpoint: it has no config.json")
    try:
        config = parse_json(_small_text(path))
    except CheckpointError:
        raise
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: {type(error).__name__}: {error}") from None
    if not isinstance(config, dict):
        raise CheckpointError(f"{path} must hold a JSON object, not {type(config).__name__}")
    config = migrated(config, str(path))
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
    classes, data = config["classes"], config["data"]
    sound = {
        "name": config["name"] is None or is_plain(config["name"]),
        "task": isinstance(config["task"], str),
        "preprocess": config["preprocess"] is None or isinstance(config["preprocess"], dict),
        "classes": classes is None or (isinstance(classes, list) and all(isinstance(c, str) for c in classes)),
        "data": data is None
        or (isinstance(data, dict) and isinstance(data.get("name"), str) and isinstance(data.get("init"), dict)),
        "base_model": isinstance(config.get("base_model", ""), str),
    }
    if wrong := [key for key, good in sound.items() if not good]:
        raise CheckpointError(
            f"{path}: {', '.join(wrong)} can't be {', '.join(repr(config[key])[:60] for key in wrong)}"
        )
    return config


def read_recipe(path: Path) -> dict[str, Any]:
    """The content of a recipe.yaml: plain values only, nothing in it is imported or made.

    Raises:
        CheckpointError: if it is missing, no YAML, or lacks the sections that every recipe has.
    """
    try:
        recipe = yaml.safe_load(_small_text(path))
    except (yaml.YAMLError, ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is no valid YAML: {type(error).__name__}: {error}") from None
    if not isinstance(recipe, dict):
        raise CheckpointError(f"{path} must hold a mapping, not {type(recipe).__name__}")
    for section in ("model", "data", "card", "export"):
        if not isinstance(recipe.get(section, {}), dict | (str if section in ("model", "data") else dict)):
            raise CheckpointError(f"{path}: {section} must be a mapping, not {type(recipe[section]).__name__}")
    if missing := {"model", "data", "trainer"} - recipe.keys():
        raise CheckpointError(f"{path} has no section {', '.join(sorted(missing))}: it isn't what trained a model")
    return recipe


def _small_text(path: Path) -> str:
    """The text of a file that has no reason to be large.

    Raises:
        CheckpointError: if it can't be read, or is absurdly large.
    """
    try:
        raw = read_bounded(path, SMALL_FILE)
    except InputError as error:
        raise CheckpointError(str(error)) from None
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError(
            f"{path} is damaged: it isn't UTF-8 text ({error.reason} at byte {error.start})"
        ) from None


def build(config: dict[str, Any]) -> ZooModule:
    """A model with fresh weights from a checked config.

    Raises:
        CheckpointError: if the arguments don't fit the architecture.
    """
    cls = registry.architecture(config["architecture"])
    known = set(inspect.signature(cls).parameters)
    try:
        check_keywords(sorted(config["init"]), known, config["architecture"])
    except InputError as error:
        raise CheckpointError(str(error)) from None
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
    outputs = model.hparams.get("num_classes") or model.hparams.get("vocab_size")
    if model.classes is not None and isinstance(outputs, int) and len(model.classes) != outputs:
        raise CheckpointError(
            f"config.json names {len(model.classes)} classes, which don't fit the {outputs} outputs of {config['architecture']}"
        )
    return model


def read_tensors(path: Path, sha256: str | None = None) -> dict[str, Tensor]:
    """The tensors of a safetensors file, after checking its hash.

    Raises:
        CheckpointError: if the file is missing, has other bytes, or isn't valid safetensors.
    """
    try:
        raw = read_bounded(path, LARGEST_FILE)
    except InputError as error:
        raise CheckpointError(f"{path.name} can't be read: {error}") from None
    found = hashlib.sha256(raw).hexdigest()
    if sha256 is not None and found != sha256:
        raise CheckpointError(
            f"{path} is damaged or was changed: its sha256 is {found[:12]}…, config.json says {sha256[:12]}…; "
            "get it again (from the Hub: zoo download NAME --force)"
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
    tensors = int8.unpack(read_tensors(folder / "model.safetensors", config["weights"]["sha256"]))
    with bounded(tensors) as guard, plain_floats():
        guard.check(config["init"])
        model = build(config)
    load_tensors(model, tensors)
    return model.eval()


def weights_bytes(model: nn.Module, dtype: torch.dtype = torch.float32) -> bytes:
    """The model's tensors as safetensors bytes, each tied weight once, floating point ones in `dtype` (see zoo.store.int8)."""
    tensors: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        value = tensor.detach().cpu().contiguous()
        tensors[name] = value.to(dtype) if value.is_floating_point() and dtype != torch.int8 else value
    if dtype == torch.int8:
        return to_safetensors(int8.pack(tensors), metadata={"format": "pt", **int8.METADATA})
    return to_safetensors(tensors, metadata={"format": "pt"})


def write(
    model: ZooModule,
    folder: Path,
    *,
    name: str | None = None,
    averaged: bool = False,
    dtype: torch.dtype = torch.float32,
    data: dict[str, Any] | None = None,
    base_model: str | None = None,
    preview: bool = True,
    overwrite: bool = False,
) -> Path:
    """Write the model's part of a checkpoint folder (config, weights, golden tensors, preview): all of it or nothing.

    Other files of the folder stay as they are; `overwrite` lets ours replace such as have one of their names.
    """
    check_writable(folder, overwrite=overwrite)
    name = plain_name(name or model.name or Path(os.path.realpath(folder)).name, "the name of a checkpoint")
    if broken := [
        key for key, value in model.state_dict().items() if value.is_floating_point() and value.isnan().any()
    ]:
        raise InputError(
            f"{', '.join(broken[:3])} {'hold' if len(broken) > 1 else 'holds'} NaN: a training that diverged isn't saved"
        )
    raw = weights_bytes(model, dtype)
    config = {
        "zoo_format": FORMAT,
        "name": name,
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
    try:
        with replacing(folder, overwrite=overwrite) as staged:
            (staged / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
            (staged / "model.safetensors").write_bytes(raw)
            pieces = init_arguments(model).get("tokenizer")
            if isinstance(pieces, str) and pieces.startswith("{"):  # for other tools; loading takes it from config.json
                (staged / TOKENIZER).write_text(pieces, encoding="utf-8")
                settings = tokenizer_config(pieces, init_arguments(model))
                (staged / TOKENIZER_CONFIG).write_text(settings, encoding="utf-8")
            published = read(staged)  # golden tensors are those of the file, after its rounding
            golden = run_golden(published, published.golden_inputs())
            (staged / "golden.safetensors").write_bytes(to_safetensors(golden))
            if preview:
                published.preview(staged / "preview.png")
    except OSError as error:
        raise CheckpointError(
            f"{folder} can't be written: {error.strerror or error}; what was there before is untouched"
        ) from error
    return folder


def tokenizer_config(pieces: str, init: dict[str, Any]) -> str:
    """The text of tokenizer_config.json beside a tokenizer.json: which of its tokens fill up, hide, begin and end, so that
    transformers' `PreTrainedTokenizerFast.from_pretrained(folder)` can pad."""
    names = [token["content"] for token in parse_json(pieces).get("added_tokens", [])]
    roles = {f"{SPECIAL[n.strip('[]').lower()]}_token": n for n in names if n.strip("[]").lower() in SPECIAL}
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **roles, "padding_side": "right"}
    if isinstance(init.get("context"), int):
        config["model_max_length"] = init["context"]
    return json.dumps(config, indent=2, ensure_ascii=False) + "\n"


def run_golden(model: ZooModule, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Golden inputs and outputs under the keys "in/..." and "out/...", always in float32 and eval mode."""
    with torch.no_grad(), plain_floats():
        outputs = model.eval().golden_outputs(inputs)
    tensors = {f"in/{k}": v for k, v in inputs.items()} | {f"out/{k}": v for k, v in outputs.items()}
    return {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}


def _check_classes(folder: Path, config: dict[str, Any]) -> None:
    entry = entries().get(config["name"] or "")
    if entry is None or not entry.classes or entry.sha256 != config["weights"]["sha256"]:
        return
    if digest_of(config["classes"]) != entry.classes:
        raise CheckpointError(
            f"{folder.name}: config.json names the classes otherwise, or in another order, than the published {entry.name}: "
            "its answers would bear wrong names"
        )


def verify(folder: Path) -> dict[str, float]:
    """Largest deviation of each golden output from the stored one, relative to the output's scale.

    Raises:
        CheckpointError: if the weights' hash is wrong, an output deviates by more than `GOLDEN_TOLERANCE`, or the weights are
            those of a published model whose classes have other names.
    """
    model = read(folder)
    _check_classes(folder, read_config(folder))
    stored = read_tensors(folder / "golden.safetensors")
    inputs = {key.removeprefix("in/"): value for key, value in stored.items() if key.startswith("in/")}
    try:
        now = run_golden(model, inputs)
    except ZooError:
        raise
    except Exception as error:  # inputs of another model, or of nobody's
        raise CheckpointError(
            f"{folder.name}: its golden inputs don't fit the model: {type(error).__name__}: {error}"
        ) from error
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
