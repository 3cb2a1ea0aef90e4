"""What R-CNN and Fast R-CNN share: proposals by merging ink, and torchvision's second stage."""

import torch
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads

from zoo.core.batch import labelled
from zoo.core.checks import check_count
from zoo.errors import InputError
from zoo.models.detection.detector import MOST, Detector, torchvision_targets
from zoo.models.detection.regions import propose

INK = 32 / 255  # grey level above which a pixel belongs to an object


class RegionDetector(Detector):
    """Base of the detectors whose proposals are found without learning; a subclass defines `maps` and hands over pool and head.

    Args:
        num_classes, in_channels: see `Detector`.
        pool: cuts the proposals out of the maps: (maps, list of boxes [R, 4], list of sizes) -> [R, ...].
        head: what is cut out -> features [R, width].
        width: of the features.
        cell: side of the pieces that proposals are merged from, in pixels.
        samples: proposals of an image to learn from, a quarter of them with an object at most.
        overlap: IoU above which the less likely of two boxes of a class is dropped.

    Shapes:
        x: [N, in_channels, H, W] in [0, 1], objects brighter than a dark ground.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        pool: nn.Module,
        head: nn.Module,
        width: int,
        *,
        cell: int,
        samples: int,
        overlap: float,
    ) -> None:
        super().__init__(num_classes, in_channels)
        check_count(cell, "cell")
        check_count(samples, "samples")
        if not 0 < overlap < 1:
            raise InputError(f"overlap is an IoU between 0 and 1, not {overlap!r}")
        self.cell = cell
        self.second = RoIHeads(
            pool,
            head,
            FastRCNNPredictor(width, num_classes + 1),  # class 0 is the background
            fg_iou_thresh=0.5,
            bg_iou_thresh=0.5,
            batch_size_per_image=samples,
            positive_fraction=0.25,
            bbox_reg_weights=(10.0, 10.0, 5.0, 5.0),
            score_thresh=0.0,
            nms_thresh=overlap,
            detections_per_img=MOST,
        )

    def maps(self, x: Tensor) -> Tensor:
        """What the proposals are cut out of, [N, C, h, w]."""
        raise NotImplementedError

    def proposals(self, x: Tensor) -> list[Tensor]:
        """Boxes [R, 4] of each image that may hold an object; the whole image is one of them."""
        whole = torch.tensor([[0.0, 0.0, x.shape[3], x.shape[2]]])
        ink = (x.detach().float().amax(1) > INK).cpu().numpy()
        return [torch.cat([whole, torch.from_numpy(propose(one, self.cell))]).to(x.device) for one in ink]

    def _second_stage(
        self, x: Tensor, targets: list[dict[str, Tensor]] | None = None
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        sizes = [(x.shape[2], x.shape[3])] * len(x)
        maps = {"0": self.maps(x).float()}
        with torch.autocast(x.device.type, enabled=False):  # boxes need float32
            return self.second(maps, self.proposals(x), sizes, targets)

    def boxes(self, x: Tensor, threshold: float) -> list[dict[str, Tensor]]:
        self.second.score_thresh = threshold
        found, _ = self._second_stage(x)
        return [one | {"labels": one["labels"] - 1} for one in found]

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, y = labelled(batch)
        _, losses = self._second_stage(x, torchvision_targets(y))
        loss = torch.stack(list(losses.values())).sum()
        self.log_train(loss=loss)
        return loss

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Class logits and moves of the whole image and its left half: proposals could come and go by a rounding."""
        x = inputs["input"] if "input" in inputs else self._ready_transform()(inputs["image"])
        height, width = x.shape[2:]
        regions = torch.tensor([[0, 0, width, height], [0, 0, width / 2, height]], dtype=torch.float32, device=x.device)
        cut = self.second.box_roi_pool({"0": self.maps(x)}, [regions] * len(x), [(height, width)] * len(x))
        logits, moves = self.second.box_predictor(self.second.box_head(cut))
        return {"input": x, "logits": logits, "moves": moves}
