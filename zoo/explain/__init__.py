"""Why a model gives the answer that it gives: `zoo.explain(model, x, method=…)`, and the methods one by one.

    explanation = zoo.explain(model, "photo.png", method="grad-cam")
    explanation.save("map.png")
    zoo.explain.shapley.exact(game, players)

The package can be called; its modules (gradients, cams, occlusion, lime, shapley, counterfactual, dependence, attacks,
dream, checks, concepts) are imported when they are first named.
"""

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

_MODULES = (
    "api", "attacks", "baselines", "cams", "catalogue", "checks", "concepts", "counterfactual", "dependence", "dream",
    "explanation", "families", "finding", "foreign", "gradients", "lime", "occlusion", "runs", "segments", "shapley",
    "sheet", "subject", "task",
)  # fmt: skip
_HOME = {"Explanation": "explanation", "attack": "attacks", "explain": "api", "methods": "catalogue"}

if TYPE_CHECKING:
    from zoo.explain.api import explain as explain
    from zoo.explain.attacks import attack as attack
    from zoo.explain.catalogue import methods as methods
    from zoo.explain.explanation import Explanation as Explanation


class _Callable(types.ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return importlib.import_module("zoo.explain.api").explain(*args, **kwargs)

    @property
    def __wrapped__(self) -> Any:  # so that help and signatures show the function's
        return importlib.import_module("zoo.explain.api").explain


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"zoo.explain.{name}")
    if name in _HOME:
        return getattr(importlib.import_module(f"zoo.explain.{_HOME[name]}"), name)
    raise AttributeError(f"module 'zoo.explain' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, *_HOME})


sys.modules[__name__].__class__ = _Callable
