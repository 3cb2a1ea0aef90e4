"""First weights: the scale at which a signal keeps its variance from layer to layer (Glorot and Bengio, 2010).

A sum over n inputs has n times the variance of one term. Weights with a variance of 1 / n_in keep the variance of what goes
forward, 1 / n_out that of the gradient going back; Xavier's is between the two,

    Var(w) = gain² · 2 / (n_in + n_out)

with a gain for what the activation takes away (√2 for ReLU). Some books print the gain without its square.

Orthogonal weights keep not the variance on average but the length of every single signal, WᵀW = gain² I, and of every gradient
on its way back: products of many of them neither explode nor vanish (Saxe, McClelland and Ganguli, 2014, arXiv:1312.6120).
"""

from collections.abc import Callable
from typing import Any, Literal, get_args

from torch import Tensor, nn

from zoo.errors import InputError

Start = Literal["default", "xavier_normal", "xavier_uniform", "orthogonal", "uniform", "zeros"]


def initialize(model: nn.Module, how: Start, *, gain: float = 1.0, bound: float = 0.1) -> nn.Module:
    """Draw the weights of all linear and convolutional layers anew, and set their biases to zero.

    Args:
        how: "default" leaves everything as PyTorch made it; "uniform" draws from [-bound, bound], biases too.
        gain: for Xavier's two and the orthogonal ones, see `torch.nn.init.calculate_gain`.

    Raises:
        InputError: for an unknown way, a gain or a bound that isn't above 0.
    """
    if how not in get_args(Start):
        raise InputError(f"how must be one of {', '.join(get_args(Start))}, not {how!r}")
    if not gain > 0 or not bound > 0:
        raise InputError(f"gain and bound must be above 0, not {gain!r} and {bound!r}")
    draw: dict[str, Callable[[Tensor], Any]] = {
        "xavier_normal": lambda w: nn.init.xavier_normal_(w, gain),
        "xavier_uniform": lambda w: nn.init.xavier_uniform_(w, gain),
        "orthogonal": lambda w: nn.init.orthogonal_(w, gain),
        "uniform": lambda w: nn.init.uniform_(w, -bound, bound),
        "zeros": nn.init.zeros_,
    }
    for layer in model.modules():
        if how != "default" and isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
            draw[how](layer.weight)
            if layer.bias is not None:
                draw["uniform" if how == "uniform" else "zeros"](layer.bias)
    return model
