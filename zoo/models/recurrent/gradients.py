"""How much of a gradient is left k steps back in time: why plain RNNs forget, and what gates change.

    ‖ vᵀ ∂s_T / ∂s_{T−k} ‖,  averaged over random unit vectors v       s the state (h of an RNN or GRU; h and c of an LSTM)

For the plain RNN it is a product of k factors diag(1 − h²) U, which vanishes or explodes like a power; the LSTM's cell passes it
on by the forget gate alone (Hochreiter, 1991; Bengio et al., 1994).
"""

from typing import Any

import torch
from torch import Tensor

from zoo.core.checks import check_count, seeded_generator
from zoo.errors import InputError
from zoo.models.recurrent.char_rnn import CharRNN


def gradient_norms(model: CharRNN, tokens: Tensor, lags: int = 64, *, draws: int = 8, seed: int = 0) -> Tensor:
    """Mean norm of the gradient 0, 1, … `lags` steps back from the end of tokens [N, T], for each layer: [lags + 1, layers].

    Args:
        draws: random directions v; each is a unit vector in the state of one layer of one row.

    Raises:
        InputError: if the tokens are too few.
    """
    check_count(lags, "lags")
    if tokens.ndim != 2 or tokens.shape[1] <= lags:
        raise InputError(f"tokens must be [N, more than {lags}], not {list(tokens.shape)}")
    model.eval()
    head, tail = tokens[:, : tokens.shape[1] - lags], tokens[:, tokens.shape[1] - lags :]
    with torch.no_grad():
        state = model.step(head)[1]
    states = [tuple(s.clone().requires_grad_() for s in (state if isinstance(state, tuple) else (state,)))]
    with torch.backends.cudnn.flags(enabled=False):  # cuDNN has no backward pass outside of training mode
        for token in tail.split(1, dim=1):
            given: Any = states[-1] if isinstance(state, tuple) else states[-1][0]
            after = model.step(token, given)[1]
            states.append(after if isinstance(after, tuple) else (after,))
    flat = [s for every in states for s in every]
    parts = len(states[0])
    layers = states[0][0].shape[0]
    generator = seeded_generator(torch.device("cpu"), seed)
    total = torch.zeros(lags + 1, layers)
    for layer in range(layers):
        for _ in range(draws):
            v = torch.randn(parts, *states[0][0].shape[1:], generator=generator).to(model.device)  # [parts, N, D]
            v = v / v.square().sum((0, 2), keepdim=True).sqrt()
            goal = torch.stack([(s[layer] * v[i]).sum() for i, s in enumerate(states[-1])]).sum()
            gradients = torch.autograd.grad(goal, flat, retain_graph=True)
            for k in range(lags + 1):
                at = len(states) - 1 - k
                g = torch.stack([gradients[parts * at + i][layer] for i in range(parts)])  # [parts, N, D]
                total[k, layer] += g.square().sum((0, 2)).sqrt().mean().cpu() / draws
    return total
