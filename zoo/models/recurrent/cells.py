"""The recurrent cells, equation by equation. The zoo's models run on torch's fused layers, which give the same numbers.

    RNN     h' = tanh(W x + b + U h + c)                                             (Elman, 1990)

    LSTM    i, f, o = σ(…),  g = tanh(…)           each W x + b + U h + c with weights of its own
            c' = f ⊙ c + i ⊙ g,   h' = o ⊙ tanh(c')                                  (Hochreiter and Schmidhuber, 1997)

    GRU     r, z = σ(…)                                                              (Cho et al., 2014, arXiv:1406.1078)
            n = tanh(W x + b + r ⊙ (U h + c))      reset after the product: torch, cuDNN
            n = tanh(W x + b + U (r ⊙ h) + c)      reset before it: the paper, most textbooks
            h' = z ⊙ h + (1 − z) ⊙ n               z keeps the old state: torch, the paper
            h' = (1 − z) ⊙ h + z ⊙ n               z takes the new one: the other half of the literature

The two roles of z are one model: negate the weights of its gate and they change places. The two places of r are not: they agree
only where U is diagonal, so weights trained under one must not run under the other.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from zoo.core.checks import check_count
from zoo.errors import InputError


class Cell(nn.Module):
    """Weights of a cell with `gates` blocks of rows, under the names and in the order of torch's own cells.

    Shapes:
        x: [N, input_size]; h: [N, hidden_size]; weight_ih: [gates · hidden, input]; weight_hh: [gates · hidden, hidden].
    """

    gates: int

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        check_count(input_size, "input_size")
        check_count(hidden_size, "hidden_size")
        self.hidden_size = hidden_size
        rows = self.gates * hidden_size
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size))
        self.weight_hh = nn.Parameter(torch.empty(rows, hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(rows))
        self.bias_hh = nn.Parameter(torch.empty(rows))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(hidden_size**-0.5), hidden_size**-0.5)

    @classmethod
    def from_layer(cls, layer: nn.RNNBase) -> "Cell":
        """A cell that shares the weights of the first layer of `nn.RNN`, `nn.GRU` or `nn.LSTM`."""
        cell = cls(layer.input_size, layer.hidden_size)
        for name, _ in list(cell.named_parameters()):
            setattr(cell, name, getattr(layer, f"{name}_l0"))
        return cell

    def blocks(self, x: Tensor, h: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """W x + b and U h + c, a block [N, hidden] for each gate."""
        from_input = x @ self.weight_ih.T + self.bias_ih
        from_state = h @ self.weight_hh.T + self.bias_hh
        return from_input.chunk(self.gates, dim=1), from_state.chunk(self.gates, dim=1)

    def start(self, x: Tensor) -> Tensor:
        """The state before the first step, zero."""
        return x.new_zeros(len(x), self.hidden_size)


class RNNCell(Cell):
    """The plain recurrent cell."""

    gates = 1

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        (a,), (b,) = self.blocks(x, h)
        return torch.tanh(a + b)


class GRUCell(Cell):
    """The gated recurrent unit in each of its conventions; the defaults are torch's.

    Args:
        reset: "after" or "before" the product with U.
        update: whether z is the share of the old state to "keep" or of the new one to "take".
    """

    gates = 3

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        reset: Literal["after", "before"] = "after",
        update: Literal["keep", "take"] = "keep",
    ) -> None:
        super().__init__(input_size, hidden_size)
        if reset not in ("after", "before"):
            raise InputError(f"reset is 'after' or 'before', not {reset!r}")
        if update not in ("keep", "take"):
            raise InputError(f"update is 'keep' or 'take', not {update!r}")
        self.reset, self.update = reset, update

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        (x_r, x_z, x_n), (h_r, h_z, h_n) = self.blocks(x, h)
        r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
        if self.reset == "before":
            u, c = self.weight_hh.chunk(3)[2], self.bias_hh.chunk(3)[2]
            n = torch.tanh(x_n + (r * h) @ u.T + c)
        else:
            n = torch.tanh(x_n + r * h_n)
        return z * h + (1 - z) * n if self.update == "keep" else (1 - z) * h + z * n


class LSTMCell(Cell):
    """Long short-term memory: what the forget gate lets through flows on without a weight in its way."""

    gates = 4

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        h, c = state
        (x_i, x_f, x_g, x_o), (h_i, h_f, h_g, h_o) = self.blocks(x, h)
        i, f, o = torch.sigmoid(x_i + h_i), torch.sigmoid(x_f + h_f), torch.sigmoid(x_o + h_o)
        c = f * c + i * torch.tanh(x_g + h_g)
        return o * torch.tanh(c), c

    def start(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]  # two states
        zero = super().start(x)
        return zero, zero


def unroll(cell: Cell, x: Tensor, state: Tensor | tuple[Tensor, Tensor] | None = None) -> Tensor:
    """The states h [N, T, hidden] of a cell along a sequence x [N, T, input]."""
    state = cell.start(x[:, 0]) if state is None else state
    states = []
    for x_t in x.unbind(1):
        state = cell(x_t, state)
        states.append(state[0] if isinstance(state, tuple) else state)
    return torch.stack(states, 1)
