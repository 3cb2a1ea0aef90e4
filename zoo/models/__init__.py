"""The architectures, one wing for all families; `zoo.models(...)`, the table of checkpoints, is this package called."""

import sys
from types import ModuleType
from typing import Any


class _Models(ModuleType):
    """The package, which answers a call with the table of checkpoints."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """See `zoo.index.models`."""
        from zoo.index import models

        return models(*args, **kwargs)


sys.modules[__name__].__class__ = _Models
