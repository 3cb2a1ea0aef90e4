"""GPT weights under other names: nanoGPT's, and Hugging Face's GPT-2.

Both call the tensors alike; Hugging Face stores the linear layers transposed, and its GELU is the tanh approximation.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from zoo.errors import InputError
from zoo.models.transformers.gpt import GPT
from zoo.store.folder import load_tensors

Layout = Literal["nanogpt", "huggingface"]
LINEAR = ("attention.qkv", "attention.out", "up", "down")


def names(layers: int) -> dict[str, str]:
    """Our modules that hold tensors, and what both call them."""
    table = {"embedding": "transformer.wte", "places": "transformer.wpe", "norm": "transformer.ln_f", "head": "lm_head"}
    block = {
        "norm1": "ln_1",
        "attention.qkv": "attn.c_attn",
        "attention.out": "attn.c_proj",
        "norm2": "ln_2",
        "up": "mlp.c_fc",
        "down": "mlp.c_proj",
    }
    for i in range(layers):
        table |= {f"blocks.{i}.{ours}": f"transformer.h.{i}.{theirs}" for ours, theirs in block.items()}
    return table


def to_gpt2(model: GPT, layout: Layout = "nanogpt") -> dict[str, Tensor]:
    """A model's tensors as nanoGPT's or Hugging Face's GPT-2 names them.

    Raises:
        InputError: for a model with parts that GPT-2 doesn't have.
    """
    wanted = {
        "positions": "learned",
        "norm": "layer",
        "tied": True,
        "qk_norm": False,
        "activation": _activation(layout),
    }
    if wrong := [f"{key}={model.hparams[key]!r}" for key, value in wanted.items() if model.hparams[key] != value]:
        raise InputError(f"{layout} has no model with {', '.join(wrong)}")
    table = names(len(model.blocks))
    tensors = {}
    for name, tensor in model.state_dict().items():
        module, _, kind = name.rpartition(".")
        transposed = layout == "huggingface" and kind == "weight" and module.endswith(LINEAR)
        tensors[f"{table[module]}.{kind}"] = tensor.T.contiguous() if transposed else tensor
    if not model.hparams["bias"]:  # nanoGPT's switch takes the norms' biases away, too
        biases = [key for key in tensors if key.endswith("bias")]
        if layout == "huggingface" or any(tensors[key].any() for key in biases):
            raise InputError(f"{layout} has no model whose norms have biases and whose linear layers have none")
        tensors = {key: value for key, value in tensors.items() if key not in biases}
    return tensors


def from_gpt2(tensors: Mapping[str, Tensor], *, heads: int, layout: Layout = "nanogpt") -> GPT:
    """A model from tensors under nanoGPT's or Hugging Face's names; all sizes but one are read off their shapes.

    Args:
        heads: of an attention, which doesn't follow from any shape.

    Raises:
        InputError: if the tensors aren't a GPT-2's.
        CheckpointError: naming tensors that are missing, unexpected or misshapen.
    """
    activation = _activation(layout)
    # torch.compile puts a prefix before its names; attn.bias is the causal mask, a constant
    given = {name.removeprefix("_orig_mod."): tensor for name, tensor in tensors.items()}
    given = {name: t for name, t in given.items() if not name.endswith((".attn.bias", ".attn.masked_bias"))}
    if "wte.weight" in given:  # published GPT-2s are files of the network without its read-out
        given = {name if name.startswith("lm_head.") else f"transformer.{name}": t for name, t in given.items()}
    blocks = {name.split(".")[2] for name in given if name.startswith("transformer.h.")}
    table = {theirs: ours for ours, theirs in names(len(blocks)).items()}
    renamed: dict[str, Tensor] = {}
    for name, tensor in given.items():
        module, _, kind = name.rpartition(".")
        if module not in table:
            raise InputError(f"{name} is no tensor of a GPT-2")
        transposed = layout == "huggingface" and kind == "weight" and table[module].endswith(LINEAR)
        renamed[f"{table[module]}.{kind}"] = tensor.T if transposed else tensor
    if missing := {"embedding.weight", "places.weight"} - renamed.keys():
        raise InputError(f"these aren't a GPT-2's tensors: nothing stands for {', '.join(sorted(missing))}")
    vocab_size, width = renamed["embedding.weight"].shape
    head = renamed.pop("head.weight", None)
    if head is not None and not torch.equal(head, renamed["embedding.weight"]):
        raise InputError("lm_head.weight differs from transformer.wte.weight: a GPT-2 has them tied")
    model = GPT(
        vocab_size,
        len(renamed["places.weight"]),
        layers=len(blocks),
        heads=heads,
        width=width,
        positions="learned",
        norm="layer",
        activation=activation,
        bias="blocks.0.up.bias" in renamed,
    )
    if not model.hparams["bias"]:
        norms = [name for name in model.state_dict() if name.endswith("bias")]
        renamed |= {name: torch.zeros(width) for name in norms if name not in renamed}
    load_tensors(model, renamed)
    return model.eval()


def _activation(layout: str) -> Literal["gelu", "gelu_tanh"]:
    if layout not in ("nanogpt", "huggingface"):
        raise InputError(f"layout is 'nanogpt' or 'huggingface', not {layout!r}")
    return "gelu_tanh" if layout == "huggingface" else "gelu"
