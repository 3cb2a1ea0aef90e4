"""Denoising diffusion probabilistic models (Ho, Jain and Abbeel, 2020, arXiv:2006.11239).

Noise is mixed into an image until nothing is left of it, x_t = α_t x_0 + σ_t ε. One network learns to undo a little of this at
every noise level; run from pure noise to t = 0, it makes images. It is trained on nothing but regression,

    L = E_{x_0, ε, t} ‖ v − v_θ(x_t, t) ‖²,       v = α_t ε − σ_t x_0        (or ε, the paper's choice, or x_0)

and each target gives the guess of the clean image that the samplers use: x_0 = α_t x_t − σ_t v = (x_t − σ_t ε) / α_t.

Departures from the paper: v in place of ε (Salimans and Ho, 2022), which stays well-scaled where α_t is small; the cosine
schedule; the steps of a batch are spread evenly over the schedule, which takes variance out of the gradient; an U-Net that
folds 2×2 pixels into channels first; few-step samplers beside the paper's own.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from zoo.core.checks import seeded_generator
from zoo.core.images import ImageLike, Images, check_codes, check_ends, great_circle
from zoo.core.progress import track
from zoo.core.verbs import verb
from zoo.errors import InputError
from zoo.models.diffusion.image_generator import ImageGenerator
from zoo.models.diffusion.samplers import Denoise
from zoo.models.diffusion.samplers import sampler as named_sampler
from zoo.models.diffusion.schedule import NoiseSchedule, Shape
from zoo.models.diffusion.unet import UNet


class DDPM(ImageGenerator):
    """Unconditional diffusion model of small images.

    Args:
        image_shape: (channels, height, width).
        width: channels of the U-Net's finest level.
        channel_mults, blocks, attention_levels, patch, dropout: see UNet.
        timesteps: T, the length of the noise schedule.
        schedule: "cosine" or "linear".
        prediction: what the network regresses, "v", "eps" or "x0".

    Shapes:
        images x: [N, C, H, W] in [0, 1]; inside, x_t is scaled to [-1, 1] plus noise; steps t: [N] in 0 … T-1.
    """

    use: ClassVar[str] = (
        'zoo.save_grid(model.sample(16, seed=0), "grid.png")  # sampler= and steps= choose another sampler\n'
        "z = model.encode(model.sample(2, seed=0), steps=10)  # noise that DDIM leads back to these images\n"
        'zoo.save_grid(model.decode(z, steps=10), "again.png")'
    )

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (1, 28, 28),
        width: int = 64,
        *,
        channel_mults: Sequence[int] = (1, 2),
        blocks: int = 1,
        attention_levels: Sequence[int] = (1,),
        patch: int = 2,
        dropout: float = 0.0,
        timesteps: int = 1000,
        schedule: Shape = "cosine",
        prediction: Literal["v", "eps", "x0"] = "v",
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        if prediction not in ("v", "eps", "x0"):
            raise InputError(f"prediction is 'v', 'eps' or 'x0', not {prediction!r}")
        self.image_shape, self.prediction = tuple(image_shape), prediction
        self.schedule = NoiseSchedule(timesteps, schedule)
        self.net = UNet(
            image_shape[0],
            width,
            channel_mults=channel_mults,
            blocks=blocks,
            attention_levels=attention_levels,
            patch=patch,
            dropout=dropout,
        )

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The network's guess of v (or ε, or x_0) for noisy images [N, C, H, W] at steps t [N]."""
        return self.net(x_t, t)

    def denoise(self, x_t: Tensor, t: Tensor, *, clip: bool = True) -> Tensor:
        """The guess of the clean image x_0, clipped to [-1, 1] where pixels live."""
        alpha, sigma = self.schedule.rates(t)
        output = self(x_t, t).float()
        x_0 = {
            "v": lambda: alpha * x_t - sigma * output,
            "eps": lambda: (x_t - sigma * output) / alpha,
            "x0": lambda: output,
        }[self.prediction]()
        return x_0.clamp(-1, 1) if clip else x_0

    @classmethod
    def other_libraries(cls, init: dict[str, Any]) -> list[tuple[str, str]]:
        if cls is not DDPM:  # a network with more inputs than image and step
            return []
        said = (
            'The schedulers of diffusers draw from it, too; this is `model.trajectory(x, sampler="ddim", steps=10)[-1]`. '
            "`noise_scheduler(model)` of `zoo.models.layouts` makes the same scheduler:"
        )
        shape = {"cosine": "squaredcos_cap_v2", "linear": "linear"}[init.get("schedule", "cosine")]
        kind = {"v": "v_prediction", "eps": "epsilon"}[init.get("prediction", "v")]
        lines = (
            "import torch\nfrom diffusers import DDIMScheduler\n\n"
            f'scheduler = DDIMScheduler({init.get("timesteps", 1000)}, beta_schedule="{shape}", prediction_type="{kind}",\n'
            '                          timestep_spacing="trailing")\n'
            "scheduler.set_timesteps(10)\n"
            "x = torch.randn(2, *model.image_shape, generator=torch.Generator().manual_seed(0))\n"
            "for t in scheduler.timesteps:\n"
            "    with torch.no_grad():\n"
            "        output = model(x, t.expand(len(x)))\n"
            "    x = scheduler.step(output, t, x, use_clipped_model_output=True).prev_sample"
        )
        return [(said, lines)]

    # Verbs -----------------------------------------------------------------------------------------------------------

    def sample(
        self,
        n: int,
        *,
        seed: int | None = None,
        sampler: str = "ancestral",
        steps: int = 50,
        eta: float = 0.0,
        labels: Tensor | None = None,
        batch_size: int = 250,
    ) -> Tensor:
        """Draw images [n, C, H, W] in [0, 1]; the same seed gives the same images on the same device.

        The default draws fresh noise in every step: on small images that mends the network's errors as it goes, which the
        deterministic samplers carry along. They are for fewer steps, and for codes that can be inverted.

        Args:
            sampler: "ancestral", "ddim", "dpm-solver++" or "heun"; each runs on the model's own schedule.
            steps: network calls ("heun": twice as many but one), from 1 to the schedule's length.
            eta: how much fresh noise "ddim" adds, from 0 (none) to 1 (as "ancestral").
            labels: refused, the model is unconditional.
            batch_size: images that go through the network at once.

        Raises:
            InputError: for n, steps or eta out of range, or labels.
            UnknownNameError: for an unknown sampler; it names the known ones.
        """
        if not 0 <= eta <= 1:
            raise InputError(f"eta lies in 0..1, not {eta!r}")

        def draw(count: int, generator: torch.Generator) -> Tensor:
            noise = self.noise(count, generator)
            return self.trajectory(noise, sampler=sampler, steps=steps, eta=eta, generator=generator)[-1]

        return self.draw_images(n, seed, labels, batch_size, draw)

    @verb
    def trajectory(
        self,
        x: Tensor,
        *,
        sampler: str = "ancestral",
        steps: int = 50,
        eta: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> list[Tensor]:
        """All states of the reverse process from noise x [N, C, H, W], first to last, in the scale [-1, 1]."""
        generator = generator or seeded_generator(self.device, None)
        states = named_sampler(sampler)(self._denoise_at(), x, self.schedule, steps, eta, generator)
        return list(track(states, "drawing", steps))

    @verb
    def encode(self, x: Images, *, steps: int = 100) -> Tensor:
        """The noise that deterministic DDIM would turn into images x [N, C, H, W] in [0, 1]: DDIM run backwards."""
        z = 2 * self.check_images(x) - 1
        times = self.schedule.steps(steps)[::-1]
        for now, later in zip([0, *times], times, strict=False):
            (alpha, sigma), (alpha_s, sigma_s) = (self.schedule.rates(torch.tensor([t])) for t in (now, later))
            x_0 = self._denoise_at()(z, now)
            z = alpha_s * x_0 + sigma_s * (z - alpha * x_0) / sigma
        return z

    def decode(self, z: Tensor, *, steps: int = 100) -> Tensor:
        """Images [N, C, H, W] in [0, 1] from noise z by deterministic DDIM."""
        z = check_codes(z, self.image_shape).to(self.device)
        return ((self.trajectory(z, sampler="ddim", steps=steps)[-1] + 1) / 2).clamp(0, 1)

    def interpolate(self, a: ImageLike, b: ImageLike, *, steps: int = 8) -> Tensor:
        """A path [steps, C, H, W] from image a to image b, along the great circle between their codes."""
        start, end = self.encode(check_ends(a, b, steps, self.image_shape)).flatten(1)
        return self.decode(great_circle(start, end, steps).reshape(steps, *self.image_shape))

    # Training --------------------------------------------------------------------------------------------------------

    def loss(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Mean squared error of the prediction for images x in [0, 1] at one random step each."""
        t = self.schedule.draw(len(x), generator)
        x_0 = 2 * x - 1
        eps = torch.randn(x.shape, device=x.device, generator=generator)
        alpha, sigma = self.schedule.rates(t)
        target = {"v": alpha * eps - sigma * x_0, "eps": eps, "x0": x_0}[self.prediction]
        return (self(alpha * x_0 + sigma * eps, t).float() - target).square().mean()

    # Claims ----------------------------------------------------------------------------------------------------------

    def golden_inputs(self) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(0)
        x_t = torch.randn(2, *self.image_shape, generator=generator)
        return {"x_t": x_t, "t": torch.tensor([len(self.schedule) // 4, len(self.schedule) - 1])}

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """The network's output, and what four sampling steps make of it."""
        return {
            "output": self(inputs["x_t"], inputs["t"]),
            "sample": self.trajectory(inputs["x_t"], sampler="ddim", steps=4)[-1],
        }

    def _denoise_at(self) -> Denoise:
        return lambda x, t: self.denoise(x, torch.full((len(x),), t, device=x.device))
