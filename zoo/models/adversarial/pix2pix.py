"""pix2pix (Isola, Zhu, Zhou and Efros, 2017, arXiv:1611.07004): from a map to a picture, learnt from pairs.

The generator sees the map c and draws the picture; the discriminator sees both and classifies each patch, a true pair or a
drawn one:

    L = E log D(c, x) + E log(1 − D(c, G(c))) + λ E ‖x − G(c)‖₁

The second term alone gives the mean of all pictures that fit, which is blurred; the first asks for one of them.

Here the map is the edges of the picture, made by `controlnet.edge_map`, so that any picture gives a pair.

Departures from the paper: a small U-Net with instance norm and without dropout, so the picture follows from the map alone;
samples come from a moving average of the generator's weights.
"""

import copy
from pathlib import Path
from typing import Any, ClassVar

import lightning as L
import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.blocks.edges import edge_iou, edge_map
from zoo.core.batch import images_of
from zoo.core.checks import check_count
from zoo.core.images import save_grid
from zoo.core.metric import entry
from zoo.core.module import ZooModule
from zoo.core.verbs import verb
from zoo.errors import InputError
from zoo.models.adversarial.games import decay, follow
from zoo.models.adversarial.translators import PatchDiscriminator, Translator


class Pix2Pix(ZooModule):
    """From edges to pictures.

    Args:
        image_shape: (channels, height, width); multiples of 4.
        width: channels of the first level of both networks.
        l1: λ, weight of the absolute difference.
        lr: Adam's learning rate, decayed linearly to 0.
        ema: decay of the generator's moving average.

    Shapes:
        pictures x: [N, C, H, W] in [0, 1], inside in [-1, 1]; edges: [N, 1, H, W], 0 or 1.
    """

    task: ClassVar[str] = "other"
    use: ClassVar[str] = (
        "from zoo.core.samples import sample_split\n"
        "from zoo.blocks.edges import edge_map\n"
        "\n"
        'edges = edge_map(sample_split("mnist")[0][:8].float() / 255)\n'
        'zoo.save_grid(model.render(edges), "digits.png")'
    )
    learns_from: ClassVar[tuple[str, ...]] = ("images",)

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (1, 28, 28),
        width: int = 32,
        *,
        l1: float = 20.0,
        lr: float = 4e-4,
        ema: float = 0.99,
    ) -> None:
        super().__init__()
        channels, height, breadth = (check_count(size, "each of image_shape") for size in image_shape)
        if height % 4 or breadth % 4 or l1 < 0:
            raise InputError(f"height and width are multiples of 4 and l1 is 0 or more, not {image_shape} and {l1!r}")
        self.save_hyperparameters()
        self.image_shape, self.l1, self.lr, self.ema = (channels, height, breadth), l1, lr, ema
        self.generator, self.discriminator = Translator(1, channels, width), PatchDiscriminator(channels + 1, width)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.automatic_optimization = False  # two optimisers in turn

    def forward(self, edges: Tensor) -> Tensor:
        """Pictures in [-1, 1] of edges, by the averaged generator."""
        return self.average(edges)

    # Verbs -----------------------------------------------------------------------------------------------------------

    @verb
    def render(self, edges: Tensor) -> Tensor:
        """Pictures [N, C, H, W] in [0, 1] of edges [N, 1, H, W], 0 or 1.

        Raises:
            InputError: for another shape or other values.
        """
        if edges.ndim != 4 or tuple(edges.shape[1:]) != (1, *self.image_shape[1:]):
            raise InputError(f"edges are [N, 1, {self.image_shape[1]}, {self.image_shape[2]}], not {list(edges.shape)}")
        if ((edges != 0) & (edges != 1)).any():
            raise InputError("edges are 0 and 1 alone: threshold them, or make them by edge_map")
        parts = edges.to(self.device, torch.float32).split(500)
        return torch.cat([(self(part) + 1) / 2 for part in parts]).clamp(0, 1)

    # Training --------------------------------------------------------------------------------------------------------

    def training_step(self, batch: Any, batch_idx: int) -> None:
        x = images_of(batch)
        edges, real = edge_map(x), 2 * x - 1
        optimizers: Any = self.optimizers()
        lr = self.lr or self.hparams["lr"]
        decay(self.trainer, batch_idx, optimizers, (lr, lr))
        of_generator, of_critic = optimizers
        fake = self.generator(edges)
        self.toggle_optimizer(of_critic)
        critic = F.softplus(-self.discriminator(torch.cat([edges, real], 1))).mean()
        critic = critic + F.softplus(self.discriminator(torch.cat([edges, fake.detach()], 1))).mean()
        of_critic.zero_grad()
        self.manual_backward(critic)
        of_critic.step()
        self.untoggle_optimizer(of_critic)
        self.toggle_optimizer(of_generator)
        off = (fake - real).abs().mean()
        loss = F.softplus(-self.discriminator(torch.cat([edges, fake], 1))).mean() + self.l1 * off
        of_generator.zero_grad()
        self.manual_backward(loss)
        of_generator.step()
        self.untoggle_optimizer(of_generator)
        follow(self.average, self.generator, self.ema, self.global_step)
        self.log_train(generator=loss, critic=critic, l1=off)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        networks = (self.generator, self.discriminator)
        return [
            torch.optim.Adam(network.parameters(), lr=self.lr or self.hparams["lr"], betas=(0.5, 0.99))
            for network in networks
        ]

    # Claims ----------------------------------------------------------------------------------------------------------

    def evaluate(self, data: L.LightningDataModule) -> list[dict[str, Any]]:
        """How well pictures keep to edges that weren't trained on, and how far they are from the pictures these came from."""
        known: Any = data
        x = known.tensors("test")[0].float() / 255
        edges = edge_map(x)
        drawn = self.render(edges).cpu()
        how = f"edges of all {len(x):,} test pictures, averaged generator"
        return [
            entry(
                data,
                "test",
                "edge_iou",
                edge_iou(drawn, edges),
                f"of the pictures' edges and those asked for; {how}",
                better="higher",
            ),
            entry(
                data,
                "test",
                "l1",
                (drawn - x).abs().mean(),
                f"mean absolute difference of pixels in [0, 1]; {how}",
                better="lower",
            ),
        ]

    def golden_inputs(self) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(0)
        return {"edges": (torch.rand(2, 1, *self.image_shape[1:], generator=generator) < 0.2).float()}

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        edges = inputs["edges"]
        image, last = self.average(edges), self.generator(edges)
        return {"output": image, "last": last, "verdict": self.discriminator(torch.cat([edges, image], 1))}

    def preview(self, path: Path) -> Path | None:
        """Edges of packaged test digits, what is drawn to them, and the digits."""
        if self.image_shape != (1, 28, 28):
            return None
        from zoo.core.samples import sample_split

        x = sample_split("mnist")[0][:16].float() / 255
        return save_grid(torch.cat([edge_map(x), self.render(edge_map(x)).cpu(), x]), path, columns=16)
