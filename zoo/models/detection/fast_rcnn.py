"""Fast R-CNN (Girshick, 2015, arXiv:1504.08083).

R-CNN runs its network once a region. Regions overlap, so most of that work is done again and again; here the convolutions see
the image once, and each region takes its part of the shared map, pooled to a fixed size by the largest value in every bin:

    y[r, c, i, j] = max over bin (i, j) of region r of map[c],    L = L_class(p, u) + [u ≥ 1] smooth-L1(t_u, v)

Class and box are learnt together with the convolutions, by one loss.

Departures from the paper: proposals by merging ink (see regions.py), a small residual backbone without pretraining, one hidden
layer.
"""

import torch
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.ops import RoIPool

from zoo.core.checks import check_count
from zoo.errors import InputError
from zoo.models.detection.backbones import Backbone
from zoo.models.detection.region_detector import RegionDetector


class PooledRegions(nn.Module):
    """RoI max-pooling: maps {"0": [N, C, h, w]} and regions N times [R, 4] in pixels -> [sum of R, C, size, size]."""

    def __init__(self, size: int, stride: int) -> None:
        super().__init__()
        self.pool = RoIPool(size, 1 / stride)

    def forward(self, maps: dict[str, Tensor], regions: list[Tensor], sizes: list[tuple[int, int]]) -> Tensor:
        return self.pool(maps["0"].contiguous(), regions)


class FastRCNN(RegionDetector):
    """Shared convolutions, pooled regions, one head for class and box.

    Args:
        num_classes, in_channels, cell, samples, overlap: see `RegionDetector`.
        widths, stem, depth: see `zoo.models.detection.backbones.Backbone`; the last of its maps is pooled.
        size: bins a side that a region is pooled to.
        head_width: of the hidden layers that look at a region.

    Shapes:
        x: [N, in_channels, H, W] in [0, 1], H and W multiples of the stride; the result is the shared map [N, width, h, w].
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        *,
        widths: tuple[int, ...] = (32, 64),
        stem: int = 2,
        depth: int = 1,
        size: int = 5,
        head_width: int = 128,
        cell: int = 6,
        samples: int = 64,
        overlap: float = 0.5,
    ) -> None:
        check_count(size, "size")
        check_count(head_width, "head_width")
        backbone = Backbone(in_channels, tuple(widths), stem=stem, depth=depth)
        pool = PooledRegions(size, backbone.stride)
        head = TwoMLPHead(widths[-1] * size**2, head_width)
        super().__init__(num_classes, in_channels, pool, head, head_width, cell=cell, samples=samples, overlap=overlap)
        self.save_hyperparameters()
        self.backbone = backbone
        self.backbone.to(memory_format=torch.channels_last)

    def maps(self, x: Tensor) -> Tensor:
        """The backbone's last map."""
        stride = self.backbone.stride
        if x.shape[-1] % stride or x.shape[-2] % stride:
            raise InputError(f"height and width must be multiples of {stride} pixels, not {list(x.shape[-2:])}")
        return self.backbone(x)[-1]

    def forward(self, x: Tensor) -> Tensor:
        return self.maps(x)
