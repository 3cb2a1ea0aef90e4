"""U-Net (Ronneberger, Fischer and Brox, 2015, arXiv:1505.04597).

An encoder halves the picture again and again and sees ever more of it; a decoder doubles it back to full size. At each size the
decoder gets a copy of what the encoder had there, so that it knows both what is seen and exactly where:

    d_k = conv([e_k, up(d_{k+1})]),    d_K = e_K

The three ways up are the classic ones: `transposed` convolution, the learnt one, C^T for a strided convolution C; `nearest`,
repetition and a convolution; `unpool`, which puts each value back where the encoder's max-pooling had found the largest.

Departures from the paper: padded convolutions, so that nothing is cropped; batch normalisation; a quarter of the widths or
less; the picture enters as blocks of `stem` x `stem` pixels (space to depth) and the logits leave the same way, a quarter of
the work; borders between objects are a second map, in place of a weight for pixels between them.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import InputError
from zoo.models.segmentation.segmenter import Segmenter

Up = Literal["transposed", "nearest", "unpool"]


def convolutions(inputs: int, outputs: int) -> nn.Sequential:
    """Two 3 x 3 convolutions, each with batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class Upsample(nn.Module):
    """Twice the height and width, and the channels of the level above.

    Shapes:
        x: [N, deep, H, W]; where: int64 [N, shallow, H, W], positions of the largest values; result: [N, shallow, 2H, 2W].
    """

    def __init__(self, deep: int, shallow: int, up: Up) -> None:
        super().__init__()
        self.up = up
        if up == "transposed":
            self.conv: nn.Module = nn.ConvTranspose2d(deep, shallow, 2, stride=2)
        else:
            self.conv = nn.Conv2d(deep, shallow, 1)

    def forward(self, x: Tensor, where: Tensor) -> Tensor:
        x = self.conv(x)
        if self.up == "unpool":
            return F.max_unpool2d(x, where, [2, 2])
        return F.interpolate(x, scale_factor=2, mode="nearest") if self.up == "nearest" else x


class UNet(Segmenter):
    """Encoder and decoder with copies between them.

    Args:
        num_classes, in_channels, loss, border, void, class_weights, native: see `Segmenter`.
        widths: channels at each size, from the largest to the smallest.
        stem: side of the blocks of pixels that enter as one; 1 for the paper's full resolution.
        up: how the decoder enlarges.

    Shapes:
        x: [N, in_channels, H, W] of any H and W; logits: [N, num_classes, H, W], or [N, 2, H, W] with `border`.
    """

    def __init__(
        self,
        num_classes: int = 2,
        in_channels: int = 1,
        *,
        widths: tuple[int, ...] = (24, 32, 48, 64),
        stem: int = 2,
        up: Up = "transposed",
        loss: str = "cce",
        border: bool = False,
        void: int | None = None,
        class_weights: list[float] | None = None,
        native: bool = True,
    ) -> None:
        super().__init__(
            num_classes,
            in_channels,
            loss=loss,
            border=border,
            void=void,
            class_weights=class_weights,
            native=native,
        )
        self.save_hyperparameters()
        if up not in ("transposed", "nearest", "unpool"):
            raise InputError(f"up must be transposed, nearest or unpool, not {up!r}")
        if stem < 1 or len(widths) < 1 or min(widths) < 1:
            raise InputError(f"stem and widths must be whole numbers of at least 1, not {stem!r} and {widths!r}")
        self.stem = stem
        self.multiple = stem * 2 ** (len(widths) - 1)  # what height and width are padded to
        inputs = [in_channels * stem**2, *widths[:-1]]
        self.encoder = nn.ModuleList(convolutions(i, o) for i, o in zip(inputs, widths, strict=True))
        pairs = list(zip(widths[1:], widths[:-1], strict=True))
        self.ups = nn.ModuleList(Upsample(deep, shallow, up) for deep, shallow in pairs)
        self.decoder = nn.ModuleList(convolutions(2 * shallow, shallow) for _, shallow in pairs)
        self.head = nn.Conv2d(widths[0], num_classes * stem**2, 1)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        x = F.pad(x, (0, -width % self.multiple, 0, -height % self.multiple), mode="replicate")
        x = F.pixel_unshuffle(x, self.stem).contiguous(
            memory_format=torch.channels_last
        )  # [N, C·stem², H/stem, W/stem]
        copies, places = [], []
        for level, block in enumerate(self.encoder):
            if level:
                x, where = F.max_pool2d(x, 2, return_indices=True)
                places.append(where)
            x = block(x)
            copies.append(x)
        copies.pop()  # the deepest is x itself
        for level in reversed(range(len(self.ups))):
            # [N, 2 · widths[level], …]; neither part is kept beside it
            x = torch.cat([copies.pop(), self.ups[level](x, places.pop())], 1)
            x = self.decoder[level](x)
        return F.pixel_shuffle(self.head(x), self.stem)[..., :height, :width]
