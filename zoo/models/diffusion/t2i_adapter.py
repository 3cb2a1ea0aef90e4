"""T2I-Adapter: a small network steers a frozen diffusion model (Mou et al., 2023, arXiv:2302.08453).

Where ControlNet (controlnet.py) copies half of the U-Net, an adapter is a small network of its own. It sees the control alone,
not the noisy image nor the step, and gives one feature map for each level of the way down,

    F_i ← F_i + A_i(control),        i = 1 … levels

so it is computed once for an image and not in every step, and several adapters can be added up. Only it is trained.

Departures from the paper: the base is the class-conditional model of cfg.py; the last convolution of every level starts at zero,
as ControlNet's do, so that training begins at the base; half of the classes are withheld.
"""

from typing import Any, ClassVar

from torch import Tensor, nn

from zoo.models.diffusion.controlnet import ControlNet, zero_conv
from zoo.models.diffusion.unet import UNet


class Adapter(nn.Module):
    """Edges [N, 1, H, W] to a feature map for each level of a U-Net."""

    def __init__(self, net: UNet) -> None:
        super().__init__()
        self.fold = nn.PixelUnshuffle(net.patch)
        self.levels, self.outs = nn.ModuleList(), nn.ModuleList()
        before = net.patch**2
        for level, channels in enumerate(net.level_channels):
            self.levels.append(
                nn.Sequential(
                    nn.Conv2d(before, channels, 3, stride=1 if level == 0 else 2, padding=1),
                    nn.SiLU(),
                    nn.Conv2d(channels, channels, 3, padding=1),
                    nn.SiLU(),
                )
            )
            self.outs.append(zero_conv(channels, channels))
            before = channels

    def forward(self, x: Tensor, t: Tensor, extra: Tensor, hint: Tensor) -> dict[str, Any]:
        """The argument `added` of the U-Net; of the arguments only the hint matters."""
        h, added = self.fold(hint), []
        for level, out in zip(self.levels, self.outs, strict=True):
            h = level(h)
            added.append(out(h))
        return {"added": added}

    def start_from(self, net: UNet) -> None:
        """Nothing: an adapter holds none of the base's weights."""


class T2IAdapter(ControlNet):
    """A class-conditional diffusion model that an edge map controls through an adapter. See `ControlNet` for the arguments.

    Shapes:
        images x: [N, C, H, W] in [0, 1]; controls: [N, 1, H, W] in [0, 1]; labels: int64 [N].
    """

    branch_class: ClassVar[Any] = Adapter
