"""Class activation maps: where the last convolution's features speak for a class.

    CAM        M_c(i, j) = Σ_k w_ck F_k(i, j)                       w: the head's weights (Zhou et al., 2016,
    arXiv:1512.04150) Grad-CAM   M_c(i, j) = Σ_k α_k F_k(i, j),  α_k = mean_ij ∂f_c/∂F_k(i, j)    (Selvaraju et al.,
    2017, arXiv:1610.02391) Score-CAM  α = softmax_k f_c(x ∘ F̂_k), F̂_k: the feature, enlarged and scaled to 0 … 1
    (Wang et al., 2020, arXiv:1910.01279)

Where the features are averaged over the image before the head, the mean of CAM plus the bias is the logit, and Grad-CAM
is CAM divided by the number of places. A map keeps its sign; the papers' ReLU shows what speaks for the class alone.

Maps are as coarse as the layer: [h, w] of the features, to be enlarged to the image.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import InputError
from zoo.explain.gradients import Function, captum


@dataclass
class Layer:
    """A module whose output is feature maps, and those of one image, [1, K, h, w]."""

    name: str
    module: nn.Module
    features: Tensor


def global_average_pool(features: Tensor) -> Tensor:
    """The mean of each map, [N, K], of features [N, K, h, w]."""
    return features.mean((2, 3))


def find_layer(
    network: nn.Module, f: Function, x: Tensor, name: str | None = None, *, method: str = "Grad-CAM"
) -> Layer:
    """The last module in the order of execution that gives maps of more than one pixel, or the one of this name.

    Args:
        network: the module whose layers are looked at.
        f: points [N, …] → [N], which runs the network.
        x: an image, [1, C, H, W].
        name: a submodule's path, such as "stage2" or "stage3.0.conv1".

    Raises:
        InputError: for a network without convolutions (one that only cuts the image into patches has none), or a name
            that isn't one of its layers with maps.
    """
    found: dict[str, Layer] = {}
    names = {module: key for key, module in network.named_modules()}
    handles = []

    def keep(module: nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and output.shape[2] * output.shape[3] > 1:
            key = names[module]
            found.pop(key, None)  # in the order of the last call
            found[key] = Layer(key, module, output.detach())

    for module, key in names.items():
        if key:
            handles.append(module.register_forward_hook(keep))
    try:
        with torch.no_grad():
            f(x)
    finally:
        for handle in handles:
            handle.remove()
    if name is not None:
        if name not in found:
            known = [key for key in found if key.count(".") == 0] or list(found)[-12:]
            raise InputError(
                f"there is no layer {name!r} with maps: choose one of {', '.join(known)}, or a layer inside of them"
            )
        return found[name]
    if not any(_convolves(module) for module in network.modules()) or not found:
        raise InputError(
            f"{method} needs a convolution, and this network has none: use integrated-gradients or occlusion"
        )
    return list(found.values())[-1]


def _convolves(module: nn.Module) -> bool:
    """Whether a module is a convolution whose windows overlap; one that steps by its width cuts into patches."""
    return isinstance(module, nn.Conv2d) and (max(module.kernel_size) == 1 or module.kernel_size != module.stride)


def cam(network: nn.Module, f: Function, x: Tensor, target: int, layer: str | None = None) -> Tensor:
    """CAM of a target, [h, w]: its mean is the target's logit less the head's bias.

    Raises:
        InputError: for a network whose head doesn't see the mean of its last maps.
    """
    found = find_layer(network, f, x, layer, method="CAM")
    head = getattr(network, "head", None)
    seen: list[Tensor] = []
    if isinstance(head, nn.Linear):
        handle = head.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].detach()))
        try:
            with torch.no_grad():
                f(x)
        finally:
            handle.remove()
    mean = global_average_pool(found.features)
    if not seen or seen[-1].shape != mean.shape or not torch.allclose(seen[-1], mean, rtol=1e-3, atol=1e-4):
        raise InputError(
            "CAM needs average pooling before head, and this network has something else there: use grad-cam"
        )
    assert isinstance(head, nn.Linear)
    return torch.einsum("k,khw->hw", head.weight[target].detach(), found.features[0])


def grad_cam(network: nn.Module, f: Function, x: Tensor, layer: str | None = None) -> Tensor:
    """Grad-CAM with its sign, [h, w].

    Raises:
        InputError: as `find_layer`.
    """
    found = find_layer(network, f, x, layer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = captum().LayerGradCam(f, found.module).attribute(x.detach().requires_grad_())
    return values.detach()[0, 0]


@torch.no_grad()
def score_cam(
    network: nn.Module, f: Function, x: Tensor, baseline: Tensor, layer: str | None = None, *, batch: int = 64
) -> Tensor:
    """Score-CAM, [h, w], 0 or more: each map is weighed by what the image is worth where that map is large.

    A place where a map is small takes the baseline's value. Channels that are constant are left out: they favour no place.

    Raises:
        InputError: as `find_layer`.
    """
    features = find_layer(network, f, x, layer, method="Score-CAM").features[0]  # [K, h, w]
    low, high = features.amin((1, 2), keepdim=True), features.amax((1, 2), keepdim=True)
    kept = (high - low)[:, 0, 0] > 1e-8
    if not kept.any():
        return torch.zeros_like(features[0])
    features, low, high = features[kept], low[kept], high[kept]
    masks = F.interpolate(
        ((features - low) / (high - low))[:, None], x.shape[-2:], mode="bilinear", align_corners=False
    )
    scores = torch.cat([f(mask * x + (1 - mask) * baseline) for mask in masks.split(batch)])  # [K]
    return (scores.softmax(0)[:, None, None] * features).sum(0).relu()
