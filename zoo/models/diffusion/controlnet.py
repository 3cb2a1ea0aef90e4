"""ControlNet: edges steer a diffusion model that is left as it is (Zhang, Rao and Agrawala, 2023, arXiv:2302.05543).

A copy of the U-Net's way down sees the noisy image and a hint; what it finds is added to the frozen network's skips and middle
through convolutions Z whose weights and biases start at zero,

    y = F(x; Θ) + Z( F(x + Z(hint; Θ_1); Θ_copy); Θ_2 ),        Θ frozen,  Θ_copy = Θ at first

so at first nothing changes at all. Half of the classes are withheld in training, for the hint to learn to speak for itself.

Departures: the base is the class-conditional model of cfg.py, the "prompt" a class; skips of every block; a folded hint.
"""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from zoo.blocks.edges import edge_iou, edge_map
from zoo.core.checks import check_count, seeded_generator
from zoo.core.data import ImageData
from zoo.core.images import save_grid
from zoo.core.metric import entry
from zoo.core.progress import gathered, track
from zoo.core.verbs import verb
from zoo.errors import InputError
from zoo.models.diffusion.cfg import ConditionalDDPM
from zoo.models.diffusion.samplers import sampler as named_sampler
from zoo.models.diffusion.schedule import Shape
from zoo.models.diffusion.unet import UNet

CHECKED = 1000  # images of held-out edges, and of the base whose edges give what chance and the class alone give


def zero_conv(channels: int, out_channels: int) -> nn.Conv2d:
    """A 1×1 convolution that gives nothing until it is trained."""
    conv = nn.Conv2d(channels, out_channels, 1)
    for parameter in conv.parameters():
        nn.init.zeros_(parameter)
    return conv


class ControlBranch(nn.Module):
    """The copy of the way down with its zero convolutions: (x, t, extra, hint) to what is added to each skip and the middle."""

    def __init__(self, net: UNet) -> None:
        super().__init__()
        self.copy = copy.deepcopy(net)
        del self.copy.up, self.copy.head
        self.hint = nn.Sequential(
            nn.PixelUnshuffle(net.patch),
            nn.Conv2d(net.patch**2, net.width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(net.width, net.width, 3, padding=1),
            nn.SiLU(),
            zero_conv(net.width, net.width),
        )
        self.skips = nn.ModuleList(zero_conv(c, c) for c in net.skip_channels)
        self.middle = zero_conv(net.middle_channels, net.middle_channels)

    def forward(self, x: Tensor, t: Tensor, extra: Tensor, hint: Tensor) -> dict[str, Any]:
        """The argument `control` of the U-Net."""
        skips, h, _ = self.copy.encode(x, t, extra, self.hint(hint))
        return {"control": ([zero(skip) for zero, skip in zip(self.skips, skips, strict=True)], self.middle(h))}

    def start_from(self, net: UNet) -> None:
        """Make the copy one of this network's way down."""
        down = {k: v for k, v in net.state_dict().items() if not k.startswith(("up.", "head."))}
        self.copy.load_state_dict(down)


class ControlNet(ConditionalDDPM):
    """A class-conditional diffusion model that an edge map controls.

    Args:
        base: a checkpoint of cfg-ddpm with the same network: its weights are taken over and frozen when training begins. None
            trains everything afresh.
        label_drop: share of the training images whose class is left out.
        image_shape, width, channel_mults, blocks, attention_levels, patch, dropout, timesteps, schedule, prediction, num_classes:
            as in ConditionalDDPM.

    Shapes:
        images x: [N, C, H, W] in [0, 1]; controls: [N, 1, H, W] in [0, 1]; labels: int64 [N].
    """

    use: ClassVar[str] = (
        "from zoo.blocks.edges import edge_map\n"
        "\n"
        'digits = zoo.load("ddpm-mnist").sample(1, seed=0)    # edges of any image will do: white lines on black [1, 1, 28, 28]\n'
        'zoo.save_grid(model.sample(4, control=edge_map(digits), seed=0), "grid.png")'
    )

    branch_class: ClassVar[Any] = ControlBranch
    learns_from: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (1, 28, 28),
        width: int = 64,
        *,
        base: str | None = None,
        num_classes: int = 10,
        label_drop: float = 0.5,
        channel_mults: Sequence[int] = (1, 2),
        blocks: int = 1,
        attention_levels: Sequence[int] = (1,),
        patch: int = 2,
        dropout: float = 0.0,
        timesteps: int = 1000,
        schedule: Shape = "cosine",
        prediction: Literal["v", "eps"] = "v",
    ) -> None:
        super().__init__(
            image_shape,
            width,
            num_classes=num_classes,
            label_drop=label_drop,
            channel_mults=channel_mults,
            blocks=blocks,
            attention_levels=attention_levels,
            patch=patch,
            dropout=dropout,
            timesteps=timesteps,
            schedule=schedule,
            prediction=prediction,
        )
        self.save_hyperparameters()
        self.base = base
        self.branch = self.branch_class(self.net)

    def start_from(self, base: Any) -> None:
        """Make a class-conditional model this one's frozen network, and the branch a copy of it."""
        if not isinstance(base, ConditionalDDPM) or base.prediction != self.prediction:
            raise InputError(f"{self.base} is no class-conditional diffusion model with {self.prediction}-prediction")
        self.net.load_state_dict(base.net.state_dict())
        self.label.load_state_dict(base.label.state_dict())
        self.branch.start_from(self.net)
        self.freeze("net", "label")

    def setup(self, stage: str) -> None:
        """Take over the base's weights, as all image generators do; a loaded checkpoint keeps its own, frozen as well."""
        super().setup(stage)
        if stage == "fit" and self.base is not None:
            self.freeze("net", "label")

    def forward(self, x_t: Tensor, t: Tensor, labels: Tensor | None = None, control: Tensor | None = None) -> Tensor:
        """The guess of v (or ε); without a control, that of the base."""
        if control is None:
            return super().forward(x_t, t, labels)
        extra = self.embed_labels(labels, x_t.shape[0])
        return self.net(x_t, t, extra, **self.branch(x_t, t, extra, control))

    # Verbs -----------------------------------------------------------------------------------------------------------

    @verb
    def sample(
        self,
        n: int,
        *,
        seed: int | None = None,
        sampler: str = "ancestral",
        steps: int = 20,
        eta: float = 0.0,
        labels: Tensor | Sequence[int] | int | None = None,
        guidance: float | None = None,
        control: Tensor | None = None,
        batch_size: int = 250,
    ) -> Tensor:
        """Draw images [n, C, H, W] in [0, 1]; the same seed gives the same images on the same device.

        Args:
            control: edge maps [n, 1, H, W] as `edge_map` draws them, or one for all, [1, 1, H, W] or [1, H, W]; None samples the
                base.
            labels, guidance, sampler, steps, eta, batch_size: as in ConditionalDDPM; guidance is away from "any class" with the
                same control.
        """
        if control is None:
            options: dict[str, Any] = {"sampler": sampler, "steps": steps, "eta": eta, "batch_size": batch_size}
            return super().sample(n, seed=seed, labels=labels, guidance=guidance, **options)
        wanted, weight = self.check_condition(n, labels, guidance)
        check_count(batch_size, "batch_size")
        if not 0 <= eta <= 1:
            raise InputError(f"eta lies in 0..1, not {eta!r}")
        hints = self.check_control(control, n)
        generator = seeded_generator(self.device, seed)

        def draw(start: int) -> Tensor:
            part = slice(start, start + batch_size)
            hint, classes = hints[part], None if wanted is None else wanted[part]
            x = torch.randn(len(hint), *self.image_shape, device=self.device, generator=generator)

            def denoise(x: Tensor, t: int) -> Tensor:
                at = torch.full((len(x),), t, device=x.device)
                return self.denoise_controlled(x, at, hint, classes, weight)

            with torch.no_grad():
                states = named_sampler(sampler)(denoise, x, self.schedule, steps, eta, generator)
                *_, x = track(states, "drawing", steps)
            return ((x + 1) / 2).clamp(0, 1)

        return gathered(draw(start) for start in track(range(0, n, batch_size), "drawing"))

    def denoise_controlled(
        self, x_t: Tensor, t: Tensor, control: Tensor, labels: Tensor | None = None, guidance: float = 1.0
    ) -> Tensor:
        """The guess of the clean image under a control, clipped to [-1, 1]."""
        guess = self(x_t, t, labels, control).float()
        if labels is not None and guidance != 1:
            free = self(x_t, t, None, control).float()
            guess = free + guidance * (guess - free)
        alpha, sigma = self.schedule.rates(t)
        x_0 = alpha * x_t - sigma * guess if self.prediction == "v" else (x_t - sigma * guess) / alpha
        return x_0.clamp(-1, 1)

    def check_control(self, control: Tensor, n: int) -> Tensor:
        """Edge maps [n, 1, H, W] on the model's device.

        Raises:
            InputError: for another size or number, or values outside [0, 1].
        """
        if not isinstance(control, Tensor):
            raise InputError(f"the control is a tensor as edge_map(images) gives it, not a {type(control).__name__}")
        size = (1, *self.image_shape[1:])
        if control.ndim == 3:
            control = control[None]
        if control.ndim != 4 or tuple(control.shape[1:]) != size:
            raise InputError(f"the control is [{n}, {', '.join(map(str, size))}], not {list(control.shape)}: resize it")
        if len(control) == 1:
            control = control.expand(n, -1, -1, -1)
        if len(control) != n:
            raise InputError(f"{n} images need {n} controls, or one for all, not {len(control)}")
        if not torch.isfinite(control).all() or control.min() < 0 or control.max() > 1:
            raise InputError("the control holds finite values in 0..1: 1 on edges, 0 elsewhere")
        return control.to(self.device).float()

    # Training --------------------------------------------------------------------------------------------------------

    def loss(self, x: Tensor, generator: torch.Generator | None = None, labels: Tensor | None = None) -> Tensor:
        """As in ConditionalDDPM, with the image's own edges as control."""
        n, device, last = len(x), x.device, len(self.schedule) - 1
        t = self.schedule.draw(n, generator, below=last + 1)
        x_0, eps = 2 * x - 1, torch.randn(x.shape, device=device, generator=generator)
        if labels is not None:
            dropped = torch.rand(n, device=device, generator=generator) < self.label_drop
            labels = torch.where(dropped, self.num_classes, labels)
        alpha, sigma = self.schedule.rates(t)
        target = alpha * eps - sigma * x_0 if self.prediction == "v" else eps
        return (self(alpha * x_0 + sigma * eps, t, labels, edge_map(x)).float() - target).square().mean()

    # Claims ----------------------------------------------------------------------------------------------------------

    def evaluate(self, data: ImageData) -> list[dict[str, Any]]:
        """Quality of 10,000 images of the edges and classes of training images, and how well they keep to edges, new ones too."""
        from zoo.metrics.generation import evaluate_images

        (x, labels), (new_x, new_labels) = data.tensors("train"), data.tensors("val")
        x, labels, new_x, new_labels = x[:10_000], labels[:10_000], new_x[:CHECKED], new_labels[:CHECKED]
        edges, new_edges = edge_map(x.float() / 255), edge_map(new_x.float() / 255)
        context, precision = self.quickly()
        with context:
            images = self.sample(len(x), labels=labels, control=edges, seed=0)
            new = self.sample(len(new_x), labels=new_labels, control=new_edges, seed=0)
            free = self.sample(CHECKED, labels=labels[:CHECKED], seed=0)
        how = f"guidance 1, {self.default_sampler()}, seed 0, {precision}"
        seen = f"edges and labels of the first 10,000 training images, {how}"
        entries = evaluate_images(images, str(data.name), labels=labels, how=seen)
        for split, name, drawn, asked, what in (
            ("train", "edge_iou", images, edges, f"images controlled, and those asked for; {seen}"),
            ("val", "edge_iou_held_out", new, new_edges, f"images controlled by validation images, and theirs; {how}"),
            ("train", "edge_iou_base", free, edges, f"images of the base, uncontrolled, and those asked for; {seen}"),
        ):
            value = edge_iou(drawn.cpu(), asked[: len(drawn)])
            text = f"intersection over union of the edges of the {what}"
            entries.append(entry(data, split, name, value, text, better="higher", n=len(drawn)))
        return entries

    def golden_inputs(self) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(1)
        control = (torch.rand(2, 1, *self.image_shape[1:], generator=generator) < 0.2).float()
        return {**super().golden_inputs(), "control": control}

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"output": self(inputs["x_t"], inputs["t"], inputs["labels"], inputs["control"])}

    def preview(self, path: Path) -> Path:
        """Edges of packaged test digits, and three images drawn to each."""
        from zoo.core.samples import sample_split

        edges = edge_map(sample_split((self.data or {}).get("name", "mnist"))[0][:12].float() / 255)
        images = self.sample(36, control=edges.repeat(3, 1, 1, 1), seed=0)
        return save_grid(torch.cat([edges.expand(-1, self.image_shape[0], -1, -1), images.cpu()]), path, columns=12)
