"""CycleGAN (Zhu, Park, Isola and Efros, 2017, arXiv:1703.10593): between two kinds of pictures, without pairs.

A generator G turns pictures of the source into such as the target's discriminator takes for its own, F the other way round. That
alone would let G draw any target picture; what ties it to its input is the way back,

    L = L_GAN(G, D_target) + L_GAN(F, D_source) + λ (‖F(G(x)) − x‖₁ + ‖G(F(y)) − y‖₁)

with least squares in place of logarithms (Mao et al., 2017). A code that a network hides in its picture also leads back, whatever
the picture shows; so, as the paper does where colours are to stay, each generator is asked to leave pictures of its own target as
they are, λ μ (‖G(y) − y‖₁ + ‖F(x) − x‖₁).

Departures from the paper: the small U-Net of `translators.py` for the residual network, no pool of earlier pictures, samples come
from a moving average of the generators' weights.
"""

import copy
from pathlib import Path
from typing import Any, ClassVar, Literal

import lightning as L
import torch
from torch import Tensor

from zoo.core.checks import check_count
from zoo.core.images import check_images, save_grid
from zoo.core.metric import entry
from zoo.core.module import ZooModule
from zoo.core.verbs import verb
from zoo.errors import InputError
from zoo.models.adversarial.games import decay, follow
from zoo.models.adversarial.translators import PatchDiscriminator, Translator


class CycleGAN(ZooModule):
    """Two generators and two discriminators.

    Args:
        image_shape: (channels, height, width) of both kinds of pictures; multiples of 4.
        width: channels of the first level of every network.
        cycle: λ, weight of the way back.
        identity: μ, weight of leaving a generator's own target alone, over λ.
        lr: Adam's learning rate, decayed linearly to 0.
        ema: decay of the generators' moving averages.
        judge: checkpoint of a classifier of the target's pictures that measures translations, or None.

    Shapes:
        pictures x: [N, C, H, W] in [0, 1], inside in [-1, 1].
    """

    task: ClassVar[str] = "other"
    use: ClassVar[str] = (
        "import torch\n"
        "from zoo.core.samples import sample_split\n"
        "\n"
        'images = sample_split("mnist")[0][:8].float() / 255\n'
        "there = model.translate(images)                      # in the target's hand\n"
        'again = model.translate(there, to="source")\n'
        'zoo.save_grid(torch.cat([images, there, again]), "digits.png")'
    )

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (1, 28, 28),
        width: int = 32,
        *,
        cycle: float = 10.0,
        identity: float = 0.0,
        lr: float = 2e-4,
        ema: float = 0.99,
        judge: str | None = None,
    ) -> None:
        super().__init__()
        channels, height, breadth = (check_count(size, "each of image_shape") for size in image_shape)
        if height % 4 or breadth % 4:
            raise InputError(f"height and width are multiples of 4, not {image_shape}")
        if cycle < 0 or identity < 0:
            raise InputError(f"cycle and identity are 0 or more, not {cycle!r} and {identity!r}")
        self.save_hyperparameters()
        self.image_shape, self.cycle, self.identity = (channels, height, breadth), cycle, identity
        self.lr, self.ema, self.judge = lr, ema, judge
        self.there, self.back = Translator(channels, channels, width), Translator(channels, channels, width)
        self.of_target, self.of_source = PatchDiscriminator(channels, width), PatchDiscriminator(channels, width)
        self.average_there = copy.deepcopy(self.there).requires_grad_(False)
        self.average_back = copy.deepcopy(self.back).requires_grad_(False)
        self.automatic_optimization = False  # two optimisers in turn

    def forward(self, x: Tensor) -> Tensor:
        """Pictures of the source, in [-1, 1], as the target's."""
        return self.average_there(x)

    # Verbs -----------------------------------------------------------------------------------------------------------

    @verb
    def translate(self, images: Tensor, *, to: Literal["target", "source"] = "target") -> Tensor:
        """Pictures [N, C, H, W] in [0, 1] of one kind as pictures of the other."""
        if to not in ("target", "source"):
            raise InputError(f"to is 'target' or 'source', not {to!r}")
        x = 2 * check_images(images, self.image_shape).to(self.device) - 1
        network = self.average_there if to == "target" else self.average_back
        return torch.cat([(network(part) + 1) / 2 for part in x.split(500)]).clamp(0, 1)

    # Training --------------------------------------------------------------------------------------------------------

    def generator_loss(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the generators minimise for pictures x of the source and y of the target, and both translations."""
        fake_y, fake_x = self.there(x), self.back(y)
        fooled = (self.of_target(fake_y) - 1).square().mean() + (self.of_source(fake_x) - 1).square().mean()
        off = (self.back(fake_y) - x).abs().mean() + (self.there(fake_x) - y).abs().mean()
        if self.identity:
            off = off + self.identity * ((self.there(y) - y).abs().mean() + (self.back(x) - x).abs().mean())
        return fooled + self.cycle * off, fake_x, fake_y

    def critic_loss(self, x: Tensor, y: Tensor, fake_x: Tensor, fake_y: Tensor) -> Tensor:
        """What the discriminators minimise: 1 for real pictures, 0 for translations."""
        pairs = ((self.of_source, x, fake_x), (self.of_target, y, fake_y))
        return sum(
            ((d(real) - 1).square().mean() + d(fake).square().mean() for d, real, fake in pairs),
            torch.zeros((), device=x.device),
        )

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> None:
        x, _, y = batch
        optimizers: Any = self.optimizers()
        generators, critics = optimizers
        lr = self.lr or self.hparams["lr"]
        decay(self.trainer, batch_idx, optimizers, (lr, lr))
        self.toggle_optimizer(generators)
        loss, fake_x, fake_y = self.generator_loss(x, y)
        generators.zero_grad()
        self.manual_backward(loss)
        generators.step()
        self.untoggle_optimizer(generators)
        self.toggle_optimizer(critics)
        critic = self.critic_loss(x, y, fake_x.detach(), fake_y.detach())
        critics.zero_grad()
        self.manual_backward(critic)
        critics.step()
        self.untoggle_optimizer(critics)
        follow(self.average_there, self.there, self.ema, self.global_step)
        follow(self.average_back, self.back, self.ema, self.global_step)
        self.log_train(generators=loss, critics=critic)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        pairs = ((self.there, self.back), (self.of_target, self.of_source))
        return [
            torch.optim.Adam(
                [p for m in pair for p in m.parameters()], lr=self.lr or self.hparams["lr"], betas=(0.5, 0.99)
            )
            for pair in pairs
        ]

    # Claims ----------------------------------------------------------------------------------------------------------

    def evaluate(self, data: L.LightningDataModule) -> list[dict[str, Any]]:
        """How far the way there and back leads away, and whether the judge reads translated test pictures as what they show."""
        known: Any = data
        x, labels = known.tensors("test", "source")
        y, _ = known.tensors("test", "target")
        x, y = x.float() / 255, y.float() / 255
        there = self.translate(x)
        values = {
            "cycle_error": (self.translate(there, to="source").cpu() - x).abs().mean(),
            "cycle_error_back": (self.translate(self.translate(y, to="source")).cpu() - y).abs().mean(),
        }
        how = "mean absolute difference of pixels in [0, 1] after the way there and back, all test pictures"
        entries = [entry(data, "test", key, value, how, better="lower") for key, value in values.items()]
        if self.judge is not None:
            from zoo.api import load

            judge: Any = load(self.judge)
            for key, images in (("judge_accuracy", there.cpu()), ("judge_accuracy_untranslated", x)):
                said = judge.predict_proba((255 * images).round().to(torch.uint8)).argmax(1).cpu()
                text = (
                    f"by {self.judge}, which knows the target's pictures alone; {len(x):,} test pictures of the source"
                )
                entries.append(entry(data, "test", key, (said == labels).double().mean(), text, better="higher"))
        return entries

    def golden_inputs(self) -> dict[str, Tensor]:
        return {"x": 2 * torch.rand(2, *self.image_shape, generator=torch.Generator().manual_seed(0)) - 1}

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Both translations, and both verdicts."""
        x = inputs["x"]
        return {
            "there": self.average_there(x),
            "back": self.average_back(x),
            "of_target": self.of_target(x),
            "of_source": self.of_source(x),
        }

    def preview(self, path: Path) -> Path | None:
        """Packaged digits, translated, and back."""
        if self.image_shape != (1, 28, 28):
            return None
        from zoo.core.samples import sample_split

        x = sample_split("mnist")[0][:16].float() / 255
        there = self.translate(x)
        return save_grid(torch.cat([x, there.cpu(), self.translate(there, to="source").cpu()]), path, columns=16)
