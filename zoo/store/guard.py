"""A bound on the memory that building a model may ask for, so that a hostile config.json can't ask for a hundred gigabytes."""

import math
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from zoo.errors import CheckpointError


class bounded(TorchFunctionMode):
    """While it is entered, no more memory can be asked for than the tensors of a file explain.

    A few bytes of config.json could else ask for a layer of 100 GB, or for a million layers, before anybody compares
    shapes. The bound is generous: eight times the file's elements, and 2^26 for constants.
    """

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        held = sum(tensor.numel() for tensor in tensors.values())
        self.elements, self.largest = 8 * held + 2**26, max(held, 2**20)
        self.calls = 200 * len(tensors) + 10_000  # our models take at most 40 a tensor

    def check(self, value: Any) -> None:
        """Refuse numbers among the arguments that no tensor explains: a loop over them would be long without any tensor.

        Raises:
            CheckpointError: for the first.
        """
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            self.check(inner)
        if isinstance(value, int) and abs(value) > self.largest:
            raise CheckpointError(
                f"config.json asks for {value:.3g} of something, a far larger model than model.safetensors holds"
            )

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls -= 1
        if getattr(func, "__name__", "") in FACTORIES:
            self.elements -= _asked_elements(func.__name__, args, kwargs or {})
        if self.elements < 0 or self.calls < 0:
            raise CheckpointError("config.json asks for a far larger model than model.safetensors holds")
        return func(*args, **(kwargs or {}))


FACTORIES = {"empty", "zeros", "ones", "full", "rand", "randn", "arange", "linspace", "eye", "randint", "randperm"}


def _asked_elements(factory: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """Number of elements that a call of a torch factory asks for, as far as its arguments tell."""
    values = kwargs.get("size", args)
    if factory in ("arange", "linspace", "randperm", "eye", "randint", "full"):
        shape = next((v for v in args if isinstance(v, tuple | list)), None)
        numbers = [abs(int(v)) for v in (*args, *kwargs.values()) if isinstance(v, int | float) and math.isfinite(v)]
        return math.prod(map(int, shape)) if shape is not None else max([1, *numbers])
    shape = values[0] if len(values) == 1 and isinstance(values[0], tuple | list) else values
    return math.prod(int(v) for v in shape if isinstance(v, int))
