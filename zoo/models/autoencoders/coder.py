"""What all models with a code share: the verbs `encode`, `decode`, `reconstruct` and `interpolate`, and their checks."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from zoo.core.checks import check_count
from zoo.core.data import ImageData
from zoo.core.images import Images, as_images, save_grid, several
from zoo.core.module import ZooModule
from zoo.core.verbs import verb
from zoo.errors import InputError


class Coder(ZooModule):
    """Base of the models that turn images into codes and back; a subclass defines `codes(x)` and `pixels(z)`.

    Args:
        image_shape: (channels, height, width).
        latent_dim: length of the code.

    Shapes:
        images x: [N, C, H, W] in [0, 1]; codes z: [N, latent_dim].
    """

    task: ClassVar[str] = "image-feature-extraction"
    use: ClassVar[str] = (
        "from zoo.core.samples import sample_split\n"
        "\n"
        'x = sample_split("{data}")[0][:8].float() / 255      # packaged test images in [0, 1]\n'
        "print(model.encode(x).shape)\n"
        'zoo.save_grid(model.reconstruct(x), "again.png")'
    )
    learns_from: ClassVar[tuple[str, ...]] = ("images",)

    def __init__(self, image_shape: tuple[int, int, int], latent_dim: int) -> None:
        super().__init__()
        channels, height, width = (check_count(size, "each of image_shape") for size in image_shape)
        self.image_shape = (channels, height, width)
        self.latent_dim = check_count(latent_dim, "latent_dim")

    @property
    def num_pixels(self) -> int:
        return math.prod(self.image_shape)

    def codes(self, x: Tensor) -> Tensor:
        """Codes [N, latent_dim] of images, with gradient."""
        raise NotImplementedError

    def pixels(self, z: Tensor) -> Tensor:
        """Images [N, C, H, W] of codes, with gradient."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Images [N, C, H, W] through the code and back."""
        return self.pixels(self.codes(x))

    # Verbs -----------------------------------------------------------------------------------------------------------

    @verb
    def encode(self, x: Images) -> Tensor:
        """Codes [N, latent_dim] of images [N, C, H, W] in [0, 1], or of whatever `predict` takes: paths, PIL images, arrays."""
        x = self.check_images(x)
        return self.codes(x.to(self.device))

    @verb
    def decode(self, z: Tensor) -> Tensor:
        """Images [N, C, H, W] in [0, 1] of codes [N, latent_dim]."""
        self.check_codes(z)
        return self.pixels(z.to(self.device)).clamp(0, 1)

    def reconstruct(self, x: Images) -> Tensor:
        """Images after a round through their codes."""
        return self.decode(self.encode(x))

    def interpolate(self, a: Images, b: Images, *, steps: int = 8) -> Tensor:
        """A path from image a to image b on the straight line between their codes, both ends included.

        Two images, such as [C, H, W], give [steps, C, H, W]; two batches of one length give [N, steps, C, H, W].

        Raises:
            InputError: for images or batches of different shapes.
        """
        pairs = self.check_pairs(a, b, steps)
        start, end = self.encode(pairs[0]), self.encode(pairs[1])
        share = torch.linspace(0, 1, steps, device=start.device)[:, None]
        path = start[:, None] * (1 - share) + end[:, None] * share  # [N, steps, latent_dim]
        images = self.decode(path.flatten(0, 1)).reshape(len(path), steps, *self.image_shape)
        return images if several(a) else images[0]

    def check_pairs(self, a: Images, b: Images, steps: int) -> tuple[Tensor, Tensor]:
        """The beginnings and the ends [N, C, H, W] of paths of so many steps.

        Raises:
            InputError: for images of another shape, batches of different lengths, or steps below 1.
        """
        check_count(steps, "steps")
        start, end = self.check_images(a), self.check_images(b)
        if len(start) != len(end) or several(a) != several(b):
            raise InputError(
                f"interpolate takes two images or two batches of one length, not {len(start)} and {len(end)} images"
            )
        return start, end

    # Claims ----------------------------------------------------------------------------------------------------------

    def golden_inputs(self) -> dict[str, Tensor]:
        return {"input": torch.rand(2, *self.image_shape, generator=torch.Generator().manual_seed(0))}

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        codes = self.codes(inputs["input"])
        return {"codes": codes, "output": self.pixels(codes)}

    def preview(self, path: Path) -> Path:
        """Test images of the packaged sample above their reconstructions, four rows of each."""
        x = self.sample_images(64)
        rows = zip(x.split(16), self.reconstruct(x).cpu().split(16), strict=True)
        return save_grid(torch.cat([row for pair in rows for row in pair]), path, columns=16)

    def sample_images(self, n: int) -> Tensor:
        """The first packaged test images [n, C, H, W] in [0, 1] of the data set; noise where there are none."""
        from zoo.core.samples import sample_split

        dataset = (self.data or {}).get("name")
        if dataset is None:
            return torch.rand(n, *self.image_shape, generator=torch.Generator().manual_seed(0))
        return sample_split(dataset)[0][:n].float() / 255

    def check_images(self, x: Images) -> Tensor:
        """Images [N, C, H, W] of what `as_images` takes; raises InputError for what isn't images of this model."""
        x = as_images(x, self.image_shape)
        if x.ndim != 4 or tuple(x.shape[1:]) != self.image_shape:
            raise InputError(f"images are [N, {', '.join(map(str, self.image_shape))}], not {list(x.shape)}")
        if not x.is_floating_point() or not torch.isfinite(x).all() or (len(x) and (x.min() < 0 or x.max() > 1)):
            raise InputError("images hold finite floating-point values in 0..1: divide bytes by 255")
        return x

    def check_codes(self, z: Tensor) -> None:
        """Raise InputError for codes of another width or with values that aren't finite."""
        if z.ndim != 2 or z.shape[1] != self.latent_dim:
            raise InputError(f"codes are [N, {self.latent_dim}], not {list(z.shape)}")
        if not torch.isfinite(z).all():
            raise InputError("the codes hold NaN or infinite values")


def split_images(data: ImageData, split: str) -> Tensor:
    """All images of "train", "val" or "test", float [N, C, H, W] in [0, 1]."""
    return data.tensors(split)[0].float() / 255


def importance_weighted(log_weights: Callable[[int], Tensor], samples: int, at_once: int) -> Tensor:
    """log (1/k) Σ_i w_i for k = `samples` draws of importance weights w, [N]: a lower bound on log p(x) in expectation.

    Args:
        log_weights: given a count, that many fresh log weights log p(x, z) − log q(z | x), [count, N].
        samples: k; the bound tightens as it grows (Burda, Grosse and Salakhutdinov, 2016, arXiv:1509.00519).
        at_once: draws that fit into memory together.
    """
    check_count(samples, "samples")
    parts = [min(at_once, samples - start) for start in range(0, samples, at_once)]
    sums = torch.stack([torch.logsumexp(log_weights(count), 0) for count in parts])
    return torch.logsumexp(sums, 0) - math.log(samples)
