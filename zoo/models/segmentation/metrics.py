"""Metrics of segmentation as entries for a card: overlaps of classes over a whole split, and of single objects.

`torchmetrics` measures what it has a metric for. Its `segmentation.MeanIoU` averages image by image and can't leave a class
out, so the Jaccard index of the classification metrics is used, which counts the pixels of the whole split; its `DiceScore` of
an image with no object and none found is undefined, and counts as 1 here.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from zoo.core.metric import entry

claim = partial(entry, better="higher")
THRESHOLDS = [0.5 + 0.05 * i for i in range(10)]


def class_metrics(
    prediction: Tensor, target: Tensor, classes: list[str], void: int | None, dataset: str
) -> list[dict[str, Any]]:
    """Mean IoU, pixel accuracy and each class's IoU of maps int64 [N, H, W]."""
    from torchmetrics.functional.classification import multiclass_accuracy, multiclass_jaccard_index

    size, target = f"{target.shape[2]} x {target.shape[1]}", target.long()
    options: dict[str, Any] = {"num_classes": len(classes), "ignore_index": void}
    each = multiclass_jaccard_index(prediction, target, average="none", **options)
    mean = multiclass_jaccard_index(prediction, target, average="macro", **options)
    accuracy = multiclass_accuracy(prediction, target, average="micro", **options)
    where = f"all pixels of {len(target)} test images at {size}" + (
        "" if void is None else ", unlabelled ones left out"
    )
    how = f"torchmetrics MulticlassJaccardIndex, {where}"
    return [
        claim(dataset, "test", "miou", mean, f"{how}, mean over {len(classes)} classes"),
        claim(dataset, "test", "pixel_accuracy", accuracy, f"torchmetrics MulticlassAccuracy, {where}"),
        *(
            claim(dataset, "test", f"iou_{name.lower().replace(' ', '_')}", v, how)
            for name, v in zip(classes, each, strict=True)
        ),
    ]


def instance_metrics(objects: list[Tensor], prediction: Tensor, target: Tensor, dataset: str) -> list[dict[str, Any]]:
    """Dice, IoU and average precision of objects; `target` holds instances [N, H, W], `prediction` 0 and 1."""
    from torchmetrics.functional.classification import binary_f1_score, binary_jaccard_index

    truth = (target > 0).long()
    each = torch.stack([dice(p, t) for p, t in zip(prediction, truth, strict=True)])
    precision = torch.tensor([average_precisions(p, t) for p, t in zip(objects, target, strict=True)])  # [N, 10]
    images = f"{len(target)} test images"
    found = "TP / (TP + FP + FN) of matched objects in each image, mean over " + images
    return [
        claim(dataset, "test", "dice", each.mean(), f"mean over {images}; empty and found empty is 1"),
        claim(
            dataset,
            "test",
            "dice_set",
            binary_f1_score(prediction, truth),
            f"torchmetrics BinaryF1Score, all pixels of {images}",
        ),
        claim(
            dataset,
            "test",
            "iou",
            binary_jaccard_index(prediction, truth),
            f"torchmetrics BinaryJaccardIndex, all pixels of {images}",
        ),
        claim(dataset, "test", "ap50", precision[:, 0].mean(), f"{found}, IoU above 0.5"),
        claim(dataset, "test", "ap", precision.mean(), f"{found}, mean over IoU 0.50, 0.55 … 0.95"),
    ]


def dice(prediction: Tensor, target: Tensor) -> Tensor:
    """2 |A ∩ B| / (|A| + |B|) of two masks; 1 where both are empty."""
    a, b = prediction.bool(), target.bool()
    size = a.sum() + b.sum()
    return 2 * (a & b).sum() / size if size > 0 else torch.tensor(1.0)


def iou_table(prediction: Tensor, target: Tensor) -> Tensor:
    """IoU of every predicted object with every true one, float64 [objects, truths], of two maps [H, W] with 0 for background."""
    _, p = prediction.flatten().unique(return_inverse=True)
    _, t = target.flatten().unique(return_inverse=True)
    p = p + int(not (prediction == 0).any())  # a map without background has no object 0
    t = t + int(not (target == 0).any())
    width = int(t.max()) + 1
    common = torch.bincount(p * width + t, minlength=(int(p.max()) + 1) * width).reshape(-1, width).double()
    union = common.sum(1, keepdim=True) + common.sum(0, keepdim=True) - common
    return (common / union.clamp(min=1))[1:, 1:]


def average_precisions(prediction: Tensor, target: Tensor, thresholds: list[float] | None = None) -> list[float]:
    """TP / (TP + FP + FN) at each threshold of the IoU (the Data Science Bowl's); 1 where nothing is there and nothing found.

    Above 0.5 no object can match two.
    """
    table = iou_table(prediction, target)
    found, there = table.shape
    scores = []
    for threshold in thresholds or THRESHOLDS:
        hits = int((table > threshold).sum())
        everything = found + there - hits
        scores.append(hits / everything if everything else 1.0)
    return scores
