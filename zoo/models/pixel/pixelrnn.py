"""PixelRNN with row LSTMs (van den Oord, Kalchbrenner and Kavukcuoglu, 2016, arXiv:1601.06759).

p(x) = Π p(x_i | x_<i), where an LSTM walks down the rows and treats all pixels of a row at once: what it carries from row to row
is a row of states, and its weights are convolutions along the row,

    o, f, i, g = σ, σ, σ, tanh ( K_s ∗ h_{r-1} + K_i ∗ x_r ),      c_r = f·c_{r-1} + i·g,      h_r = o·tanh(c_r)

K_s is free, for the whole row above is past; K_i is masked, so that a pixel sees of its own row only what is before it. A state
reaches everything in the triangle above its pixel: an unbounded context upwards, where PixelCNN's is as deep as its layers.

Departures from the paper: fewer layers; AdamW with a cosine schedule in place of RMSProp.

Drawing computes K_s ∗ h once for each row, and K_i ∗ x pixel by pixel.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.blocks.layers import Layers
from zoo.models.pixel.pixel_model import PixelModel
from zoo.models.pixel.pixelcnn import MaskedConv2d, Row, horizontal_mask, pointwise, vertical_mask

State = tuple[Tensor, Tensor]
Memory = tuple[list[State], list[Row]]


class RowLSTM(nn.Module):
    """A row LSTM with a residual: [N, C, H, W] to the same; row r of the output sees rows up to r, causally in the own row."""

    def __init__(self, channels: int, kernel: int = 3) -> None:
        super().__init__()
        self.inputs = MaskedConv2d(channels, 4 * channels, horizontal_mask(kernel, itself=True))
        self.states = nn.Conv1d(channels, 4 * channels, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        state, rows = self.start(x), []
        for inputs in self.inputs(x).unbind(2):  # H × [N, 4C, W]: all inputs at once, the states one by one
            state = self.step(inputs, state)
            rows.append(state[0])
        return x + torch.stack(rows, 2)

    def start(self, x: Tensor) -> State:
        """The state above the first row."""
        zeros = x.new_zeros(x.shape[0], x.shape[1], x.shape[3])
        return zeros, zeros

    def step(self, inputs: Tensor, state: State) -> State:
        """h and c of a row [N, C, W] from its inputs [N, 4C, W] and those of the row above."""
        h, c = state
        return cell(inputs + self.states(h), c)


def cell(sums: Tensor, c: Tensor) -> State:
    """h and c from the sums of the four gates [N, 4C, …] and c of the row above [N, C, …]."""
    o, f, i, g = sums.chunk(4, dim=1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


class PixelRNN(PixelModel):
    """PixelRNN of small grey images.

    Args:
        image_shape: (1, height, width).
        width: channels of the states.
        layers: row LSTMs.
        levels: grey levels.

    Shapes:
        images x: [N, 1, H, W] in [0, 1]; logits: [N, levels, H, W].
    """

    def __init__(
        self, image_shape: tuple[int, int, int] = (1, 28, 28), width: int = 64, *, layers: int = 4, levels: int = 256
    ) -> None:
        super().__init__(image_shape, levels)
        self.save_hyperparameters()
        first = vertical_mask(7, own_row=False)
        first[3, :3] = 1  # mask A: the rows above, and the row before the pixel
        self.stem = MaskedConv2d(1, width, first)
        self.rows = Layers(RowLSTM(width) for _ in range(layers))
        self.head = nn.Sequential(nn.ReLU(), nn.Conv2d(width, 2 * width, 1), nn.ReLU(), nn.Conv2d(2 * width, levels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of every pixel's grey level, [N, levels, H, W]."""
        h = self.stem(2 * x - 1)
        for layer in self.rows:
            h = layer(h)
        return self.head(h)

    def remember(self, x: Tensor, row: int, memory: Memory | None) -> Memory:
        """The layers' states at the row above, which is complete by now, and the sums of this row: the stem's and the layers'."""
        above = 2 * x[:, 0, max(0, row - 3) : row, :, None] - 1  # [N, rows, W, 1]
        above = F.pad(above, (0, 0, 0, 0, 0, 1))  # the row itself gives nothing yet
        rows = [Row(self.stem, self.stem.last_row(above))]
        states = self._states(x, row - 1, memory[0] if memory else None)
        for layer, (h, _) in zip(self.rows, states, strict=True):
            rows.append(Row(layer.inputs, layer.states(h).mT + layer.inputs.bias))
        return states, rows

    def pixel_logits(self, x: Tensor, row: int, column: int, memory: Memory) -> Tensor:
        """Logits [N, levels] of one pixel; those of a row are asked for from left to right, each once."""
        states, (stem, *rows) = memory
        if column:
            stem.add(2 * x[:, :, row, column - 1] - 1, column - 1)
        h = stem[column]
        for sums, (_, c) in zip(rows, states, strict=True):
            sums.add(h, column)
            h = h + cell(sums[column], c[..., column])[0]
        for part in self.head:
            h = pointwise(part, h)
        return h

    def _states(self, x: Tensor, row: int, before: list[State] | None) -> list[State]:
        """The states of the layers at a row, from those at the row before; above the first row they are 0."""
        if before is None:
            zeros = x.new_zeros(len(x), self.stem.out_channels, x.shape[3])
            return [(zeros, zeros) for _ in self.rows]
        h = self.stem(2 * x[:, :, max(0, row - 3) : row + 1] - 1)[:, :, -1:]  # the first kernel reaches three rows up
        states = []
        for layer, state in zip(self.rows, before, strict=True):
            states.append(layer.step(layer.inputs(h)[:, :, 0], state))
            h = h + states[-1][0][:, :, None]
        return states
