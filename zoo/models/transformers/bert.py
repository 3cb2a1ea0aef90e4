"""Bidirectional Transformer (Devlin et al., 2019, arXiv:1810.04805: BERT; Vaswani et al., 2017, arXiv:1706.03762).

Every token sees every other, those after it too, so the model can't be asked for the next one: it would only have to look. It
learns to restore tokens that were taken out of a text instead, the loss of `text/masked.py`. Each block is GPT's without the
mask of the future:

    x ← x + attention(norm(x)),   x ← x + mlp(norm(x)),      attention(q, k, v)_t = Σ_s softmax_s(q_t·k_s / √d) v_s

The last layer's state at a token is its meaning in this context; a mean of these stands for the text (`embed`), and a
linear read-out of few examples classifies texts (`classify`).

Departures from the paper: no second sentence and so no task of telling whether it follows, no "[CLS]": windows of running text.
By default the norm comes before each half of a block and positions are rotary (Su et al., 2021, arXiv:2104.09864), which both
learn faster; with norm_first=False and positions="learned" it is BERT to the last bit of its logits.
"""

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.core.checks import check_count
from zoo.errors import InputError
from zoo.models.text.masked import MaskedLM
from zoo.models.transformers.gpt import rotate, rotations


class Block(nn.Module):
    """Attention over all tokens and an MLP, each added to what came in; the norm before each of them or after the sum."""

    def __init__(self, width: int, heads: int, *, norm_first: bool, dropout: float) -> None:
        super().__init__()
        self.heads, self.norm_first = heads, norm_first
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-12), nn.LayerNorm(width, eps=1e-12)
        self.up, self.activation, self.down = nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        self.dropout1, self.dropout2 = nn.Dropout(dropout), nn.Dropout(dropout)

    def forward(self, x: Tensor, rotation: Tensor | None, real: Tensor | None) -> Tensor:
        if self.norm_first:
            x = x + self.dropout1(self.attend(self.norm1(x), rotation, real))
            return x + self.dropout2(self.down(self.activation(self.up(self.norm2(x)))))
        x = self.norm1(x + self.dropout1(self.attend(x, rotation, real)))
        return self.norm2(x + self.dropout2(self.down(self.activation(self.up(x)))))

    def attend(self, x: Tensor, rotation: Tensor | None, real: Tensor | None) -> Tensor:
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # each [N, heads, T, d]
        if rotation is not None:
            q, k = rotate(q, rotation).to(v.dtype), rotate(k, rotation).to(v.dtype)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=None if real is None else real[:, None, None])
        return self.out(y.transpose(1, 2).flatten(2))


class MaskHead(nn.Module):
    """A layer of its own, then the table of the embedding."""

    def __init__(self, width: int, table: nn.Embedding) -> None:
        super().__init__()
        self.dense, self.activation, self.norm = nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width, eps=1e-12)
        self.decoder = nn.Linear(width, table.num_embeddings)
        self.decoder.weight = table.weight
        nn.init.zeros_(self.decoder.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.norm(self.activation(self.dense(x))))


class BERT(MaskedLM):
    """Bidirectional Transformer over word pieces.

    Args:
        vocab_size: number of pieces; 0 fills up, 1 is the unknown, 2 the mask.
        context: pieces that it sees at most.
        layers, heads, width: blocks, heads of an attention, length of the states.
        dropout: of the embedding and of what each half of a block adds.
        positions: "rotary" (queries and keys turn with their place) or "learned" (a vector a place).
        norm_first: normalise before each half of a block, not after its sum.
        mask_share: share of the places that a training text loses.
        tokenizer: the word pieces as `tokenizers` writes them in JSON; training takes them over from the data.

    Shapes:
        tokens: int64 [N, T], T ≤ context; real: bool [N, T], False where a text is filled up; logits: [N, T, vocab_size].
    """

    rotation: Tensor

    def __init__(
        self,
        vocab_size: int = 8192,
        context: int = 64,
        *,
        layers: int = 4,
        heads: int = 4,
        width: int = 256,
        dropout: float = 0.0,
        positions: Literal["rotary", "learned"] = "rotary",
        norm_first: bool = True,
        mask_share: float = 0.15,
        tokenizer: str | None = None,
    ) -> None:
        super().__init__(vocab_size, context, mask_share)
        self.save_hyperparameters()
        for name, value in (("layers", layers), ("heads", heads), ("width", width)):
            check_count(value, name)
        if positions not in ("rotary", "learned"):
            raise InputError(f"positions is 'rotary' or 'learned', not {positions!r}")
        if width % heads or (positions == "rotary" and width // heads % 2):
            raise InputError(f"width {width} doesn't fall into {heads} heads of an even length: change one of them")
        self.norm, self.dropout = nn.LayerNorm(width, eps=1e-12), nn.Dropout(dropout)
        self.embedding = nn.Embedding(vocab_size, width)
        self.places = nn.Embedding(context, width) if positions == "learned" else None
        if positions == "rotary":
            self.register_buffer("rotation", rotations(context, width // heads), persistent=False)
        self.blocks = nn.ModuleList(Block(width, heads, norm_first=norm_first, dropout=dropout) for _ in range(layers))
        self.last_norm = nn.LayerNorm(width, eps=1e-12) if norm_first else nn.Identity()
        self.head = MaskHead(width, self.embedding)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        for name, weight in self.blocks.named_parameters() if norm_first else ():
            if name.endswith(("out.weight", "down.weight")):  # the stream sums 2 · layers of what they give
                nn.init.normal_(weight, std=0.02 / math.sqrt(2 * layers))

    @classmethod
    def other_libraries(cls, init: dict[str, Any]) -> list[tuple[str, str]]:
        learned, first = init.get("positions", "rotary") == "learned", init.get("norm_first", True)
        if learned == first:
            return [("transformers has no network that computes the same.", "")]
        said = "The same network and weights as `BertForMaskedLM` of transformers, and its word pieces:"
        if first:
            said = (
                "It isn't laid out as BERT: positions turn queries and keys, and the norm comes before each half of a block. The "
                "same network and weights as `EsmForMaskedLM` of transformers, which is built so, and its word pieces:"
            )
        lines = (
            "from transformers import PreTrainedTokenizerFast\nfrom zoo.models.layouts import to_transformers\n\n"
            "net = to_transformers(model)\n"
            'words = PreTrainedTokenizerFast.from_pretrained(".")  # the folder of this card\n'
            'batch = words(["She was [MASK].", "It was a [MASK] day."], padding=True, return_tensors="pt")\n'
            'logits = net(batch["input_ids"], attention_mask=batch["attention_mask"]).logits'
        )
        return [(said, lines)]

    def states(self, tokens: Tensor, real: Tensor | None = None) -> Tensor:
        """What the last layer holds at every place, [N, T, width]."""
        length = tokens.shape[1]
        x = self.embedding(tokens)
        if self.places is not None:
            x = x + self.places.weight[:length]
        x = self.dropout(self.norm(x))
        for block in self.blocks:
            x = block(x, None if self.places is not None else self.rotation[:length], real)
        return self.last_norm(x)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3, betas=(0.9, 0.98), weight_decay=0.01)
