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

Drawing takes a pass for every pixel, but each number is computed once. The vertical stack's output for a row is ready when the
rows above are, and adds its part to the horizontal stack's sums. A pixel that is drawn adds its own to those on its right.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.blocks.layers import Layers
from zoo.core.checks import check_count
from zoo.errors import InputError
from zoo.models.pixel.pixel_model import PixelModel


class MaskedConv2d(nn.Conv2d):
    """A convolution whose kernel is zero where a mask says so; the size stays.

    Rows and columns of zeros at the kernel's edges are neither stored nor computed: the input is shifted in their place.

    Args:
        mask: float [kernel height, kernel width], both odd.
        dilation: distance between the pixels that the kernel reads.
    """

    mask: Tensor
    bias: Tensor

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

    def last_row(self, x: Tensor) -> Tensor:
        """The last row of the output alone, [N, W, out_channels], from the rows of x that it needs [N, rows, W, in_channels].

        One product of matrices: for a single row a convolution would spend most of its time on laying out its weights.
        """
        left, right, top, bottom = self.edges
        x = x[:, -top - 1 :]
        x = F.pad(x, (0, 0, left, right, top + 1 - x.shape[1], bottom))
        step, reach = self.dilation[0], self.dilation[1] * (self.kernel_size[1] - 1)
        patches = x[:, ::step].unfold(2, reach + 1, 1)[..., :: self.dilation[1]]  # [N, rows, W, in, columns]
        weight = (self.weight * self.mask).permute(0, 2, 3, 1).flatten(1)
        return F.linear(patches.permute(0, 2, 1, 4, 3).flatten(2), weight, self.bias)


class Row:
    """What a masked convolution gives for one row while this is drawn from left to right.

    The output for a pixel is a sum over earlier pixels. Every pixel of the row adds its part to all sums that it belongs to, in
    one product, as soon as it is known.

    Args:
        conv: the last row of its kernel is the pixel's own, and the mask's ones come first in it.
        above: the part of the sums that doesn't come from the row itself, the bias among it, [N, W, out_channels].
    """

    def __init__(self, conv: MaskedConv2d, above: Tensor) -> None:
        kernel = conv.weight[:, :, -1, : int(conv.mask[-1].sum())]  # [out, in, taps]
        # a pixel is the right-hand tap of the nearest pixel that reads it, and the left-hand one of the furthest
        self.weight = kernel.flip(2).permute(2, 0, 1).flatten(0, 1)
        self.taps, self.step, self.reach = kernel.shape[2], conv.dilation[1], conv.edges[0]
        self.sums = F.pad(above, (0, 0, 0, self.reach))  # a pixel near the end of the row gives to places beyond it

    def add(self, x: Tensor, column: int) -> None:
        """Add the parts of the pixel in this column, x [N, in_channels]; each pixel once."""
        parts = F.linear(x, self.weight).view(len(x), self.taps, -1)
        furthest = column + self.reach
        nearest = furthest - self.step * (self.taps - 1)
        self.sums[:, nearest : furthest + 1 : self.step].add_(parts)

    def __getitem__(self, column: int) -> Tensor:
        """The sums of a pixel [N, out_channels], complete when all that it reads were added."""
        return self.sums[:, column]


def pointwise(layer: nn.Module, x: Tensor) -> Tensor:
    """A convolution with a kernel of 1, or a function of single numbers, for pixels whose channels come last."""
    return F.linear(x, layer.weight.flatten(1), layer.bias) if isinstance(layer, nn.Conv2d) else layer(x)


def vertical_mask(kernel: int, *, own_row: bool) -> Tensor:
    """[kernel, kernel]: 1 on the rows above the centre, and on the centre's row if asked for."""
    rows = torch.arange(kernel)[:, None].expand(kernel, kernel)
    return (rows <= kernel // 2 if own_row else rows < kernel // 2).float()


def horizontal_mask(kernel: int, *, itself: bool) -> Tensor:
    """[1, kernel]: 1 on the pixels before the centre, and on the centre if asked for."""
    columns = torch.arange(kernel)[None, :]
    return (columns <= kernel // 2 if itself else columns < kernel // 2).float()


def gate(x: Tensor, dim: int = 1) -> Tensor:
    """tanh(a) · σ(b) of the two halves of the channels, which are dimension `dim`."""
    a, b = x.chunk(2, dim=dim)
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
        out = self.out(gate(self.horizontal(h) + self.across(above)))
        return gate(above), out if self.first else h + out


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

    def remember(self, x: Tensor, row: int, memory: list[tuple[Tensor, Row]] | None) -> list[tuple[Tensor, Row]]:
        """Of every layer: the rows that its vertical stack reads again for the next row, and the horizontal stack's sums."""
        v, result = self.see(x, slice(max(0, row - 3), row + 1)).movedim(1, -1), []  # [N, rows, W, channels]
        for i, layer in enumerate(self.layers):
            if i and memory:
                v = torch.cat([memory[i][0], v], dim=1)
            above = layer.vertical.last_row(v)
            sums = pointwise(layer.across, above) + layer.horizontal.bias
            result.append((v[:, -layer.reach :], Row(layer.horizontal, sums)))
            v = gate(above, dim=2)[:, None]
        return result

    def pixel_logits(self, x: Tensor, row: int, column: int, memory: list[tuple[Tensor, Row]]) -> Tensor:
        """Logits [N, levels] of one pixel; those of a row are asked for from left to right, each once."""
        (first, *layers), (image, *rows) = self.layers, [sums for _, sums in memory]
        if column:  # the first layer reads the image, up to the pixel before
            image.add(self.see(x, slice(row, row + 1), slice(column - 1, column))[:, :, 0, 0], column - 1)
        h = pointwise(first.out, gate(image[column]))
        for layer, sums in zip(layers, rows, strict=True):
            sums.add(h, column)
            h = h + pointwise(layer.out, gate(sums[column]))
        for part in self.head:
            h = pointwise(part, h)
        return h
