"""Jigsaw puzzles: in which order were the tiles of this picture laid? (Noroozi and Favaro, 2016, arXiv:1603.09246).

An image is cut into four tiles, which are laid in one of their 24 orders. One encoder looks at each tile alone, and a small
network that sees the four embeddings side by side has to name the order,

    min  −log p(order | f(tile₁), f(tile₂), f(tile₃), f(tile₄))

Edges and colours that go on from tile to tile would give the order away. So each tile is cut at random from a slightly larger
cell, which leaves gaps, and is brought to mean 0 and deviation 1 by itself.

Departures from the paper: 2×2 tiles for 3×3, as the images are small, and all their orders for a chosen set of them.
"""

from itertools import permutations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.models.selfsupervised.backbone import SelfSupervised
from zoo.models.selfsupervised.views import crop, jitter

ORDERS = torch.tensor(list(permutations(range(4))))  # [24, 4]


class Jigsaw(SelfSupervised):
    """Learns to predict in which order the four tiles of an image were laid.

    Args:
        num_classes: None for the pretext task, or the classes of a head on the encoder.
        in_channels: channels of the image.
        width: channels of the first stage.
        tile: side of a tile in pixels; the rest of a quarter of the image is its play.

    Shapes:
        x: [N, in_channels, H, W] in [0, 1], H and W at least 2 · tile; logits of the orders: [N, 24].
    """

    def __init__(
        self, num_classes: int | None = None, in_channels: int = 3, *, width: int = 32, tile: int = 14
    ) -> None:
        super().__init__(num_classes, in_channels, width)
        self.save_hyperparameters()

    def build_pretext(self, width: int) -> None:
        hidden = 8 * width
        self.order = nn.Sequential(
            nn.Linear(4 * 12 * width, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, len(ORDERS))
        )

    def order_logits(self, tiles: Tensor) -> Tensor:
        """Logits [N, 24] of the order in which tiles [N, 4, C, S, S] lie."""
        stages = self.features(tiles.flatten(0, 1))
        each = torch.cat([stages[name].mean((2, 3)) for name in ("stage2", "stage3")], 1)  # [4N, 12w]
        return self.order(each.unflatten(0, (-1, 4)).flatten(1))

    def pretext_loss(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        x = crop(x, x.shape[-1], least=0.7)
        tiles = standardise(cut(jitter(x) if x.shape[1] == 3 else x, self.hparams["tile"]))
        number = torch.randint(len(ORDERS), (len(x),), device=x.device)
        logits = self.order_logits(lay(tiles, number)).float()
        return F.cross_entropy(logits, number), {"pretext_accuracy": (logits.argmax(1) == number).float().mean()}


def cut(x: Tensor, tile: int) -> Tensor:
    """Four tiles of each image [N, C, H, W], row by row, each somewhere in its quarter: [N, 4, C, tile, tile]."""
    n, rows, columns = len(x), x.shape[2] // 2, x.shape[3] // 2
    side = torch.arange(tile, device=x.device)
    top = torch.randint(rows - tile + 1, (n, 4), device=x.device) + torch.tensor([0, 0, rows, rows], device=x.device)
    left = torch.randint(columns - tile + 1, (n, 4), device=x.device)
    left = left + torch.tensor([0, columns, 0, columns], device=x.device)
    image = torch.arange(n, device=x.device)[:, None, None, None]
    y = (top[..., None] + side)[..., :, None]  # [N, 4, tile, 1]
    return x.movedim(1, -1)[image, y, (left[..., None] + side)[..., None, :]].movedim(-1, 2)


def lay(tiles: Tensor, number: Tensor) -> Tensor:
    """Tiles [N, 4, …] in the orders of these numbers [N]: place i takes tile ORDERS[number, i]."""
    return tiles[torch.arange(len(tiles), device=tiles.device)[:, None], ORDERS.to(tiles.device)[number]]


def standardise(tiles: Tensor) -> Tensor:
    """Tiles [N, 4, C, S, S] with mean 0 and deviation 1 each: how light or colourful one is doesn't show its place."""
    spread, mean = torch.std_mean(tiles, dim=(2, 3, 4), keepdim=True)
    return (tiles - mean) / (spread + 0.05)
