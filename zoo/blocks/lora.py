"""Low-rank adaptation of linear layers (Hu et al., 2022, arXiv:2106.09685): what changes in fine-tuning has a low rank.

    y = W x + (alpha / rank) · B A x,      W frozen,  A [rank, in] random,  B [out, rank] zero at first

B A has rank · (in + out) numbers in place of in · out. At first nothing changes; afterwards W + (alpha / rank) B A is a matrix
like W, so a merged model costs what the old one did and is a checkpoint of the same architecture.
"""

import math
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import InputError


class LoRALinear(nn.Module):
    """A frozen linear layer with a low-rank change beside it.

    Args:
        linear: the layer; its own parameters stop learning.
        rank: of the change.
        alpha: scale of the change; it is multiplied by alpha / rank.

    Shapes:
        x: [..., in]; y: [..., out].
    """

    def __init__(self, linear: nn.Linear, rank: int = 8, alpha: float = 16.0) -> None:
        super().__init__()
        limit = min(linear.in_features, linear.out_features)
        if isinstance(rank, bool) or not isinstance(rank, int) or not 1 <= rank <= limit:
            raise InputError(f"the rank of a change of {limit} dimensions runs from 1 to {limit}, not {rank!r}")
        self.linear, self.scale = linear.requires_grad_(False), alpha / rank
        self.a = nn.Parameter(torch.empty(rank, linear.in_features, device=linear.weight.device))
        self.b = nn.Parameter(torch.zeros(linear.out_features, rank, device=linear.weight.device))
        nn.init.kaiming_uniform_(self.a, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + self.scale * F.linear(F.linear(x, self.a), self.b)

    def merged(self) -> nn.Linear:
        """The linear layer with the change added to its weight."""
        with torch.no_grad():
            self.linear.weight += self.scale * (self.b @ self.a)
        return self.linear.requires_grad_(True)


def add_lora(
    model: nn.Module,
    rank: int = 8,
    alpha: float = 16.0,
    *,
    targets: Collection[str] = ("qkv", "out"),
    keep: Collection[nn.Parameter] = (),
) -> list[str]:
    """Freeze a model and put a low-rank change beside each linear layer of one of these names; returns the layers' full names.

    Args:
        targets: last parts of the layers' names; of GPT and BERT here "qkv", "out", "up" and "down".
        keep: parameters that learn on as they are, such as those of a fresh head.

    Raises:
        InputError: if no linear layer has such a name, or a rank that doesn't fit; the model is as it was then.
    """
    found = [name for name, m in model.named_modules() if isinstance(m, nn.Linear) and name.split(".")[-1] in targets]
    if not found:
        known = {name.split(".")[-1] for name, m in model.named_modules() if isinstance(m, nn.Linear)}
        raise InputError(
            f"no linear layer is named {' or '.join(targets)}; there are {', '.join(sorted(known)) or 'none'}"
        )
    layers: dict[str, Any] = {name: model.get_submodule(name) for name in found}
    changed = {name: LoRALinear(layer, rank, alpha) for name, layer in layers.items()}
    model.requires_grad_(False)
    for parameter in keep:
        parameter.requires_grad_(True)
    for name, layer in changed.items():
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, layer)
        layer.a.requires_grad_(True)
        layer.b.requires_grad_(True)
    return found


def merge_lora(model: nn.Module) -> int:
    """Add every low-rank change to its layer's weight and take it away; returns their number. All parameters learn again."""
    found = {name: module for name, module in model.named_modules() if isinstance(module, LoRALinear)}
    for name, module in found.items():
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, module.merged())
    if found:
        model.requires_grad_(True)
    return len(found)
