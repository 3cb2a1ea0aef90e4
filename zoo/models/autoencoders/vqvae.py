"""Vector-quantised variational autoencoder with its prior (van den Oord, Vinyals and Kavukcuoglu, 2017, arXiv:1711.00937).

The encoder writes L vectors, each of which is replaced by the nearest of the K vectors of a codebook; the decoder reads those:

    k_l = argmin_k ‖z_l − e_k‖,      min ‖x − g(e_{k_1}, …, e_{k_L})‖² + β Σ_l ‖z_l − sg[e_{k_l}]‖²

Rounding has no gradient, so the decoder's is copied to the encoder as it is (sg stops one). The codebook follows the mean of the
vectors that chose each entry. An image is then L whole numbers, and drawing images is drawing such sentences: a causal
Transformer learns p(k) = Π p(k_l | k_1 … k_(l−1)), the prior.

Departures from the paper: dense layers, whose L words have no place in the image; codebook entries that nothing chooses are
moved to vectors of the batch (Dhariwal et al., 2020); the prior learns beside the autoencoder, from codes that settle as it does.
"""

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from zoo.blocks.dense import Activation, dense
from zoo.core.batch import images_of
from zoo.core.checks import check_count, refuse_labels, seeded_generator
from zoo.core.data import ImageData
from zoo.core.images import Images, save_grid, several
from zoo.core.metric import Better, entry
from zoo.core.progress import gathered, track
from zoo.core.verbs import verb
from zoo.errors import InputError
from zoo.models.autoencoders.coder import Coder, split_images


class Codebook(nn.Module):
    """K vectors that follow, as moving averages, what chooses them.

    Shapes:
        vectors z: [..., D]; indices: [...].
    """

    vectors: Tensor
    counts: Tensor
    sums: Tensor

    def __init__(self, entries: int, dim: int, *, decay: float = 0.99) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("vectors", torch.randn(check_count(entries, "entries"), check_count(dim, "dim")))
        self.register_buffer("counts", torch.ones(entries))
        self.register_buffer("sums", self.vectors.clone())

    def nearest(self, z: Tensor) -> Tensor:
        """Indices of the nearest entries."""
        with torch.autocast(z.device.type, enabled=False):
            z = z.float()
            return (self.vectors.square().sum(1) - 2 * z @ self.vectors.T).argmin(-1)

    @torch.no_grad()
    def follow(self, z: Tensor, index: Tensor) -> None:
        """Move the entries towards the vectors [N, D] that chose them, and unused ones onto some of these."""
        z = z.float()
        chosen = F.one_hot(index, len(self.vectors)).to(z)  # [N, K]
        self.counts.lerp_(chosen.sum(0), 1 - self.decay)
        with torch.autocast(z.device.type, enabled=False):
            self.sums.lerp_(chosen.T @ z, 1 - self.decay)
        self.vectors.copy_(self.sums / self.counts.clamp(min=1e-5)[:, None])
        dead = self.counts < 0.05 * self.counts.mean()
        if dead.any():
            moved = z[torch.randint(len(z), (int(dead.sum()),), device=z.device)]
            self.vectors[dead] = moved
            self.counts[dead] = self.counts.mean()  # as if the average number had chosen it
            self.sums[dead] = moved * self.counts.mean()


class VQVAE(Coder):
    """Images as sentences of a learnt vocabulary, and a prior over these.

    Args:
        image_shape: (channels, height, width).
        latent_dim: L, words an image.
        entries: K, size of the vocabulary.
        entry_dim: length of a word's vector.
        hidden: widths of the encoder's hidden layers; the decoder has them in reverse.
        activation: of the hidden layers.
        batch_norm: normalise before each activation.
        commitment: β, what holds the encoder to the codebook.
        prior_width, prior_layers, prior_heads: of the Transformer.

    Shapes:
        images x: [N, C, H, W] in [0, 1]; codes k: int64 [N, latent_dim] in 0 … entries − 1.
    """

    task: ClassVar[str] = "unconditional-image-generation"
    use: ClassVar[str] = (
        "from zoo.core.samples import sample_split\n"
        "\n"
        'x = sample_split("{data}")[0][:8].float() / 255      # packaged test images in [0, 1]\n'
        "print(model.encode(x)[0])                            # an image as words of the vocabulary\n"
        'zoo.save_grid(model.reconstruct(x), "again.png")\n'
        'zoo.save_grid(model.sample(16, seed=0), "grid.png")'
    )

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (1, 28, 28),
        latent_dim: int = 16,
        *,
        entries: int = 128,
        entry_dim: int = 16,
        hidden: tuple[int, ...] = (512, 512),
        activation: Activation = "gelu",
        batch_norm: bool = False,
        commitment: float = 0.25,
        prior_width: int = 128,
        prior_layers: int = 3,
        prior_heads: int = 4,
    ) -> None:
        super().__init__(image_shape, latent_dim)
        self.save_hyperparameters()
        if prior_width % prior_heads:
            raise InputError(f"prior_width {prior_width} must be a multiple of prior_heads {prior_heads}")
        self.entries, self.commitment = entries, commitment
        widths = [self.num_pixels, *hidden, latent_dim * entry_dim]
        self.encoder = nn.Sequential(
            nn.Flatten(),
            dense(widths, activation, batch_norm=batch_norm),
            nn.Unflatten(1, (latent_dim, entry_dim)),
        )
        self.codebook = Codebook(entries, entry_dim)
        self.decoder = nn.Sequential(
            nn.Flatten(),
            dense(widths[::-1], activation, batch_norm=batch_norm),
            nn.Sigmoid(),
            nn.Unflatten(1, self.image_shape),
        )
        self.prior = Prior(entries, latent_dim, prior_width, prior_layers, prior_heads)

    def codes(self, x: Tensor) -> Tensor:
        return self.codebook.nearest(self.encoder(x))

    def pixels(self, z: Tensor) -> Tensor:
        return self.decoder(self.codebook.vectors[z])

    # Verbs: encode, decode and reconstruct are those of Coder, with whole numbers as codes ---------------------------

    @verb
    def sample(
        self, n: int, *, seed: int | None = None, labels: Tensor | None = None, temperature: float = 1.0
    ) -> Tensor:
        """Draw images [n, C, H, W] in [0, 1]: a sentence from the prior, decoded.

        Args:
            temperature: below 1 for likelier sentences, above for rarer ones.

        Raises:
            InputError: for n below 1, a temperature that isn't above 0, or labels: the model is unconditional.
        """
        check_count(n)
        refuse_labels(labels, self.name)
        if not temperature > 0:
            raise InputError(f"temperature must be above 0, not {temperature!r}")
        generator = seeded_generator(self.device, seed)
        parts = track([min(1000, n - start) for start in range(0, n, 1000)], "drawing")
        return gathered(self.decode(self.prior.draw(part, generator, temperature)) for part in parts)

    @verb
    def interpolate(self, a: Images, b: Images, *, steps: int = 8) -> Tensor:
        """As in Coder, on the line between the encoder's vectors, rounded to the codebook at each step."""
        pairs = self.check_pairs(a, b, steps)
        start, end = (self.encoder(side.to(self.device)) for side in pairs)  # [N, L, D]
        share = torch.linspace(0, 1, steps, device=start.device)[:, None, None]
        path = self.codebook.nearest(start[:, None].lerp(end[:, None], share))  # [N, steps, L]
        images = self.decode(path.flatten(0, 1)).reshape(len(path), steps, *self.image_shape)
        return images if several(a) else images[0]

    def check_codes(self, z: Tensor) -> None:
        if z.ndim != 2 or z.shape[1] != self.latent_dim or z.is_floating_point():
            raise InputError(f"codes are whole numbers [N, {self.latent_dim}], not {z.dtype} {list(z.shape)}")
        if len(z) and (z.min() < 0 or z.max() >= self.entries):
            raise InputError(f"codes lie in 0..{self.entries - 1}, these in {int(z.min())}..{int(z.max())}")

    # Training --------------------------------------------------------------------------------------------------------

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x = images_of(batch)
        z = self.encoder(x).float()  # [N, L, D]
        index = self.codebook.nearest(z)
        word = self.codebook.vectors[index]
        error = (self.decoder(z + (word - z).detach()).float() - x).square().flatten(1).sum(1).mean()
        commitment = (z - word).square().sum((1, 2)).mean()
        self.codebook.follow(z.detach().flatten(0, 1), index.flatten())
        nats = self.prior.nats(index).mean()
        self.log_train(sse=error, commitment=commitment, prior=nats)
        return error + self.commitment * commitment + nats

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        x = images_of(batch)
        index = self.codes(x)
        values = {"val/mse": (self.pixels(index) - x).square().mean(), "val/prior": self.prior.nats(index).mean()}
        self.log_dict(values, prog_bar=True, batch_size=len(x))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3, weight_decay=0.0)

    # Claims ----------------------------------------------------------------------------------------------------------

    def evaluate(self, data: ImageData) -> list[dict[str, Any]]:
        """Quality of 10,000 samples of the prior, the error of reconstructions, and how the vocabulary is used."""
        from zoo.metrics.generation import evaluate_images

        x = split_images(data, "test")
        index = self.encode(x)
        mse = (self.decode(index).cpu() - x).double().square().mean().item()
        shares = torch.bincount(index.flatten(), minlength=self.entries).double() / index.numel()
        used = (shares > 0).double().mean().item()
        perplexity = torch.special.entr(shares).sum().exp().item()
        with torch.no_grad():
            nats = torch.cat([self.prior.nats(part) for part in index.split(1000)]).double().mean().item()
        images = self.sample(10_000, seed=0)
        claims: list[tuple[str, float, str, Better]] = [
            ("mse", mse, "mean squared error a pixel in [0, 1] of reconstructions", "lower"),
            ("used_codes", used, f"share of the {self.entries} entries that occur", "higher"),
            ("code_perplexity", perplexity, "exp of the entropy of the entries' shares", "higher"),
            ("prior_nats", nats, f"−log p(codes) of an image's {self.latent_dim} words", "lower"),
        ]
        return [
            *evaluate_images(images, str(data.name), how="sentences of the prior, temperature 1, seed 0, float32"),
            *(
                entry(data, "test", m, v, f"{text}; {len(x):,} test images", better=better)
                for m, v, text, better in claims
            ),
        ]

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """The encoder's vectors, an image of fixed words, and the prior's logits for them; no rounding is compared."""
        words = (torch.arange(2 * self.latent_dim).reshape(2, -1) * 7) % self.entries
        return {
            "vectors": self.encoder(inputs["input"]),
            "output": self.pixels(words),
            "logits": self.prior(words),
        }

    def preview(self, path: Path) -> Path:
        return save_grid(self.sample(64, seed=0), path, columns=16)


class Prior(nn.Module):
    """Causal Transformer over sentences of L words.

    Shapes:
        words: int64 [N, L]; logits: [N, L, K], at place l of the words before it.
    """

    mask: Tensor

    def __init__(self, entries: int, length: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(entries + 1, width)  # the last stands before every sentence
        self.places = nn.Parameter(0.02 * torch.randn(length, width))
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, 0.0, nn.GELU(), batch_first=True, norm_first=True)
        self.body = nn.TransformerEncoder(layer, check_count(layers, "prior_layers"), enable_nested_tensor=False)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, entries))
        self.register_buffer("mask", torch.ones(length, length, dtype=torch.bool).triu(1), persistent=False)

    def forward(self, words: Tensor) -> Tensor:
        start = words.new_full((words.shape[0], 1), self.embedding.num_embeddings - 1)
        h = self.embedding(torch.cat([start, words[:, :-1]], 1)) + self.places
        with sdpa_kernel(SDPBackend.MATH):  # for sixteen words the fused kernels take twice as long on a CPU
            return self.head(self.body(h, mask=self.mask))

    def nats(self, words: Tensor) -> Tensor:
        """−log p(words) [N]."""
        return F.cross_entropy(self(words).float().transpose(1, 2), words, reduction="none").sum(1)

    def draw(self, n: int, generator: torch.Generator, temperature: float) -> Tensor:
        """n sentences, word by word."""
        words = torch.zeros(n, len(self.places), dtype=torch.long, device=self.places.device)
        for place in track(range(len(self.places)), "drawing"):
            logits = self(words)[:, place].float() / temperature
            words[:, place] = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
        return words
