"""From images to the features and class probabilities that the other measures take.

Everything is measured on what an image file would hold: images are rounded to 8 bits first, so that a generator gains nothing
from values between two grey levels.
"""

import torch
from torch import Tensor

from zoo.core.classifier import ImageClassifier
from zoo.core.progress import track
from zoo.errors import InputError


def to_uint8(images: Tensor, shape: tuple[int, ...] | None = None) -> Tensor:
    """Images [N, C, H, W] in [0, 1] as 8-bit levels, uint8; what is uint8 already stays as it is.

    Raises:
        InputError: for another shape, dtype, or values that are not in [0, 1].
    """
    wanted = ", ".join(map(str, shape)) if shape else "C, H, W"
    if images.ndim != 4 or (shape and tuple(images.shape[1:]) != tuple(shape)):
        raise InputError(f"images must have the shape [N, {wanted}], not {list(images.shape)}")
    if images.dtype == torch.uint8:
        return images
    if not images.is_floating_point():
        raise InputError(f"images must be float in [0, 1] or uint8, not {str(images.dtype).removeprefix('torch.')}")
    if not torch.isfinite(images).all():
        bad = int((~torch.isfinite(images)).flatten(1).any(1).sum())
        raise InputError(f"{bad} of {len(images)} images hold NaN or infinite pixels: the generator has diverged")
    if len(images) and (images.min() < 0 or images.max() > 1):
        low, high = images.min().item(), images.max().item()
        raise InputError(f"pixels must lie in [0, 1] but run from {low:.3g} to {high:.3g}: rescale or clamp the images")
    return (images.float() * 255).round().to(torch.uint8)


@torch.no_grad()
def embed(model: ImageClassifier, images: Tensor, *, batch_size: int = 500) -> Tensor:
    """The classifier's embedding of uint8 images [N, C, H, W]: float32 [N, D] on the CPU."""
    return torch.cat([model.eval().features(x)["embedding"].float().cpu() for x in _batches(model, images, batch_size)])


@torch.no_grad()
def class_probabilities(model: ImageClassifier, images: Tensor, *, batch_size: int = 500) -> Tensor:
    """The classifier's class probabilities for uint8 images [N, C, H, W]: float32 [N, K] on the CPU."""
    return torch.cat([model.eval()(x).float().softmax(1).cpu() for x in _batches(model, images, batch_size)])


def check_features(features: Tensor, *, least: int = 2) -> Tensor:
    """Features [N, D] in float64 on the CPU.

    Raises:
        InputError: for another shape, fewer than `least` samples, or values that are not finite.
    """
    if features.ndim != 2:
        raise InputError(f"features must have the shape [N, D], not {list(features.shape)}")
    if len(features) < least:
        raise InputError(f"at least {least} samples are needed, not {len(features)}: draw more")
    features = features.detach().double().cpu()
    if not features.sum().isfinite() and not features.isfinite().all():  # the sum is quicker, and may overflow
        raise InputError("the features hold NaN or infinite values: look at the images or the extractor")
    return features


def _batches(model: ImageClassifier, images: Tensor, batch_size: int):
    if model.transform is None:
        raise InputError(f"{model.name or type(model).__name__} has no transform: load it with zoo.load")
    for x in track(images.split(batch_size), "measuring"):
        yield model.transform(x.cpu()).to(model.device)
