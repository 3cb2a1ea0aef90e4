"""Which precision a device is quick in: bfloat16 on GPUs and on processors with units for it, float32 elsewhere."""

import time
from contextlib import AbstractContextManager
from functools import lru_cache

import torch


@lru_cache
def bfloat16_is_slow(device_type: str) -> bool:
    """Whether bfloat16 takes longer than float32, timed on a product of matrices the first time that it is asked.

    The instructions that a processor lists don't settle it: one with AVX-512's bfloat16 instructions took half of float32's
    time, another one with the same instructions twice of it, and one without them two hundred times as long.
    """
    return device_type == "cpu" and seconds_of_product(torch.bfloat16) > seconds_of_product(torch.float32)


def seconds_of_product(dtype: torch.dtype, size: int = 256) -> float:
    """The shortest of five times that a product of two square matrices takes on the CPU."""
    a = torch.full((size, size), 0.5, dtype=dtype)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        torch.mm(a, a)
        times.append(time.perf_counter() - start)
    return min(times)


def quick_autocast(device_type: str) -> tuple[AbstractContextManager, str]:
    """A context for evaluation that autocasts to bfloat16 where that is quick, and the words that say what it did."""
    slow = bfloat16_is_slow(device_type)
    return torch.autocast(device_type, torch.bfloat16, enabled=not slow), "float32" if slow else "bf16 autocast"


def quick_precision() -> str:
    """The `precision` of a Lightning trainer that is quick on this machine: mixed with bfloat16, or float32 throughout."""
    on = "cuda" if torch.cuda.is_available() else "cpu"
    return "32-true" if bfloat16_is_slow(on) else "bf16-mixed"
