"""Small batches of every kind that the tiny configurations train on; each function gives one that makes the batch."""

from collections.abc import Callable
from typing import Any

import torch


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
