"""YOLO, You Only Look Once (Redmon et al., 2016, arXiv:1506.02640; Redmon and Farhadi, 2017, arXiv:1612.08242).

One network looks at the whole picture once. It lays a grid over it, and the cell that an object's middle falls into has to find
the
object: B boxes a cell, each with a confidence, and C classes. The first version predicts a box directly, S x S x (5B + C)
numbers; the second corrects priors (p_w, p_h), the usual shapes of a data set:

    x = (j + σ(t_x)) s,    y = (i + σ(t_y)) s,    w = p_w exp(t_w),    h = p_h exp(t_h)

in a cell (i, j) of s pixels. A box's probability is its confidence, the IoU that it expects to have, times that of the class.

Departures from the papers: complete IoU (Zheng et al., 2020) in place of squared errors of a box with priors, binary
cross-entropy for confidences, cross-entropy for classes; confidences of boxes with an IoU above 0.6 that aren't the best ones
count for nothing; a small backbone without pretraining. `scales` is the third version's: finer grids beside the coarse one,
each with its priors. `auxiliary` is the ninth version's programmable gradient information (Wang, Yeh and Liao, 2024,
arXiv:2402.13616): a branch of reversible blocks that learns the same task, sends its gradient into the first stage, and is gone
when the network is used.
"""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import ops

from zoo.core.batch import labelled
from zoo.core.checks import check_count
from zoo.errors import InputError
from zoo.models.detection.backbones import Backbone, Kind, ReversibleBlock, convolution
from zoo.models.detection.detector import MOST, Detector

IGNORE = 0.6  # IoU above which a box that isn't the best one is no mistake


class YOLO(Detector):
    """A grid of cells that each predict boxes.

    Args:
        num_classes, in_channels: see `Detector`.
        priors: widths and heights of usual boxes in pixels, smallest first, a share of them for each scale; None for the
            first version's boxes without priors.
        boxes_per_cell: without priors.
        widths, stem, depth, backbone: see `zoo.models.detection.backbones.Backbone`.
        scales: grids, each twice as fine as the one before.
        auxiliary: train with an auxiliary reversible branch.
        overlap: IoU above which the less likely of two boxes of a class is dropped.

    Shapes:
        x: [N, in_channels, H, W] with H and W multiples of the coarsest cell; the result is a map for each scale, coarse to fine:
        [N, B (5 + C), H/s, W/s] with priors, [N, 5 B + C, H/s, W/s] without.
    """

    priors: Tensor  # a buffer [scales, per_cell, 2]

    def __init__(
        self,
        num_classes: int = 3,
        in_channels: int = 3,
        *,
        priors: tuple[tuple[float, float], ...] | None = ((24.0, 24.0), (48.0, 48.0)),
        boxes_per_cell: int = 2,
        widths: tuple[int, ...] = (32, 64, 96),
        stem: int = 4,
        depth: int = 2,
        backbone: Kind = "residual",
        scales: int = 1,
        auxiliary: bool = False,
        overlap: float = 0.5,
    ) -> None:
        super().__init__(num_classes, in_channels)
        self.save_hyperparameters()
        check_count(scales, "scales")
        check_count(boxes_per_cell, "boxes_per_cell")
        if scales > len(widths) or (priors is not None and (not priors or len(priors) % scales)):
            raise InputError(
                f"{scales} scales need as many stages, and priors in {scales} equal shares, not {priors!r}"
            )
        if priors is None and scales > 1:
            raise InputError("boxes without priors have one scale")
        self.backbone = Backbone(in_channels, tuple(widths), stem=stem, depth=depth, kind=backbone)
        self.direct, self.overlap = priors is None, overlap
        self.per_cell = boxes_per_cell if priors is None else len(priors) // scales
        self.strides = [self.backbone.stride // 2**level for level in range(scales)]
        shapes = (
            torch.zeros(self.per_cell, 2)
            if priors is None
            else torch.tensor(priors, dtype=torch.float32).reshape(-1, 2)
        )
        self.register_buffer(
            "priors", shapes.reshape(scales, self.per_cell, 2).flip(0), persistent=False
        )  # coarse first
        outputs = 5 * self.per_cell + num_classes if self.direct else self.per_cell * (5 + num_classes)
        ends = list(reversed(widths))[:scales]
        self.merge = nn.ModuleList(convolution(deep + own, own, 1) for deep, own in pairwise(ends))
        self.head = nn.ModuleList(nn.Conv2d(width, outputs, 1) for width in ends)
        self.auxiliary = (
            nn.Sequential(
                *(nn.Sequential(ReversibleBlock(i), convolution(i, o, stride=2)) for i, o in pairwise(widths)),
                nn.Conv2d(widths[-1], outputs, 1),
            )
            if auxiliary
            else None
        )
        for layer in [*self.head, *(self.auxiliary[-1:] if self.auxiliary is not None else ())]:
            self._expect_little(layer)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> list[Tensor]:
        return self._heads(self._maps(x))

    def _maps(self, x: Tensor) -> list[Tensor]:
        step = self.backbone.stride
        if x.shape[-1] % step or x.shape[-2] % step:
            raise InputError(f"height and width must be multiples of {step} pixels, not {list(x.shape[-2:])}")
        return self.backbone(x)

    def _heads(self, maps: list[Tensor]) -> list[Tensor]:
        x = maps[-1]
        found = [self.head[0](x)]
        for level, merge in enumerate(self.merge, start=1):
            finer = F.interpolate(x, scale_factor=2, mode="nearest")
            x = merge(torch.cat([finer, maps[-1 - level]], 1))
            found.append(self.head[level](x))
        return found

    @torch.no_grad()
    def boxes(self, x: Tensor, threshold: float) -> list[dict[str, Tensor]]:
        corners, confidence, classes = self.all_boxes(self(x))
        scores, labels = (confidence.sigmoid()[..., None] * classes.softmax(-1)).max(-1)  # [N, P]
        found = []
        for box, score, label in zip(corners, scores, labels, strict=True):
            likely = score >= threshold
            box, score, label = box[likely], score[likely], label[likely]
            kept = ops.batched_nms(box, score, label, self.overlap)[:MOST]
            found.append({"boxes": box[kept], "scores": score[kept], "labels": label[kept]})
        return found

    def remove_auxiliary(self) -> "YOLO":
        """Drop the branch that only training needs; what is detected doesn't change."""
        self.auxiliary = None
        self.hparams["auxiliary"] = False
        return self

    def all_boxes(self, maps: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Corners [N, P, 4] in pixels, confidence logits [N, P] and class logits [N, P, C] of all P boxes of all cells."""
        parts = []
        for raw, priors, stride in zip(maps, self.priors, self.strides, strict=True):
            n, _, rows, columns = raw.shape
            raw = raw.float()
            if self.direct:
                box = raw[:, : 5 * self.per_cell].unflatten(1, (self.per_cell, 5))
                classes = raw[:, None, 5 * self.per_cell :].expand(-1, self.per_cell, -1, -1, -1)
            else:
                box, classes = raw.unflatten(1, (self.per_cell, -1)).split([5, self.num_classes], 2)
            corner = torch.stack(torch.meshgrid(torch.arange(columns), torch.arange(rows), indexing="xy")).to(
                raw
            )  # [(x, y), rows, columns]
            middle = (corner + box[:, :, :2].sigmoid()) * stride
            if self.direct:  # the square root of a side as a share of the picture's
                whole = torch.tensor([columns, rows]).to(raw)[:, None, None] * stride
                side = whole * box[:, :, 2:4].clamp(0, 1).square()
            else:
                side = priors[None, :, :, None, None] * box[:, :, 2:4].clamp(max=4).exp()
            edges = torch.cat([middle - side / 2, middle + side / 2], 2)  # [N, B, 4, rows, columns]
            parts.append(
                (
                    edges.movedim(2, -1).reshape(n, -1, 4),
                    box[:, :, 4].reshape(n, -1),
                    classes.movedim(2, -1).reshape(n, -1, self.num_classes),
                )
            )
        corners, confidence, classes = (torch.cat(part, 1) for part in zip(*parts, strict=True))
        return corners, confidence, classes

    # Training --------------------------------------------------------------------------------------------------------

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, y = labelled(batch)
        maps = self._maps(x)
        loss = self.loss(self._heads(maps), y)
        if self.auxiliary is not None:  # the coarsest grid alone
            loss = loss + 0.25 * self.loss([self.auxiliary(maps[0])], y)
        self.log_train(loss=loss)
        return loss

    def loss(self, maps: list[Tensor], y: Tensor) -> Tensor:
        """Loss of the maps for marked boxes y [N, M, 5] of (class, x0, y0, x1, y1) in pixels; class -1 is no box."""
        corners, confidence, classes = self.all_boxes(maps)
        true = y[..., 1:]
        overlap = pairwise_iou(corners.detach(), true) * (y[:, None, :, 0] >= 0)  # [N, P, M]
        image, box, index = self._responsible(y, overlap, [m.shape[-2:] for m in maps])
        wanted = torch.zeros_like(confidence)
        negative = overlap.amax(-1) <= IGNORE
        count = max(1, len(image))
        if len(image):
            negative[image, index] = False
            wanted[image, index] = overlap[image, index, box]
        positive = torch.zeros_like(negative)
        positive[image, index] = True
        given, goal, label = corners[image, index], true[image, box], y[image, box, 0].long()
        if self.direct:  # the first version's squared errors, with its weights 5 and ½
            size = torch.tensor([maps[0].shape[-1], maps[0].shape[-2]], device=y.device) * self.strides[0]
            place = 5 * (_middle_and_root(given, size) - _middle_and_root(goal, size)).square().sum()
            sure = (confidence.sigmoid() - wanted).square()
            kind = (classes[image, index].softmax(-1) - F.one_hot(label, self.num_classes)).square().sum()
            return (place + sure[positive].sum() + 0.5 * sure[negative].sum() + kind) / count
        place = 2 * ops.complete_box_iou_loss(given, goal, reduction="sum")
        sure = F.binary_cross_entropy_with_logits(confidence, wanted, reduction="none")
        kind = F.cross_entropy(classes[image, index], label, reduction="sum")
        return (place + sure[positive].sum() + 0.5 * sure[negative].sum() + kind) / count

    def _responsible(self, y: Tensor, overlap: Tensor, sizes: list[torch.Size]) -> tuple[Tensor, Tensor, Tensor]:
        """For each marked box its image, its number there, and which of the P boxes has to find it: in the cell of its middle
        the one with the likest prior, or without priors the one that overlaps most."""
        image, box = (y[..., 0] >= 0).nonzero(as_tuple=True)
        marked = y[image, box, 1:]
        middle, side = (marked[:, :2] + marked[:, 2:]) / 2, marked[:, 2:] - marked[:, :2]
        priors = self.priors[: len(sizes)]
        if self.direct:
            best = torch.zeros(len(image), dtype=torch.long, device=y.device)
        else:  # IoU of shapes laid on top of each other
            flat = priors.reshape(-1, 2)
            common = torch.minimum(side[:, None], flat).prod(-1)
            best = (common / (side.prod(-1)[:, None] + flat.prod(-1) - common)).argmax(1)
        level, prior = best // self.per_cell, best % self.per_cell
        index = torch.zeros_like(best)
        start = 0
        for number, (rows, columns) in enumerate(sizes):
            cell = (middle / self.strides[number]).long()
            j, i = cell[:, 0].clamp(0, columns - 1), cell[:, 1].clamp(0, rows - 1)
            place = i * columns + j
            if self.direct:
                each = torch.arange(self.per_cell, device=y.device) * rows * columns + place[:, None]  # [K, B]
                prior = overlap[image[:, None], each, box[:, None]].argmax(1)
            here = start + prior * rows * columns + place
            index = torch.where(level == number, here, index)
            start += self.per_cell * rows * columns
        return image, box, index

    def _expect_little(self, layer: nn.Module) -> None:
        """Begin with low confidences (most cells hold nothing), and without priors with boxes of a third of the picture."""
        with torch.no_grad():
            bias: Any = layer.bias
            if self.direct:
                boxes = bias[: 5 * self.per_cell].view(self.per_cell, 5)
                boxes[:, 2:4] = 0.5
            else:
                boxes = bias.view(self.per_cell, -1)
            boxes[:, 4] = -4.0


def pairwise_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of boxes a [N, P, 4] with boxes b [N, M, 4] of the same image, [N, P, M]."""
    low = torch.maximum(a[:, :, None, :2], b[:, None, :, :2])
    high = torch.minimum(a[:, :, None, 2:], b[:, None, :, 2:])
    common = (high - low).clamp(min=0).prod(-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1) for boxes in (a, b)]
    return common / (areas[0][:, :, None] + areas[1][:, None] - common).clamp(min=1e-9)


def _middle_and_root(corners: Tensor, size: Tensor) -> Tensor:
    """Middle, and square roots of the sides, of boxes [K, 4] as shares of the picture's sides, [K, 4]."""
    middle, side = (corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]
    return torch.cat([middle / size, (side / size).clamp(min=1e-6).sqrt()], 1)
