"""A stand-in for Lightning, for a process that uses models and never trains one.

`import lightning` takes longer than all else that `zoo predict` does: it brings trainers, loggers, torchmetrics and, where they
are installed, transformers, scipy and matplotlib. Of all that, a model in use needs its arguments (`hparams`), its device and its
dtype. `install` lets `import lightning` find the file `lightning.py` of this folder, which has just these. Whatever asks for
more, such as a Trainer, raises `NeedsLightning`, and the command starts again with Lightning itself.

It is for processes of our own alone: in Python, `import zoo` and `zoo.load` use Lightning itself.
"""

import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

VARIABLE = "ZOO_LIGHTNING_ITSELF"  # of the environment; if it is set there is no stand-in


class NeedsLightning(BaseException):
    """Not an Exception: no handler on the way may take it for an error of its own."""


class _Finder:
    """Finds the stand-in, and refuses every other part of Lightning."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name == "lightning":
            return importlib.util.spec_from_file_location(name, Path(__file__).with_name("lightning.py"))
        if name.startswith("lightning."):
            raise NeedsLightning(name)
        return None


def install() -> bool:
    """Let `import lightning` find the stand-in; False where Lightning is loaded already, or asked for by the environment."""
    if "lightning" in sys.modules or os.environ.get(VARIABLE):
        return False
    finder: Any = _Finder  # any object with find_spec is one
    sys.meta_path.insert(0, finder)
    return True


def start_again() -> NoReturn:
    """Run this process's command once more, with Lightning itself."""
    sys.stdout.flush()
    os.execve(sys.executable, sys.orig_argv, {**os.environ, VARIABLE: "1"})
