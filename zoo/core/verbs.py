"""What every public verb does around its own work: no gradient, eval mode, the weights' dtype, and the mode it found put back.

`@verb` marks a method that only looks at the model. Its results are ordinary tensors, which a probe can be trained on; a model
that was cast by `.half()` or `dtype=torch.bfloat16` takes ordinary inputs; and a model that another thread is training isn't
disturbed, since a copy answers.
"""

import functools
import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, ParamSpec, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from zoo.core.checks import check_keywords

P = ParamSpec("P")
R = TypeVar("R")

# Operations that refuse operands of different floating dtypes; all others promote them.
STRICT = {
    "linear", "bilinear", "matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "addmm", "baddbmm", "einsum", "mv",
    "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
    "batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm", "scaled_dot_product_attention",
    "lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "prelu", "embedding_bag", "lerp",
}  # fmt: skip

# Those of torchvision refuse them too, and know no half precision on a CPU.
WIDE = {"roi_align", "nms"}


def verb(method: Callable[P, R]) -> Callable[P, R]:
    """Mark a method as one that looks at the model and leaves it as it was."""

    @functools.wraps(method)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        model: Any = args[0]
        if _trained_elsewhere(model):
            model = model.twin()
        with looking(model) as dtype:
            found = cast(Any, method)(model, *args[1:], **kwargs)
        return _ordinary(found) if dtype in (torch.float16, torch.bfloat16) else found

    cast(Any, run).is_verb = True
    return run


@contextmanager
def looking(model: nn.Module) -> Iterator[torch.dtype]:
    """Eval mode without gradient while it is entered; gives the dtype of the weights."""
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
    try:
        with torch.no_grad(), plain_floats(), Follow(dtype) if dtype != torch.float32 else nullcontext():
            yield dtype
    finally:
        for module in training:
            module.training = True


@contextmanager
def plain_floats() -> Iterator[None]:
    """Tensors are made as float32 on the CPU, whatever default dtype or device a program has set for itself."""
    before = torch.get_default_dtype()
    if before == torch.float32 and torch.get_default_device().type == "cpu":
        yield
        return
    torch.set_default_dtype(torch.float32)
    try:
        with torch.device("cpu"):
            yield
    finally:
        torch.set_default_dtype(before)


def public(method: Callable[P, R]) -> Callable[P, R]:
    """A verb as people call it: its draws are those of float32 on the CPU whatever torch's defaults are, and it answers a
    mistyped keyword, or one of another library, with the one that is meant.

    Raises:
        InputError: in place of Python's TypeError for a keyword that the method doesn't have.
    """

    @functools.wraps(method)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with plain_floats():
                return method(*args, **kwargs)
        except TypeError:
            taken = list(inspect.signature(method).parameters.values())[1:]
            if not any(p.kind is p.VAR_KEYWORD for p in taken):
                check_keywords(kwargs, [p.name for p in taken], f"{type(args[0]).__name__}.{method.__name__}")
            raise

    return run


class Follow(TorchFunctionMode):
    """While it is entered, operations with weights of a dtype cast their other operands to it."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in STRICT:
            args, kwargs = cast_all(args, self.dtype), cast_all(kwargs, self.dtype)
        elif getattr(func, "__name__", "") in WIDE:
            wide = torch.promote_types(self.dtype, torch.float32)
            args, kwargs = cast_all(args, wide), cast_all(kwargs, wide)
        return func(*args, **kwargs)


def cast_all(value: Any, dtype: torch.dtype) -> Any:
    """A value with each floating tensor in it in a dtype."""
    if isinstance(value, Tensor):
        return value.to(dtype) if value.is_floating_point() and value.dtype != dtype else value
    if isinstance(value, list | tuple):
        return type(value)(cast_all(item, dtype) for item in value)
    if isinstance(value, dict):
        return {key: cast_all(item, dtype) for key, item in value.items()}
    return value


def _ordinary(found: Any) -> Any:
    """The same in float32: half precision is for the weights, not for what a person gets."""
    if isinstance(found, Tensor):
        return found.float() if found.dtype in (torch.float16, torch.bfloat16) else found
    if type(found) in (list, tuple):
        return type(found)(_ordinary(item) for item in found)
    return found


def _trained_elsewhere(model: Any) -> bool:
    thread, trainer = getattr(model, "trained_by", None), getattr(model, "_trainer", None)
    return thread not in (None, threading.get_ident()) and trainer is not None and trainer.training
