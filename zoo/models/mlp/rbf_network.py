"""Radial basis function network (Broomhead and Lowe, 1988; Moody and Darken, 1989): units that light up near a prototype.

    h_j(x) = exp(−‖x − c_j‖² / 2s²),     p(y | x) = softmax(V h)

A unit of a perceptron cuts the whole space by a plane; one of these answers in a ball around its centre c_j alone. The centres
come from k-means without labels, the width s from how far images are from their centres, and the read-out V from least squares,
as in `elm.py`. With an image of its own for each centre it is the kernel machine of kernel_machine.py.
"""

import torch
from torch import Tensor, nn

from zoo.core.checks import check_count
from zoo.errors import InputError
from zoo.models.mlp.elm import FixedHidden


class RBFNetwork(FixedHidden):
    """Gaussian units around centres, and a linear read-out.

    Args:
        num_classes: number of classes.
        in_channels: channels of the image.
        image_size: (height, width) of the image.
        centres: number of units.
        scale: s as a multiple of the root mean square distance of an image to its centre.
        rounds: of k-means.
        ridge: see FixedHidden.

    Shapes:
        x: [N, in_channels, *image_size] in [0, 1]; logits: [N, num_classes]; embedding: [N, centres].
    """

    centres: Tensor
    width: Tensor

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        *,
        image_size: tuple[int, int] = (28, 28),
        centres: int = 1000,
        scale: float = 1.5,
        rounds: int = 10,
        ridge: float = 1e-6,
    ) -> None:
        super().__init__(num_classes, in_channels, ridge=ridge)
        if not scale > 0:
            raise InputError(f"scale must be above 0, not {scale!r}")
        self.save_hyperparameters()
        self.scale, self.rounds = scale, check_count(rounds, "rounds")
        pixels = in_channels * image_size[0] * image_size[1]
        self.register_buffer("centres", torch.zeros(check_count(centres, "centres"), pixels, dtype=torch.uint8))
        self.register_buffer("width", torch.ones(()))
        self.head = nn.Linear(centres, num_classes, bias=False)

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """As embedding how near each image is to each centre, in (0, 1], [N, centres]."""
        square = squared_distances(x.flatten(1), self.centres.to(x.dtype) / 255)
        return {"embedding": (-square / (2 * self.width.to(x.dtype) ** 2)).exp()}

    def draw(self, x: Tensor) -> None:
        """Find the centres among images x by k-means, kept in 256 steps as the images are, and the width."""
        rows, count = x.flatten(1), len(self.centres)
        if len(rows) < count:
            raise InputError(f"there are {len(rows)} images for {count} centres: give as many, or fewer centres")
        centres, distance = k_means(rows, count, self.rounds)
        self.centres.copy_((255 * centres).round().clamp(0, 255).to(torch.uint8))
        self.width.copy_(self.scale * distance.clamp(min=1e-3))


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """‖a_i − b_j‖² of points [N, D] and [M, D], [N, M]."""
    return (a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T).clamp(min=0)


def k_means(x: Tensor, count: int, rounds: int) -> tuple[Tensor, Tensor]:
    """Lloyd's algorithm: centres [count, D] of points [N, D], and the root mean square distance to the nearest one.

    It starts from random points; a centre that no point is nearest to stays where it is.
    """
    centres = x[torch.randperm(len(x))[:count].to(x.device)].clone()
    square = x.new_zeros(())
    for _ in range(rounds):
        found = [squared_distances(some, centres).min(1) for some in x.split(5000)]
        index, square = torch.cat([f.indices for f in found]), torch.cat([f.values for f in found]).mean()
        number = torch.bincount(index, minlength=count).to(x)
        total = torch.zeros_like(centres).index_add_(0, index, x)
        centres = torch.where(number[:, None] > 0, total / number.clamp(min=1)[:, None], centres)
    return centres, square.sqrt()
