"""What `import lightning` finds in a process that never trains; see the docstring of this folder."""

import inspect
from collections.abc import Iterable
from types import FrameType
from typing import Any, NoReturn

import torch
from torch import nn

from zoo.core.standin import NeedsLightning

__path__: list[str] = []  # so that an import of a part is asked for, and refused
__version__ = "stand-in"


class Arguments(dict):
    """What a module was made with; the keys are attributes, too."""

    def __getattr__(self, key: str) -> Any:
        try:
            return self[key]
        except KeyError:
            raise AttributeError(f"Missing attribute {key!r}") from None

    def __setattr__(self, key: str, value: Any) -> None:
        self[key] = value


class KeepsArguments:
    """`save_hyperparameters` and `hparams` as Lightning has them."""

    @property
    def hparams(self) -> Arguments:
        return self.__dict__.setdefault("_hparams", Arguments())

    def save_hyperparameters(self, *, ignore: str | Iterable[str] = ()) -> None:
        """Keep the arguments of `__init__`, from the class that calls this to the outermost that is being made."""
        caller = inspect.currentframe()
        frame = caller.f_back if caller else None
        while frame is not None and _makes(frame, self):
            self.hparams.update(_arguments(frame))
            frame = frame.f_back
        for key in [ignore] if isinstance(ignore, str) else ignore:
            self.hparams.pop(key, None)


class LightningModule(KeepsArguments, nn.Module):
    """An `nn.Module` that knows its device and dtype."""

    _trainer = None

    def __init__(self) -> None:
        super().__init__()
        self._dtype = torch.get_default_dtype()

    def to(self, *args: Any, **kwargs: Any) -> Any:
        _, dtype, *_ = torch._C._nn._parse_to(*args, **kwargs)
        self._dtype = dtype or self._dtype
        return super().to(*args, **kwargs)

    @property
    def device(self) -> torch.device:
        return next((tensor.device for tensor in (*self.parameters(), *self.buffers())), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """What the module was cast to last, whatever its parameters are, as Lightning says it."""
        return self._dtype

    @property
    def trainer(self) -> NoReturn:
        raise RuntimeError(f"{type(self).__qualname__} is not attached to a `Trainer`.")


class LightningDataModule(KeepsArguments):
    """The part of a data module that reads data."""

    trainer = None
    name: str | None = None

    def prepare_data(self) -> None: ...

    def setup(self, stage: str) -> None: ...


class _Absent(type):
    """A class that an annotation may name, and that nothing can be made of."""

    def __call__(cls, *_: Any, **__: Any) -> NoReturn:
        raise NeedsLightning(cls.__name__)


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return _Absent(name, (), {})


def _makes(frame: FrameType, module: KeepsArguments) -> bool:
    """Whether a frame is the `__init__` that makes a module."""
    code, here = frame.f_code, frame.f_locals
    return code.co_name == "__init__" and "__class__" in here and here.get(code.co_varnames[0]) is module


def _arguments(frame: FrameType) -> dict[str, Any]:
    """The arguments of a running `__init__`, without the module itself."""
    names, _, keywords, here = inspect.getargvalues(frame)
    return {name: here[name] for name in names[1:]} | (here[keywords] if keywords else {})
