"""A tiny configuration of every architecture and a batch that fits it: what the registry-wide tests run on.

A new architecture adds one entry. `overfits` is the share of its first training loss that it must fall below within 120 steps
on one batch; `data` names the data module whose real batches its `fast_dev_run` trains on.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.batches import (
    bars,
    binding_sites,
    board_positions,
    characters,
    chorales,
    citations,
    flowers,
    gratings,
    images,
    labelled_texts,
    maps,
    marked,
    molecules,
    numbers,
    patterned,
    point_sets,
    points,
    rollout,
    sentence_pairs,
    small_graphs,
    swings,
    two_domains,
    two_voices,
    wave,
    word_pairs,
)


@dataclass(frozen=True)
class Tiny:
    """Arguments of a small model, a batch for its training step, and what is expected of it."""

    init: dict[str, Any]
    batch: Callable[[], Any]
    data: str | None = None
    data_init: dict[str, Any] = field(default_factory=dict)
    overfits: float = 0.5
    lr: float = 3e-3
    no_gradient: tuple[str, ...] = ()  # parameters that rightly get none in one step, such as a discriminator's


# every agent on its own environment, and every table on the ice
CART: dict[str, Any] = {"data": "environment", "data_init": {"num_envs": 2, "steps": 8, "rollouts": 2}}
ICE: dict[str, Any] = {"batch": rollout(states=16), **CART, "data_init": CART["data_init"] | {"id": "FrozenLake-v1"}}

# every node classifier on one small graph
NODES: dict[str, Any] = {"batch": citations(), "lr": 0.03}
NODE_INIT: dict[str, Any] = {"num_classes": 3, "in_channels": 9, "dropout": 0.0}

# models of grey digits that take pixels in [0, 1]
DIGITS: dict[str, Any] = {"batch": images(), "data": "mnist", "data_init": {"normalize": False}}

# every model of pixels with a likelihood: the images are noise, so there are few bits to gain
PIXELS: dict[str, Any] = {
    "batch": images(),
    "data": "mnist",
    "data_init": {"normalize": False, "batch_size": 16},
    "overfits": 0.97,
    "lr": 1e-2,
}

# every image model that is trained by denoising: the noise is drawn anew in every step
DENOISERS: dict[str, Any] = {
    "batch": images(),
    "data": "mnist",
    "data_init": {"normalize": False, "batch_size": 16},
    "overfits": 0.85,
}

TINY: dict[str, Tiny] = {
    "a2c": Tiny({"hidden": [8], "normalise": False, "value_weight": 1.0}, rollout(), **CART, lr=3e-2),
    "dqn": Tiny(
        {"hidden": [8]},
        rollout(),
        data="replay",
        data_init=CART["data_init"] | {"updates": 2, "batch_size": 4, "warmup": 20, "capacity": 100},
    ),
    "expected-sarsa": Tiny({}, **ICE),
    "policy-iteration": Tiny({}, **ICE),
    "ppo": Tiny({"hidden": [8], "epochs": 2, "minibatch": 8}, rollout(), **CART),
    "qlearning": Tiny({}, **ICE),
    "reinforce": Tiny(
        {"hidden": [8], "baseline": False, "normalise": False},
        rollout(whole=True),
        data="environment",
        data_init={"num_envs": 2, "rollouts": 2, "whole_episodes": True},
        lr=3e-2,
    ),
    "sarsa": Tiny({}, **ICE),
    "td": Tiny({"states": 6}, rollout(states=6), data="environment", data_init=CART["data_init"] | {"id": "Cat-v0"}),
    "trpo": Tiny({"hidden": [8]}, rollout(), **CART),
    "value-iteration": Tiny({}, **ICE),
    "attention-seq2seq": Tiny(
        {"vocab_size": 300, "width": 24, "embedding": 16, "dropout": 0.0, "label_smoothing": 0.0},
        sentence_pairs,
        data="multi30k",
        data_init={"batch_size": 4, "vocab_size": 300},
        lr=2e-2,
    ),
    "seq2seq": Tiny(
        {"vocab_size": 300, "width": 24, "embedding": 16, "dropout": 0.0, "label_smoothing": 0.0},
        sentence_pairs,
        data="multi30k",
        data_init={"batch_size": 4, "vocab_size": 300},
        lr=2e-2,
    ),
    "transformer": Tiny(
        {"vocab_size": 300, "width": 16, "layers": 2, "heads": 2, "inner": 24, "dropout": 0.0, "label_smoothing": 0.0},
        sentence_pairs,
        data="multi30k",
        data_init={"batch_size": 4, "vocab_size": 300},
        lr=1e-2,
    ),
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
    "gated-nested-unet-separation": Tiny({"widths": [8, 8, 8]}, two_voices, overfits=0.8),
    "unet-separation": Tiny({"widths": [8, 8, 8]}, two_voices, overfits=0.8),
    "autoencoder": Tiny({"latent_dim": 8, "hidden": [16]}, **DIGITS, lr=1e-2),
    "cvae": Tiny(
        {"latent_dim": 4, "hidden": [16]}, **DIGITS, lr=1e-2, overfits=0.99
    ),  # pixels are drawn anew each step
    "infovae": Tiny({"latent_dim": 4, "hidden": [16]}, **DIGITS, lr=1e-2, overfits=0.99),
    "linear-autoencoder": Tiny({"latent_dim": 8}, **DIGITS, lr=1e-2),
    "boltzmann": Tiny({"hidden": 2}, bars, data="bars-and-stripes", overfits=0.7, lr=0.05),
    "hopfield": Tiny({"size": 784, "patterns": 3}, bars, data="digit-patterns", data_init={"patterns": 12}),
    "som": Tiny({"grid": [3, 4]}, **DIGITS),
    "esn": Tiny({"units": 20}, wave, data="mackey-glass", data_init={"train_size": 300}),
    "neural-ode": Tiny({"hidden": [16]}, swings, data="pendulum", data_init={"trajectories": 2}, lr=1e-2),
    "neural-ode-classifier": Tiny({"width": 8}, **DIGITS, lr=1e-2),
    "kernel-machine": Tiny({"examples": 12, "ridge": 0.01}, images(), data="mnist", data_init={"normalize": False}),
    "elm": Tiny({"units": 12}, images(), data="mnist", data_init={"normalize": False}),
    "rbf-network": Tiny({"centres": 12}, images(), data="mnist", data_init={"normalize": False}),
    "rbm": Tiny(
        {"hidden": 8, "chains": 8, "temperatures": 5, "runs": 2}, **DIGITS, overfits=0.99
    ),  # pixels are drawn anew each step
    "dbn": Tiny(
        {"hidden": [32, 7], "temperatures": 5, "runs": 2},
        **DIGITS,
        overfits=0.95,  # pixels are drawn anew each step
        no_gradient=("machines.1.weight", "machines.1.visible_bias", "machines.1.hidden_bias"),  # its turn comes later
    ),
    "dbn-classifier": Tiny({"hidden": [16, 16]}, **DIGITS, lr=3e-2),
    "pca": Tiny({"latent_dim": 4}, **DIGITS),
    "ppca": Tiny({"latent_dim": 4}, **DIGITS),
    "cyclegan": Tiny({"width": 4}, two_domains(28)),
    "pix2pix": Tiny({"width": 4}, **DIGITS),
    "dcgan": Tiny({"latent_dim": 4, "width": 4}, **DIGITS),
    "fgan": Tiny({"latent_dim": 4, "hidden": [8], "divergence": "hellinger"}, **DIGITS),
    "gan": Tiny({"latent_dim": 4, "hidden": [8], "num_classes": 10}, **DIGITS),
    "lsgan": Tiny({"latent_dim": 4, "hidden": [8], "r1": 1.0}, **DIGITS),
    "vae": Tiny({"latent_dim": 4, "hidden": [16]}, **DIGITS, lr=1e-2, overfits=0.99),
    "vqvae": Tiny(
        {
            "latent_dim": 4,
            "entries": 16,
            "entry_dim": 4,
            "hidden": [32],
            "prior_width": 8,
            "prior_layers": 1,
            "prior_heads": 2,
        },
        **DIGITS,
        lr=1e-2,
        overfits=0.8,  # codes change while the prior learns them
    ),
    "wgan": Tiny({"latent_dim": 4, "hidden": [8]}, **DIGITS),
    "vib": Tiny({"latent_dim": 4, "hidden": [16]}, images(), data="mnist"),
    "backprop-mlp": Tiny({}, flowers, data="logic-gate"),
    "char-rnn": Tiny(
        {"width": 24, "embedding": 12, "kind": "lstm"},
        characters(),
        data="tinyshakespeare",
        data_init={"batch_size": 4, "context": 16, "reading": "streams"},
        lr=2e-2,
    ),
    "gpt": Tiny(
        {"context": 16, "layers": 2, "heads": 2, "width": 24, "qk_norm": True, "tied": False},
        characters(),
        data="tinyshakespeare",
        data_init={"batch_size": 4, "context": 16},
        lr=1e-2,
    ),
    "conv1d": Tiny({"motifs": 8, "width": 6, "hidden_dim": 8, "dropout": 0.0}, binding_sites, data="tfbs", lr=1e-2),
    "cnn": Tiny({"width": 8, "embedding_dim": 16, "dropout": 0.0}, images(), data="mnist"),
    "ddpm": Tiny(
        {"width": 8, "blocks": 1, "timesteps": 50},
        images(),
        data="mnist",
        data_init={"normalize": False},
        overfits=0.8,  # the noise is drawn anew in every step
    ),
    "glow": Tiny({"width": 4, "steps": 2, "blocks": 1}, **PIXELS),
    "maf-image": Tiny({"layers": 2, "hidden_dim": 16}, **PIXELS),
    "nice": Tiny({"layers": 2, "hidden_dim": 16, "depth": 1}, **PIXELS),
    "pixelcnn": Tiny({"width": 4, "layers": 2, "levels": 8}, **PIXELS),
    "pixelrnn": Tiny({"width": 4, "layers": 1, "levels": 8}, **PIXELS),
    "realnvp-image": Tiny({"width": 4, "couplings": 2, "blocks": 1}, **PIXELS),
    "cfg-ddpm": Tiny({"width": 8, "timesteps": 50}, **DENOISERS),
    # of many intervals, most ask an untrained network to agree with itself, which it does; of two, one asks for the image
    "adversarial-consistency": Tiny({"width": 8, "timesteps": 50, "intervals": 2, "critic_width": 8}, **DENOISERS),
    "consistency": Tiny({"width": 8, "timesteps": 50, "segments": 1, "intervals": 2}, **DENOISERS),
    "controlnet": Tiny({"width": 8, "timesteps": 50}, **DENOISERS),
    # a network that says 0 isn't a velocity of 0 but already a share of the state: less is left to learn
    "flow-matching": Tiny({"width": 8}, **DENOISERS | {"overfits": 0.9}),
    "t2i-adapter": Tiny({"width": 8, "timesteps": 50}, **DENOISERS),
    "text-ldm": Tiny(
        {"width": 8, "text_dim": 8, "autoencoder_width": 8, "timesteps": 50}, **DENOISERS | {"overfits": 0.95}
    ),
    "kl-ae": Tiny({"width": 8}, **DENOISERS | {"lr": 1e-2}),
    "latent-diffusion": Tiny({"width": 8, "autoencoder_width": 8, "timesteps": 50}, **DENOISERS | {"overfits": 0.95}),
    "noisy-classifier": Tiny({"width": 8, "dropout": 0.0, "timesteps": 50}, **DENOISERS),
    # levels between the steps of a pixel and its range: beyond them there's little to learn in a hundred steps
    "ncsn": Tiny({"width": 8, "levels": 5, "largest": 4.0, "smallest": 0.4}, **DENOISERS),
    "score-sde": Tiny({"width": 8}, **DENOISERS),
    "maf": Tiny({"layers": 3, "hidden_dim": 16, "depth": 1}, points(), data="moons", lr=1e-2),
    "name-rnn": Tiny({"width": 24, "embedding": 12}, characters(vocab_size=27), data="first-names", lr=2e-2),
    "ncsn-points": Tiny(
        {"hidden_dim": 32, "levels": 4},
        points(),
        data="two-gaussians",
        overfits=0.9,  # the noise is drawn anew in every step
    ),
    "point-ddpm": Tiny(
        {"dim": 2, "hidden_dim": 32, "timesteps": 20},
        points(),
        overfits=0.9,  # the noise is drawn anew in every step
    ),
    "point-energy": Tiny({"hidden": [16], "chains": 16, "steps": 2}, points(), data="moons"),
    "point-gan": Tiny({"latent_dim": 4, "hidden": [8]}, points(), data="ring"),
    "realnvp": Tiny({"layers": 3, "hidden_dim": 16, "depth": 1}, points(), data="moons", lr=1e-2),
    "edgeconv": Tiny(
        {"hidden_dim": 8, "num_layers": 2, "neighbours": 3, "dropout": 0.0},
        point_sets,
        data="mnist-points",
        data_init={"train_size": 200},
    ),
    "mpnn": Tiny({"hidden_dim": 12, "rounds": 2, "dropout": 0.0}, molecules, data="esol", lr=1e-2),
    "gat": Tiny(NODE_INIT, **NODES),
    "gcn": Tiny(NODE_INIT | {"num_layers": 3}, **NODES),
    "gin": Tiny({"hidden_dim": 8, "num_layers": 3, "dropout": 0.0}, small_graphs(), data="mutag", overfits=0.6),
    "alphazero": Tiny(
        {"game": "tictactoe", "width": 8, "blocks": 1, "simulations": 8, "train_simulations": 4},
        board_positions,
        data="self-play",
        data_init={"game": "tictactoe", "batch_size": 16, "games": 4, "plies": 3, "steps": 2},
        lr=1e-2,
    ),
    "alexnet": Tiny({"hidden_dim": 64, "dropout": 0.0}, images(8, 3, 32), data="cifar10", lr=3e-4),
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
    "maxout": Tiny({"hidden": [8, 8], "pieces": 3, "dropout": 0.0, "input_dropout": 0.0}, images(), data="mnist"),
    "mlp": Tiny({"hidden": [8, 8], "batch_norm": True, "max_norm": 3.0}, images(), data="mnist"),
    "mobilenet": Tiny({"width": 0.1, "dropout": 0.0}, images(8, 3, 8), data="cifar10", overfits=0.9),
    "perceptron": Tiny({"rule": "adaline"}, flowers, data="iris", lr=0.03),
    "regression-mlp": Tiny({"in_channels": 8, "hidden": [16], "dropout": 0.05}, numbers, data="concrete", lr=3e-2),
    # eight channels at least: with fewer, the gradient of a channels-last 1×1 convolution with stride 2 corrupts memory in the
    # oneDNN of torch 2.15 on processors without AVX-512
    "resnet-cifar": Tiny({"depth": 8, "width": 8, "option": "B"}, images(8, 3, 16), data="cifar10"),
    "resnet18": Tiny({"width": 8}, images(8, 3, 16), data="cifar10"),
    "simplecnn": Tiny({}, images(), data="mnist", overfits=0.9),
    "speednet": Tiny({"width": 4, "label_smoothing": 0.0}, images(8, 3, 16), data="cifar10", lr=0.03),  # scaled logits
    "node-mlp": Tiny(NODE_INIT, **NODES),
    "grand": Tiny(
        NODE_INIT | {"input_dropout": 0.0, "drop_node": 0.1, "hops": 2, "consistency": 0.1}, **NODES | {"overfits": 0.7}
    ),
    "performance-rnn": Tiny(
        {"width": 32, "layers": 1, "embedding": 16},
        characters(vocab_size=413),
        data="chorale-events",
        data_init={"batch_size": 4, "context": 32},
        lr=2e-2,
    ),
    "piano-roll-rnn": Tiny(
        {"width": 24}, chorales, data="jsb-chorales", data_init={"batch_size": 4, "shift": 3}, lr=2e-2
    ),
    "music-transformer": Tiny(
        {"width": 24, "layers": 2, "heads": 2, "reach": 20},
        chorales,
        data="jsb-chorales",
        data_init={"batch_size": 4, "shift": 3},
        lr=1e-2,
    ),
    "bert": Tiny(
        {"vocab_size": 600, "context": 16, "layers": 2, "heads": 2, "width": 24},
        characters(vocab_size=600),
        data="gutenberg-pieces",
        data_init={"batch_size": 4, "context": 16, "vocab_size": 600, "novels": ["Pride and Prejudice"]},
        overfits=0.8,  # other places are hidden in every step
        lr=1e-2,
    ),
    "rnn-classifier": Tiny(
        {"num_classes": 18, "vocab_size": 82, "unit": "character", "embedding": 8, "width": 12},
        labelled_texts,
        data="names",
        data_init={"batch_size": 8},
        lr=1e-2,
    ),
    "sage": Tiny(NODE_INIT | {"hidden_dim": 8}, **NODES),
    "vgg": Tiny({"width": 4, "dropout": 0.0}, images(8, 3, 32), data="cifar10"),
    "word2vec": Tiny(
        {"vocab_size": 10_831, "dim": 8, "negatives": 2},
        word_pairs,
        data="gutenberg",
        data_init={"batch_size": 32},
        overfits=0.75,  # two of its three logarithms are of words drawn anew in every step
        lr=3e-2,
    ),
    "vit": Tiny(
        {"in_channels": 1, "image_size": 28, "patch": 14, "dim": 16, "depth": 2, "heads": 2, "mlp_dim": 16},
        images(),
        data="mnist",
    ),
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
