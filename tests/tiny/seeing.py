"""What sees: networks of images, tables and sequences that name, mark or find, and those that learn to see without labels."""

from tests.batches import (
    binding_sites,
    flowers,
    gratings,
    images,
    labelled_texts,
    maps,
    marked,
    numbers,
    patterned,
    two_domains,
)
from tests.tiny.case import DIGITS, Tiny

TINY: dict[str, Tiny] = {
    "elm": Tiny({"units": 12}, images(), data="mnist", data_init={"normalize": False}),
    "rbf-network": Tiny({"centres": 12}, images(), data="mnist", data_init={"normalize": False}),
    "backprop-mlp": Tiny({}, flowers, data="logic-gate"),
    "maxout": Tiny({"hidden": [8, 8], "pieces": 3, "dropout": 0.0, "input_dropout": 0.0}, images(), data="mnist"),
    "mlp": Tiny({"hidden": [8, 8], "batch_norm": True, "max_norm": 3.0}, images(), data="mnist"),
    "perceptron": Tiny({"rule": "adaline"}, flowers, data="iris", lr=0.03),
    "regression-mlp": Tiny({"in_channels": 8, "hidden": [16], "dropout": 0.05}, numbers, data="concrete", lr=3e-2),
    "conv1d": Tiny({"motifs": 8, "width": 6, "hidden_dim": 8, "dropout": 0.0}, binding_sites, data="tfbs", lr=1e-2),
    "cnn": Tiny({"width": 8, "embedding_dim": 16, "dropout": 0.0}, images(), data="mnist"),
    "alexnet": Tiny({"hidden_dim": 64, "dropout": 0.0}, images(8, 3, 8), data="cifar10", lr=3e-4),
    "allconv": Tiny({"width": 8, "dropout": 0.0}, images(8, 3, 16), data="cifar10"),
    "densenet": Tiny({"growth_rate": 4, "blocks": [2, 2]}, images(8, 3, 16), data="cifar10"),
    "fractional-pool": Tiny({"width": 8, "poolings": 3, "dropout": 0.0}, images(8, 3, 16), data="cifar10"),
    "resnext": Tiny(
        {"blocks": [1, 1], "cardinality": 2, "path_width": 4, "width": 8}, images(8, 3, 16), data="cifar10"
    ),
    "inception": Tiny({"width": 8}, images(8, 3, 8), data="cifar10"),
    "timm": Tiny(
        {"backbone": "resnet10t", "options": {"stem_type": "", "channels": [8, 8, 8, 8]}},
        images(8, 3, 16),
        data="cifar10",
        overfits=0.9,
    ),
    "lenet5": Tiny({"batch_norm": True}, images(), data="mnist"),
    "mobilenet": Tiny({"width": 0.1, "dropout": 0.0}, images(8, 3, 8), data="cifar10", overfits=0.9),
    # eight channels at least: with fewer, the gradient of a channels-last 1×1 convolution with stride 2 corrupts memory in the
    # oneDNN of torch 2.15 on processors without AVX-512
    "resnet-cifar": Tiny({"depth": 8, "width": 8, "option": "B"}, images(8, 3, 16), data="cifar10"),
    "resnet18": Tiny({"width": 8}, images(8, 3, 16), data="cifar10"),
    "simplecnn": Tiny({}, images(), data="mnist", overfits=0.9),
    "speednet": Tiny({"width": 4, "label_smoothing": 0.0}, images(8, 3, 16), data="cifar10", lr=0.03),  # scaled logits
    "vgg": Tiny({"width": 4, "dropout": 0.0}, images(8, 3, 32), data="cifar10"),
    "kernel-machine": Tiny({"examples": 12, "ridge": 0.01}, images(), data="mnist", data_init={"normalize": False}),
    "som": Tiny({"grid": [3, 4]}, **DIGITS),
    "adapter-bert": Tiny(
        {"vocab_size": 300, "context": 32, "layers": 2, "heads": 2, "width": 24, "bottleneck": 8, "num_classes": 18},
        labelled_texts,
        overfits=0.9,  # the language model is random and frozen
        lr=3e-2,
    ),
    "dan": Tiny({"image_size": 28, "width": 8, "embedding_dim": 16}, two_domains(28), data="mnist", overfits=0.7),
    "dann": Tiny(
        {"image_size": 28, "width": 8, "embedding_dim": 16, "weight": 0.1}, two_domains(28), data="mnist", overfits=0.7
    ),
    "reprogrammed-gpt": Tiny(
        {"patch": 7, "context": 16, "layers": 1, "heads": 2, "width": 16},
        images(),
        data="mnist",
        overfits=0.9,  # the blocks are random and frozen
        lr=3e-2,
    ),
    # only a border of noise learns, before a random network
    "reprogrammed-input": Tiny({"depth": 8, "size": 20}, images(), data="mnist", overfits=0.999, lr=3e-2),
    "residual-adapter": Tiny({"depth": 8, "width": 8}, images(8, 3, 16), data="cifar10"),
    # other views, tiles or turns in every step
    "byol": Tiny({"width": 8, "view_size": 16}, images(8, 3, 16), data="cifar10", overfits=0.8),
    "colorization": Tiny({"width": 8}, images(8, 3, 16), data="cifar10", overfits=0.9),
    "jigsaw": Tiny({"width": 8, "tile": 7}, patterned(24), data="cifar10", overfits=0.7),
    "rotnet": Tiny({"width": 8, "view_size": 16}, images(8, 3, 16), data="cifar10", overfits=0.9),
    "simclr": Tiny({"width": 8, "view_size": 16}, gratings(), data="cifar10", overfits=0.9),
    "unet": Tiny(
        {"num_classes": 3, "widths": (8, 12), "loss": "cce+dice"},
        maps(classes=3),
        data="atoms",
        data_init={"batch_size": 4, "limit": 8},
    ),
    "deeplabv3": Tiny(
        {"num_classes": 3, "in_channels": 1, "widths": (8, 8, 8, 8), "rates": (1, 2)},
        maps(classes=3),
        data="atoms",
        data_init={"batch_size": 4, "limit": 8},
        overfits=0.8,
    ),
    "rcnn": Tiny(
        {"num_classes": 10, "in_channels": 1, "cell": 12, "samples": 16},
        marked,
        data="mnist-canvases",
        data_init={"batch_size": 4, "limit": 8, "normalize": False},
        overfits=0.8,
    ),
    "fast-rcnn": Tiny(
        {
            "num_classes": 10,
            "in_channels": 1,
            "widths": (8, 12),
            "stem": 4,
            "depth": 0,
            "cell": 12,
            "samples": 16,
            "head_width": 16,
        },
        marked,
        data="mnist-canvases",
        data_init={"batch_size": 4, "limit": 8, "normalize": False},
        overfits=0.6,
    ),
    "faster-rcnn": Tiny(
        {
            "num_classes": 10,
            "in_channels": 1,
            "widths": (8, 12),
            "stem": 8,
            "depth": 1,
            "anchors": (16,),
            "head_width": 16,
            "proposals": 20,
            "samples": 16,
        },
        marked,
        data="mnist-canvases",
        data_init={"batch_size": 4, "limit": 8},
        overfits=0.6,
    ),
    "yolo": Tiny(
        {"num_classes": 10, "in_channels": 1, "priors": ((13, 19), (23, 28)), "widths": (8, 12), "stem": 8, "depth": 1},
        marked,
        data="mnist-canvases",
        data_init={"batch_size": 4, "limit": 8},
        overfits=0.6,
    ),
}
