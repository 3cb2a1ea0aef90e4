"""Gated nested U-Net for source separation (Geng et al., 2020; the nest is U-Net++'s, Zhou et al., 2018, arXiv:1807.10165).

A plain U-Net joins what it saw on the way down to what it paints on the way up, at the same size but many layers later. The nest
fills the space between: node (i, j) stands at size i and sees all nodes before it at that size and the next one from below,

    x(i, 0) = f(half of x(i-1, 0)),      x(i, j) = f([x(i, 0), …, x(i, j-1), double of x(i+1, j-1)])

The two arms of the U, its backbone, are gated: a convolution gives twice the channels, and one half gates the other, a · σ(b).
One picture is painted for both voices: the second mask is what the first leaves,

    M_1 = σ(u),    M_2 = 1 - M_1

Departures from the paper: voices of speakers for singing and accompaniment; the folding, the frequency vectors and the loss of
`unet_separation`. Without nest, gates and difference it is that network.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.models.audio.separator import SOURCES, Separator
from zoo.models.audio.unet_separation import FOLD, check_widths, double_conv, fit, frequency_vectors, pictures


class GatedNestedUNet(Separator):
    """U-Net whose middle is filled with nodes and whose backbone is gated.

    Args:
        rate, n_fft, hop: see `Separator`.
        widths: channels at each size of the picture, from the finest.
        gated: gates on the backbone.
        nested: all nodes; else the backbone alone, which is a plain U-Net.
        difference: the second mask is 1 minus the first; else each has a sigmoid of its own.

    Shapes:
        x: [N, samples]; voices: [N, 2, samples].
    """

    def __init__(
        self,
        rate: int = 8000,
        n_fft: int = 256,
        *,
        hop: int = 128,
        widths: Sequence[int] = (32, 48, 64, 96),
        gated: bool = True,
        nested: bool = True,
        difference: bool = True,
    ) -> None:
        super().__init__(rate, n_fft, hop=hop)
        self.save_hyperparameters()
        check_widths(widths, n_fft)
        self.levels, self.nested, self.difference = len(widths), nested, difference
        self.nodes = nn.ModuleDict()
        for j in range(self.levels):
            for i in range(self.levels - j):
                backbone = j in (0, self.levels - 1 - i)
                if not (nested or backbone):
                    continue
                before = [*widths, FOLD**2][i - 1] if j == 0 else (j if nested else 1) * widths[i] + widths[i + 1]
                make = gated_double_conv if gated and backbone else double_conv
                self.nodes[f"{i}_{j}"] = make(before, widths[i])
        self.frequency = nn.ParameterList(frequency_vectors(widths, n_fft))
        self.out = nn.Conv2d(widths[0], (1 if difference else SOURCES) * FOLD**2, 1)
        self.to(memory_format=torch.channels_last)

    def masks(self, spectrogram: Tensor) -> Tensor:
        painted = fit(self.paint, pictures(spectrogram), 2**self.levels).float()  # [N, 1 or 2, F - 1, T]
        masks = torch.cat([painted, painted[..., -1:, :]], 2).sigmoid()  # the top frequency takes its neighbour's mask
        return torch.cat([masks, 1 - masks], 1) if self.difference else masks

    def paint(self, picture: Tensor) -> Tensor:
        """Raw masks [N, 1 or 2, H, W] for pictures [N, 1, H, W] whose sides suit the halvings."""
        x = F.pixel_unshuffle(picture, FOLD).contiguous(memory_format=torch.channels_last)
        found: dict[tuple[int, int], Tensor] = {}
        for i in range(self.levels):
            x = found[i, 0] = self.nodes[f"{i}_0"](F.max_pool2d(x, 2) if i else x) + self.frequency[i]
        for j in range(1, self.levels):
            for i in range(self.levels - j):
                if f"{i}_{j}" not in self.nodes:
                    continue
                below = F.interpolate(found[i + 1, j - 1], scale_factor=2, mode="nearest")
                same = [found[i, k] for k in range(j)] if self.nested else [found[i, 0]]
                found[i, j] = self.nodes[f"{i}_{j}"](torch.cat([below, *same], 1))
        return F.pixel_shuffle(self.out(found[0, self.levels - 1]), FOLD)


class GatedConv(nn.Module):
    """3×3 convolution with batch norm whose channels come in pairs, a value and how much of it passes."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, 2 * after, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(2 * after)

    def forward(self, x: Tensor) -> Tensor:
        return F.glu(self.norm(self.conv(x)), 1)


def gated_double_conv(before: int, after: int) -> nn.Sequential:
    """Two gated convolutions."""
    return nn.Sequential(GatedConv(before, after), GatedConv(after, after))
