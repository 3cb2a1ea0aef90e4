"""What the detectors share: the verb `detect`, the metrics, the golden tensors and the preview.

A subclass defines `boxes(x, threshold)`: for transformed images [N, C, H, W] a list with a dict for each of them, "boxes" [n,
4] as (x0, y0, x1, y1) in pixels of x, "scores" [n] and "labels" int64 [n], best first.
"""

from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.core.batch import labelled
from zoo.core.checks import check_count
from zoo.core.data import DenseData, PictureData
from zoo.core.images import ImageLike, Transform, read_image, resize_input
from zoo.core.metric import entry
from zoo.core.module import ZooModule
from zoo.core.samples import picture_sample
from zoo.core.verbs import looking, verb
from zoo.errors import InputError

Found = list[tuple[str, float, tuple[float, float, float, float]]]
claim = partial(entry, better="higher")
MOST = 100  # boxes of an image, as many as the metric counts
LOWEST = 0.01  # score above which boxes are measured; what lies below changes no digit of the average precision


class Detector(ZooModule):
    """Base of the networks that find objects and put a box around each.

    Args:
        num_classes: classes of objects; background is none of them.
        in_channels: used by the subclass.
    """

    task: ClassVar[str] = "object-detection"
    use: ClassVar[str] = (
        "from zoo.core.samples import picture_sample\n"
        "\n"
        'pictures, _ = picture_sample("{data}")              # packaged pictures; a path, PIL image or array will do too\n'
        "for name, p, (x0, y0, x1, y1) in model.detect(pictures[0], threshold=0.3):\n"
        "    print(name, round(p, 2), round(x0), round(y0), round(x1), round(y1))    # in the picture's own pixels"
    )
    learns_from: ClassVar[tuple[str, ...]] = ("boxes",)
    larger_is_better: ClassVar[frozenset[str]] = frozenset({"ap50", "ap"})

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        check_count(num_classes, "num_classes")
        check_count(in_channels, "in_channels")
        self.num_classes = num_classes
        self._seen: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = []

    def boxes(self, x: Tensor, threshold: float) -> list[dict[str, Tensor]]:
        """Boxes of transformed images [N, C, H, W] with scores of at least `threshold`, best first."""
        raise NotImplementedError

    # Verbs -----------------------------------------------------------------------------------------------------------

    @verb
    def detect(self, images: ImageLike | list[ImageLike], threshold: float = 0.3) -> Found | list[Found]:
        """What is in a picture: [(class, probability, (x0, y0, x1, y1))] in the picture's own pixels, likeliest first.

        Args:
            images: a path, PIL image, array or tensor; a list or batch of them gives a list of such lists.
            threshold: the least probability.

        Raises:
            InputError: for what is no image, a threshold outside of 0..1, or a model that doesn't know how its images are
            prepared.
        """
        if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
            raise InputError(f"threshold is a probability in 0..1, not {threshold!r}")
        if isinstance(images, list | tuple):
            if not images:
                raise InputError("the list of images is empty")
            return [self._detect_one(read_image(image), threshold) for image in images]
        pixels = read_image(images)
        if pixels.ndim == 4:
            return [self._detect_one(one, threshold) for one in pixels]
        return self._detect_one(pixels, threshold)

    def _detect_one(self, pixels: Tensor, threshold: float) -> Found:
        transform = self._ready_transform()
        height, width = pixels.shape[-2:]
        x = transform(pixels)[None].to(self.device)
        found = self.boxes(x, threshold)[0]
        scale = torch.tensor([width / x.shape[3], height / x.shape[2]] * 2)  # the transform squeezes the aspect
        limit = torch.tensor([width, height] * 2, dtype=torch.float32)
        corners = (found["boxes"].float().cpu() * scale).clamp(min=0).minimum(limit)
        names = self.classes or [str(i) for i in range(self.num_classes)]
        rows = zip(found["labels"].tolist(), found["scores"].tolist(), corners.tolist(), strict=True)
        return [(names[label], p, (x0, y0, x1, y1)) for label, p, (x0, y0, x1, y1) in rows]

    def _ready_transform(self) -> Transform:
        if self.transform is None:
            raise InputError(
                f"this {type(self).__name__} doesn't know yet how its images are prepared: train it, load a trained one, or set "
                "model.transform = zoo.core.images.Transform(size, mode, mean, std)"
            )
        return self.transform

    def reset_image_size(self, size: int | tuple[int, int]) -> None:
        """Take pictures of another size, see `zoo.core.images.resize_input`."""
        resize_input(self, size)

    # A person's own pictures -----------------------------------------------------------------------------------------

    def data_settings(self, kind: str) -> dict[str, Any]:
        """For a folder of boxes: the model's transform and classes, and pictures mirrored and scaled a little."""
        if kind != "box-folder":
            return {}
        augment = {"flip": True, "scale": [0.85, 1.2], "gain": 0.15}
        return {"transform": self._ready_transform(), "augment": augment, "classes": self.classes}

    def adapt_to(self, data: PictureData) -> None:
        """Take the classes of a data module, with fresh tensors where they are others.

        Raises:
            InputError: for pictures with other channels.
        """
        channels, classes = len(data.preprocess["mean"]), list(data.classes)
        if channels != self.hparams["in_channels"]:
            name = self.name or type(self).__name__
            raise InputError(
                f"{name} takes pictures of {self.hparams['in_channels']} channels, the data has {channels}"
            )
        if len(classes) != self.num_classes:
            self.take_fresh(num_classes=len(classes))
        elif self.classes is not None and self.classes != classes:
            self.take_fresh(as_if={"num_classes": len(classes) + 1})  # as many classes, but others

    # Measuring -------------------------------------------------------------------------------------------------------

    def on_validation_epoch_start(self) -> None:
        self._seen = []

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._measure(batch)

    def on_validation_epoch_end(self) -> None:
        self._log_precision("val")

    def on_test_epoch_start(self) -> None:
        self._seen = []

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._measure(batch)

    def on_test_epoch_end(self) -> None:
        self._log_precision("test")

    def _measure(self, batch: tuple[Tensor, Tensor]) -> None:
        x, y = labelled(batch)
        for found, marked in zip(self.boxes(x, LOWEST), y, strict=True):
            there = marked[marked[:, 0] >= 0].cpu()
            truth = {"boxes": there[:, 1:], "labels": there[:, 0].long()}
            self._seen.append(
                ({key: value.float().cpu() if key != "labels" else value.cpu() for key, value in found.items()}, truth)
            )

    def _log_precision(self, split: str) -> None:
        if not self._seen:
            return
        found = mean_average_precision(self._seen)
        self.log(f"{split}/ap50", found["map_50"].float(), prog_bar=True)
        self.log(f"{split}/ap", found["map"].float(), prog_bar=True)
        self._seen = []

    def evaluate(self, data: DenseData) -> list[dict[str, Any]]:
        """Average precision on the whole test split, at IoU 0.5, over 0.5 … 0.95, and of each class."""
        data.prepare_data()
        data.setup("test")
        self._seen = []
        with looking(self):
            for x, y in data.test_dataloader():
                self._measure((x.to(self.device), y))
        if not self._seen:
            raise InputError(f"{getattr(data, 'name', 'the data')} has no test images to measure on")
        found = mean_average_precision(self._seen, each=True)
        images = len(self._seen)
        self._seen = []
        how = f"torchmetrics MeanAveragePrecision with faster-coco-eval, 101 points, {images} test images"
        dataset, classes = data.name, list(data.classes)
        entries = [
            claim(dataset, "test", "ap50", found["map_50"], f"{how}, IoU 0.5, mean over classes"),
            claim(dataset, "test", "ap", found["map"], f"{how}, mean over IoU 0.50, 0.55 … 0.95 and classes"),
        ]
        for number, value in zip(found["classes"].reshape(-1).tolist(), found["ap50_per_class"].tolist(), strict=True):
            name = classes[number].lower().replace(" ", "_")
            entries.append(claim(dataset, "test", f"ap50_{name}", value, f"{how}, IoU 0.5, {classes[number]} alone"))
        return entries

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=2e-3)

    # Golden tensors and preview --------------------------------------------------------------------------------------

    def golden_inputs(self) -> dict[str, Tensor]:
        channels, height, width = self.hparams.get("in_channels", 3), 64, 64
        if self.transform is not None:
            height, width = self.transform.size
        coarse = torch.rand(1, channels, 12, 16, generator=torch.Generator().manual_seed(0))
        smooth = F.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)
        return {"input": smooth} if self.transform is None else {"image": (smooth * 255).round().to(torch.uint8)}

    def example(self) -> Tensor:
        inputs = self.golden_inputs()
        return inputs["input"] if "input" in inputs else self._ready_transform()(inputs["image"])

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """The transformed images and the maps: a changed transform shows as clearly as a changed layer."""
        x = inputs["input"] if "input" in inputs else self._ready_transform()(inputs["image"])
        return {"input": x} | {f"map{level}": raw for level, raw in enumerate(self(x))}

    def preview(self, path: Path) -> Path | None:
        """Packaged test pictures with the boxes that are found."""
        from zoo.core.drawing import draw_boxes, in_a_row

        try:
            pictures, _ = picture_sample(self.data["name"] if self.data else "")
        except InputError:
            return None
        drawn = [draw_boxes(picture, self.detect(picture), self.classes or []) for picture in pictures[:3]]
        return in_a_row(drawn, path)


def torchvision_targets(y: Tensor) -> list[dict[str, Tensor]]:
    """Marked boxes y [N, M, 5] as torchvision's stages take them: class 0 is the background, boxes under a pixel don't count."""
    marked = [row[(row[:, 0] >= 0) & (row[:, 3:] - row[:, 1:3] > 1).all(1)] for row in y]
    return [{"boxes": row[:, 1:], "labels": row[:, 0].long() + 1} for row in marked]


def mean_average_precision(
    pairs: list[tuple[dict[str, Tensor], dict[str, Tensor]]], *, each: bool = False
) -> dict[str, Tensor]:
    """COCO's average precision of (found, true) boxes of every image by torchmetrics; with `each` also "ap50_per_class".

    Raises:
        MissingExtraError: if faster-coco-eval isn't installed.
    """
    from zoo.errors import MissingExtraError

    try:
        from torchmetrics.detection import MeanAveragePrecision

        metric = MeanAveragePrecision(backend="faster_coco_eval", extended_summary=each)
    except (ImportError, ModuleNotFoundError):
        raise MissingExtraError("average precision", "faster-coco-eval", "vision") from None
    metric.warn_on_many_detections = False
    metric.update([found for found, _ in pairs], [truth for _, truth in pairs])
    result = metric.compute()
    if each:
        # precision: [thresholds, recalls, classes, areas, most detections]; -1 where there is nothing to find
        table = result["precision"][0, :, :, 0, -1]
        result["ap50_per_class"] = torch.where(table > -1, table, torch.nan).nanmean(0)
    return result
