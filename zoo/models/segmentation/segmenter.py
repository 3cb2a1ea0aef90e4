"""What the networks of segmentation share: the verbs `segment` and `instances`, tiles for large pictures, loss and metrics.

A subclass defines `forward(x)`: logits [N, K, H, W] of transformed images [N, C, H, W] of any size.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.core.batch import labelled
from zoo.core.checks import check_count
from zoo.core.data import DenseData, PictureData
from zoo.core.images import ImageLike, Transform, read_image, resize_input
from zoo.core.module import ZooModule
from zoo.core.samples import picture_sample
from zoo.core.verbs import looking, verb
from zoo.errors import InputError
from zoo.models.segmentation.instances import border_of, grow, masks, separate
from zoo.models.segmentation.losses import segmentation_loss
from zoo.models.segmentation.metrics import class_metrics, instance_metrics
from zoo.models.segmentation.points import find_points, point_metrics

TILE, MARGIN = 384, 64  # pixels of a tile's side, and of what it sees beyond its own part


class Segmenter(ZooModule):
    """Base of the networks that give every pixel a class.

    Args:
        num_classes: classes of a pixel.
        in_channels: used by the subclass.
        loss: of `zoo.models.segmentation.losses.LOSSES`, or a sum such as "bce+dice".
        border: two logits, for "object" and "border of an object", in place of one a class: objects that touch come apart.
        void: a class of the labels that counts for nothing, or None.
        class_weights: of "weighted-cce".
        native: pictures keep their own resolution, large ones in tiles; else they are scaled to the transform's size.

    Shapes:
        images x: [N, C, H, W], already transformed; logits: [N, num_classes, H, W], or [N, 2, H, W] with `border`.
    """

    task: ClassVar[str] = "image-segmentation"
    use: ClassVar[str] = (
        "from zoo.core.samples import picture_sample\n"
        "\n"
        'pictures, _ = picture_sample("{data}")              # packaged pictures; a path, PIL image or array will do too\n'
        "labels = model.segment(pictures[0])                 # int64 [H, W], numbers of model.classes\n"
        "print(model.classes, labels.shape, model.segment(pictures[0], probability=True).shape)"
    )
    learns_from: ClassVar[tuple[str, ...]] = ("masks",)
    larger_is_better: ClassVar[frozenset[str]] = frozenset({"dice", "iou"})

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        *,
        loss: str,
        border: bool,
        void: int | None,
        class_weights: list[float] | None,
        native: bool,
    ) -> None:
        super().__init__()
        check_count(num_classes, "num_classes")
        check_count(in_channels, "in_channels")
        if border and num_classes != 2:
            raise InputError(f"with border there are 2 classes, background and object, not {num_classes}")
        if class_weights is not None and len(class_weights) != num_classes:
            raise InputError(
                f"class_weights needs a weight for each of {num_classes} classes, not {len(class_weights)}"
            )
        segmentation_loss(loss, torch.zeros(1, 2, 1, 1), torch.zeros(1, 1, 1))  # an unknown name is refused here
        self.num_classes, self.loss, self.border, self.void, self.native = num_classes, loss, border, void, native
        self.class_weights = class_weights
        self._counts: Tensor | None = None

    # Verbs -----------------------------------------------------------------------------------------------------------

    @verb
    def segment(self, images: ImageLike | list[ImageLike], *, probability: bool = False) -> Tensor | list[Tensor]:
        """The class of every pixel, int64 [H, W] at the picture's own size; a list for a list, [N, H, W] for a batch.

        Args:
            images: a path, PIL image, array or tensor, or a list or batch of them.
            probability: give the classes' probabilities instead, float32 [num_classes, H, W].

        Raises:
            InputError: for what is no image, or a model that doesn't know how its images are prepared.
        """
        if isinstance(images, list | tuple):
            if not images:
                raise InputError("the list of images is empty")
            return [self._segment_one(read_image(image), probability) for image in images]
        pixels = read_image(images)
        if pixels.ndim == 4:
            return torch.stack([self._segment_one(one, probability) for one in pixels])
        return self._segment_one(pixels, probability)

    @verb
    def instances(self, images: ImageLike | list[ImageLike]) -> Tensor | list[Tensor]:
        """The objects of a picture, int64 [H, W] at its own size: 0 is background, 1 … n are the objects; lists as `segment`.

        Raises:
            InputError: for a network that wasn't trained to tell objects apart (`border`).
        """
        if not self.border:
            raise InputError(f"{self.name or type(self).__name__} tells classes apart, not objects: use segment")
        if isinstance(images, list | tuple):
            return [self.instances(image) for image in images]  # type: ignore[misc]
        pixels = read_image(images)
        if pixels.ndim == 4:
            return torch.stack([self.instances(one) for one in pixels])  # type: ignore[misc]
        objects, inner = (torch.empty(pixels.shape[-2:], dtype=torch.bool) for _ in range(2))
        for rows, columns, logits in self._parts(pixels):
            objects[rows, columns], inner[rows, columns] = masks(*logits.sigmoid())
        return grow(objects, inner)

    @verb
    def points(self, image: ImageLike) -> list[tuple[str, float, tuple[float, float]]]:
        """Places of small round things in one picture: [(class, probability, (x, y))] in its own pixels; class 0 is the ground.

        Raises:
            InputError: for what is no image, or several.
        """
        pixels = read_image(image)
        if pixels.ndim != 3:
            raise InputError(f"points takes one image [C, H, W], not {list(pixels.shape)}")
        names = self.classes or [str(i) for i in range(self.num_classes)]
        found = find_points(self._segment_one(pixels, True))
        return [(names[int(kind)], p, (x, y)) for kind, p, x, y in found.tolist()]

    def _segment_one(self, pixels: Tensor, probability: bool) -> Tensor:
        height, width = pixels.shape[-2:]
        if probability:
            result = torch.empty(self.num_classes, height, width)
        else:
            result = torch.empty(height, width, dtype=torch.int64)
        for rows, columns, logits in self._parts(pixels):
            p = self.probabilities(logits[None])[0]
            result[..., rows, columns] = p if probability else p.argmax(0)
        return result

    def refine(self, logits: Tensor, x: Tensor) -> Tensor:
        """What follows the network where it is used, not where it is trained; nothing here."""
        return logits

    def probabilities(self, logits: Tensor) -> Tensor:
        """Probabilities of the classes [N, num_classes, H, W], from logits."""
        if self.border:
            p = logits[:, :1].float().sigmoid()
            return torch.cat([1 - p, p], 1)
        return logits.float().softmax(1)

    def _parts(self, pixels: Tensor) -> Iterator[tuple[slice, slice, Tensor]]:
        """Rows, columns and logits [K, rows, columns] of parts that cover a picture uint8 [C, H, W], on the CPU.

        No part is large, so that memory grows with the picture's result alone.
        """
        transform = self._ready_transform()
        height, width = pixels.shape[-2:]
        if not self.native:
            x = transform(pixels)[None].to(self.device)
            logits = self.refine(self(x).float(), x)
            step = max(1, TILE * TILE // width)
            for top in range(0, height, step):
                rows = slice(top, min(height, top + step))
                yield rows, slice(0, width), enlarge(logits, (height, width), rows)[0].cpu()
            return
        pixels = transform.levels(pixels)  # stretched as a whole, not tile by tile
        flat = replace(transform, percentiles=None)
        for top in range(0, height, TILE):
            for left in range(0, width, TILE):
                bottom, right = min(height, top + TILE), min(width, left + TILE)
                y, beside = max(0, top - MARGIN), max(0, left - MARGIN)
                seen = pixels[:, y : bottom + MARGIN, beside : right + MARGIN]
                ready = replace(flat, size=seen.shape[-2:])(seen)[None].to(self.device)
                logits = self.refine(self(ready).float(), ready)
                logits = logits[0, :, top - y : bottom - y, left - beside : right - beside]
                yield slice(top, bottom), slice(left, right), logits.cpu()

    def _ready_transform(self) -> Transform:
        if self.transform is None:
            raise InputError(
                f"this {type(self).__name__} doesn't know yet how its images are prepared: train it, load a trained one, or set "
                "model.transform = zoo.core.images.Transform(size, mode, mean, std)"
            )
        return self.transform

    # A person's own pictures -----------------------------------------------------------------------------------------

    def reset_image_size(self, size: int | tuple[int, int]) -> None:
        """Take pictures of another size, see `zoo.core.images.resize_input`."""
        resize_input(self, size)

    def data_settings(self, kind: str) -> dict[str, Any]:
        """For a folder of masks: the model's transform, numbers of objects if it tells them apart, and mirrored pictures."""
        if kind != "mask-folder":
            return {}
        return {"transform": self._ready_transform(), "instances": self.border, "augment": {"flip": True, "gain": 0.2}}

    def adapt_to(self, data: PictureData) -> None:
        """Take the classes of a data module, with fresh tensors where they are others.

        Raises:
            InputError: for pictures with other channels, or classes for a model that tells objects apart.
        """
        channels, classes = len(data.preprocess["mean"]), list(data.classes)
        name = self.name or type(self).__name__
        if channels != self.hparams["in_channels"]:
            raise InputError(
                f"{name} takes pictures of {self.hparams['in_channels']} channels, the data has {channels}"
            )
        if self.border and len(classes) != 2:
            raise InputError(
                f"{name} tells objects from background; the data has {len(classes)} classes: set instances"
            )
        if self.border:
            return
        changed: dict[str, Any] = {"num_classes": len(classes), "void": getattr(data, "void", None)}
        if len(classes) != self.num_classes:
            changed["class_weights"] = None  # there is none for a new class; the batch's frequencies take its place
        others = self.classes is not None and self.classes != classes
        self.take_fresh(as_if={"num_classes": len(classes) + 1} if others else None, **changed)

    # Training --------------------------------------------------------------------------------------------------------

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, y = labelled(batch)
        loss = self.loss_of(self(x), y)
        self.log_train(loss=loss)
        return loss

    def loss_of(self, logits: Tensor, y: Tensor) -> Tensor:
        """The loss of logits for a map [N, H, W] of classes, or of instances with `border`."""
        if self.border:
            return segmentation_loss(self.loss, logits, torch.stack([(y > 0), border_of(y)], 1).float())
        weights = None if self.class_weights is None else torch.tensor(self.class_weights, device=logits.device)
        return segmentation_loss(self.loss, logits, y, weights=weights, ignore_index=self.void)

    def on_validation_epoch_start(self) -> None:
        self._counts = None

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._measure(batch, "val")

    def on_validation_epoch_end(self) -> None:
        self._log_overlap("val")

    def on_test_epoch_start(self) -> None:
        self._counts = None

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._measure(batch, "test")

    def on_test_epoch_end(self) -> None:
        self._log_overlap("test")

    def _measure(self, batch: tuple[Tensor, Tensor], split: str) -> None:
        from torchmetrics.functional.classification import multiclass_confusion_matrix

        x, y = labelled(batch)
        logits = self(x)
        self.log(f"{split}/loss", self.loss_of(logits, y), batch_size=len(y))
        truth = (y > 0).long() if self.border else y.long()
        given = self.probabilities(logits).argmax(1)
        counts = multiclass_confusion_matrix(given, truth, self.num_classes, ignore_index=self.void)
        self._counts = counts if self._counts is None else self._counts + counts

    def _log_overlap(self, split: str) -> None:
        if self._counts is None:
            return
        hit, union = self._counts.diagonal().double(), (self._counts.sum(0) + self._counts.sum(1)).double()
        iou = hit / (union - hit).clamp(min=1)
        if self.border:
            self.log(f"{split}/dice", (2 * hit[1] / union[1].clamp(min=1)).float(), prog_bar=True)
        self.log(f"{split}/iou", (iou[1] if self.border else iou[union > 0].mean()).float(), prog_bar=True)

    def evaluate(self, data: DenseData) -> list[dict[str, Any]]:
        """Metrics of the whole test split at the data module's size: overlaps of classes, or of objects with `border`."""
        data.prepare_data()
        data.setup("test")
        truth, given, objects, spots = [], [], [], []
        places = data.coordinates("test") if hasattr(data, "coordinates") else None
        with looking(self):
            for x, y in data.test_dataloader():
                x = x.to(self.device)
                logits = self.refine(self(x).float(), x).cpu()
                truth.append(y.cpu())
                given.append(self.probabilities(logits).argmax(1))
                if self.border:
                    objects += [separate(p[0], p[1]) for p in logits.sigmoid()]
                if places is not None:
                    spots += [find_points(p) for p in self.probabilities(logits)]
        if not truth:
            raise InputError(f"{getattr(data, 'name', 'the data')} has no test images to measure on")
        y, prediction = torch.cat(truth), torch.cat(given)
        if self.border:
            return instance_metrics(objects, prediction, y, data.name)
        overlaps = class_metrics(prediction, y, list(data.classes), self.void, data.name)
        return overlaps if places is None else [*point_metrics(spots, places, data), *overlaps]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=2e-3)

    # Golden tensors and preview --------------------------------------------------------------------------------------

    def golden_inputs(self) -> dict[str, Tensor]:
        coarse = torch.rand(2, self.hparams.get("in_channels", 3), 8, 8, generator=torch.Generator().manual_seed(0))
        smooth = F.interpolate(coarse, (64, 64), mode="bilinear", align_corners=False)
        return {"input": smooth} if self.transform is None else {"image": (smooth * 255).round().to(torch.uint8)}

    def example(self) -> Tensor:
        inputs = self.golden_inputs()
        if "input" in inputs:
            return inputs["input"]
        return replace(self._ready_transform(), size=inputs["image"].shape[-2:])(inputs["image"])

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """The transformed images and their logits: a changed transform shows as clearly as a changed layer."""
        if "input" in inputs:
            return {"logits": self(inputs["input"])}
        x = replace(self._ready_transform(), size=inputs["image"].shape[-2:])(inputs["image"])
        return {"input": x, "logits": self(x)}

    def preview(self, path: Path) -> Path | None:
        """Packaged test pictures, each above what the network makes of it; a drawn street where CamVid's can't be packaged."""
        from zoo.core.drawing import drawn_street, paint_classes, paint_instances, side_by_side

        data = self.data["name"] if self.data else ""
        try:
            pictures = drawn_street() if data == "camvid" else picture_sample(data)[0]
        except InputError:
            return None
        names, rows = self.classes or [str(i) for i in range(self.num_classes)], []
        for picture in pictures[:4]:
            found: Any = self.instances(picture) if self.border else self.segment(picture)
            painted = paint_instances(picture, found) if self.border else paint_classes(picture, found, names)
            rows.append((picture, painted))
        return side_by_side(rows, path)


def enlarge(maps: Tensor, size: tuple[int, int], rows: slice) -> Tensor:
    """Rows of maps [N, K, h, w] enlarged bilinearly to `size`, [N, K, rows, W], without making the other rows."""
    height, width = size
    y = ((torch.arange(rows.start, rows.stop) + 0.5) * maps.shape[2] / height - 0.5).clamp(0, maps.shape[2] - 1)
    low = y.floor().long().clamp(max=maps.shape[2] - 1)
    high = (low + 1).clamp(max=maps.shape[2] - 1)
    share = (y - low)[:, None].to(maps)
    between = maps[:, :, low.to(maps.device)] * (1 - share) + maps[:, :, high.to(maps.device)] * share
    return F.interpolate(between, (between.shape[2], width), mode="bilinear", align_corners=False)
