"""Glow, a flow with invertible 1×1 convolutions (Kingma and Dhariwal, 2018, arXiv:1807.03039).

RealNVP swaps the halves of the channels between couplings by hand. Glow learns how to mix them: a 1×1 convolution with a square
matrix W is invertible, and its log-determinant is that of W at every pixel. W = P·L·(U + diag s), with the permutation P fixed,
makes that a sum,

    log |det| = H·W·Σ log |s_i|.

A step is: actnorm (a scale and a shift for each channel, set so that the first batch comes out with mean 0 and variance 1), the
1×1 convolution, an affine coupling. Steps, squeezes and factored-out halves alternate as in realnvp_image.py.

Departures from the paper: gated residual blocks in the couplings, the prior has no learnt parameters, two levels, dequantisation
that is normal for black and white (see dequantisation.py), AdamW with a cosine schedule.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import InputError
from zoo.models.flows.bijections import Bijection, Chain, Logit
from zoo.models.flows.dequantisation import NormalEnds
from zoo.models.flows.image_flow import ImageFlow
from zoo.models.flows.multiscale import ConvCoupling, MultiScale, Squeeze, half_channels


class ActNorm(Bijection):
    """z = x · exp(s) + b for each channel; the first batch in training sets s and b, then they are learnt.

    Shapes:
        x: [N, C, H, W].
    """

    ready: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(channels, 1, 1))
        self.shift = nn.Parameter(torch.zeros(channels, 1, 1))
        self.register_buffer("ready", torch.tensor(False))
        self._seen_ready = False  # asking a GPU in every step would make it wait for the processor

    @torch.no_grad()
    def prepare(self, x: Tensor) -> None:
        """Set scale and shift by a batch."""
        variance, mean = torch.var_mean(x, (0, 2, 3), keepdim=True, unbiased=False)
        self.log_scale.copy_(-0.5 * (variance[0] + 1e-6).log())
        self.shift.copy_(-mean[0] * self.log_scale.exp())
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            for parameter in (self.log_scale, self.shift):  # every rank saw another batch
                torch.distributed.broadcast(parameter, 0)
        self.ready.fill_(True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.training and not self._seen_ready:
            if not self.ready:
                self.prepare(x)
            self._seen_ready = True
        log_det = self.log_scale.sum() * x.shape[2] * x.shape[3]
        return x * self.log_scale.exp() + self.shift, log_det.expand(x.shape[0])

    def inverse(self, z: Tensor) -> Tensor:
        return (z - self.shift) * (-self.log_scale).exp()


class InvertibleConv(Bijection):
    """1×1 convolution with W = P·L·(U + diag(sign · exp(log s))), from a random rotation.

    Shapes:
        x: [N, C, H, W].
    """

    permutation: Tensor
    sign: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        rotation = torch.linalg.qr(torch.randn(channels, channels))[0]
        permutation, lower, upper = torch.linalg.lu(rotation)
        diagonal = upper.diagonal()
        self.lower, self.upper = nn.Parameter(lower.tril(-1)), nn.Parameter(upper.triu(1))
        self.log_s = nn.Parameter(diagonal.abs().log())
        self.register_buffer("permutation", permutation.contiguous())  # random, so stored with the weights
        self.register_buffer("sign", diagonal.sign())

    def weight(self) -> Tensor:
        """W, [C, C]."""
        lower = self.lower.tril(-1) + torch.eye(len(self.sign)).to(self.lower)
        return self.permutation @ lower @ (self.upper.triu(1) + torch.diag(self.sign * self.log_s.exp()))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(x.device.type, enabled=False):  # the mixing itself must not be rounded
            z = F.conv2d(x, self.weight()[:, :, None, None])
        return z, (self.log_s.sum() * x.shape[2] * x.shape[3]).expand(x.shape[0])

    def inverse(self, z: Tensor) -> Tensor:
        with torch.autocast(z.device.type, enabled=False):
            back = torch.linalg.inv(self.weight().double()).to(z.dtype)
            return F.conv2d(z, back[:, :, None, None])


class Glow(ImageFlow):
    """Glow of small images.

    Args:
        image_shape: (channels, height, width), height and width divisible by 2^levels.
        width: channels of the couplings' networks.
        levels: scales.
        steps: flow steps at each scale.
        blocks: residual blocks of each coupling's network.
        margin: λ of the logit, which keeps black and white finite. Black, spread over 1/256, is a band of a quarter of what all
            grey levels span; with 0.05 it would be 1/82, and training would spend thousands of steps on widening it.

    Shapes:
        images: [N, C, H, W] in [0, 1]; codes z: [N, C·H·W].
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (1, 28, 28),
        width: int = 48,
        *,
        levels: int = 2,
        steps: int = 8,
        blocks: int = 2,
        margin: float = 1e-5,
    ) -> None:
        super().__init__(image_shape)
        self.save_hyperparameters()
        self.noise = NormalEnds(margin)
        channels, height, across = image_shape
        if levels < 1 or height % 2**levels or across % 2**levels:
            raise InputError(
                f"{levels} levels need height and width divisible by {2**levels}, not {height} and {across}"
            )
        scales, sizes = [], []
        for _ in range(levels):
            size = (4 * channels, height // 2, across // 2)
            layers: list[Bijection] = [Squeeze()]
            for i in range(steps):
                coupling = ConvCoupling(half_channels(size, i % 2), width, blocks)
                layers += [ActNorm(size[0]), InvertibleConv(size[0]), coupling]
            scales.append(Chain(*layers))
            sizes.append(size)
            channels, height, across = size[0] // 2, size[1], size[2]
        self.flow = Chain(Logit(margin), MultiScale(scales, sizes))
