"""What models with a velocity field share: images by its ODE, codes by the ODE backwards, densities along it.

    log p(x) = log N(z; 0, I) + ∫ div v(x_t, t) dt,        z where the ODE takes x              (in nats)

Bits per dimension of 8-bit images follow as for the flows of zoo/models/flows/image_flow.py, by uniform dequantisation.
"""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from zoo.blocks.ode import CALLS, hutchinson, integrate, integrate_density, solver
from zoo.core.checks import check_count, seeded_generator
from zoo.core.data import ImageData
from zoo.core.images import ImageLike, Images, check_codes, check_ends, great_circle
from zoo.core.metric import entry
from zoo.core.progress import track
from zoo.core.verbs import verb
from zoo.models.diffusion.image_generator import ImageGenerator

LEVELS = 256
EVALUATED = 250  # test images whose bits are counted: each costs a hundred calls and as many backward passes
FINEST = 1e-3  # what the first step from the data tends to as a share of the time, where densities are counted


class ContinuousModel(ImageGenerator):
    """Base of the models with a velocity field; a subclass has `velocity` and the two ends of time.

    Attributes:
        noise_time, data_time: where the field has noise N(0, I) and where it has data.

    Shapes:
        images: [N, C, H, W] in [0, 1]; states x: the same in [-1, 1] at data_time; codes z: noise, the same shape.
    """

    use: ClassVar[str] = (
        "from zoo.core.samples import sample_split\n"
        "\n"
        'zoo.save_grid(model.sample(16, seed=0), "grid.png")\n'
        'x = sample_split("{data}")[0][:2].float() / 255      # packaged test images in [0, 1]\n'
        "print(model.bits_per_dim(x, steps=10))               # an upper bound, along the ODE"
    )

    noise_time: float
    data_time: float

    def velocity(self, x: Tensor, t: float) -> Tensor:
        """dx/dt at states x [N, C, H, W] and one time."""
        raise NotImplementedError

    def times(self, steps: int, *, backwards: bool = False) -> list[float]:
        """`steps` even steps from noise to data, or backwards."""
        check_count(steps, "steps")
        ends = (self.data_time, self.noise_time) if backwards else (self.noise_time, self.data_time)
        return torch.linspace(*ends, steps + 1, dtype=torch.float64).tolist()

    def density_times(self, steps: int) -> list[float]:
        """From data to noise, every step longer than the last by one factor.

        Near the data the field shrinks the width of the noise to that of a grey level, by half and half again: even steps
        would leap over most of it, and densities would come out wrong by bits, even with probabilities above one.
        """
        check_count(steps, "steps")
        shares = [0.0, *(FINEST ** (1 - k / steps) for k in range(1, steps + 1))]
        return [self.data_time + (self.noise_time - self.data_time) * share for share in shares]

    @verb
    def trajectory(self, z: Tensor, *, steps: int = 25, method: str = "heun") -> list[Tensor]:
        """The states of the ODE from noise z to data, in the scale [-1, 1]."""
        z = check_codes(z, self.image_shape).to(self.device)
        return list(track(integrate(self.velocity, z, self.times(steps), method), "drawing", steps))

    def decode(self, z: Tensor, *, steps: int = 25, method: str = "heun") -> Tensor:
        """Images [N, C, H, W] in [0, 1] of codes z."""
        return ((self.trajectory(z, steps=steps, method=method)[-1] + 1) / 2).clamp(0, 1)

    @verb
    def encode(self, x: Images, *, steps: int = 25, method: str = "heun") -> Tensor:
        """The noise that the ODE turns into images x in [0, 1]."""
        state = 2 * self.check_images(x) - 1
        *_, z = integrate(self.velocity, state, self.times(steps, backwards=True), method)
        return z

    def interpolate(self, a: ImageLike, b: ImageLike, *, steps: int = 8) -> Tensor:
        """A path [steps, C, H, W] from image a to image b, along the great circle between their codes."""
        start, end = self.encode(check_ends(a, b, steps, self.image_shape)).flatten(1)
        return self.decode(great_circle(start, end, steps).reshape(steps, *self.image_shape))

    @verb
    def log_prob(self, x: Images, *, steps: int = 25, method: str = "rk4", seed: int = 0) -> Tensor:
        """A bound on the log-probability of 8-bit images x in [0, 1], [N], in nats, estimated with one draw each.

        Two draws are behind it, the dequantisation and the probe of the divergence: its mean over images is what to quote.

        Args:
            steps, method: of the solver, whose steps grow from data to noise; 25 of "rk4" are right to 0.002 bits per dimension.
        """
        x = self.check_images(x)
        solver(method)
        generator = seeded_generator(self.device, seed)
        k = (x * (LEVELS - 1)).round()
        y = (k + torch.rand(x.shape, device=self.device, generator=generator)) / LEVELS
        signs = torch.randint(2, x.shape, device=self.device, generator=generator)
        probe = hutchinson(2.0 * signs - 1)
        z, integral = integrate_density(self.velocity, 2 * y - 1, self.density_times(steps), method, probe)
        log_noise = -0.5 * (z.square() + math.log(2 * math.pi)).flatten(1).sum(1)
        return log_noise + integral + x[0].numel() * (math.log(2) - math.log(LEVELS))

    def bits_per_dim(self, x: Images, *, steps: int = 25, method: str = "rk4", seed: int = 0) -> Tensor:
        """−log₂ P(x)/D of the same bound, [N]."""
        return -self.log_prob(x, steps=steps, method=method, seed=seed) / (math.prod(self.image_shape) * math.log(2))

    def evaluate(self, data: ImageData) -> list[dict[str, Any]]:
        """Sample quality of the default sampler, and bits per dimension along the ODE."""
        entries = super().evaluate(data)
        x = data.tensors("test")[0][:EVALUATED].float() / 255
        steps, method = 25, "rk4"
        bits = torch.cat(
            [self.bits_per_dim(part, steps=steps, method=method).cpu() for part in track(x.split(125), "measuring")]
        ).double()
        error = (bits.std() / len(bits) ** 0.5).item()
        how = (
            f"upper bound: first {EVALUATED:,} 8-bit test images, standard error over them {error:.2g}, uniform "
            f"dequantisation, ODE by {method} with {steps * CALLS[method]} calls in growing steps, one Hutchinson probe "
            "each for the divergence, float32"
        )
        return [*entries, entry(data, "test", "bits_per_dim", bits.mean(), how, better="lower", n=EVALUATED)]

    def golden_inputs(self) -> dict[str, Tensor]:
        return {"z": torch.randn(2, *self.image_shape, generator=torch.Generator().manual_seed(0))}

    def example(self) -> tuple[Tensor, Tensor]:
        return self.golden_inputs()["z"], torch.full((2,), (self.noise_time + self.data_time) / 2)

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """The field halfway, and what two steps make of noise."""
        middle = (self.noise_time + self.data_time) / 2
        return {
            "velocity": self.velocity(inputs["z"], middle),
            "sample": self.trajectory(inputs["z"], steps=2, method="heun")[-1],
        }
