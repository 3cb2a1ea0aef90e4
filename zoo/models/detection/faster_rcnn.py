"""Faster R-CNN (Ren, He, Girshick and Sun, 2015, arXiv:1506.01497).

A detector of two stages that share one backbone. The first, a region proposal network, predicts for anchors of every place, size
and shape whether there is anything at all, and moves the good ones onto it. The second cuts each proposal's features out of the
map (RoI align)
and gives it a class and a better box:

    L = L_object + L_box(anchor -> proposal) + L_class + L_box(proposal -> object),
    t = ((x - x_a) / w_a, (y - y_a) / h_a, log w / w_a, log h / h_a)

The stages are torchvision's `FasterRCNN`; this file gives them a small backbone and the zoo's way of speaking about boxes.

Departures from the paper: a residual network of our own without pretraining, a quarter of the anchors in the loss, RoI align in
place of RoI pooling, both stages trained at once, a head of one hidden layer's width `head_width`.
"""

import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN as TorchvisionFasterRCNN
from torchvision.models.detection.rpn import AnchorGenerator
from torchvision.ops import MultiScaleRoIAlign

from zoo.core.batch import labelled
from zoo.core.checks import check_count
from zoo.errors import InputError
from zoo.models.detection.backbones import Backbone
from zoo.models.detection.detector import MOST, Detector, torchvision_targets


class LastMap(nn.Module):
    """A backbone whose last map alone is used, as torchvision takes it."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.body, self.out_channels = backbone, backbone.widths[-1]

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)[-1]


class FasterRCNN(Detector):
    """torchvision's two stages on a small backbone.

    Args:
        num_classes: classes of objects; the background's place is added inside.
        in_channels: of the picture.
        widths, stem, depth: see `zoo.models.detection.backbones.Backbone`.
        anchors: sides of the square anchors in pixels; each comes in three shapes.
        head_width: of the hidden layer that looks at a proposal.
        proposals: of an image, that the second stage looks at.
        samples: of an image, that it learns from.
        overlap: IoU above which the less likely of two boxes of a class is dropped.

    Shapes:
        x: [N, in_channels, H, W] with H and W multiples of the stride; the result is a map of features [N, width, H/16, W/16].
    """

    def __init__(
        self,
        num_classes: int = 3,
        in_channels: int = 3,
        *,
        widths: tuple[int, ...] = (32, 64, 128),
        stem: int = 4,
        depth: int = 2,
        anchors: tuple[int, ...] = (20, 50, 100),
        head_width: int = 256,
        proposals: int = 150,
        samples: int = 64,
        overlap: float = 0.5,
    ) -> None:
        super().__init__(num_classes, in_channels)
        self.save_hyperparameters()
        for name, value in (("head_width", head_width), ("proposals", proposals), ("samples", samples)):
            check_count(value, name)
        if not anchors or min(anchors) < 1:
            raise InputError(f"anchors are sides of at least 1 pixel, not {anchors!r}")
        backbone = LastMap(Backbone(in_channels, tuple(widths), stem=stem, depth=depth))
        from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead

        self.net = TorchvisionFasterRCNN(
            backbone,
            rpn_anchor_generator=AnchorGenerator((tuple(anchors),), ((0.7, 1.0, 1.4),)),
            box_roi_pool=MultiScaleRoIAlign(["0"], output_size=5, sampling_ratio=2),
            box_head=TwoMLPHead(backbone.out_channels * 25, head_width),
            box_predictor=FastRCNNPredictor(head_width, num_classes + 1),
            rpn_batch_size_per_image=128,
            rpn_pre_nms_top_n_train=400,
            rpn_pre_nms_top_n_test=300,
            rpn_post_nms_top_n_train=proposals,
            rpn_post_nms_top_n_test=proposals,
            box_batch_size_per_image=samples,
            box_nms_thresh=overlap,
            box_detections_per_img=MOST,
        )
        for module in self.net.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False  # attribution methods need what went in
        self.net.backbone.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        return self.net.backbone(x)

    def _stages(
        self, x: Tensor, targets: list[dict[str, Tensor]] | None = None
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """Boxes and losses of torchvision's two stages, without its own scaling of the pictures: ours are ready."""
        from torchvision.models.detection.image_list import ImageList

        stride = self.net.backbone.body.stride
        if x.shape[-1] % stride or x.shape[-2] % stride:
            raise InputError(f"height and width must be multiples of {stride} pixels, not {list(x.shape[-2:])}")
        images = ImageList(x, [tuple(x.shape[-2:])] * len(x))
        maps = {"0": self(x).float()}
        with torch.autocast(
            x.device.type, enabled=False
        ):  # small products of many shapes: quicker, and exact, in float32
            regions, first = self.net.rpn(images, maps, targets)
            found, second = self.net.roi_heads(maps, regions, images.image_sizes, targets)
        return found, first | second

    def boxes(self, x: Tensor, threshold: float) -> list[dict[str, Tensor]]:
        self.net.roi_heads.score_thresh = threshold
        found, _ = self._stages(x)
        return [one | {"labels": one["labels"] - 1} for one in found]  # class 0 inside is the background

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, y = labelled(batch)
        _, losses = self._stages(x, torchvision_targets(y))
        loss = torch.stack(list(losses.values())).sum()
        self.log_train(loss=loss)
        return loss

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Features and the proposal network's answers: the boxes themselves could swap places by a rounding."""
        x = inputs["input"] if "input" in inputs else self._ready_transform()(inputs["image"])
        maps = self(x)
        objects, moves = self.net.rpn.head([maps])
        return {"input": x, "map": maps, "objects": objects[0], "moves": moves[0]}
