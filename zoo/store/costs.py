"""What one input costs a model: operations and processor time, measured once for each file of weights, kept in docs/costs.json.

Operations are those of matrix products, convolutions and attention, two for each multiplication with its addition, as torch
counts them. Time is the processor time of one thread, so that other programs of the machine hardly matter, best of several runs.
"""

import json
import time
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from zoo.core.files import write_text
from zoo.core.module import ZooModule
from zoo.paths import CHECKPOINTS
from zoo.store import folder as checkpoint

BATCH, REPEATS = 16, 3  # inputs at a time; runs, the best of which counts
LONG = 2.0  # seconds after which a run isn't repeated


def costs(model: ZooModule) -> dict[str, float]:
    """{"flops": operations, "milliseconds": time of one core} for one input of forward (an image, a text, a graph)."""
    inputs = _forward_inputs(model)

    def run(*args: Any) -> Any:
        return model(*args) if args else model.golden_outputs(model.golden_inputs())

    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(torch.backends.mkldnn.flags(enabled=False))  # type: ignore[no-untyped-call]
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))  # fused kernels would count as nothing
        counter = stack.enter_context(FlopCounterMode(display=False))
        run(*inputs)
    flops = counter.get_total_flops() / _batch(model, inputs)
    many = _repeated(model, inputs)
    best = float("inf")
    with torch.no_grad():
        for _ in range(REPEATS):
            start = time.thread_time()
            run(*many)
            best = min(best, time.thread_time() - start)
            if best > LONG:
                break
    return {"flops": round(flops), "milliseconds": float(f"{1000 * best / _batch(model, many):.3g}")}


def _forward_inputs(model: ZooModule) -> tuple[Any, ...]:
    """What the golden inputs send through forward; nothing where the golden outputs come from other methods."""
    seen: list[tuple[Any, ...]] = []
    hook = model.register_forward_pre_hook(lambda _, args: seen.append(args))
    try:
        with torch.no_grad():
            model.golden_outputs(model.golden_inputs())
    finally:
        hook.remove()
    return seen[0] if seen else ()


def _batch(model: ZooModule, inputs: tuple[Any, ...]) -> int:
    if model.task == "graph-ml":
        return 1
    first = inputs[0] if inputs else next(iter(model.golden_inputs().values()), None)
    return len(first) if isinstance(first, Tensor) and first.ndim > 1 else 1


def _repeated(model: ZooModule, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The inputs as a batch of at least BATCH, where they are one."""
    n = _batch(model, inputs)
    if n >= BATCH or not inputs or not all(isinstance(x, Tensor) and x.ndim and len(x) == n for x in inputs):
        return inputs
    return tuple(torch.cat([x] * (BATCH // n)) for x in inputs)


# The file that keeps them --------------------------------------------------------------------------------------------------


def place() -> Path:
    return CHECKPOINTS.parent / "docs" / "costs.json"


def known(path: Path | None = None) -> dict[str, dict[str, Any]]:
    """What was measured, by name; nothing in an installed package, which has no docs."""
    path = path or place()
    return _read(path, path.stat().st_mtime_ns) if path.is_file() else {}


@cache
def _read(path: Path, changed: int) -> dict[str, dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8"))


def of(name: str, sha256: str) -> dict[str, Any]:
    """The costs of exactly these weights; nothing if they weren't measured."""
    found = known().get(name, {})
    return found if found.get("sha256") == sha256[:16] else {}


def update(folders: list[tuple[str, Path, str]]) -> list[str]:
    """Measure those of (name, folder, sha256) that aren't known, and forget who left; returns the names of the new ones."""
    if not place().parent.is_dir():
        return []
    measured, new = {}, []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for name, path, sha256 in sorted(folders):
            measured[name] = of(name, sha256)
            if not measured[name]:
                measured[name] = {"sha256": sha256[:16], **costs(checkpoint.read(path))}
                new.append(name)
    finally:
        torch.set_num_threads(threads)
    if new or measured.keys() != known().keys():
        lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(facts)}" for name, facts in measured.items())
        write_text(place(), f"{{\n{lines}\n}}\n")
    return new
