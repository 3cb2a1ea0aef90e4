"""Teaching architectures as LightningModules with pretrained, verified checkpoints.

    import zoo

    zoo.list_models("*mnist*")
    model = zoo.load("ddpm-mnist")
    zoo.save_grid(model.sample(16, seed=0), "digits.png")

Importing this package imports neither torch nor lightning: the functions below are bound when they are first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from zoo.version import __version__ as __version__

_HOME = {
    "create": "zoo.api",
    "datamodule": "zoo.api",
    "evaluate": "zoo.api",
    "finetune": "zoo.train.finetuning",
    "info": "zoo.index",
    "list_architectures": "zoo.index",
    "list_datamodules": "zoo.index",
    "list_models": "zoo.index",
    "load": "zoo.api",
    "save_grid": "zoo.core.images",
    "verify": "zoo.api",
}

_PACKAGES = ("explain", "models", "theory")  # packages that are part of the public surface; some can be called

__all__ = [  # the keys of _HOME and the packages, where linters look for them
    "create",
    "datamodule",
    "evaluate",
    "explain",
    "finetune",
    "info",
    "list_architectures",
    "list_datamodules",
    "list_models",
    "load",
    "models",
    "save_grid",
    "theory",
    "verify",
]

if TYPE_CHECKING:
    from zoo import explain, models, theory
    from zoo.api import datamodule, evaluate, verify
    from zoo.core.images import save_grid
    from zoo.index import info, list_architectures, list_datamodules, list_models
    from zoo.train.finetuning import finetune
    from zoo.typed import create, load  # a stub: which class for which name


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return importlib.import_module(f"zoo.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*_HOME, *_PACKAGES, "__version__", "__doc__", "__file__", "__name__", "__path__"})
