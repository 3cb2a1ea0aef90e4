"""The network of AlphaZero: residual convolutions over the board, with a head for the moves and one for the value.

    x ← ReLU(x + W₂ ∗ ReLU(W₁ ∗ x))                                            (a block; ∗ is a 3×3 convolution)

There is no batch normalisation: W₂ starts at zero, so that each block starts as the identity, and so few blocks train well
without. A position's output then depends on nothing else in its batch, and playing costs no pass over the activations for it.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Block(nn.Module):
    """x + convolutions(x): two 3×3 convolutions, the second of which starts at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        for parameter in self.second.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(F.relu(self.first(x))))


class PolicyValueNet(nn.Module):
    """Boards [N, rows, columns] of 1, -1 and 0 → logits of the moves [N, actions] and values [N] in [-1, 1]."""

    def __init__(self, rows: int, columns: int, actions: int, width: int, blocks: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, width, 3, padding=1)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(blocks)))
        self.policy_planes = nn.Conv2d(width, 16, 1)
        self.policy = nn.Linear(16 * rows * columns, actions)
        self.value_planes = nn.Conv2d(width, 16, 1)
        self.value = nn.Sequential(nn.Linear(16 * rows * columns, 64), nn.ReLU(), nn.Linear(64, 1), nn.Tanh())

    def forward(self, boards: Tensor) -> tuple[Tensor, Tensor]:
        planes = torch.stack([boards == 1, boards == -1], 1).to(self.stem.weight.dtype)  # [N, 2, rows, columns]
        x = self.blocks(F.relu(self.stem(planes)))
        logits = self.policy(F.relu(self.policy_planes(x)).flatten(1))
        return logits, self.value(F.relu(self.value_planes(x)).flatten(1)).squeeze(1)
