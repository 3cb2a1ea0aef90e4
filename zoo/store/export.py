"""Weights for other tools: ONNX, torch.export's program, or plain float32 safetensors, each checked against the model.

    zoo export lenet5-mnist --to onnx -o lenet5.onnx

What is exported is `forward`, on inputs like those that the golden tensors send through it. The batch may have any size, and so
may the length of tokens. The transform isn't part of the file: config.json says what it does.
"""

import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from zoo.core.files import writing
from zoo.core.module import ZooModule
from zoo.errors import InputError, MissingExtraError

SUFFIXES = {"onnx": ".onnx", "pt2": ".pt2", "safetensors": ".safetensors"}
TOLERANCE = 1e-3  # relative to the output's scale: other kernels sum in another order


def export(model: ZooModule, to: str, path: str | Path | None = None) -> tuple[Path, float]:
    """Write a model for other tools; returns the file and the largest deviation from the model's own outputs.

    Args:
        model: a loaded model.
        to: "onnx", "pt2" or "safetensors".
        path: the file; NAME and its suffix in the current folder by default.

    Raises:
        InputError: for another format, a path of another suffix, or a model that can't be written in this format.
    """
    if to not in SUFFIXES:
        raise InputError(f"a model is exported to {', '.join(SUFFIXES)}, not {to!r}")
    target = Path(path) if path else Path(f"{model.name or type(model).__name__}{SUFFIXES[to]}")
    if target.suffix != SUFFIXES[to]:
        raise InputError(f"a file for {to} ends in {SUFFIXES[to]}, not {target.name!r}")
    if not target.resolve().parent.is_dir():
        raise InputError(f"{target.resolve().parent} is no folder: make it first")
    model = model.eval()
    with writing(target) as staged:
        deviation = {"onnx": _onnx, "pt2": _program, "safetensors": _tensors}[to](model, staged)
        if not deviation <= TOLERANCE:
            raise InputError(
                f"{model.name} gives other outputs as {to}: they deviate by {deviation:.2g}, {TOLERANCE:g} is allowed"
            )
    return target, deviation


def example(model: ZooModule) -> tuple[Tensor, ...]:
    """The tensors that the golden inputs send through forward, at least two of a batch.

    Raises:
        InputError: for a model whose golden outputs don't come from forward on tensors.
    """
    if model.task == "graph-ml":
        raise InputError(f"{model.name} can't be exported as a program: graphs have no batch axis; take safetensors")
    seen: list[tuple[Any, ...]] = []
    hook = model.register_forward_pre_hook(lambda _, args: seen.append(args))
    try:
        with torch.no_grad():
            model.golden_outputs(model.golden_inputs())
    finally:
        hook.remove()
    if not seen:  # the golden outputs come from other methods
        given = model.example_input_array
        seen = [given if isinstance(given, tuple) else (given,)]
    if not seen[0] or not all(isinstance(value, Tensor) for value in seen[0]):
        raise InputError(
            f"{model.name or type(model).__name__} can't be exported as a program: its forward takes more than tensors"
        )
    return tuple(
        value if len(value) > 1 else torch.cat([value, value]) for value in (v.detach().clone() for v in seen[0])
    )


def _shapes(inputs: tuple[Tensor, ...], longest: int | None) -> tuple[dict[int, Any], ...]:
    """Any batch, and any length up to the model's context for whole numbers in rows."""
    batch = torch.export.Dim("batch", min=1)
    if longest is not None and longest <= 2:
        return tuple({0: batch} for _ in inputs)
    length = torch.export.Dim("length", min=2, max=longest)
    return tuple({0: batch, 1: length} if x.ndim == 2 and not x.is_floating_point() else {0: batch} for x in inputs)


class _Forward(nn.Module):
    """A model's forward and nothing else of Lightning."""

    def __init__(self, model: ZooModule) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> Any:
        found = self.model(*inputs)
        return found if isinstance(found, Tensor) else tuple(value for value in found if isinstance(value, Tensor))


def program(model: ZooModule) -> tuple[torch.export.ExportedProgram, tuple[Tensor, ...]]:
    """The exported program of a model's forward, with example inputs.

    Raises:
        InputError: if torch can't trace it; its first line is in the message.
    """
    inputs, trainer = example(model), model._trainer
    model._trainer = None
    automatic = tuple(dict.fromkeys(range(x.ndim), torch.export.Dim.AUTO) for x in inputs)
    try:
        with torch.no_grad():
            try:
                shapes = _shapes(inputs, getattr(model, "context", None))
                return torch.export.export(_Forward(model), inputs, dynamic_shapes=(shapes,)), inputs
            except torch._dynamo.exc.UserError:  # sizes that hang together: torch finds out which are free
                return torch.export.export(_Forward(model), inputs, dynamic_shapes=(automatic,)), inputs
    except Exception as error:  # torch raises a dozen kinds
        raise InputError(f"{model.name} can't be exported as a program: {_said(error)}") from None
    finally:
        model._trainer = trainer


def _said(error: Exception) -> str:
    """The first line of another library's error, without the colours of a terminal and the advice behind it."""
    text = re.sub(r"\x1b\[[\d;]*m", "", str(error)).strip()
    return f"{type(error).__name__}: {text.partition(chr(10))[0].partition(' This is step')[0][:200]}"


def _program(model: ZooModule, path: Path) -> float:
    traced, inputs = program(model)
    torch.export.save(traced, path)
    return _deviation(model, inputs, lambda x: torch.export.load(path).module()(*x))


def _onnx(model: ZooModule, path: Path) -> float:
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  # the exporter needs it
    except ImportError as error:
        raise MissingExtraError("an ONNX file", error.name or "onnxruntime", "export") from None
    traced, inputs = program(model)
    names = [f"input{i}" if i else "input" for i in range(len(inputs))]
    try:
        torch.onnx.export(traced, (), path, input_names=names, dynamo=True, verbose=False, external_data=False)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # the exporter's and the runtime's own
        raise InputError(f"{model.name} can't be exported to ONNX: {_said(error)}") from None

    def run(x: tuple[Tensor, ...]) -> Any:
        feeds = {slot.name: value.numpy() for slot, value in zip(session.get_inputs(), x, strict=True)}
        return tuple(torch.from_numpy(value) for value in session.run(None, feeds))

    return _deviation(model, inputs, run)


def _tensors(model: ZooModule, path: Path) -> float:
    """All tensors in float32 under their own names, tied ones each for itself: any reader of state dicts takes them."""
    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in model.state_dict().items()}
    plain = {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
    save_file(plain, path, metadata={"format": "pt"})
    again = load_file(path)
    return max(
        (float((again[k].double() - v.double()).abs().max()) for k, v in plain.items() if v.numel()), default=0.0
    )


def _deviation(model: ZooModule, inputs: tuple[Tensor, ...], run: Any) -> float:
    """Largest deviation over the example and a batch of another size, relative to the outputs' scale."""
    worst = 0.0
    for x in (inputs, tuple(torch.cat([value, value[:1]]) for value in inputs), tuple(value[:1] for value in inputs)):
        with torch.no_grad():
            wanted = _Forward(model)(*x)
        alone = f"{model.name} can be exported for batches of {len(inputs[0])} alone"
        try:
            found = run(x)
        except Exception as error:
            raise InputError(f"{alone}: {type(error).__name__} with {len(x[0])}") from None
        for a, b in zip(_several(wanted), _several(found), strict=True):
            if a.shape != b.shape:  # the size of a batch became a number of the program
                raise InputError(f"{alone}: with {len(x[0])} it gives {list(b.shape)} in place of {list(a.shape)}")
            scale = max(1.0, float(a.abs().max())) if a.numel() else 1.0
            worst = max(
                worst, float((a.detach().double() - b.detach().double()).abs().max()) / scale if a.numel() else 0.0
            )
    return worst


def _several(found: Any) -> tuple[Tensor, ...]:
    return (found,) if isinstance(found, Tensor) else tuple(found)
