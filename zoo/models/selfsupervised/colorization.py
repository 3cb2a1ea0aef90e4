"""Colorization: which colours did this grey picture have? (Zhang, Isola and Efros, 2016, arXiv:1603.08511).

In the colour space Lab, L is the lightness of a pixel and (a, b) its colour. The network sees L alone and gives, for every
place of a grid of half the image's size, probabilities of 64 bins of (a, b),

    min  −Σ_places w(bin) log p(bin | L),    w ∝ 1 / ((1 − λ) p̃ + λ/64),  λ = ½

with p̃ the share of each bin among all pixels: most pixels are nearly grey, and without the weights w all answers would be too.
To colour a frog green takes features that show that it is a frog, so the encoder learns to separate things.

A picture is coloured by the annealed mean of the bins, p^(1/T) with T = 0.38, between the likeliest bin and the mean of all.

Departures from the paper: 64 bins, finer near grey, in place of 313; hard bins; the logits are the sum over the stages.
"""

from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.core.checks import check_count
from zoo.core.images import ImageLike, read_image, save_grid
from zoo.core.verbs import verb
from zoo.errors import InputError
from zoo.models.selfsupervised.backbone import SelfSupervised
from zoo.models.selfsupervised.views import crop

CENTRES = torch.tensor([-60.0, -34, -17, -5.5, 5.5, 17, 34, 60])  # of the bins along a and b; pixels crowd near grey
EDGES = (CENTRES[1:] + CENTRES[:-1]) / 2
BINS = torch.cartesian_prod(CENTRES, CENTRES)  # (a, b) of each bin, [64, 2]
TEMPERATURE = 0.38  # the paper's
WHITE = torch.tensor([0.95047, 1.0, 1.08883])  # daylight, D65
XYZ = torch.tensor([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])


class Colorization(SelfSupervised):
    """Learns the colours of an image from its lightness.

    Args:
        num_classes: None for the pretext task, or the classes of a head on the encoder.
        in_channels: channels of the images that it takes; of three it sees the lightness alone.
        width: channels of the first stage.
        rebalance: 1 − λ, how much the share of a bin counts in its weight.

    Shapes:
        x: [N, in_channels, H, W] in [0, 1]; logits of the bins: [N, 64, H/2, W/2].
    """

    use: ClassVar[str] = (
        "from zoo.core.samples import sample_split\n"
        "\n"
        'images, labels = sample_split("{data}")                # packaged test images; of these the lightness alone is seen\n'
        'zoo.save_grid(model.colorize(images[:8]), "coloured.png")\n'
        'five = zoo.load("{name}", num_classes=5)             # a fresh head on the trained backbone, to fine-tune'
    )

    def __init__(
        self, num_classes: int | None = None, in_channels: int = 3, *, width: int = 32, rebalance: float = 0.5
    ) -> None:
        super().__init__(num_classes, 1, width)
        check_count(in_channels, "in_channels")
        self.save_hyperparameters()

    def build_pretext(self, width: int) -> None:
        self.say = nn.ModuleList(nn.Conv2d(k * width, len(BINS), 1) for k in (1, 2, 4, 8))  # one for each stage
        self.shares: Tensor
        self.register_buffer("shares", torch.full((len(BINS),), 1 / len(BINS)))  # p̃, a moving average

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """As of the base, of the lightness of x."""
        return super().features(to_lab(x.expand(-1, 3, -1, -1))[:, :1] / 100)

    def bin_logits(self, x: Tensor) -> Tensor:
        """Logits [N, 64, H/2, W/2] of the bins: the sum of each stage's logits, resized."""
        stages = self.features(x)
        size = stages["stem"].shape[2:]
        said = [say(stages[name]) for say, name in zip(self.say, ("stem", "stage1", "stage2", "stage3"), strict=True)]
        return sum((F.interpolate(s.float(), size, mode="bilinear") for s in said[1:]), said[0].float())

    def pretext_loss(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        x = crop(x, x.shape[-1], least=0.5)
        logits = self.bin_logits(x)
        target = nearest_bin(F.adaptive_avg_pool2d(to_lab(x)[:, 1:], (logits.shape[2], logits.shape[3])))
        if self.training:
            counts = torch.bincount(target.flatten(), minlength=len(BINS)).float()
            self.shares.lerp_(counts / counts.sum(), 0.02)
        weight = 1 / (self.hparams["rebalance"] * self.shares + (1 - self.hparams["rebalance"]) / len(BINS))
        loss = F.cross_entropy(logits, target, weight=weight)
        return loss, {"pretext_accuracy": (logits.argmax(1) == target).float().mean()}

    def reset_input(self, in_channels: int) -> None:
        """It sees the lightness alone, so any number of channels is taken as it is."""
        self.hparams["in_channels"] = check_count(in_channels, "in_channels")

    # Verbs -----------------------------------------------------------------------------------------------------------

    @verb
    def colorize(self, images: ImageLike | list[ImageLike]) -> Tensor | list[Tensor]:
        """A grey picture in colour, float [3, H, W] in [0, 1] at its own size; several give a list, a batch gives a batch.

        The lightness is the picture's own, the colours are this model's; those of a coloured picture are not looked at.

        Raises:
            InputError: for what is no picture, or where the pretext's parts were left out for a head.
        """
        if self.head is not None:
            raise InputError(f"{self.name or type(self).__name__} has a head for classes in place of its colours")
        if isinstance(images, list | tuple):
            return [self.colorize(image) for image in images]  # type: ignore[misc]
        pixels = read_image(images)
        batch = pixels if pixels.ndim == 4 else pixels[None]
        rgb = (batch.float() / 255).expand(-1, 3, -1, -1)
        seen = self._ready_transform()(rgb).to(self.device)
        share = (self.bin_logits(seen) / TEMPERATURE).softmax(1)
        ab = torch.einsum("nkhw,kc->nchw", share.cpu(), BINS)
        ab = F.interpolate(ab, rgb.shape[2:], mode="bilinear")
        coloured = to_rgb(torch.cat([to_lab(rgb)[:, :1], ab], 1))
        return coloured if pixels.ndim == 4 else coloured[0]

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        outputs = super().golden_outputs(inputs)
        return outputs if self.head is not None else outputs | {"bins": self.bin_logits(outputs["input"])}

    def preview(self, path: Path) -> Path | None:
        """Ten packaged test images: grey, as this model colours them, and as they are."""
        examples = self._examples(10)
        if self.head is not None or examples is None:
            return super().preview(path)
        rgb = examples[0].float() / 255
        grey = to_rgb(to_lab(rgb) * torch.tensor([1.0, 0, 0])[:, None, None])
        return save_grid(torch.cat([grey, torch.as_tensor(self.colorize(rgb)), rgb]), path, columns=10)


def nearest_bin(ab: Tensor) -> Tensor:
    """Numbers [N, H, W] of the bins that colours (a, b) [N, 2, H, W] lie in."""
    a, b = torch.bucketize(ab.contiguous(), EDGES.to(ab.device)).unbind(1)
    return a * len(CENTRES) + b


def to_lab(rgb: Tensor) -> Tensor:
    """sRGB [N, 3, H, W] in [0, 1] as CIE Lab under daylight: L in 0..100, a and b in about −110..110."""
    rgb = rgb.float()
    linear = torch.where(rgb > 0.04045, ((rgb + 0.055) / 1.055).clamp(min=1e-6) ** 2.4, rgb / 12.92)
    xyz = torch.einsum("dc,nchw->ndhw", (XYZ / WHITE[:, None]).to(rgb.device), linear)
    f = torch.where(xyz > 0.008856, xyz.clamp(min=1e-6) ** (1 / 3), 7.787 * xyz + 16 / 116)
    x, y, z = f.unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def to_rgb(lab: Tensor) -> Tensor:
    """CIE Lab [N, 3, H, W] as sRGB in [0, 1]; colours that no screen shows are clamped."""
    lightness, a, b = lab.unbind(1)
    y = (lightness + 16) / 116
    f = torch.stack([y + a / 500, y, y - b / 200], 1)
    xyz = torch.where(f > 0.2068966, f**3, (f - 16 / 116) / 7.787) * WHITE.to(lab.device)[:, None, None]
    linear = torch.einsum("dc,nchw->ndhw", torch.linalg.inv(XYZ).to(lab.device), xyz).clamp(0, 1)
    return torch.where(linear > 0.0031308, 1.055 * linear.clamp(min=1e-6) ** (1 / 2.4) - 0.055, 12.92 * linear)
