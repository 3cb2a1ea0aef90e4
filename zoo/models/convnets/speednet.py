"""SpeedNet: a small convolutional network that learns CIFAR-10 in minutes on two processor cores.

Six 3×3 convolutions reach 94 % in ten epochs because everything around them is arranged for a fast start. The first layer is
not learnt: it whitens 2×2 patches. With the patches' covariance Σ = E Λ Eᵀ, its filters are the rows of

    ± (Λ + ε)^(-1/2) Eᵀ

so that the second layer sees uncorrelated values of equal size, of both signs. The other convolutions start as the identity
(dirac filters) beside random ones, norm layers have a bias but no scale, their biases learn 64 times faster than weights, and
the logits are a ninth of what the head gives, which tames the large learning rate.

The ideas are those of Jordan (2024, arXiv:2404.00498, "94 % on CIFAR-10 in 3.29 seconds on a single GPU", known as airbench),
who names Page (2019, "How to train your ResNet") and Balsam (2023, hlb-CIFAR10) for several; Lookahead is of Zhang et al.
(2019, arXiv:1907.08610).

Departures from the paper: ten whole epochs for 9.9; patches of augmented training batches for the whitening; bfloat16 autocast
for float16 weights; a learning rate and weight decay for the mean loss of a batch in place of the sum.
"""

from collections.abc import Iterable
from typing import Any, cast

import lightning as L
import torch
from torch import Tensor, nn

from zoo.core.classifier import VIEWS, ImageClassifier
from zoo.errors import InputError


class SpeedNet(ImageClassifier):
    """Whitening, three stages of two convolutions, and a linear head; 1,971,352 trained parameters by default.

    Args:
        num_classes: number of classes.
        in_channels: channels of the image.
        width: channels of the first stage; the others have four times as many.
        stem_channels: filters of the whitening layer; by default ± one per value of a patch, all that there are.
        label_smoothing: see ImageClassifier.
        tta: the views whose mean logits give "accuracy_tta" beside the plain "accuracy" when it is tested.
        lr: peak learning rate of the weights.
        bias_lr_factor: how much faster the biases of the norm layers learn.
        momentum: of Nesterov's SGD.
        weight_decay: of the weights; the biases' is smaller by their factor, which makes lr · decay the same for all.
        stem_bias_epochs: epochs after which the bias of the whitening layer, and with it the whole layer, stands still.
        restart: share of the run after which a second triangle of the learning rate begins; None for one.
        again: peak of the second triangle as a share of the first one's.

    Shapes:
        x: [N, in_channels, H, W] with H, W >= 16; logits: [N, num_classes].
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 3,
        *,
        width: int = 64,
        stem_channels: int | None = None,
        label_smoothing: float = 0.2,
        tta: str = "mirror+translate",
        lr: float = 1.5,
        bias_lr_factor: float = 64.0,
        momentum: float = 0.85,
        weight_decay: float = 1.33e-3,
        stem_bias_epochs: int = 3,
        restart: float | None = None,
        again: float = 0.5,
    ) -> None:
        super().__init__(num_classes, in_channels, label_smoothing=label_smoothing)
        if tta not in VIEWS:
            raise InputError(f"tta must be one of {', '.join(VIEWS)}, not {tta!r}")
        if restart is not None and not 0 < restart < 1:
            raise InputError(f"restart is a share of the run between 0 and 1, or None, not {restart}")
        stem_channels = stem_channels or 2 * in_channels * WhiteningConv.patch**2
        self.save_hyperparameters()
        self.tta = tta
        self.stem = nn.Sequential(WhiteningConv(in_channels, stem_channels), nn.GELU())
        self.stage1 = stage(stem_channels, width)
        self.stage2 = stage(width, 4 * width)
        self.stage3 = stage(4 * width, 4 * width)
        self.pool = nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten(), Scale(1 / 9))
        self.head = nn.Linear(4 * width, num_classes, bias=False)
        self.to(memory_format=torch.channels_last)

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """stem [N, 24, 31, 31], stage1 [N, w, 15, 15], stage2 [N, 4w, 7, 7], stage3 [N, 4w, 3, 3], embedding [N, 4w]."""
        stem = self.stem(x)
        stage1 = self.stage1(stem)
        stage2 = self.stage2(stage1)
        stage3 = self.stage3(stage2)
        return {"stem": stem, "stage1": stage1, "stage2": stage2, "stage3": stage3, "embedding": self.pool(stage3)}

    # Training --------------------------------------------------------------------------------------------------------

    def on_train_start(self) -> None:
        """Whiten by the first training images, once in the weights' life: fine-tuning finds the filters as they are."""
        super().on_train_start()
        conv = self.whitening
        if not conv.whitened and conv.weight[0].numel() * 2 == conv.out_channels:
            conv.whiten(first_images(self.trainer.train_dataloader or (), 2000))
            for tensor in (conv.weight, conv.whitened):  # ranks see different images
                tensor.copy_(self.trainer.strategy.broadcast(tensor))

    def on_train_epoch_start(self) -> None:
        if self._stem_is_done and self.trainer.world_size == 1:  # DDP expects a gradient of all that it has wrapped
            self.stem.requires_grad_(False)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        if self._stem_is_done:
            self.whitening.bias.grad = None  # and SGD leaves it alone

    @property
    def whitening(self) -> "WhiteningConv":
        return cast(WhiteningConv, self.get_submodule("stem.0"))

    @property
    def _stem_is_done(self) -> bool:
        return self.current_epoch >= self.hparams["stem_bias_epochs"]

    def configure_optimizers(self) -> Any:
        """Nesterov's SGD, a triangle from a fifth of the peak up in 23 % of the run and down to 7 %, step by step."""
        hp, total = self.hparams, self.trainer.estimated_stepping_batches
        biases = [p for m in self.modules() if isinstance(m, BiasNorm) for p in m.parameters() if p.requires_grad]
        known = {id(p) for p in biases}
        weights = [p for p in self.parameters() if p.requires_grad and id(p) not in known]
        groups = [
            {"params": weights, "lr": hp["lr"], "weight_decay": hp["weight_decay"]},
            {
                "params": biases,
                "lr": hp["lr"] * hp["bias_lr_factor"],
                "weight_decay": hp["weight_decay"] / hp["bias_lr_factor"],
            },
        ]
        optimizer = torch.optim.SGD([g for g in groups if g["params"]], momentum=hp["momentum"], nesterov=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: triangles(step / total, hp["restart"], hp["again"])
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class WhiteningConv(nn.Conv2d):
    """2×2 convolution whose filters are set from data, never by gradients: they are a buffer. Its bias learns."""

    patch = 2
    whitened: Tensor

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, self.patch)
        filters = self.weight.detach()
        del self.weight
        self.register_buffer("weight", filters)
        self.register_buffer("whitened", torch.zeros((), dtype=torch.bool))  # travels with the weights
        self.bias: nn.Parameter  # this one has a bias
        nn.init.zeros_(self.bias)

    @torch.no_grad()
    def whiten(self, images: Tensor, eps: float = 5e-4) -> None:
        """Set the filters to ± the whitening directions of the images' patches, largest variance first.

        Shapes:
            images: [N, in_channels, H, W], transformed.
        """
        patches = nn.functional.unfold(images.float(), self.patch).transpose(1, 2).flatten(0, 1).double()
        values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))  # ascending; second moments, mean kept
        directions = (vectors / (values.clamp(min=0) + eps).sqrt()).T.flip(0)  # [values of a patch, values of a patch]
        self.weight.copy_(torch.cat([directions, -directions]).reshape(self.weight.shape))
        self.whitened.fill_(True)


class BiasNorm(nn.BatchNorm2d):
    """Batch norm with a learnt bias and no learnt scale; running statistics follow fast, as the run is short."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-12, momentum=0.4, affine=False)
        self.bias = nn.Parameter(torch.zeros(channels))
        del self._parameters["weight"]
        self.register_buffer("weight", torch.ones(channels), persistent=False)  # cuDNN needs one


class Scale(nn.Module):
    """Multiply by a constant."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


class Lookahead(L.Callback):
    """Every few steps, slow weights move towards the network's, and the network starts again from them.

        slow ← d · slow + (1 - d) · fast,   fast ← slow,   d = 0.95^every · (step / total)³

    At first the fast weights nearly have their way; near the end the slow ones hold four fifths, an average of the last epochs.

    Args:
        every: steps between two meetings.
    """

    def __init__(self, every: int = 5) -> None:
        self.every = every
        self.slow: dict[str, Tensor] = {}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not self.slow:
            self.slow = {key: value.clone() for key, value in self._fast(pl_module).items()}
        self.slow = {key: value.to(pl_module.device) for key, value in self.slow.items()}

    @torch.no_grad()
    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step, total = trainer.global_step, trainer.estimated_stepping_batches
        last = step == total
        if step % self.every == 0 or last:
            decay = 1.0 if last else 0.95**self.every * (step / total) ** 3
            for key, fast in self._fast(pl_module).items():
                fast.copy_(self.slow[key].lerp_(fast, 1 - decay))

    def state_dict(self) -> dict[str, Any]:
        return {"slow": self.slow}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.slow = state["slow"]

    @staticmethod
    def _fast(module: nn.Module) -> dict[str, Tensor]:
        """Weights and running statistics; counters can't be averaged."""
        return {key: value for key, value in module.state_dict().items() if value.is_floating_point()}


def stage(in_channels: int, out_channels: int) -> nn.Sequential:
    """Two convolutions, the first halves the image."""
    return nn.Sequential(
        dirac_conv(in_channels, out_channels),
        nn.MaxPool2d(2),  # before the norm, where it saves three quarters of its work
        BiasNorm(out_channels),
        nn.GELU(),
        dirac_conv(out_channels, out_channels),
        BiasNorm(out_channels),
        nn.GELU(),
    )


def dirac_conv(in_channels: int, out_channels: int) -> nn.Conv2d:
    """3×3 convolution that passes its input on in the first channels; the filters of the others are random."""
    conv = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
    with torch.no_grad():
        nn.init.dirac_(conv.weight[:in_channels])
    return conv


def triangle(done: float, start: float = 0.2, peak: float = 0.23, end: float = 0.07) -> float:
    """Learning rate as a share of the peak, after a share of the run."""
    if done < peak:
        return start + (1 - start) * done / peak
    return 1 + (end - 1) * (min(done, 1.0) - peak) / (1 - peak)


def triangles(done: float, restart: float | None, again: float) -> float:
    """One triangle over the whole run, or one until `restart` and a lower one after it."""
    if restart is None:
        return triangle(done)
    return triangle(done / restart) if done < restart else again * triangle((done - restart) / (1 - restart))


def first_images(batches: Iterable[Any], n: int) -> Tensor:
    """The images of the first batches, n of them if there are so many, as training sees them."""
    found: list[Tensor] = []
    for x, *_ in batches:
        found.append(x)
        if sum(map(len, found)) >= n:
            break
    return torch.cat(found)[:n]
