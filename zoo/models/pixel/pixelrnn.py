"""PixelRNN with row LSTMs (van den Oord, Kalchbrenner and Kavukcuoglu, 2016, arXiv:1601.06759).

p(x) = Π p(x_i | x_<i), where an LSTM walks down the rows and treats all pixels of a row at once: what it carries from row to row
is a row of states, and its weights are convolutions along the row,

    o, f, i, g = σ, σ, σ, tanh ( K_s ∗ h_{r-1} + K_i ∗ x_r ),      c_r = f·c_{r-1} + i·g,      h_r = o·tanh(c_r)

K_s is free, for the whole row above is past; K_i is masked, so that a pixel sees of its own row only what is before it. A state
reaches everything in the triangle above its pixel: an unbounded context upwards, where PixelCNN's is as deep as its layers.

Departures from the paper: fewer layers; AdamW with a cosine schedule in place of RMSProp.
"""

import torch
from torch import Tensor, nn

from zoo.blocks.layers import Layers
from zoo.models.pixel.pixel_model import PixelModel
from zoo.models.pixel.pixelcnn import MaskedConv2d, horizontal_mask, vertical_mask

State = tuple[Tensor, Tensor]


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
        o, f, i, g = (inputs + self.states(h)).chunk(4, dim=1)
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

    def remember(self, x: Tensor, row: int, memory: list[State] | None) -> list[State] | None:
        """The states of all layers at the row above, which is complete by now."""
        return None if row == 0 else self._walk(x, row - 1, memory)[1]

    def pixel_logits(self, x: Tensor, row: int, column: int, memory: list[State] | None) -> Tensor:
        return self.head(self._walk(x, row, memory)[0][..., column : column + 1])[:, :, 0, 0]

    def _walk(self, x: Tensor, row: int, memory: list[State] | None) -> tuple[Tensor, list[State]]:
        """What the layers give for one row, [N, C, 1, W], and their states there."""
        h = self.stem(2 * x[:, :, max(0, row - 3) : row + 1] - 1)[:, :, -1:]  # the first kernel reaches three rows up
        states = []
        for i, layer in enumerate(self.rows):
            state = layer.step(layer.inputs(h)[:, :, 0], memory[i] if memory else layer.start(h))
            states.append(state)
            h = h + state[0][:, :, None]
        return h, states
