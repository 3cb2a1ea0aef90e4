"""A tiny configuration of every architecture and a batch that fits it: what the registry-wide tests run on.

A new architecture adds one entry. `overfits` is the share of its first training loss that it must fall below within 120 steps
on one batch; `data` names the data module whose real batches its `fast_dev_run` trains on.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch


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


def images(n: int = 8, channels: int = 1, size: int = 28, classes: int = 10) -> Callable[[], Any]:
    def make() -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(0)
        x = torch.rand(n, channels, size, size, generator=generator)
        return x, torch.arange(n) % classes

    return make


def patterned(n: int = 8, size: int = 16) -> Callable[[], Any]:
    """Images whose four quarters differ as stripes, columns, rings and dots do."""

    def make() -> tuple[torch.Tensor, torch.Tensor]:
        rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
        patterns = (rows % 2, columns % 2, (rows * columns) % 3 == 0, (rows + columns) % 4 < 2)
        corner = rows // (size // 2) * 2 + columns // (size // 2)
        image = sum((corner == i) * pattern.float() for i, pattern in enumerate(patterns))
        return image.expand(n, 3, -1, -1) * torch.linspace(0.5, 1, n)[:, None, None, None], torch.arange(n) % 10

    return make


def maps(n: int = 4, channels: int = 1, size: int = 32, classes: int = 3) -> Callable[[], Any]:
    """Pictures in squares of as many brightnesses as there are classes."""

    def make() -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(0)
        coarse = torch.randint(classes, (n, size // 8, size // 8), generator=generator)
        y = coarse.repeat_interleave(8, 1).repeat_interleave(8, 2)
        noise = 0.1 * torch.randn(n, channels, size, size, generator=generator)
        return y[:, None] / classes + noise, y.to(torch.uint8)

    return make


def gratings(n: int = 8, size: int = 16) -> Callable[[], Any]:
    """Images of stripes, each of another direction and width."""

    def make() -> tuple[torch.Tensor, torch.Tensor]:
        rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
        angle, wave = torch.linspace(0, 1.57, n)[:, None, None], 0.5 + (torch.arange(n) % 3)[:, None, None] * 0.6
        image = 0.5 + 0.5 * (wave * (rows * angle.cos() + columns * angle.sin())).sin()
        return image[:, None].expand(-1, 3, -1, -1).contiguous(), torch.arange(n) % 10

    return make


def board_positions() -> Any:
    """Eight made-up positions of tic-tac-toe with policies and values."""
    boards = torch.randint(-1, 2, (8, 3, 3), generator=torch.Generator().manual_seed(0)).float()
    return boards, torch.eye(9)[:8], torch.linspace(-1, 1, 8)


def marked() -> Any:
    """Four pictures with one bright square each, and a box around it."""
    x, y = torch.zeros(4, 1, 64, 64), torch.full((4, 2, 5), -1.0)
    for i in range(4):
        left, top = 8 + 10 * i, 30 - 7 * i
        x[i, 0, top : top + 18, left : left + 14] = 1
        y[i, 0] = torch.tensor([i, left, top, left + 14, top + 18])
    return x, y


def characters(n: int = 4, length: int = 16, vocab_size: int = 65) -> Callable[[], Any]:
    def make() -> tuple[torch.Tensor, torch.Tensor]:
        tokens = torch.randint(vocab_size, (n, length + 1), generator=torch.Generator().manual_seed(0))
        return tokens[:, :-1], tokens[:, 1:]

    return make


def labelled_texts() -> Any:
    """Twelve short texts of unlike lengths, their class told by their first word."""
    lengths = torch.arange(12) % 5 + 1
    tokens = torch.randint(4, 82, (12, 5), generator=torch.Generator().manual_seed(0))
    labels = torch.arange(12) % 18
    tokens[:, 0] = labels + 4
    return tokens.masked_fill(torch.arange(5) >= lengths[:, None], 0), lengths, labels


def sentence_pairs() -> Any:
    """Six sentences and their reversals, framed by 1 and 2."""
    sources = torch.randint(3, 300, (6, 7), generator=torch.Generator().manual_seed(0))
    frame = torch.ones(6, 1, dtype=torch.long)
    lengths = torch.tensor([7, 7, 7, 5, 3, 1])
    sources = sources.masked_fill(torch.arange(7) >= lengths[:, None], 0)
    return sources, lengths, torch.cat([frame, sources.flip(1).clamp(min=3), 2 * frame], 1)


def two_voices() -> Any:
    """Four mixtures of a low and a high tone with overtones."""
    t = torch.arange(2048) / 8000
    pitch = torch.tensor([[110.0, 310.0], [130.0, 290.0], [120.0, 330.0], [140.0, 350.0]])[:, :, None]
    voices = sum((2 * torch.pi * k * pitch * t).sin() / k for k in (1, 2, 3))
    return voices.sum(1), voices


def two_domains(size: int = 16) -> Callable[[], Any]:
    """Eight labelled images of a source, eight of a target, which are darker."""

    def make() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        x = torch.rand(16, 1, size, size, generator=torch.Generator().manual_seed(0))
        return x[:8], torch.arange(8) % 10, x[8:] / 2

    return make


def word_pairs() -> Any:
    """Each word with the next one."""
    return torch.arange(64), torch.arange(64) + 1


def chorales() -> Any:
    """Three short pieces of four voices, one of them shorter."""
    rolls = torch.zeros(3, 12, 88)
    pitches = torch.randint(20, 60, (3, 12, 4), generator=torch.Generator().manual_seed(0))
    rolls.scatter_(2, pitches, 1.0)
    rolls[2, 7:] = 0
    return rolls, torch.tensor([12, 12, 7])


def wave() -> Any:
    """A sine and its continuation."""
    t = torch.sin(torch.arange(201, dtype=torch.float64) / 7)
    return t[:-1], t[1:]


def swings() -> Any:
    """Circles in the plane, and their times."""
    t = 0.1 * torch.arange(6, dtype=torch.float32)
    angle = torch.arange(8)[:, None] + t
    return torch.stack([angle.sin(), angle.cos()], 2), t


def bars() -> Any:
    """Four binary images."""
    x = torch.tensor([[0, 0, 0], [1, 0, 0], [0, 1, 1], [1, 1, 1]]).float()
    return x[:, None, None].repeat(1, 1, 3, 1), torch.zeros(4, dtype=torch.long)


def citations(nodes: int = 12, features: int = 9, classes: int = 3) -> Callable[[], Any]:
    """A ring with chords; every second node is labelled."""

    def make() -> Any:
        from torch_geometric.data import Data
        from torch_geometric.utils import to_undirected

        ring = torch.arange(nodes)
        edges = torch.cat([torch.stack([ring, (ring + hop) % nodes]) for hop in (1, 5)], 1)
        x = torch.rand(nodes, features, generator=torch.Generator().manual_seed(0))
        return Data(x=x, edge_index=to_undirected(edges), y=ring % classes, train_mask=ring % 2 == 0)

    return make


def small_graphs(features: int = 7) -> Callable[[], Any]:
    """Rings against stars."""

    def make() -> Any:
        from torch_geometric.data import Batch, Data
        from torch_geometric.utils import to_undirected

        generator, graphs = torch.Generator().manual_seed(0), []
        for i in range(8):
            n = 4 + i // 2
            near = (torch.arange(n) + 1) % n if i % 2 else torch.zeros(n, dtype=torch.long)
            edges = to_undirected(torch.stack([torch.arange(n), near])[:, 1 - i % 2 :])
            graphs.append(
                Data(x=torch.rand(n, features, generator=generator), edge_index=edges, y=torch.tensor([i % 2]))
            )
        return Batch.from_data_list(graphs)

    return make


def molecules() -> Any:
    from torch_geometric.data import Batch

    from datamodules.formats.smiles import from_smiles

    graphs = [from_smiles(smiles) for smiles in ("CCO", "c1ccccc1", "CC(=O)O", "C#N", "C[N+](C)(C)C", "OC1CC1")]
    batch = Batch.from_data_list(graphs)
    batch.y = torch.tensor([1.0, -2, 0.5, 0.3, -1, 0])
    return batch


def point_sets() -> Any:
    """Points on a line against points on a circle."""
    from torch_geometric.data import Batch, Data

    generator, sets = torch.Generator().manual_seed(0), []
    for i in range(8):
        t = torch.rand(10 + i, 1, generator=generator) * 6
        x = torch.cat([t.sin(), t.cos(), t], 1) if i % 2 else torch.cat([t, -t, t * 0], 1)
        sets.append(Data(x=x, y=torch.tensor([i % 2])))
    return Batch.from_data_list(sets)


def flowers() -> Any:
    x = torch.rand(8, 2, generator=torch.Generator().manual_seed(0))
    return x, (x[:, 0] > x[:, 1]).long()


def binding_sites() -> Any:
    """Twenty-four sequences for three factors; half of them hold one and the same word."""
    from datamodules.formats.dna import one_hot

    codes = torch.randint(4, (24, 40), generator=torch.Generator().manual_seed(0))
    codes[::2, 10:16] = torch.tensor([0, 1, 2, 3, 0, 0])
    return one_hot(codes), torch.arange(24) % 3, (torch.arange(24) % 2 == 0).float(), torch.ones(24)


def numbers() -> Any:
    """Points of eight numbers with a number each."""
    x = torch.randn(32, 8, generator=torch.Generator().manual_seed(0))
    return x, x[:, :1] * x[:, 1:2] + x[:, 2:3]


def points(n: int = 32) -> Callable[[], Any]:
    """Two clusters in the plane."""

    def make() -> tuple[torch.Tensor, torch.Tensor]:
        label = torch.arange(n) % 2
        return 0.2 * torch.randn(n, 2, generator=torch.Generator().manual_seed(0)) + 2.0 * label[:, None], label

    return make


def rollout(states: int | None = None, whole: bool = False) -> Callable[[], Any]:
    """Twelve steps of three copies of an environment: push the cart to the side where the pole leans, and it goes well."""

    def make() -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(0)
        obs = torch.randn(12, 3, 4, generator=generator)
        done = torch.zeros(12, 3, dtype=torch.bool)
        done[-1] = True
        batch = {
            "obs": obs if states is None else (obs[..., 0] > 0).long(),
            "action": (obs[..., 2] > 0).long(),
            "reward": torch.ones(12, 3),
            "terminated": done,
            "truncated": torch.zeros_like(done),
            "next_obs": obs.roll(-1, 0) if states is None else (obs.roll(-1, 0)[..., 0] > 0).long(),
            "returns": torch.full((3,), 12.0),
            "lengths": torch.full((3,), 12.0),
            "recent": torch.tensor(12.0),
        }
        return batch | ({"mask": torch.ones_like(done)} if whole else {})

    return make


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
