"""Theory that can be computed: information, coding, kernels, transport and circuits as functions with their equations.

Nothing here has trained weights. Every module imports what it needs when it is imported itself, so `import zoo` stays fast;
`docs/theory.md` tells the story in pictures.
"""

import importlib
from typing import Any

MODULES = ("bits_back", "bottleneck", "circuits", "entropy", "kernels", "plane", "transport")
__all__ = [*MODULES]


def __getattr__(name: str) -> Any:
    if name in MODULES:
        return importlib.import_module(f"zoo.theory.{name}")
    raise AttributeError(f"module 'zoo.theory' has no attribute {name!r}; it has {', '.join(MODULES)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *MODULES})
