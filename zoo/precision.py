"""Which precision a device is quick in: bfloat16 on GPUs and on processors with matrix units, float32 elsewhere."""

from contextlib import AbstractContextManager

import torch


def bfloat16_is_slow(device_type: str) -> bool:
    """Whether bfloat16 takes longer than float32: on an x86 processor without matrix units (AMX).

    With AVX-512's bfloat16 instructions alone it was measured at half of float32's speed, without them at a two-hundredth.
    """
    able = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return device_type == "cpu" and able.get("architecture") == "x86_64" and not able.get("amx_bf16")


def quick_autocast(device_type: str) -> tuple[AbstractContextManager, str]:
    """A context for evaluation that autocasts to bfloat16 where that is quick, and the words that say what it did."""
    slow = bfloat16_is_slow(device_type)
    return torch.autocast(device_type, torch.bfloat16, enabled=not slow), "float32" if slow else "bf16 autocast"


def quick_precision() -> str:
    """The `precision` of a Lightning trainer that is quick on this machine: mixed with bfloat16, or float32 throughout."""
    on = "cuda" if torch.cuda.is_available() else "cpu"
    return "32-true" if bfloat16_is_slow(on) else "bf16-mixed"
