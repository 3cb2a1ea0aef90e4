"""R-CNN, regions with features of a convolutional network (Girshick, Donahue, Darrell and Malik, 2014, arXiv:1311.2524).

The first detector on a trained network: propose regions without learning, scale each to the size that the network knows, and
let the network look at every one of them alone,

    p = softmax(W φ(warp(x, r)) + b),    box = r moved by V φ(warp(x, r))

with features φ that were learnt for classification and stay as they are. Only W and V are learnt here. The network runs once a
region, a hundred times an image; Fast R-CNN is the cure.

Departures from the paper: proposals by merging ink (see regions.py) in place of selective search by colour; `lenet5-mnist` in
place of AlexNet, its second pooling and its embedding both as features; one softmax in place of a support vector machine a
class; regions are cut out as the tightest square with context, the paper's other way, since digits squeezed to a square look
alike.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import roi_align

from zoo.errors import InputError
from zoo.models.convnets.lenet5 import LeNet5
from zoo.models.detection.region_detector import RegionDetector

SIDE, CONTEXT = 28, 28 / 20  # MNIST's digits fill 20 of 28 pixels


class Squares(nn.Module):
    """Cuts regions out of images as squares with context, scaled to 28 x 28 pixels.

    Shapes:
        maps: {"0": [N, C, H, W]}; regions: N times [R, 4]; result: [sum of R, C, 28, 28]. What lies outside of an image is 0.
    """

    def forward(self, maps: dict[str, Tensor], regions: list[Tensor], sizes: list[tuple[int, int]]) -> Tensor:
        squares = []
        for boxes in regions:
            middle = (boxes[:, :2] + boxes[:, 2:]) / 2
            half = (boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True) * CONTEXT / 2
            squares.append(torch.cat([middle - half, middle + half], 1))
        edge = SIDE  # roi_align repeats the rim of an image; a frame of zeros is what lies beyond it
        x = nn.functional.pad(maps["0"], [edge] * 4)
        return roi_align(x, [boxes + edge for boxes in squares], SIDE, sampling_ratio=0, aligned=True)


class FrozenFeatures(nn.Module):
    """Second pooling and embedding of a LeNet-5 that doesn't learn: [R, C, 28, 28] in [0, 1] -> [R, 484]."""

    width = 16 * 5 * 5 + 84

    def __init__(self, in_channels: int, mean: float, std: float) -> None:
        super().__init__()
        self.net = LeNet5(10, in_channels, batch_norm=True)
        self.mean, self.std = mean, std
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "FrozenFeatures":
        return super().train(False)  # its norms stay too

    def forward(self, x: Tensor) -> Tensor:
        found = self.net.features((x - self.mean) / self.std)
        return torch.cat([found["stage2"].flatten(1), found["embedding"]], 1)


class RCNN(RegionDetector):
    """Frozen classifier on every proposal, with linear class and box layers of its own.

    Args:
        num_classes, in_channels, cell, samples, overlap: see `RegionDetector`.
        base: a checkpoint of lenet5 with batch norm, whose weights are taken over when training begins; None for random ones.
        mean, std: that the base's images were normalised by.

    Shapes:
        x: [N, in_channels, H, W] in [0, 1]; the result is class logits [N, num_classes + 1] of the whole image as one region,
        the background first.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        *,
        base: str | None = None,
        mean: float = 0.1307,
        std: float = 0.3081,
        cell: int = 6,
        samples: int = 64,
        overlap: float = 0.5,
    ) -> None:
        if not std > 0:
            raise InputError(f"std must be positive, not {std!r}")
        head = FrozenFeatures(in_channels, mean, std)
        super().__init__(
            num_classes, in_channels, Squares(), head, head.width, cell=cell, samples=samples, overlap=overlap
        )
        self.save_hyperparameters()
        self.base = base

    def setup(self, stage: str) -> None:
        """Take over the base's weights, unless this is a loaded checkpoint; a run that resumes puts its own in their place."""
        super().setup(stage)
        if stage == "fit" and self.base is not None and self.name is None:
            from zoo.api import load

            self.start_from(load(self.base))

    def start_from(self, base: Any) -> None:
        """Take a trained LeNet-5's weights as the features.

        Raises:
            InputError: for a network of another kind or size.
        """
        net = self.second.box_head.net
        shapes = {key: value.shape for key, value in net.state_dict().items()}
        if not isinstance(base, LeNet5) or {k: v.shape for k, v in base.state_dict().items()} != shapes:
            raise InputError(f"{self.base or type(base).__name__} is no lenet5 of ten classes with batch norm")
        net.load_state_dict(base.state_dict())

    def maps(self, x: Tensor) -> Tensor:
        """The images themselves."""
        return x

    def forward(self, x: Tensor) -> Tensor:
        whole = torch.tensor([[0.0, 0.0, x.shape[3], x.shape[2]]], device=x.device)
        cut = self.second.box_roi_pool({"0": x}, [whole] * len(x), [(x.shape[2], x.shape[3])] * len(x))
        return self.second.box_predictor(self.second.box_head(cut))[0]
