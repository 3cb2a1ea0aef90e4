"""Decoder-only Transformer (Radford et al., 2019: GPT-2; Vaswani et al., 2017, arXiv:1706.03762).

Each block lets every token gather from those before it, then works on each token by itself, both as additions to a stream:

    x ← x + attention(norm(x)),   x ← x + mlp(norm(x)),      attention(q, k, v)_t = Σ_{s ≤ t} softmax_s(q_t·k_s / √d) v_s

Nothing flows from right to left, so one pass trains all positions at once; and what was computed for the past stays valid, so
generation keeps each layer's keys and values (the cache) and runs the network on the newest token alone.

Departures from GPT-2: rotary positions (Su et al., 2021, arXiv:2104.09864) and RMS norm by default, no biases, no dropout inside
the softmax (which would rule the fused kernels out). With positions="learned", norm="layer", activation="gelu_tanh" and bias=True
it is GPT-2 to the last bit of its logits; see `zoo.models.transformers.convert`.
"""

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.blocks.cache import LayerCache
from zoo.core.checks import check_count
from zoo.errors import InputError
from zoo.models.text.causal import CausalLM


class SquaredReLU(nn.Module):
    """max(x, 0)² (So et al., 2021, arXiv:2109.08668)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x).square()


class RMSNorm(nn.RMSNorm):
    """x / rms(x), in its weights' precision whatever autocast hands in."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.weight.dtype)
        if x.device.type != "cpu":
            return super().forward(x)
        # torch has no kernel for it here; the length of a vector takes one pass over it, its squares and their mean take three
        squares = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square() / x.shape[-1]
        return x * (squares + self.eps).rsqrt() * self.weight


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "gelu": nn.GELU,
    "gelu_tanh": lambda: nn.GELU(approximate="tanh"),
    "relu": nn.ReLU,
    "relu2": SquaredReLU,
}
NORMS: dict[str, Callable[[int], nn.Module]] = {
    "layer": lambda width: nn.LayerNorm(width, eps=1e-5),
    "rms": lambda width: RMSNorm(width, eps=1e-5),
}


class Attention(nn.Module):
    """Causal multi-head self-attention."""

    def __init__(self, width: int, heads: int, *, bias: bool, qk_norm: bool) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.out = nn.Linear(width, width, bias=bias)
        self.q_norm = RMSNorm(width // heads, eps=1e-5) if qk_norm else nn.Identity()
        self.k_norm = RMSNorm(width // heads, eps=1e-5) if qk_norm else nn.Identity()

    def forward(self, x: Tensor, rotation: Tensor | None, cache: LayerCache | None) -> Tensor:
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # each [N, heads, T, d]
        q, k = self.q_norm(q), self.k_norm(k)
        if rotation is not None:
            q, k = rotate(q, rotation), rotate(k, rotation)
        q, k = q.to(v.dtype), k.to(v.dtype)  # norms and rotations run in float32 under autocast
        if cache is not None:
            k, v = cache.extend(k, v)
        new, every = q.shape[2], k.shape[2]
        mask = None
        if cache is not None and new > 1:  # token i of the new ones sees the past and the new ones up to itself
            mask = torch.ones(new, every, dtype=torch.bool, device=q.device).tril(every - new)
        # without a past every token sees those up to itself; a single one after a past sees all of it
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None and cache is None)
        return self.out(y.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention and MLP, each on the normalised stream and added to it."""

    def __init__(
        self, width: int, heads: int, *, norm: str, activation: str, bias: bool, qk_norm: bool, dropout: float
    ) -> None:
        super().__init__()
        self.norm1 = NORMS[norm](width)
        self.attention = Attention(width, heads, bias=bias, qk_norm=qk_norm)
        self.norm2 = NORMS[norm](width)
        self.up = nn.Linear(width, 4 * width, bias=bias)
        self.activation = ACTIVATIONS[activation]()
        self.down = nn.Linear(4 * width, width, bias=bias)
        self.dropout1, self.dropout2 = nn.Dropout(dropout), nn.Dropout(dropout)

    def forward(self, x: Tensor, rotation: Tensor | None, cache: LayerCache | None = None) -> Tensor:
        x = x + self.dropout1(self.attention(self.norm1(x), rotation, cache))
        return x + self.dropout2(self.down(self.activation(self.up(self.norm2(x)))))


class GPT(CausalLM):
    """Decoder-only Transformer over characters.

    Args:
        vocab_size: number of characters.
        context: characters that it sees at most.
        layers, heads, width: blocks, heads of an attention, length of the stream's vectors.
        dropout: on the embedding and on what each half of a block adds.
        positions: "rotary" (queries and keys turn with their place) or "learned" (a vector a place).
        norm: "rms" or "layer" (with a bias, as in GPT-2).
        activation: "gelu", "gelu_tanh" (GPT-2's), "relu" or "relu2".
        bias: of the linear layers.
        tied: the read-out is the embedding.
        qk_norm: normalise queries and keys, which keeps the softmax soft at high learning rates.

    Shapes:
        tokens: int64 [N, T], T ≤ context; logits: [N, T, vocab_size].
    """

    rotation: Tensor

    def __init__(
        self,
        vocab_size: int = 65,
        context: int = 128,
        *,
        layers: int = 4,
        heads: int = 4,
        width: int = 128,
        dropout: float = 0.0,
        positions: Literal["rotary", "learned"] = "rotary",
        norm: Literal["rms", "layer"] = "rms",
        activation: Literal["gelu", "gelu_tanh", "relu", "relu2"] = "gelu",
        bias: bool = False,
        tied: bool = True,
        qk_norm: bool = False,
    ) -> None:
        super().__init__(vocab_size)
        self.save_hyperparameters()
        for name, value in (("context", context), ("layers", layers), ("heads", heads), ("width", width)):
            check_count(value, name)
        for name, choice, known in (
            ("positions", positions, ("rotary", "learned")),
            ("norm", norm, NORMS),
            ("activation", activation, ACTIVATIONS),
        ):
            if choice not in known:
                raise InputError(f"{name} is one of {', '.join(known)}, not {choice!r}")
        if width % heads or (positions == "rotary" and width // heads % 2):
            raise InputError(f"width {width} doesn't fall into {heads} heads of an even length: change one of them")
        self.context = self.window = context
        self.embedding = nn.Embedding(vocab_size, width)
        self.places = nn.Embedding(context, width) if positions == "learned" else None
        if positions == "rotary":
            self.register_buffer("rotation", rotations(context, width // heads), persistent=False)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            Block(width, heads, norm=norm, activation=activation, bias=bias, qk_norm=qk_norm, dropout=dropout)
            for _ in range(layers)
        )
        self.norm = NORMS[norm](width)
        self.head = nn.Linear(width, vocab_size, bias=False)
        self._initialise()
        if tied:
            self.head.weight = self.embedding.weight

    def _initialise(self) -> None:
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                into_stream = name.endswith(("attention.out", "down"))
                # the stream sums 2 · layers of these
                std = 0.02 / math.sqrt(2 * len(self.blocks)) if into_stream else 0.02
                nn.init.normal_(module.weight, std=std)
                if isinstance(bias := getattr(module, "bias", None), Tensor):
                    nn.init.zeros_(bias)

    @classmethod
    def other_libraries(cls, init: dict[str, Any]) -> list[tuple[str, str]]:
        lines = "from zoo.models.layouts import to_transformers\n\nnet = to_transformers(model)"
        if init.get("positions") == "learned" and init.get("norm") == "layer":
            said = "The same network and weights as `GPT2LMHeadModel` of transformers:"
        elif init.get("qk_norm") and init.get("norm", "rms") == "rms" and not init.get("bias"):
            said = (
                "It isn't a GPT-2: positions turn queries and keys, and norms divide by the root mean square. The same network "
                "and weights as `ApertusForCausalLM` of transformers, which is built so:"
            )
        else:
            return [("transformers has no network that computes the same.", "")]
        return [(said, lines)]

    def hidden(self, tokens: Tensor, cache: list[LayerCache] | None = None) -> Tensor:
        start = cache[0].length if cache else 0
        end = start + tokens.shape[1]
        assert self.context is not None
        if end > self.context:
            raise InputError(f"{end} tokens don't fit into a context of {self.context}: crop them")
        x = self.embedding(tokens)
        if self.places is not None:
            x = x + self.places.weight[start:end]
        rotation = None if self.places is not None else self.rotation[start:end]
        x = self.dropout(x)
        for i, block in enumerate(self.blocks):
            x = block(x, rotation, cache[i] if cache else None)
        return self.norm(x)

    def reset_context(self, block_size: int) -> None:
        """See at most `block_size` tokens, fewer than before.

        Raises:
            InputError: for more: no place beyond the context was trained.
        """
        check_count(block_size, "block_size")
        assert self.context is not None
        if block_size > self.context:
            raise InputError(f"{self.name or 'this GPT'} has a context of {self.context}: block_size can only cut it")
        if self.places is not None:
            self.places = nn.Embedding.from_pretrained(self.places.weight[:block_size].detach().clone(), freeze=False)
        else:
            self.rotation = self.rotation[:block_size]
        self.context = self.window = block_size
        self.hparams["context"] = block_size

    @torch.no_grad()
    def step(self, tokens: Tensor, state: list[LayerCache] | None = None) -> tuple[Tensor, list[LayerCache]]:
        assert self.context is not None
        state = state or [LayerCache() for _ in self.blocks]
        return self.head(self.hidden(tokens, state)), state

    def rows(self, state: list[LayerCache], index: Tensor) -> list[LayerCache]:
        return [cache.rows(index) for cache in state]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1)


def rotations(context: int, d: int) -> Tensor:
    """Cosines and sines [context, d/2, 2]: pair i of a head's channels turns by place · 10000^(−2i/d)."""
    angle = torch.arange(context).float()[:, None] * 10000.0 ** (-torch.arange(0, d, 2).float() / d)
    return torch.stack([angle.cos(), angle.sin()], dim=-1)


def rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Vectors x [N, heads, T, d], each turned by its place, so that q·k depends on how far apart they are.

    A pair of channels is a complex number, a turn its product with e^(i · angle): one kernel in place of seven.
    """
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * torch.view_as_complex(rotation.float())).flatten(-2)
