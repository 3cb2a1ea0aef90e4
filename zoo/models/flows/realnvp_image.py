"""RealNVP for images (Dinh, Sohl-Dickstein and Bengio, 2017, arXiv:1605.08803): coupling layers at two scales.

Where realnvp.py splits a vector into coordinates, an image is split in two ways: by a checkerboard, so that each pixel is read
off its neighbours, and, once 2×2 pixels are folded into channels, by halves of the channels,

    z = m·x + (1 − m)·(x · exp(s(m·x)) + t(m·x)),        log |det| = Σ (1 − m)·s(m·x),        m the mask of what stays.

Half of the channels are done after the first scale; the others go on at a quarter of the pixels.

Departures from the paper: gated residual blocks with layer normalisation in the couplings, in place of deeper ones with weight
and batch normalisation, so that training and evaluation compute the same; noise on black and white pixels that is normal behind
the logit, whose margin is 1e-5 for 0.05 (see dequantisation.py); AdamW with a cosine schedule.
"""

from zoo.errors import InputError
from zoo.models.flows.bijections import Chain, Logit
from zoo.models.flows.dequantisation import NormalEnds
from zoo.models.flows.image_flow import ImageFlow
from zoo.models.flows.multiscale import ConvCoupling, MultiScale, Squeeze, checkerboard, half_channels


class ImageRealNVP(ImageFlow):
    """Multi-scale RealNVP of small images.

    Args:
        image_shape: (channels, height, width), height and width divisible by 4.
        width: channels of the couplings' networks; half as many again at the second scale.
        couplings: coupling layers of each kind and scale, an even number.
        blocks: residual blocks of each network.
        margin: λ of the logit, which keeps black and white finite. Black, spread over 1/256, is a band of a quarter of what all
            grey levels span; with 0.05 it would be 1/82, and training would spend thousands of steps on widening it.

    Shapes:
        images: [N, C, H, W] in [0, 1]; codes z: [N, C·H·W].
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (1, 28, 28),
        width: int = 32,
        *,
        couplings: int = 4,
        blocks: int = 2,
        margin: float = 1e-5,
    ) -> None:
        super().__init__(image_shape)
        self.save_hyperparameters()
        self.noise = NormalEnds(margin)
        channels, height, across = image_shape
        if height % 4 or across % 4:
            raise InputError(f"two scales need height and width divisible by 4, not {height} and {across}")
        full: tuple[int, int, int] = (channels, height, across)
        half = (4 * channels, height // 2, across // 2)
        rest = (2 * channels, height // 2, across // 2)
        quarter = (8 * channels, height // 4, across // 4)
        turns = range(couplings)
        first = Chain(
            *(ConvCoupling(checkerboard(full, i % 2), width, blocks, fold=2) for i in turns),
            Squeeze(),
            *(ConvCoupling(half_channels(half, i % 2), width, blocks) for i in turns),
        )
        wider = width + width // 2
        second = Chain(
            *(ConvCoupling(checkerboard(rest, i % 2), wider, blocks) for i in turns),
            Squeeze(),
            *(ConvCoupling(half_channels(quarter, i % 2), wider, blocks) for i in turns),
        )
        self.flow = Chain(Logit(margin), MultiScale([first, second], [half, quarter]))
