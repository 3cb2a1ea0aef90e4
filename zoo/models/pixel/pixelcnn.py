"""Gated PixelCNN (van den Oord et al., 2016, arXiv:1606.05328, after their arXiv:1601.06759).

p(x) = Π p(x_i | x_<i) with convolutions for all conditionals at once. What makes a convolution causal is a mask on its kernel:
weights on later pixels are zero, in the first layer (mask A) that on the pixel itself too, afterwards (mask B) not. One stack of
such kernels has a blind spot, pixels above and to the right that no path reaches. Two stacks see everything that is earlier:

    vertical stack    all rows above,       v = W_v ∗ v                          kernels cut off below the row
    horizontal stack  the row so far,       h = W_h ∗ h + W_1×1 v                kernels cut off after the pixel

each with the gate y = tanh(a) · σ(b), which multiplies as an LSTM does.

The input for a pixel is its brightness and, beside it, an embedding of its grey level, a vector for each of 256 as if it were a
word:

    u = [2 x − 1, e(level) + place]

Grey levels return exactly. Down the edge of an upright stroke each row repeats that of the row above, and the full ink of an
image is 253 in one and 254 in another. In brightness that is a difference of a 255th; a vector of its own is as plain as any.

Departures from the papers: that embedding, with a learnt vector for every place added; fewer channels and layers; AdamW with a
cosine schedule; no labels.

Drawing takes a pass for every pixel, but not of all layers over the whole image: the vertical stack's output for a row is ready
when the rows above are, and in the row itself the layers' outputs for earlier pixels stay as they were.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.blocks.layers import Layers
from zoo.core.checks import check_count
from zoo.errors import InputError
from zoo.models.pixel.pixel_model import PixelModel

Memory = list[tuple[Tensor, Tensor, Tensor]]


class MaskedConv2d(nn.Conv2d):
    """A convolution whose kernel is zero where a mask says so; the size stays.

    Rows and columns of zeros at the kernel's edges are neither stored nor computed: the input is shifted in their place.

    Args:
        mask: float [kernel height, kernel width], both odd.
        dilation: distance between the pixels that the kernel reads.
    """

    mask: Tensor

    def __init__(self, in_channels: int, out_channels: int, mask: Tensor, dilation: int = 1) -> None:
        rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
        top, bottom, left, right = (int(edge) for edge in (rows[0], rows[-1], columns[0], columns[-1]))
        super().__init__(in_channels, out_channels, (bottom - top + 1, right - left + 1), dilation=dilation)
        self.register_buffer("mask", mask[top : bottom + 1, left : right + 1].clone(), persistent=False)
        middle = mask.shape[0] // 2, mask.shape[1] // 2
        edges = (middle[1] - left, right - middle[1], middle[0] - top, bottom - middle[0])
        self.edges = tuple(dilation * edge for edge in edges)  # below 0 cuts off

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, self.edges), self.weight * self.mask, self.bias, dilation=self.dilation)


def vertical_mask(kernel: int, *, own_row: bool) -> Tensor:
    """[kernel, kernel]: 1 on the rows above the centre, and on the centre's row if asked for."""
    rows = torch.arange(kernel)[:, None].expand(kernel, kernel)
    return (rows <= kernel // 2 if own_row else rows < kernel // 2).float()


def horizontal_mask(kernel: int, *, itself: bool) -> Tensor:
    """[1, kernel]: 1 on the pixels before the centre, and on the centre if asked for."""
    columns = torch.arange(kernel)[None, :]
    return (columns <= kernel // 2 if itself else columns < kernel // 2).float()


def gate(x: Tensor) -> Tensor:
    """tanh(a) · σ(b) of the two halves of the channels."""
    a, b = x.chunk(2, dim=1)
    return a.tanh() * b.sigmoid()


class GatedLayer(nn.Module):
    """One layer of both stacks: v, h [N, C, H, W] to v, h [N, width, H, W].

    The first layer reads the image itself and must not see the pixel that it predicts; later ones see only what is causal.
    """

    def __init__(self, in_channels: int, width: int, kernel: int, *, first: bool, dilation: int = 1) -> None:
        super().__init__()
        self.first, self.reach = first, kernel // 2 * dilation  # rows above, and columns to the left
        self.vertical = MaskedConv2d(in_channels, 2 * width, vertical_mask(kernel, own_row=not first), dilation)
        self.across = nn.Conv2d(2 * width, 2 * width, 1)
        self.horizontal = MaskedConv2d(in_channels, 2 * width, horizontal_mask(kernel, itself=not first), dilation)
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, v: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        above = self.vertical(v)
        return gate(above), self.along(h, self.across(above))

    def along(self, h: Tensor, above: Tensor) -> Tensor:
        """The horizontal stack; `above` is the output of the vertical one [N, 2 · width, H, W]."""
        out = self.out(gate(self.horizontal(h) + above))
        return out if self.first else h + out


class PixelCNN(PixelModel):
    """Gated PixelCNN of small grey images.

    Args:
        image_shape: (1, height, width).
        width: channels of both stacks.
        layers: gated layers; the first has a kernel of 7, the others `kernel`.
        kernel: odd; with 3 and n layers a pixel sees n + 2 rows up.
        dilations: distance between the pixels that each layer's kernel reads, the first 1; larger ones see further at the same
            cost. None for 1 everywhere.
        embedding_dim: length of a grey level's vector.
        levels: grey levels.

    Shapes:
        images x: [N, 1, H, W] in [0, 1]; logits: [N, levels, H, W].
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (1, 28, 28),
        width: int = 64,
        *,
        layers: int = 12,
        kernel: int = 3,
        dilations: Sequence[int] | None = None,
        embedding_dim: int = 16,
        levels: int = 256,
    ) -> None:
        super().__init__(image_shape, levels)
        self.save_hyperparameters()
        check_count(embedding_dim, "embedding_dim")
        steps = [1] * layers if dilations is None else list(dilations)
        if len(steps) != layers or steps[0] != 1 or min(steps) < 1:
            raise InputError(f"dilations are {layers} numbers from 1 on, the first 1, not {dilations!r}")
        self.embedding = nn.Embedding(levels, embedding_dim)
        self.place = nn.Parameter(torch.zeros(1, embedding_dim, *image_shape[1:]))
        self.layers = Layers(
            GatedLayer(width if i else 1 + embedding_dim, width, kernel if i else 7, first=i == 0, dilation=step)
            for i, step in enumerate(steps)
        )
        self.head = nn.Sequential(nn.ReLU(), nn.Conv2d(width, 2 * width, 1), nn.ReLU(), nn.Conv2d(2 * width, levels, 1))
        self.to(memory_format=torch.channels_last)  # a fifth faster on a CPU

    def forward(self, x: Tensor) -> Tensor:
        """Logits of every pixel's grey level, [N, levels, H, W]."""
        v = h = self.see(x)
        for layer in self.layers:
            v, h = layer(v, h)
        return self.head(h)

    def see(self, x: Tensor, rows: slice = slice(None), columns: slice = slice(None)) -> Tensor:
        """What the first layer reads of these rows and columns of x: [N, 1 + embedding_dim, rows, columns]."""
        x = x[:, :, rows, columns]
        level = self.embedding(self.targets(x)).movedim(-1, 1)
        return torch.cat([2 * x - 1, level + self.place[:, :, rows, columns]], dim=1)

    def remember(self, x: Tensor, row: int, memory: Memory | None) -> Memory:
        """Of every layer: the rows that its vertical stack reads again for the next row, its output for this one, and the
        horizontal stack's row so far, which `pixel_logits` fills in."""
        v, result = self.see(x, slice(max(0, row - 3), row + 1)), []
        for i, layer in enumerate(self.layers):
            if i and memory:
                v = torch.cat([memory[i][0], v], dim=2)
            above = layer.vertical(v)[:, :, -1:]
            own = torch.zeros_like(v[:, :, -1:])
            result.append((v[:, :, -layer.reach :], layer.across(above), own))
            v = gate(above)
        return result

    def pixel_logits(self, x: Tensor, row: int, column: int, memory: Memory) -> Tensor:
        # the first layer reads the image; later ones read the outputs for earlier pixels, and for this one just now
        h = self.see(x, slice(row, row + 1), slice(column + 1))
        for layer, (_, above, own) in zip(self.layers, memory, strict=True):
            own[..., column + 1 - h.shape[3] : column + 1] = h
            near = slice(max(0, column - layer.reach), column + 1)
            h = layer.along(own[..., near], above[..., near])[..., -1:]
        return self.head(h)[:, :, 0, 0]
