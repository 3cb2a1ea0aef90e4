"""Variational autoencoder (Kingma and Welling, 2014, arXiv:1312.6114), and its importance-weighted and β forms.

An encoder turns an image into a Gaussian over a short code, a decoder turns a code into a Bernoulli for every pixel. Both are
trained to raise the evidence lower bound, rate R and distortion D of a lossy code for images:

    log p(x)  ≥  E_q(z|x)[log p(x|z)] − KL(q(z|x) ‖ N(0, I))  =  −(D + R)                               in nats
    KL = ½ Σ (μ² + σ² − 1 − log σ²),       z = μ + σ ε,  ε ~ N(0, I), which lets the gradient through the draw

D + β R walks along the rate–distortion curve (β-VAE, Higgins et al., 2017). With k draws and w = p(x, z) / q(z|x) the bound
E log (1/k) Σ w_i is tighter and lets q be broader (IWAE, Burda et al., 2016, arXiv:1509.00519); the same bound with thousands
of draws is how a trained model is measured.

Departures: AdamW, GELU, pixels binarised afresh every epoch (no overfitting of fixed ones), and a rate that may warm up.
"""

from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.blocks.dense import Activation, dense
from zoo.core.batch import images_of, labelled
from zoo.core.checks import check_count, refuse_labels, seeded_generator
from zoo.core.data import ImageData
from zoo.core.images import Images, save_grid
from zoo.core.metric import entry
from zoo.core.precision import quick_autocast
from zoo.core.progress import track
from zoo.core.verbs import verb
from zoo.errors import InputError
from zoo.models.autoencoders.coder import Coder, importance_weighted, split_images


class VAE(Coder):
    """Fully connected variational autoencoder of binary images.

    Args:
        image_shape: (channels, height, width).
        latent_dim: length of the code z.
        hidden: widths of the encoder's hidden layers; the decoder has them in reverse.
        activation: of the hidden layers.
        beta: weight of the rate; 1 is the bound, more trades distortion for a simpler code.
        importance: k, draws of the importance-weighted bound in training; 1 is the plain bound.
        binarize: draw binary pixels in training; else grey values are the Bernoulli's targets, as textbooks do it.
        rate_warmup: steps in which the rate's weight rises from 0.
        free_nats: of each number of the code, so much of its mean rate costs nothing (Kingma et al., 2016, arXiv:1606.04934): a
            number with less information is no cheaper, so that none is given up early. 0 is the bound.

    Shapes:
        images x: [N, C, H, W] in [0, 1]; codes z: [N, latent_dim].
    """

    task: ClassVar[str] = "unconditional-image-generation"
    larger_is_better: ClassVar[frozenset[str]] = frozenset({"elbo"})
    use: ClassVar[str] = (
        "from zoo.core.samples import sample_split\n"
        "\n"
        'x = model.binarize(sample_split("{data}")[0][:8].float() / 255, seed=0)    # packaged test images of zeros and ones\n'
        'zoo.save_grid(model.reconstruct(x), "again.png")\n'
        'zoo.save_grid(model.interpolate(x[0], x[1]), "between.png")\n'
        "print(model.log_prob(x, samples=100, seed=0))        # nats, a lower bound\n"
        'zoo.save_grid(model.sample(16, seed=0), "grid.png")'
    )

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (1, 28, 28),
        latent_dim: int = 50,
        *,
        hidden: tuple[int, ...] = (200, 200),
        activation: Activation = "gelu",
        beta: float = 1.0,
        importance: int = 1,
        binarize: bool = True,
        rate_warmup: int = 0,
        free_nats: float = 0.0,
    ) -> None:
        super().__init__(image_shape, latent_dim)
        self.save_hyperparameters()
        if min(beta, free_nats) < 0:
            raise InputError(f"beta and free_nats are at least 0, not {beta!r} and {free_nats!r}")
        if check_count(importance, "importance") > 1 and beta != 1:
            raise InputError(f"the importance-weighted bound has no beta: leave it at 1, not {beta!r}")
        self.beta, self.importance, self.rate_warmup, self.free_nats = beta, importance, rate_warmup, free_nats
        self.binarizes = binarize
        widths = [self.num_pixels + self.condition_dim, *hidden]
        self.encoder = nn.Sequential(dense(widths, activation, bare_end=False), nn.Linear(widths[-1], 2 * latent_dim))
        self.decoder: nn.Module = dense([latent_dim + self.condition_dim, *hidden[::-1], self.num_pixels], activation)

    @property
    def condition_dim(self) -> int:
        """Width of the condition that both halves take beside x and z; a conditional subclass has one."""
        return 0

    def condition(self, h: Tensor, labels: Tensor | None) -> Tensor:
        """Append the condition to the inputs [..., N, D] of either half."""
        return h

    def posterior(self, x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log-variance [N, latent_dim] of q(z | x)."""
        mean, log_var = self.encoder(self.condition(x.flatten(1), labels)).float().chunk(2, dim=1)
        return mean, log_var

    def logits(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Pixel log-odds [..., N, pixels] of codes [..., N, latent_dim]."""
        return self.decoder(self.condition(z, labels)).float()

    def codes(self, x: Tensor) -> Tensor:
        return self.posterior(x)[0]

    def pixels(self, z: Tensor) -> Tensor:
        return self.logits(z).sigmoid().reshape(-1, *self.image_shape)

    # Verbs -----------------------------------------------------------------------------------------------------------

    @verb
    def sample(self, n: int, *, seed: int | None = None, labels: Tensor | None = None) -> Tensor:
        """Decode n codes drawn from the prior to pixel means [n, C, H, W]; the same seed gives the same images.

        Raises:
            InputError: for n below 1, or labels: the model is unconditional.
        """
        refuse_labels(labels, self.name)
        return self.decode(self.prior(n, seed))

    def prior(self, n: int, seed: int | None = None) -> Tensor:
        """n codes of N(0, I)."""
        generator = seeded_generator(self.device, seed)
        return torch.randn(check_count(n), self.latent_dim, device=self.device, generator=generator)

    @verb
    def elbo(self, x: Images, *, seed: int | None = None, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The bound's two terms for images x, each [N] in nats: log-likelihood (one draw of z) and KL; their difference
        is below log p(x) if x is binary."""
        x = self.check_images(x)
        return self.terms(x.to(self.device), self._checked(labels, len(x)), seeded_generator(self.device, seed))

    @verb
    def log_prob(
        self, x: Images, *, samples: int = 5000, seed: int | None = None, labels: Tensor | None = None
    ) -> Tensor:
        """Importance-weighted lower bound on log p(x) of binary images x, [N] in nats.

        It tightens as `samples` grows: quote their number with every value.

        Raises:
            InputError: for images that aren't binary (see `binarize`), or `samples` below 1.
        """
        x = self.check_images(x)
        if ((x != 0) & (x != 1)).any():
            raise InputError("this is a likelihood of binary images: draw them by model.binarize(x, seed=…)")
        labels = self._checked(labels, len(x))
        generator = seeded_generator(self.device, seed)
        bounds = []
        for start in track(range(0, len(x), 64), "measuring"):
            part = x[start : start + 64].to(self.device)
            classes = None if labels is None else labels[start : start + 64]
            mean, log_var = self.posterior(part, classes)
            draw = partial(self.log_weights, part, classes, mean, log_var, generator=generator)
            bounds.append(importance_weighted(draw, samples, max(1, 2048 // len(part))))
        return torch.cat(bounds) if bounds else x.new_zeros(0)

    def binarize(self, x: Images, *, seed: int | None = None) -> Tensor:
        """Draw binary pixels with the grey values' probabilities; the same seed gives the same ones."""
        x = self.check_images(x)
        return self._coins(x, seeded_generator(x.device, seed))

    # Training --------------------------------------------------------------------------------------------------------

    def terms(
        self, x: Tensor, labels: Tensor | None = None, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """One-draw estimate of E_q log p(x|z), and KL(q(z|x) ‖ p(z)) in closed form, each [N]."""
        mean, log_var = self.posterior(x, labels)
        z = mean + (0.5 * log_var).exp() * _normal(mean, generator)
        return log_likelihood(self.logits(z, labels), x), rate(mean, log_var)

    def log_weights(
        self, x: Tensor, labels: Tensor | None, mean: Tensor, log_var: Tensor, k: int, generator: torch.Generator | None
    ) -> Tensor:
        """log p(x, z) − log q(z | x) of k draws of z for each image, [k, N]."""
        eps = _normal(mean.expand(k, *mean.shape), generator)
        z = mean + (0.5 * log_var).exp() * eps  # [k, N, latent_dim]
        log_ratio = 0.5 * (eps.square() + log_var - z.square()).sum(-1)  # log p(z) − log q(z | x)
        return log_likelihood(self.logits(z, labels), x) + log_ratio

    def loss(self, x: Tensor, labels: Tensor | None = None, weight: float = 1.0) -> dict[str, Tensor]:
        """ "loss" to minimise, and the terms to log, for targets x; `weight` scales the rate while it warms up."""
        mean, log_var = self.posterior(x, labels)
        if self.importance > 1:
            log_w = self.log_weights(x, labels, mean, log_var, self.importance, None)  # [k, N]
            return {"loss": -importance_weighted(lambda _: log_w, self.importance, self.importance).mean()}
        z = mean + (0.5 * log_var).exp() * torch.randn_like(mean)
        distortion, kl = -log_likelihood(self.logits(z, labels), x).mean(), rate(mean, log_var).mean()
        charged = rates(mean, log_var).mean(0).clamp(min=self.free_nats).sum() if self.free_nats else kl
        return {"loss": distortion + weight * self.penalty(z, charged), "distortion": distortion, "rate": kl}

    def penalty(self, z: Tensor, kl: Tensor) -> Tensor:
        """What the loss adds to the distortion, of drawn codes z [N, latent_dim] and their mean rate."""
        return self.beta * kl

    def _parts(self, batch: Any) -> tuple[Tensor, Tensor | None]:
        return images_of(batch), labelled(batch)[1] if self.condition_dim else None

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, labels = self._parts(batch)
        weight = min(1.0, (self.global_step + 1) / self.rate_warmup) if self.rate_warmup else 1.0
        found = self.loss(self._coins(x) if self.binarizes else x, labels, weight)
        self.log_train(**found)
        return found["loss"]

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        x, labels = self._parts(batch)
        generator = seeded_generator(x.device, batch_idx)  # the same coins and draws in every epoch
        ll, kl = self.terms(self._coins(x, generator) if self.binarizes else x, labels, generator)
        values = {"val/elbo": (ll - kl).mean(), "val/rate": kl.mean()}
        self.log_dict(values, prog_bar=True, batch_size=len(x))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3, weight_decay=0.0)

    # Claims ----------------------------------------------------------------------------------------------------------

    def evaluate(self, data: ImageData) -> list[dict[str, Any]]:
        """Likelihood bounds of the binarised test split, rate and distortion, and the quality of 10,000 samples."""
        context, precision = quick_autocast(self.device.type)
        with context:
            likelihood = self.likelihood_entries(data)
            images, labels = self.draws(10_000)
        from zoo.metrics.generation import evaluate_images

        how = f"pixel means of codes from the prior, seed 0, {precision}"
        quality = evaluate_images(images, str(data.name), labels=labels, how=how)
        return [likelihood[0], *quality, *likelihood[1:]]

    def draws(self, n: int) -> tuple[Tensor, Tensor | None]:
        """What is measured: n samples, and the labels that were asked for, if any."""
        return self.sample(n, seed=0), None

    def likelihood_entries(self, data: ImageData, k: int = 5000, few: int = 100) -> list[dict[str, Any]]:
        """The k-sample bound, by k draws for every tenth image and a control variate: `few` draws for all of them."""
        x, labels = split_images(data, "test"), data.tensors("test")[1]
        x = self.binarize(x, seed=0)
        condition = {} if self.condition_dim == 0 else {"labels": labels}
        tenth = {} if not condition else {"labels": labels[::10]}
        loose = self.log_prob(x, samples=few, seed=0, **condition).double().cpu()
        tight = self.log_prob(x[::10], samples=k, seed=1, **tenth).double().cpu()
        gap = tight - loose[::10]
        ll, kl = (term.double().mean().item() for term in self.elbo(x, seed=0, **condition))
        pixels = "pixels binarised at random by their grey value, seed 0"
        error = (loose.var() / len(loose)).sqrt().item()
        how = (
            f"importance-weighted bound, k = {k}, nats an image; {pixels}; all {len(x):,} test images by k = {few} plus the mean "
            f"gap to k = {k} on every tenth of them ({gap.mean():.3f} ± {(gap.std() / len(gap) ** 0.5):.3f}); "
            f"standard error over the images {error:.2f}; {quick_autocast(self.device.type)[1]}"
        )
        plain = f"one draw of z, nats an image; {pixels}; {len(x):,} test images"
        claims = {
            "nll": (-(loose.mean() + gap.mean()).item(), how),
            "negative_elbo": (kl - ll, f"rate plus distortion; {plain}"),
            "rate": (kl, f"KL(q(z|x) ‖ p(z)) in closed form; {plain}"),
            "distortion": (-ll, f"−E log p(x|z); {plain}"),
        }
        return [entry(data, "test", name, value, text, better="lower") for name, (value, text) in claims.items()]

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        mean, log_var = self.posterior(inputs["input"])
        return {"mean": mean, "log_var": log_var, "output": self.pixels(mean)}

    def preview(self, path: Path) -> Path:
        return save_grid(self.draws(64)[0], path, columns=16)

    def _coins(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return (torch.rand(x.shape, device=x.device, generator=generator) < x).to(x.dtype)

    def _checked(self, labels: Tensor | None, n: int) -> Tensor | None:
        refuse_labels(labels, self.name)
        return None


def log_likelihood(logits: Tensor, x: Tensor) -> Tensor:
    """log p(x | z) [..., N] of Bernoulli pixels with log-odds [..., N, pixels], for images x [N, C, H, W]."""
    return (x.flatten(1) * logits - F.softplus(logits)).sum(-1)


def rate(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(μ, σ²) ‖ N(0, I)) [N] in nats."""
    return rates(mean, log_var).sum(1)


def rates(mean: Tensor, log_var: Tensor) -> Tensor:
    """The same of each number of the code, [N, latent_dim]."""
    return 0.5 * (mean.square() + log_var.exp() - 1 - log_var)


def _normal(like: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.randn(like.shape, device=like.device, dtype=like.dtype, generator=generator)
