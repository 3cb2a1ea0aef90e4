"""Any image classifier of timm (Wightman, 2019, "PyTorch image models") as a model of this zoo.

The zoo writes out the networks that its documents explain. Those that they only name (EfficientNet, Xception, NFNet, MLP-Mixer,
gMLP) come from timm as they are: `backbone` names one, its own classifier is taken off, and what is left turns an image into the
embedding

    logits = head(backbone(x))

that our head, our transform and our checkpoints know. Weights come from our safetensors files alone: timm never downloads here.

Departures from timm: its classifier, and with it its pre-trained classes, are left out; no activation works in place, so that
every stage can be looked at.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import timm
import torch
from timm.layers import GatedMlp
from timm.models.efficientnet import EfficientNet, decode_arch_def, round_channels
from timm.models.mlp_mixer import MlpMixer, SpatialGatingBlock
from timm.models.nfnet import NfCfg, NormFreeNet
from timm.models.xception_aligned import XceptionAligned
from torch import Tensor, nn

from zoo.core.classifier import ImageClassifier
from zoo.errors import InputError, UnknownNameError

EFFICIENTNET_B0 = (  # kind, repeats, kernel, stride, expansion, channels, squeeze-and-excitation; strides for a last map of 4×4
    ["ds_r1_k3_s1_e1_c16_se0.25"],
    ["ir_r2_k3_s1_e6_c24_se0.25"],
    ["ir_r2_k5_s2_e6_c40_se0.25"],
    ["ir_r3_k3_s2_e6_c80_se0.25"],
    ["ir_r3_k5_s1_e6_c112_se0.25"],
    ["ir_r4_k5_s1_e6_c192_se0.25"],
    ["ir_r1_k3_s1_e6_c320_se0.25"],
)


def small_efficientnet(scale: float = 0.5, **options: Any) -> nn.Module:
    """B0 with its width and depth scaled alike, and with three of its five halvings."""
    return EfficientNet(
        block_args=decode_arch_def(EFFICIENTNET_B0, scale),
        num_features=int(1280 * scale),
        round_chs_fn=partial(round_channels, multiplier=scale),
        act_layer=nn.SiLU,
        **options,
    )


def small_xception(width: int = 64, **options: Any) -> nn.Module:
    """Entry, middle and exit of Xception in seven blocks of three separable convolutions; its stem keeps all pixels."""
    entry, middle, end = 64, 2 * width, 4 * width  # timm's stem ends with 64 channels
    blocks: list[dict[str, Any]] = [
        {"in_chs": entry, "out_chs": width, "stride": 2, "start_with_relu": False},
        {"in_chs": width, "out_chs": middle, "stride": 2},
        *({"in_chs": middle, "out_chs": middle, "stride": 1} for _ in range(4)),
        {"in_chs": middle, "out_chs": (middle, end, end), "stride": 2},
    ]
    network: Any = XceptionAligned(blocks, **options)
    network.stem[0].conv.stride = (1, 1)
    return network


def small_nfnet(width: int = 64, **options: Any) -> nn.Module:
    """Three stages of NFNet's blocks, which have no normalisation but scaled weights; its stem keeps all pixels."""
    depths: Any = (1, 2, 4)  # timm says four stages and takes three
    channels: Any = (width, 2 * width, 4 * width)
    config = NfCfg(
        depths=depths,
        channels=channels,
        stem_chs=width // 2,
        group_size=16,
        extra_conv=True,
        num_features=8 * width,
        attn_layer="se",
        attn_kwargs={"rd_ratio": 0.5},
        skipinit=True,
    )
    network: Any = NormFreeNet(config, **options)
    network.stem.conv.stride = (1, 1)
    for gain in (parameter for name, parameter in network.named_parameters() if name.endswith("skipinit_gain")):
        nn.init.ones_(gain)  # from zero, as in the paper, a few thousand steps open no block
    return network


SMALL: dict[str, Callable[..., nn.Module]] = {  # timm's classes in sizes for 32×32 images, which it has no names for
    "efficientnet_c32": small_efficientnet,
    "xception_c32": small_xception,
    "nfnet_c32": small_nfnet,
    "mixer_c4_32": partial(MlpMixer, img_size=32, patch_size=4, num_blocks=8, embed_dim=256),  # 64 patches
    "gmlp_c4_32": partial(
        MlpMixer,
        img_size=32,
        patch_size=4,
        num_blocks=16,
        embed_dim=128,
        mlp_ratio=6,
        block_layer=SpatialGatingBlock,
        mlp_layer=GatedMlp,
    ),
}


class TimmBackbone(ImageClassifier):
    """A network of timm under our head.

    Args:
        num_classes: number of classes.
        in_channels: channels of the image.
        backbone: name of a timm model, such as "efficientnet_b0"; `timm.list_models()` has them all, and `SMALL` a few more.
        options: plain numbers, strings or lists for timm's model, such as {"img_size": 32}.
        dropout: probability of dropping a unit of the embedding.
        label_smoothing: see ImageClassifier.

    Shapes:
        x: [N, in_channels, H, W], of the size that the network asks for; logits: [N, num_classes].

    Raises:
        UnknownNameError: a LookupError with the nearest names of timm.
        InputError: for an option that the network doesn't have, or one that would read a file.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 3,
        *,
        backbone: str = "efficientnet_b0",
        options: dict[str, Any] | None = None,
        dropout: float = 0.0,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(num_classes, in_channels, label_smoothing=label_smoothing)
        self.save_hyperparameters()
        known = [*SMALL, *timm.list_models()]
        if backbone not in known:  # also keeps "hf-hub:…" and local folders out
            raise UnknownNameError("timm backbone", backbone, known)
        options = options or {}
        if wrong := [key for key in options if key.startswith(("pretrained", "checkpoint", "cache", "features_only"))]:
            raise InputError(f"options can't hold {', '.join(wrong)}: weights come from the zoo's checkpoints alone")
        try:
            make = SMALL.get(backbone) or partial(timm.create_model, backbone, pretrained=False)
            network: Any = make(num_classes=0, in_chans=in_channels, **options)
        except (TypeError, ValueError, AssertionError, RuntimeError) as error:
            raise InputError(f"timm's {backbone} can't be made with options {options}: {error}") from None
        self.backbone = network
        layers: list[Any] = list(network.modules())
        for layer in layers:
            if hasattr(layer, "inplace"):
                layer.inplace = False
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(network.num_features, num_classes)
        self.to(memory_format=torch.channels_last)

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """last [N, …], what the network gives before pooling, and embedding [N, D]."""
        network: Any = self.backbone
        last = network.forward_features(x)
        return {"last": last, "embedding": self.drop(network.forward_head(last, pre_logits=True))}
