"""The same networks as other libraries build them: torchvision, timm, transformers, PyG and diffusers.

    net = to_timm(zoo.load("vit-mnist"))                    a network of the other library with these weights, in eval mode
    take_weights(zoo.create("resnet18", stem="imagenet", num_classes=1000), torchvision.models.resnet18(weights="DEFAULT"))

Where a library has no such network, one sentence says what differs. The libraries are imported where they are used. Weights of
GPT-2 as plain tensors, nanoGPT's or Hugging Face's, are read and written by `zoo.models.transformers.convert`.
"""

from typing import Any

from torch import nn

from zoo.core.module import ZooModule
from zoo.errors import InputError, MissingExtraError
from zoo.models.convnets.resnet import BLOCKS, ResNet18
from zoo.models.convnets.vgg import CONVOLUTIONS, VGG
from zoo.models.diffusion.ddpm import DDPM
from zoo.models.graphs.gcn import GCN
from zoo.models.transformers.bert import BERT
from zoo.models.transformers.gpt import GPT
from zoo.models.transformers.huggingface import from_transformers
from zoo.models.transformers.huggingface import to_transformers as to_transformers
from zoo.models.transformers.vit import ViT


def to_torchvision(model: ZooModule) -> nn.Module:
    """A torchvision `ResNet` or `VGG` with a model's weights.

    Raises:
        InputError: for another model, or a ResNet of another width than 64, which torchvision can't build.
    """
    from torchvision import models

    if isinstance(model, VGG):
        return copy_in_order(model, _vgg(model))
    if not isinstance(model, ResNet18):
        raise InputError(f"{_called(model)} is neither a ResNet18 nor a VGG: torchvision has no such network")
    width, stem = model.hparams["width"], model.hparams["stem"]
    if width != 64:
        raise InputError(f"torchvision's ResNet begins with 64 channels, {_called(model)} with {width}: take to_timm")
    net: Any = models.ResNet(
        models.resnet.BasicBlock, list(BLOCKS[model.hparams["depth"]]), num_classes=model.head.out_features
    )
    net.conv1 = nn.Conv2d(model.hparams["in_channels"], 64, 7, stride=2, padding=3, bias=False)
    if stem == "cifar":
        net.conv1 = nn.Conv2d(model.hparams["in_channels"], 64, 3, padding=1, bias=False)
        net.maxpool = nn.Identity()
    return copy_in_order(model, net)


def _vgg(model: VGG) -> nn.Module:
    from torchvision.models import vgg

    options = model.hparams
    plan: list[Any] = []
    for stage, count in enumerate(CONVOLUTIONS[options["depth"]]):
        plan += [options["width"] * min(2**stage, 8)] * count + ["M"]
    features: Any = vgg.make_layers(plan, batch_norm=options["batch_norm"])
    first = features[0]
    features[0] = nn.Conv2d(options["in_channels"], first.out_channels, 3, padding=1)
    net: Any = vgg.VGG(features, num_classes=model.head.out_features, init_weights=False)
    if options["classifier"] == "linear":
        net.avgpool, net.classifier = (
            nn.AdaptiveAvgPool2d(1),
            nn.Linear(model.head.in_features, model.head.out_features),
        )
    return net


def to_timm(model: ZooModule) -> nn.Module:
    """A timm `VisionTransformer` or `ResNet` with a model's weights.

    Raises:
        InputError: for another model, or a ViT whose words come from convolutions.
    """
    import timm

    if isinstance(model, ViT):
        init = model.hparams
        if init.get("tokenizer", "patch") != "patch" or init["pool"] == "sequence":
            raise InputError(f"timm's VisionTransformer has patches alone, {_called(model)} has convolutions before it")
        transformer = timm.models.VisionTransformer(
            img_size=init["image_size"], patch_size=init["patch"], in_chans=init["in_channels"],
            num_classes=model.head.out_features, embed_dim=init["dim"], depth=init["depth"], num_heads=init["heads"],
            mlp_ratio=init["mlp_dim"] / init["dim"], global_pool="token" if init["pool"] == "cls" else "avg",
            class_token=init["pool"] == "cls", fc_norm=False,
        )  # fmt: skip
        return copy_in_order(model, transformer)
    if not isinstance(model, ResNet18):
        raise InputError(f"{_called(model)} is neither a ViT nor a ResNet18: timm builds it otherwise, or not at all")
    width, channels = model.hparams["width"], model.hparams["in_channels"]
    block: Any = timm.models.resnet.BasicBlock
    widths = tuple(width * 2**stage for stage in range(4))
    net: Any = timm.models.ResNet(
        block, BLOCKS[model.hparams["depth"]], model.head.out_features, channels, channels=widths
    )
    if width != 64:  # timm's stem gives 64 channels
        net.bn1, net.layer1[0] = nn.BatchNorm2d(width), block(width, width)
    net.conv1 = nn.Conv2d(channels, width, 7, stride=2, padding=3, bias=False)
    if model.hparams["stem"] == "cifar":
        net.conv1, net.maxpool = nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.Identity()
    return copy_in_order(model, net)


def to_pyg(model: ZooModule) -> nn.Module:
    """PyG's `torch_geometric.nn.GCN` with a model's weights; it takes (x, edge_index), x with rows that add up to one where
    the model was trained so.

    Raises:
        InputError: for another model.
    """
    from torch_geometric.nn import GCN as PyG

    if not isinstance(model, GCN):
        raise InputError(f"{_called(model)} is no GCN: its layers stand in torch_geometric.nn, its network doesn't")
    init = model.hparams
    net = PyG(init["in_channels"], init["hidden_dim"], init["num_layers"], init["num_classes"], dropout=init["dropout"])
    return copy_in_order(model, net)


def take_weights(model: ZooModule, net: nn.Module) -> ZooModule:
    """Copy the weights of another library's network into a model of the same shape; returns the model.

    Raises:
        InputError: for a network of other tensors, or a model that the library doesn't have.
    """
    if isinstance(model, GPT | BERT):
        return from_transformers(model, net)
    copy_in_order(net, model)
    return model


def noise_scheduler(model: DDPM) -> Any:
    """diffusers' `DDIMScheduler` for a diffusion model; call its `step` with `use_clipped_model_output=True`.

    Its steps are those of `sampler="ddim"` where their number divides the schedule's length; else it rounds them otherwise.

    Raises:
        MissingExtraError: if diffusers isn't installed.
    """
    try:
        from diffusers import DDIMScheduler
    except ImportError:
        raise MissingExtraError("a scheduler of diffusers", "diffusers", "test") from None
    return DDIMScheduler(
        num_train_timesteps=len(model.schedule),
        beta_schedule={"cosine": "squaredcos_cap_v2", "linear": "linear"}[model.hparams["schedule"]],
        prediction_type={"v": "v_prediction", "eps": "epsilon"}[model.prediction],
        timestep_spacing="trailing",
    )


def copy_in_order(source: nn.Module, target: nn.Module) -> nn.Module:
    """Copy tensors between two writings of one network, whose layers stand in the same order; returns the target in eval mode.

    Raises:
        InputError: if the tensors' number or shapes differ.
    """
    given, own = source.state_dict(), target.state_dict()
    if [list(t.shape) for t in given.values()] != [list(t.shape) for t in own.values()]:
        for (a, x), (b, y) in zip(given.items(), own.items(), strict=False):
            if x.shape != y.shape:
                raise InputError(f"{a} {list(x.shape)} doesn't fit {b} {list(y.shape)}")
        raise InputError(f"{type(source).__name__} has {len(given)} tensors, {type(target).__name__} {len(own)}")
    target.load_state_dict(dict(zip(own, given.values(), strict=True)))
    return target.eval()


def _called(model: ZooModule) -> str:
    return model.name or type(model).__name__
