"""U-Net for source separation (Jansson et al., 2017; Ronneberger et al., 2015, arXiv:1505.04597).

A spectrogram is a picture: time to the right, frequency upwards, a voice a ladder of stripes. A U-Net shrinks the picture until
one cell sees all of it, then grows it again, and at every size takes over the fine detail from the way down. What it paints is a
mask for each voice, a number for each cell of the spectrogram:

    S_i = σ(u_i(log|X|)) · X                                                                (magnitude mask, the mixture's
    phase) S_i = softplus(m_i) · (p_i + j q_i) / |p_i + j q_i| · X                                 (complex mask: magnitude and
    phase apart)

A magnitude mask can't do better than the mixture's phase allows. The complex one (Kong et al., 2021, arXiv:2109.05418) turns each
cell's phase too, and its magnitude may exceed 1: where two voices cancel each other, each alone is louder than their sum.

Departures from the papers: 2 × 2 cells of the spectrogram are folded into channels before the first convolution, which makes a
step three times as fast; a learnt vector for each frequency and size is added on the way down, because a voice's stripes mean
something else at the bottom than at the top; trained on the ratio in dB, not on spectrograms; no residual of the masked
magnitude.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.core.checks import check_count
from zoo.errors import InputError
from zoo.models.audio.separator import SOURCES, Separator

FOLD = 2  # cells of a side that become channels


class UNetSeparation(Separator):
    """U-Net on log spectrograms with a mask for each of two voices.

    Args:
        rate, n_fft, hop: see `Separator`.
        widths: channels at each size of the picture, from the finest.
        mask: "magnitude", a sigmoid, or "complex", a magnitude of any size and a turn of the phase.

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
        mask: Literal["magnitude", "complex"] = "magnitude",
    ) -> None:
        super().__init__(rate, n_fft, hop=hop)
        self.save_hyperparameters()
        check_widths(widths, n_fft)
        if mask not in ("magnitude", "complex"):
            raise InputError(f"mask is 'magnitude' or 'complex', not {mask!r}")
        inputs, outputs = (1, 1) if mask == "magnitude" else (3, 3)
        channels = [inputs * FOLD**2, *widths]
        self.down = nn.ModuleList(double_conv(before, after) for before, after in pairwise(channels))
        self.frequency = nn.ParameterList(frequency_vectors(widths, n_fft))
        self.up = nn.ModuleList(double_conv(below + same, same) for same, below in reversed(list(pairwise(widths))))
        self.out = nn.Conv2d(widths[0], SOURCES * outputs * FOLD**2, 1)
        self.to(memory_format=torch.channels_last)

    def masks(self, spectrogram: Tensor) -> Tensor:
        complex_mask = self.hparams["mask"] == "complex"
        picture = pictures(spectrogram, phase=complex_mask)
        painted = fit(self.paint, picture, 2 ** len(self.down))  # [N, 2 · outputs, F - 1, T]
        painted = painted.unflatten(1, (SOURCES, -1)).float()  # [N, 2, outputs, F - 1, T]
        painted = torch.cat([painted, painted[..., -1:, :]], 3)  # the top frequency takes its neighbour's mask
        if not complex_mask:
            return painted[:, :, 0].sigmoid()
        # 1 is added to the real part, so that an untrained network leaves the phase as it is
        turn = torch.complex(painted[:, :, 1] + 1, painted[:, :, 2])
        return F.softplus(painted[:, :, 0]) * turn / turn.abs().clamp(min=1e-4)

    def paint(self, picture: Tensor) -> Tensor:
        """Raw masks [N, 2 · outputs, H, W] for pictures [N, inputs, H, W] whose sides suit the halvings."""
        x = F.pixel_unshuffle(picture, FOLD).contiguous(memory_format=torch.channels_last)
        kept = []
        for i, (block, vectors) in enumerate(zip(self.down, self.frequency, strict=True)):
            x = block(F.max_pool2d(x, 2) if i else x) + vectors
            kept.append(x)
        x = kept.pop()
        for block in self.up:
            x = block(torch.cat([F.interpolate(x, scale_factor=2, mode="nearest"), kept.pop()], 1))
        return F.pixel_shuffle(self.out(x), FOLD)


def pictures(spectrogram: Tensor, *, phase: bool = False) -> Tensor:
    """Log magnitudes [N, 1, F - 1, T] of complex spectrograms without the top frequency, roughly in -2 … 2.

    With `phase` there are three channels: real and imaginary part follow, each divided by the root of the magnitude.
    """
    cells = spectrogram[:, None, :-1]
    magnitude = cells.abs()
    picture = ((magnitude + 1e-3).log() + 2) / 2
    if not phase:
        return picture
    root = (magnitude + 1e-3).sqrt()
    return torch.cat([picture, cells.real / root, cells.imag / root], 1)


def fit(network: Callable[[Tensor], Tensor], picture: Tensor, multiple: int) -> Tensor:
    """The network's answer to a picture whose sides are filled up to a multiple, cut back to its own size."""
    height, width = picture.shape[2:]
    filled = F.pad(picture, (0, -width % multiple, 0, -height % multiple))
    return network(filled)[..., :height, :width]


def double_conv(before: int, after: int) -> nn.Sequential:
    """Two 3×3 convolutions, each with batch norm and ReLU."""
    layers: list[nn.Module] = []
    for channels in (before, after):
        layers += [nn.Conv2d(channels, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers)


def frequency_vectors(widths: Sequence[int], n_fft: int) -> list[nn.Parameter]:
    """For each size of the picture a vector [1, channels, frequencies, 1] to add, zero at first."""
    return [
        nn.Parameter(torch.zeros(1, width, n_fft // 2 // FOLD // 2**level, 1)) for level, width in enumerate(widths)
    ]


def check_widths(widths: Sequence[int], n_fft: int) -> None:
    """Raise InputError for channels that are no counts, or more halvings than the frequencies have."""
    for width in widths:
        check_count(width, "each of widths")
    halvings = 2 ** len(widths)
    if len(widths) < 2 or n_fft % (2 * halvings):
        raise InputError(
            f"{len(widths)} widths halve the {n_fft // 2} frequencies {len(widths)} times: give at least two, and an n_fft "
            f"that is a multiple of {2 * halvings}"
        )
