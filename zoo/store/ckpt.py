"""A `.ckpt` that Lightning's ModelCheckpoint wrote of a zoo model: read as plain tensors and values, whatever wrote it.

Such a file says which architecture it holds, since `ZooModule` puts that in. `torch.load` reads it with `weights_only`: tensors,
numbers and texts, and no code. No sha256 of it is known, so a folder of `save_pretrained` is what to give to others.
"""

import inspect
import io
import json
from pathlib import Path
from typing import Any

import torch

from zoo import registry
from zoo.core.checks import check_keywords
from zoo.core.files import read_bounded
from zoo.core.module import ZooModule
from zoo.errors import CheckpointError, InputError
from zoo.store.folder import LARGEST_FILE, build, load_tensors, plain_floats
from zoo.store.guard import bounded

SUFFIX = ".ckpt"


def read(path: Path) -> ZooModule:
    """The model of a `.ckpt` in eval mode.

    Raises:
        CheckpointError: for a file that Lightning didn't write, that holds no model of the zoo, or whose tensors don't fit.
    """
    content = _content(path)
    tensors, travels = content["state_dict"], content.get("zoo")
    name = travels.get("architecture") if isinstance(travels, dict) else None
    if name is None or travels is None:
        raise CheckpointError(
            f"{path} doesn't say which architecture of the zoo it holds: make the model by zoo.create(…) and give it "
            "torch.load(…, weights_only=True)['state_dict']"
        )
    if not isinstance(name, str) or name not in registry.ARCHITECTURES:
        raise CheckpointError(f"{path} holds the architecture {str(name)!r:.60}, which isn't in the registry")
    classes, data, transform = (travels.get(key) for key in ("classes", "data", "transform"))
    named = classes is None or (isinstance(classes, list) and all(isinstance(c, str) for c in classes))
    if not named or not isinstance(data, dict | None) or not isinstance(transform, dict | None):
        raise CheckpointError(f"{path} holds other values where classes, data and transform belong")
    config: dict[str, Any] = {"architecture": name, "init": _init(content, name, path), "preprocess": transform}
    config |= {"name": path.stem, "classes": classes, "data": data}
    with bounded(tensors) as guard, plain_floats():
        guard.check(config["init"])
        model = build(config)
    load_tensors(model, tensors)
    return model.eval()


def _content(path: Path) -> dict[str, Any]:
    try:
        raw = read_bounded(path, LARGEST_FILE)
    except InputError as error:
        raise CheckpointError(f"{path.name} can't be read: {error}") from None
    try:
        content = torch.load(io.BytesIO(raw), map_location="cpu", weights_only=True)
    except Exception as error:  # torch, zipfile and pickle raise a dozen kinds
        first = (str(error).strip().splitlines() or [""])[0]
        raise CheckpointError(
            f"{path} is no checkpoint of plain tensors and values ({type(error).__name__}: {first[:80]}): "
            "nothing else of it is read"
        ) from None
    tensors = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(tensors, dict) or not all(isinstance(value, torch.Tensor) for value in tensors.values()):
        raise CheckpointError(f"{path} has no state_dict of tensors: Lightning's ModelCheckpoint didn't write it")
    return content


def _init(content: dict[str, Any], name: str, path: Path) -> dict[str, Any]:
    """The arguments that the model was made with; the command line of Lightning adds keys of its own."""
    given = content.get("hyper_parameters") or {}
    known = set(inspect.signature(registry.architecture(name)).parameters)
    try:
        init = json.loads(json.dumps({key: value for key, value in given.items() if not str(key).startswith("_")}))
        check_keywords(sorted(init), known, name)
    except (TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"the arguments in {path} don't fit {name}: {str(error)[:200]}") from None
    return init
