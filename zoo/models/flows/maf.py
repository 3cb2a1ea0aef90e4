"""Masked autoregressive flow (Papamakarios, Pavlakou and Murray, 2017, arXiv:1705.07057).

Any density is a product of conditionals, p(x) = Π p(x_i | x_1 … x_{i-1}). Make each a Gaussian whose mean and scale a network
reads off the earlier values, and the noise that explains x is

    z_i = (x_i − μ_i(x_<i)) · exp(−α_i(x_<i)),        log |det| = −Σ α_i

an invertible map with a triangular Jacobian. MADE (Germain et al., 2015, arXiv:1502.03509) computes all μ_i and α_i in one
pass: every unit has a degree, and a weight survives only from lower to higher, so that no output sees its own or a later input.
One such layer is weak, a chain whose order is reversed from layer to layer isn't. A density takes one pass; a sample takes D, for
x_i must be known before x_{i+1} (inverse autoregressive flow, IAF, has it the other way round).

Departures from the paper: orders are only reversed, never random; α is bounded by a tanh; noise on black and white pixels of
images is normal behind the logit (see dequantisation.py); Adam with a cosine schedule.
"""

import itertools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import InputError
from zoo.models.flows.bijections import BatchNorm, Bijection, Chain, Flatten, Logit
from zoo.models.flows.dequantisation import NormalEnds
from zoo.models.flows.image_flow import ImageFlow
from zoo.models.flows.point_flow import PointFlow


class MaskedLinear(nn.Linear):
    """A linear layer without the weights that would run from a degree to a lower one (or, if strict, to the same)."""

    mask: Tensor

    def __init__(self, in_degrees: Tensor, out_degrees: Tensor, *, strict: bool) -> None:
        super().__init__(len(in_degrees), len(out_degrees))
        out, into = out_degrees[:, None], in_degrees[None, :]
        self.register_buffer("mask", (out > into if strict else out >= into).float(), persistent=False)

    def masked_weight(self) -> Tensor:
        """The weights that the mask leaves."""
        return self.weight * self.mask

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.masked_weight(), self.bias)


class MaskedAutoregressive(Bijection):
    """One autoregressive layer with MADE as its network.

    Args:
        degrees: for each value its place in the order, a permutation of 1 … D.

    Shapes:
        x and z: [N, D].
    """

    BOUND = 4.0  # of α: a scale between 1/55 and 55

    def __init__(self, degrees: Tensor, hidden_dim: int, depth: int) -> None:
        super().__init__()
        dim = len(degrees)
        hidden = 1 + torch.arange(hidden_dim) % max(1, dim - 1)  # degrees 1 … D − 1, evenly
        self.order = degrees.argsort().tolist()
        layers: list[nn.Module] = []
        for a, b in itertools.pairwise([degrees, *[hidden] * depth]):
            layers += [MaskedLinear(a, b, strict=False), nn.ReLU()]
        last = MaskedLinear(hidden, degrees.repeat(2), strict=True)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.made = nn.Sequential(*layers, last)

    def shift_scale(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """μ and α [N, D]; entry i depends on the values before i in the order."""
        shift, log_scale = self.made(x).to(x.dtype).chunk(2, dim=1)  # float32 under autocast, too
        return shift, self.bounded(log_scale)

    def bounded(self, log_scale: Tensor) -> Tensor:
        """α from the network's raw output."""
        return self.BOUND * (log_scale / self.BOUND).tanh()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        shift, log_scale = self.shift_scale(x)
        return (x - shift) * (-log_scale).exp(), -log_scale.sum(1)

    def inverse(self, z: Tensor) -> Tensor:
        """x_i one after the other, for μ_i and α_i are right once all values before i are.

        A new value only adds its own column to the first layer's sums, and only two units of the last layer are asked for.
        """
        layers: list[Any] = list(self.made)
        first, *between, last = layers
        into, out = first.masked_weight(), last.masked_weight()
        sums, columns = first.bias.expand(len(z), -1), [z] * z.shape[1]
        for i in self.order:
            hidden = sums
            for layer in between:
                hidden = layer(hidden)
            pair = [i, i + z.shape[1]]
            shift, log_scale = F.linear(hidden, out[pair], last.bias[pair]).split(1, dim=1)
            columns[i] = z[:, i : i + 1] * self.bounded(log_scale).exp() + shift
            sums = sums + columns[i] * into[:, i]
        return torch.cat(columns, dim=1)


def autoregressive_chain(dim: int, layers: int, hidden_dim: int, depth: int, batch_norm: bool) -> Chain:
    """Autoregressive layers of alternating order, with batch normalisation between them if asked for."""
    forwards = torch.arange(1, dim + 1)
    steps: list[Bijection] = []
    for i in range(layers):
        steps.append(MaskedAutoregressive(forwards.flip(0) if i % 2 else forwards, hidden_dim, depth))
        if batch_norm and i < layers - 1:
            steps.append(BatchNorm(dim))
    return Chain(*steps)


class MAF(PointFlow):
    """Masked autoregressive flow of vectors.

    Args:
        dim: length D of a vector, at least 2.
        layers: autoregressive layers.
        hidden_dim, depth: width and number of the hidden layers of each MADE.
        batch_norm: normalise between the layers, as the paper does.

    Shapes:
        points x and codes z: [N, dim].
    """

    def __init__(
        self, dim: int = 2, layers: int = 5, *, hidden_dim: int = 64, depth: int = 2, batch_norm: bool = True
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        if dim < 2 or layers < 1:
            raise InputError(f"an autoregressive flow needs dim >= 2 and layers >= 1, not {dim} and {layers}")
        self.dim = dim
        self.flow = autoregressive_chain(dim, layers, hidden_dim, depth, batch_norm)


class ImageMAF(ImageFlow):
    """Masked autoregressive flow of images, pixel by pixel in reading order and back.

    Args:
        image_shape: (channels, height, width).
        layers, hidden_dim, depth, batch_norm: as in MAF.
        margin: λ of the logit, which keeps black and white finite. Black is a normal density there, six standard deviations of
            which reach from logit(λ) to logit(1/256): with 1e-5 one is about 1, the scale of the codes.

    Shapes:
        images: [N, C, H, W] in [0, 1]; codes z: [N, C·H·W].
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (1, 28, 28),
        layers: int = 5,
        *,
        hidden_dim: int = 1024,
        depth: int = 1,
        batch_norm: bool = True,
        margin: float = 1e-5,
    ) -> None:
        super().__init__(image_shape)
        self.save_hyperparameters()
        self.noise = NormalEnds(margin)
        chain = autoregressive_chain(self.dim, layers, hidden_dim, depth, batch_norm)
        self.flow = Chain(Logit(margin), Flatten(self.image_shape), *chain.steps)
