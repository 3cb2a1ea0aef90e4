"""Stacks of fully connected layers, which autoencoders and adversarial networks are made of."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, get_args

from torch import nn

from zoo.core.checks import check_count
from zoo.errors import InputError

Activation = Literal["relu", "leaky_relu", "gelu", "silu", "softplus", "tanh", "sigmoid", "none"]
_MODULES: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "none": nn.Identity,
}


def activation_of(name: Activation) -> nn.Module:
    """A fresh activation module; the leaky one has slope 0.2, as in the adversarial networks' papers.

    Raises:
        InputError: for an unknown name; it lists the known ones.
    """
    if name == "leaky_relu":
        return nn.LeakyReLU(0.2)
    if name not in _MODULES:
        raise InputError(f"activation must be one of {', '.join(get_args(Activation))}, not {name!r}")
    return _MODULES[name]()


def dense(
    widths: Sequence[int],
    activation: Activation = "relu",
    *,
    batch_norm: bool = False,
    dropout: float = 0.0,
    bare_end: bool = True,
) -> nn.Sequential:
    """Linear layers between successive widths, each but (with `bare_end`) the last with norm, activation and dropout.

    Batch norm stands before the activation. A single width gives the identity.
    """
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(pairwise(widths), start=1):
        layers.append(nn.Linear(check_count(before, "a layer's width"), check_count(after, "a layer's width")))
        if bare_end and i == len(widths) - 1:
            break
        if batch_norm:
            layers.append(nn.BatchNorm1d(after))
        layers.append(activation_of(activation))
        if dropout:
            layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers)
