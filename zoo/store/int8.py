"""Weights in a quarter of float32's bytes: whole numbers in blocks that share a scale.

Within a block of 64 values w the largest sets the step, and each value is stored as the nearest multiple,

    s = max |w| / 127,    q = round(w / s),    w ≈ s q,    error at most s / 2

an error of half a percent of the block's deviation: less than the noise that the last steps of a training leave. Blocks are short
because a single scale for a tensor would belong to its one largest weight (Dettmers et al., 2022, arXiv:2110.02861).

A file holds the tensor `name` as int8 in its own shape, and beside it `name:scales`, float32 [blocks]. Norms, biases and other
short tensors stay float32: they are few, and errors in them shift whole channels. Models compute in float32 as ever.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.errors import CheckpointError

BLOCK = 64
SHORT = 4096  # elements; below, a tensor stays float32
SCALES = ":scales"  # no name of a parameter has a colon
METADATA = {  # in the header of the file, for other readers; files that are older than it lack it
    "quantization": "int8 in blocks",
    "dequantize": f"tensor = codes.flatten() * scales.repeat_interleave({BLOCK})[:codes.numel()], scales are in 'NAME{SCALES}'",
}
# The same as `unpack` in plain torch, for cards: reads model.safetensors of the current folder.
LINES = f"""from safetensors.torch import load_file

tensors = load_file("model.safetensors")
for name in [name for name in tensors if name.endswith("{SCALES}")]:
    codes, scales = tensors[name.removesuffix("{SCALES}")], tensors.pop(name)
    values = codes.flatten() * scales.repeat_interleave({BLOCK})[: codes.numel()]
    tensors[name.removesuffix("{SCALES}")] = values.reshape(codes.shape)"""


def pack(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with every long floating point one as int8 and scales."""
    packed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or tensor.numel() < SHORT:
            packed[name] = tensor.float() if tensor.is_floating_point() else tensor
            continue
        blocks = _blocks(tensor.float())
        # blocks of zeros have one, too
        scales = (blocks.abs().amax(1) / 127).clamp(min=torch.finfo(torch.float32).tiny)
        packed[name] = (
            (blocks / scales[:, None]).round().to(torch.int8).flatten()[: tensor.numel()].reshape(tensor.shape)
        )
        packed[name + SCALES] = scales
    return packed


def unpack(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a file with every packed one as float32 again; a file without scales is passed on.

    Raises:
        CheckpointError: for scales that don't belong to an int8 tensor, or not to as many blocks as it has.
    """
    unpacked = {name: tensor for name, tensor in tensors.items() if not name.endswith(SCALES)}
    for name, scales in tensors.items():
        if not name.endswith(SCALES):
            continue
        of = name.removesuffix(SCALES)
        codes = unpacked.get(of)
        if codes is None or codes.dtype != torch.int8:
            raise CheckpointError(f"{name} are scales of no int8 tensor: the file has none named {of!r}")
        wanted = [-(-codes.numel() // BLOCK)]
        if list(scales.shape) != wanted or not scales.is_floating_point():
            raise CheckpointError(f"{name} must be floats {wanted}, not {scales.dtype} {list(scales.shape)}")
        values = _blocks(codes.float()) * scales.float()[:, None]
        unpacked[of] = values.flatten()[: codes.numel()].reshape(codes.shape)
    return unpacked


def _blocks(tensor: Tensor) -> Tensor:
    """The elements in rows of `BLOCK`, the last row filled up with zeros."""
    return F.pad(tensor.flatten(), (0, -tensor.numel() % BLOCK)).view(-1, BLOCK)
