"""Fixed filters, the matched filter, and a filter that is learnt: what a convolution does before there is a network around it.

A "convolution" of a network is a correlation, the dot product of the kernel with every patch of the image (a convolution would
turn the kernel around first):

    H(i, j) = Σ_k Σ_l I(i + k, j + l) K(k, l)

It is largest where the image looks like the kernel. Radar finds an echo in noise in this way (the matched filter: no linear
filter has a better signal-to-noise ratio in white noise), and one kernel with a threshold is the smallest network that detects.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import InputError


def _kernel(rows: list[list[float]], scale: float = 1.0) -> Tensor:
    return scale * torch.tensor(rows, dtype=torch.float32)


_BINOMIAL = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0])
KERNELS: dict[str, Tensor] = {
    "identity": _kernel([[0, 0, 0], [0, 1, 0], [0, 0, 0]]),
    "edges, diagonal": _kernel([[1, 0, -1], [0, 0, 0], [-1, 0, 1]]),
    "edges, Laplacian": _kernel([[0, 1, 0], [1, -4, 1], [0, 1, 0]]),
    "edges, all round": _kernel([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]),
    "sharpen": _kernel([[0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
    "box": _kernel([[1, 1, 1], [1, 1, 1], [1, 1, 1]], 1 / 9),
    "Gaussian 3×3": _kernel([[1, 2, 1], [2, 4, 2], [1, 2, 1]], 1 / 16),
    "Gaussian 5×5": _BINOMIAL.outer(_BINOMIAL) / 256,
    "lighten": _kernel([[0, 0, 0], [0, 1.5, 0], [0, 0, 0]]),
    "darken": _kernel([[0, 0, 0], [0, 0.5, 0], [0, 0, 0]]),
}


def correlate(image: Tensor, kernel: Tensor) -> Tensor:
    """Every whole patch of an image [H, W] or images [N, H, W] times the kernel [h, w]: [(N,) H - h + 1, W - w + 1].

    Raises:
        InputError: if the kernel is larger than the image.
    """
    if kernel.ndim != 2 or image.ndim not in (2, 3):
        raise InputError(
            f"image is [H, W] or [N, H, W] and kernel [h, w], not {list(image.shape)} and {list(kernel.shape)}"
        )
    if kernel.shape[0] > image.shape[-2] or kernel.shape[1] > image.shape[-1]:
        raise InputError(
            f"the kernel {list(kernel.shape)} is larger than the image {list(image.shape)}: it fits nowhere"
        )
    images = image.reshape(-1, 1, *image.shape[-2:])
    found = F.conv2d(images, kernel.to(images.dtype)[None, None])[:, 0]
    return found if image.ndim == 3 else found[0]


def matched_filter(received: Tensor, template: Tensor) -> Tensor:
    """How much of the template [K] there is in a signal [N] from each place on: the least-squares amplitude, [N - K + 1]."""
    found = correlate(received[None], template[None])[0]
    return found / template.square().sum()


class Detector(nn.Module):
    """One kernel, one threshold, one tanh: the smallest convolutional network. [N, H, W] to [N, H - size + 1, W - size + 1]."""

    def __init__(self, size: int = 3) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 1, size)
        self.activation = nn.Tanh()
        self.threshold = 0.0

    def forward(self, images: Tensor) -> Tensor:
        return self.activation(self.convolution(images[:, None]))[:, 0]

    def learn(self, images: Tensor, targets: Tensor, *, steps: int = 1000, lr: float = 1e-2) -> list[float]:
        """Lower the sum of squared errors by Adam; returns its course.

        Few places hold what is looked for, so the answers stay small: half of the largest one becomes the threshold of `find`.
        """
        optimizer, course = torch.optim.Adam(self.parameters(), lr=lr), []
        for _ in range(steps):
            optimizer.zero_grad()
            loss = (self(images) - targets).square().sum()
            loss.backward()
            optimizer.step()
            course.append(loss.item())
        with torch.no_grad():
            self.threshold = self(images).max().item() / 2
        return course

    @torch.no_grad()
    def find(self, images: Tensor) -> Tensor:
        """Where the answer is above the threshold, bool [N, H - size + 1, W - size + 1]."""
        return self(images) > self.threshold


def signs(n: int = 1, *, size: int = 32, each: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Pictures with plus and minus signs of 3×3 pixels, and where the pluses are.

    Shapes:
        images: [n, size, size], 0 or 1; targets: [n, size - 2, size - 2], 1 at the middle of a plus, else 0.
    """
    cells = (size - 2) // 5  # signs lie in cells of 5×5 pixels, so that they never touch
    if 2 * each > cells**2:
        raise InputError(f"{2 * each} signs don't fit into {size}×{size} pixels: at most {cells**2 // 2} of each")
    generator = torch.Generator().manual_seed(seed)
    images, targets = torch.zeros(n, size, size), torch.zeros(n, size - 2, size - 2)
    for image, target in zip(images, targets, strict=True):
        for number, cell in enumerate(torch.randperm(cells**2, generator=generator)[: 2 * each].tolist()):
            shift = torch.randint(2, (2,), generator=generator).tolist()
            row, column = (5 * place + 2 + s for place, s in zip(divmod(cell, cells), shift, strict=True))
            image[row, column - 1 : column + 2] = 1
            if number < each:
                image[row - 1 : row + 2, column] = 1
                target[row - 1, column - 1] = 1
    return images, targets
