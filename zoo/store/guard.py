"""What holds while a model is built for the weights of a file: a bound on its memory, and no first values for its weights."""

import math
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from zoo.errors import CheckpointError


class bounded(TorchFunctionMode):
    """While it is entered, no more memory can be asked for than the tensors of a file explain.

    A few bytes of config.json could else ask for a layer of 100 GB, or for a million layers, before anybody compares
    shapes. The bound is generous: four times the file's elements, and 2^24 for constants; ours ask for 2.3 times at most.

    Parameters aren't given first values, which would take half of the time: those of the file take their place, all of them.
    """

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        held = sum(tensor.numel() for tensor in tensors.values())
        self.elements = self.most = 4 * held + 2**24
        self.largest = max(held, 2**20)
        self.calls = 60 * len(tensors) + 3_500  # ours take at most 30 a tensor, and 3,129 for 34 tensors

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
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in QUESTIONS and self.calls > 0:
            return func(*args, **kwargs)
        if name in FILLERS or getattr(func, "__module__", None) == "torch.nn.init":
            tensor = args[0] if args else kwargs.get("tensor")
            if isinstance(tensor, nn.Parameter):
                return tensor
        if name in FACTORIES:
            self._charge(_asked_elements(func.__name__, args, kwargs))
            return func(*args, **kwargs)
        given = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
        self._charge(0, _joint_elements(given))
        found = func(*args, **kwargs)
        if isinstance(found, Tensor) and found.numel() > 1024 and not any(_shares(found, value) for value in given):
            self._charge(found.numel())  # a copy, a sum, whatever is no view
        return found

    def _charge(self, elements: int, at_once: int = 0) -> None:
        self.elements -= elements
        if self.elements < 0 or self.calls < 0 or at_once > self.most:
            raise CheckpointError("config.json asks for a far larger model than model.safetensors holds")


# Three quarters of the calls of a build, none of which takes memory: attributes, sizes, the switch of the gradients.
QUESTIONS = {
    "__get__", "__set__", "_set_grad_enabled", "dim", "size", "is_floating_point", "is_contiguous",
    "_has_compatible_shallow_copy_type",
}  # fmt: skip
FILLERS = {"uniform_", "zero_", "fill_"}  # not normal_: a truncated one draws again until all values fit
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


def _joint_elements(tensors: list[Tensor]) -> int:
    """Elements of what an operation on tensors may give: of the largest, or of all of them broadcast."""
    largest = max((tensor.numel() for tensor in tensors), default=0)
    if len(tensors) < 2:
        return largest
    shapes = [tensor.shape for tensor in tensors]
    places = zip(*([1] * (max(map(len, shapes)) - len(shape)) + list(shape) for shape in shapes), strict=True)
    sides = [set(place) - {1} for place in places]  # one size for each place where the shapes fit together
    return (
        max(largest, math.prod(min(side, default=1) for side in sides)) if all(len(s) < 2 for s in sides) else largest
    )


def _shares(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors lie in the same memory."""
    try:
        return a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):  # sparse ones and their kin
        return False
