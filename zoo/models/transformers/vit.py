"""Vision Transformer (Dosovitskiy et al., 2021, "An image is worth 16x16 words", arXiv:2010.11929).

An image is cut into patches, each patch becomes a vector, and from there on the image is a sentence of such words. Layers of
self-attention let every patch look at all others, from the first layer on:

    z₀ = [class; E x₁; …; E x_n] + positions
    z  ← z + MSA(LN(z)),   z ← z + MLP(LN(z)),    Attention(Q, K, V) = softmax(Q Kᵀ / √d) V

Nothing in the architecture favours neighbours; positions and attention have to learn it, which takes many images or epochs.

The compact variant (Hassani et al., 2021, "Escaping the big data paradigm with compact transformers", arXiv:2104.05704) makes
the words by strided convolutions, which know neighbours, and in place of a class token takes a learnt weighted mean of all words.

A sentence with words left out is cheaper to read, and attention doesn't mind: half of the patches, drawn anew for each image in
each epoch, are half of the work (Liu et al., 2023, "PatchDropout", arXiv:2208.07220).

Departures from the papers: none of the model; recipes are for small images and few epochs.
"""

from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.blocks.attention import attend
from zoo.core.checks import check_count
from zoo.core.classifier import ImageClassifier
from zoo.errors import InputError


class ViT(ImageClassifier):
    """Pre-norm Transformer encoder on patches; 2,693,578 parameters with the default arguments.

    Args:
        num_classes: number of classes.
        in_channels: channels of the image.
        image_size: height and width of the image; with `tokenizer="patch"` a multiple of `patch`.
        patch: side of a patch. With "conv", the number of pixels that the convolutions shrink to one: a power of two.
        dim: length of a word.
        depth: layers.
        heads: heads of attention, a divisor of `dim`.
        mlp_dim: hidden units of each layer's MLP.
        tokenizer: "patch", one linear map of each patch, or "conv", a 3×3 convolution with pooling for each halving.
        pool: "cls", a class token; "mean" of all words; or "sequence", their mean by learnt weights.
        dropout: probability of dropping a unit after positions, attention and in the MLP.
        patch_dropout: share of an image's words that are left out in training; at least one stays.
        drop_path: probability of skipping the last layer in training; earlier ones are skipped proportionally less.
        label_smoothing: see ImageClassifier.

    Shapes:
        x: [N, in_channels, image_size, image_size]; words: [N, T, dim]; logits: [N, num_classes].
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 3,
        *,
        image_size: int = 32,
        patch: int = 4,
        dim: int = 192,
        depth: int = 6,
        heads: int = 3,
        mlp_dim: int = 768,
        tokenizer: Literal["patch", "conv"] = "patch",
        pool: Literal["cls", "mean", "sequence"] = "cls",
        dropout: float = 0.0,
        patch_dropout: float = 0.0,
        drop_path: float = 0.0,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(num_classes, in_channels, label_smoothing=label_smoothing)
        check_count(patch, "patch")
        if image_size % patch:
            raise InputError(f"image_size {image_size} must be a multiple of patch {patch}")
        if dim % heads:
            raise InputError(f"dim {dim} must be a multiple of heads {heads}")
        if not 0 <= patch_dropout < 1:
            raise InputError(f"patch_dropout must be at least 0 and below 1, not {patch_dropout!r}")
        self.save_hyperparameters()
        words = (image_size // patch) ** 2
        make = patches if tokenizer == "patch" else convolutions
        self.stem = Embedding(make(in_channels, dim, patch), words, dim, pool == "cls", dropout, patch_dropout)
        rates = [drop_path * i / max(1, depth - 1) for i in range(depth)]
        self.blocks = nn.ModuleList(Block(dim, heads, mlp_dim, dropout, rate) for rate in rates)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.weigh = nn.Linear(dim, 1) if pool == "sequence" else None
        self.head = nn.Linear(dim, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """words and block1, block2, … [N, T, dim], embedding [N, dim]."""
        z = self.stem(x)
        stages = {"words": z}
        for number, block in enumerate(self.blocks, start=1):
            z = stages[f"block{number}"] = block(z)
        z = self.norm(z)
        if self.weigh is not None:
            weights = self.weigh(z).softmax(1)  # [N, T, 1]
            return stages | {"embedding": (weights * z).sum(1)}
        return stages | {"embedding": z[:, 0] if self.hparams["pool"] == "cls" else z.mean(1)}

    @classmethod
    def other_libraries(cls, init: dict[str, Any]) -> list[tuple[str, str]]:
        if init.get("tokenizer", "patch") != "patch":
            said = "timm's VisionTransformer has no convolutions before its blocks: this model can't be built by it."
            return [(said, ""), *super().other_libraries(init)]
        said = "The same network and weights as timm builds it; `take_weights` of the same module goes the other way:"
        lines = "from zoo.models.layouts import to_timm\n\nnet = to_timm(model)"
        return [(said, lines), *super().other_libraries(init)]

    def reset_image_size(self, size: int | tuple[int, int]) -> None:
        """Take square images of another size: the positions of the patches are interpolated, as the paper does."""
        side = size if isinstance(size, int) else size[0] if len(set(size)) == 1 else 0
        patch = self.hparams["patch"]
        if side < patch or side % patch:
            raise InputError(f"image_size must be a side of square images and a multiple of {patch}, not {size!r}")
        old = self.stem.position.detach()
        extra = old[:, : old.shape[1] - self.stem.words]  # the class token's
        grid = old[:, extra.shape[1] :].unflatten(1, (round(self.stem.words**0.5), -1)).permute(0, 3, 1, 2)
        new = F.interpolate(grid, (side // patch, side // patch), mode="bicubic", antialias=True)  # [1, dim, h, w]
        self.stem.position = nn.Parameter(torch.cat([extra, new.flatten(2).mT], 1))
        self.stem.words = (side // patch) ** 2
        self.hparams["image_size"] = side
        if self.transform is not None:
            super().reset_image_size(side)

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW(self.parameters(), lr=1e-3, weight_decay=0.05)


class Embedding(nn.Module):
    """From an image to words: patches, a class token before them, and the embeddings of their positions."""

    def __init__(
        self, patches: nn.Module, words: int, dim: int, class_token: bool, dropout: float, patch_dropout: float
    ) -> None:
        super().__init__()
        self.cls = nn.Parameter(torch.zeros(1, 1, dim)) if class_token else None
        self.position = nn.Parameter(torch.empty(1, words + class_token, dim))
        nn.init.trunc_normal_(self.position, std=0.02)
        self.patches, self.words, self.patch_dropout = patches, words, patch_dropout
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        z = self.patches(x).flatten(2).transpose(1, 2)  # [N, T, dim]
        if z.shape[1] != self.words:
            raise InputError(
                f"an image of {list(x.shape[2:])} gives {z.shape[1]} patches; this model takes {self.words}"
            )
        if self.cls is not None:
            z = torch.cat([self.cls.expand(z.shape[0], -1, -1), z], 1)
        return self.dropout(self._thinned(z + self.position))

    def _thinned(self, z: Tensor) -> Tensor:
        """In training, some of each image's words [N, T' ≤ T, dim], each with its position; the class token always."""
        if not self.training or self.patch_dropout == 0:
            return z
        tokens = z.shape[1] - self.words
        kept = max(1, round(self.words * (1 - self.patch_dropout)))
        order = torch.rand(len(z), self.words, device=z.device).argsort(1)[:, :kept] + tokens  # [N, kept]
        some = z.gather(1, order[..., None].expand(-1, -1, z.shape[2]))
        return torch.cat([z[:, :tokens], some], 1)


class Block(nn.Module):
    """Attention, then an MLP, each on normalised words and added to them."""

    def __init__(self, dim: int, heads: int, mlp_dim: int, dropout: float, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attention = Attention(dim, heads, dropout)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(dim, mlp_dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(mlp_dim, dim), nn.Dropout(dropout)
        )
        self.drop_path = drop_path

    def forward(self, z: Tensor) -> Tensor:
        z = z + self._skipped(self.attention(self.norm1(z)))
        return z + self._skipped(self.mlp(self.norm2(z)))

    def _skipped(self, change: Tensor) -> Tensor:
        """In training, no change for some images of the batch, and more for the others (Huang et al., 2016)."""
        if not self.training or self.drop_path == 0:
            return change
        kept = torch.rand(len(change), 1, 1, device=change.device) >= self.drop_path
        return change * kept / (1 - self.drop_path)


class Attention(nn.Module):
    """Every word gathers from all words, by several heads that look for different things."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.project = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, z: Tensor) -> Tensor:
        # each [N, heads, T, dim / heads]
        q, k, v = self.qkv(z).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        gathered = attend(q, k, v)
        return self.dropout(self.project(gathered.transpose(1, 2).flatten(2)))


def patches(in_channels: int, dim: int, patch: int) -> nn.Module:
    """One linear map for every patch, written as a convolution that steps from patch to patch."""
    return nn.Conv2d(in_channels, dim, patch, stride=patch)


def convolutions(in_channels: int, dim: int, patch: int) -> nn.Module:
    """3×3 convolution, ReLU and pooling for each halving, with `dim` channels at the end and half as many before it."""
    halvings = patch.bit_length() - 1
    if patch != 2**halvings or halvings == 0:
        raise InputError(f"with convolutions patch must be 2, 4, 8, …, not {patch}")
    widths = [in_channels, *[max(1, dim // 2 ** (halvings - 1 - i)) for i in range(halvings)]]
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    return nn.Sequential(*layers)
