"""Text-to-image latent diffusion (Rombach et al., 2022, arXiv:2112.10752): "a thick slanted seven".

A small Transformer reads the prompt, and the U-Net of latent.py takes its output in one of two ways. Every position of the
image may ask every word (cross-attention),

    h ← h + softmax(Q Kᵀ/√d) V,        Q = W_Q h,  K = W_K e(text),  V = W_V e(text)

or the prompt as a whole scales and shifts the feature maps (FiLM, Perez et al., 2018), γ(text) ⊙ h + β(text), the way that the
time step enters already. Guidance is that of cfg.py: some captions are left empty in training.

Departures from the paper: the text encoder is trained along and not a large pretrained one; captions are made from measurements
(captions.py); one resolution.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from zoo.core.batch import labelled
from zoo.core.checks import check_count, seeded_generator
from zoo.core.data import ImageData
from zoo.core.images import save_grid
from zoo.core.metric import entry
from zoo.core.progress import gathered, track
from zoo.core.verbs import verb
from zoo.errors import InputError
from zoo.models.diffusion.captions import DIGITS, LENGTH, PAD, VOCABULARY, adjectives, describe, shorten, tokens_of
from zoo.models.diffusion.image_generator import check_guidance
from zoo.models.diffusion.latent import LatentDiffusion
from zoo.models.diffusion.samplers import sampler as named_sampler
from zoo.models.diffusion.unet import UNet


class TextEncoder(nn.Module):
    """A Transformer layer over word and place embeddings: ids [N, LENGTH] to [N, LENGTH, dim], and a mask of the pads."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, dim)
        self.places = nn.Parameter(0.02 * torch.randn(LENGTH, dim))
        self.layer = nn.TransformerEncoderLayer(dim, 4, 2 * dim, dropout=0.0, batch_first=True, norm_first=True)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        pads = tokens == PAD
        return self.layer(self.words(tokens) + self.places, src_key_padding_mask=pads), pads


class TextLatentDiffusion(LatentDiffusion):
    """Latent diffusion model of digits that reads a prompt.

    Args:
        condition: "cross-attention" or "film".
        text_dim: width of the text encoder, a multiple of 4.
        word_drop: share of the adjectives that a training caption leaves out; a third as many are empty.
        image_shape, width, autoencoder, autoencoder_width, latent_channels, blocks, dropout, timesteps: as in LatentDiffusion.

    Shapes:
        images: [N, C, H, W] in [0, 1]; prompts: ids [N, LENGTH], see captions.py.
    """

    use: ClassVar[str] = (
        'images = model.sample(16, prompt="a thick slanted seven", seed=0)     # guidance=… for more of the prompt\n'
        'zoo.save_grid(images, "grid.png")'
    )
    learns_from: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (1, 28, 28),
        width: int = 96,
        *,
        condition: Literal["cross-attention", "film"] = "cross-attention",
        text_dim: int = 64,
        word_drop: float = 0.3,
        autoencoder: str | None = None,
        autoencoder_width: int = 32,
        latent_channels: int = 4,
        blocks: int = 2,
        dropout: float = 0.0,
        timesteps: int = 1000,
    ) -> None:
        super().__init__(
            image_shape,
            width,
            autoencoder=autoencoder,
            autoencoder_width=autoencoder_width,
            latent_channels=latent_channels,
            blocks=blocks,
            dropout=dropout,
            timesteps=timesteps,
        )
        self.save_hyperparameters()
        if condition not in ("cross-attention", "film"):
            raise InputError(f"condition is 'cross-attention' or 'film', not {condition!r}")
        self.condition, self.word_drop = condition, word_drop
        self.text = TextEncoder(text_dim)
        if condition == "film":
            self.pooled = nn.Linear(text_dim, 4 * width)
        else:
            self.net = UNet(
                latent_channels,
                width,
                channel_mults=(1,),
                blocks=blocks,
                attention_levels=(0,),
                dropout=dropout,
                context_dim=text_dim,
            )

    def forward(self, z_t: Tensor, t: Tensor, tokens: Tensor | None = None) -> Tensor:
        """The guess of v for noisy codes at steps t [N]; without a prompt, for an empty one."""
        if tokens is None:
            tokens = tokens_of("").to(z_t.device).expand(z_t.shape[0], -1)
        words, pads = self.text(tokens)
        if self.condition == "film":
            kept = (~pads)[..., None].to(words.dtype)
            return self.net(z_t, t, self.pooled((words * kept).sum(1) / kept.sum(1)))
        return self.net(z_t, t, context=(words, pads))

    def guided(self, z_t: Tensor, t: Tensor, tokens: Tensor | None, guidance: float) -> Tensor:
        """The output with guidance weight w: 0 for any image, 1 for the prompt, more to exaggerate it."""
        if tokens is None or guidance == 0:
            return self(z_t, t)
        if guidance == 1:
            return self(z_t, t, tokens)
        empty = tokens_of("", len(z_t)).to(z_t.device)
        both = self(torch.cat([z_t, z_t]), torch.cat([t, t]), torch.cat([empty, tokens])).float()
        free, conditioned = both.chunk(2)
        return free + guidance * (conditioned - free)

    # Verbs -----------------------------------------------------------------------------------------------------------

    def sample(
        self,
        n: int,
        *,
        seed: int | None = None,
        prompt: str | Sequence[str] | None = None,
        guidance: float | None = None,
        labels: Tensor | None = None,
        sampler: str = "ancestral",
        steps: int = 20,
        eta: float = 0.0,
        batch_size: int = 250,
    ) -> Tensor:
        """Draw images [n, C, H, W] in [0, 1]; the same seed gives the same images on the same device.

        Args:
            prompt: such as "a thick slanted seven", one for each image or one for all; None draws anything.
            guidance: w, by default 1. It doubles the cost unless it is 0 or 1.
            labels: refused; use a prompt.
            sampler, steps, eta: as in DDPM, on codes.

        Raises:
            InputError: for guidance without a prompt, and for words that the model doesn't know.
        """
        check_count(n)
        check_count(batch_size, "batch_size")
        if labels is not None:
            raise InputError("this model reads prompts: say prompt='a seven' in place of labels")
        weight = check_guidance(guidance, prompt, "prompt")
        if not 0 <= eta <= 1:
            raise InputError(f"eta lies in 0..1, not {eta!r}")
        tokens = None if prompt is None else tokens_of(prompt, n).to(self.device)
        return self.sample_tokens(n, tokens, weight, seed, sampler, steps, eta, batch_size)

    @verb
    def sample_tokens(
        self,
        n: int,
        tokens: Tensor | None,
        guidance: float = 1.0,
        seed: int | None = None,
        sampler: str = "ancestral",
        steps: int = 20,
        eta: float = 0.0,
        batch_size: int = 250,
    ) -> Tensor:
        """The same for ids [n, LENGTH]."""
        run, generator = named_sampler(sampler), seeded_generator(self.device, seed)

        def draw(start: int) -> Tensor:
            part = None if tokens is None else tokens[start : start + batch_size]

            def denoise(z: Tensor, t: int) -> Tensor:
                at = torch.full((len(z),), t, device=z.device)
                alpha, sigma = self.schedule.rates(at)
                return alpha * z - sigma * self.guided(z, at, part, guidance).float()

            count = min(batch_size, n - start)
            z = torch.randn(count, *self.latent_shape, device=self.device, generator=generator)
            *_, z = track(run(denoise, z, self.schedule, steps, eta, generator), "drawing", steps)
            return self.decode(z)

        return gathered(draw(start) for start in track(range(0, n, batch_size), "drawing"))

    # Training --------------------------------------------------------------------------------------------------------

    def captioned_loss(self, x: Tensor, labels: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Mean squared error of v for images x in [0, 1] and their captions, some of whose words are left out."""
        tokens = shorten(describe(x, labels), self.word_drop, generator)
        z_0 = self.autoencoder.encode(x) / self.scale
        t = self.schedule.draw(len(x), generator)
        eps = torch.randn(z_0.shape, device=x.device, generator=generator)
        alpha, sigma = self.schedule.rates(t)
        return (self(alpha * z_0 + sigma * eps, t, tokens).float() - (alpha * eps - sigma * z_0)).square().mean()

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        loss = self.captioned_loss(*labelled(batch))
        self.log_train(loss=loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        x, labels = labelled(batch)
        loss = self.captioned_loss(x, labels, seeded_generator(x.device, batch_idx))
        self.log("val/loss", loss, prog_bar=True, batch_size=len(x))

    # Claims ----------------------------------------------------------------------------------------------------------

    def evaluate(self, data: ImageData) -> list[dict[str, Any]]:
        """Quality of 10,000 images of training captions, and how often each word is kept to, measured on the image."""
        from zoo.metrics.generation import evaluate_images

        x, labels = (part[:10_000] for part in data.tensors("train"))
        tokens = describe(x.float() / 255, labels)
        context, precision = self.quickly()
        with context:
            images = self.sample_tokens(len(x), tokens.to(self.device), seed=0).float().cpu()
        how = f"captions of the first 10,000 training images, guidance 1, {self.default_sampler()}, seed 0, {precision}"
        entries = evaluate_images(images, str(data.name), labels=labels, how=how)
        kept = (adjectives(images) == tokens[:, 2:4]).double().mean(0)
        for name, value in zip(("thickness_accuracy", "slant_accuracy"), kept.tolist(), strict=True):
            text = f"share whose measured word of three is that of the caption; {how}"
            entries.append(entry(data, "train", name, value, text, better="higher", n=len(x)))
        return entries

    def golden_inputs(self) -> dict[str, Tensor]:
        return {**super().golden_inputs(), "tokens": tokens_of(["a thick slanted seven", "two"])}

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"output": self.guided(inputs["z"], inputs["t"], inputs["tokens"], 2.0)}

    def preview(self, path: Path) -> Path:
        """A column for each digit, a row for each pair of adjectives."""
        pairs = ("thin upright", "thin slanted", "medium backward", "thick upright", "thick slanted")
        prompts = [f"a {pair} {digit}" for pair in pairs for digit in DIGITS]
        return save_grid(self.sample(len(prompts), prompt=prompts, seed=0), path, columns=len(DIGITS))
