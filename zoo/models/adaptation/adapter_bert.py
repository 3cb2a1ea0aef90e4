"""Adapters in a language model (Houlsby et al., 2019, arXiv:1902.00751): small bottlenecks learn, the model stays.

After each half of every frozen block, before its sum, stands a bottleneck that may change the output of the half:

    adapter(h) = h + W_up gelu(W_down h),      W_up = 0 at first
    x ← x + adapter(attention(norm(x))),       x ← x + adapter(mlp(norm(x))),       logits = W mean_t x_t

Two per cent of the weights are new. A hundred tasks need one model and a hundred sets of adapters, and what the model knew
can't be forgotten, for nothing of it was moved.

Departures from the paper: the mean of all last states is read, since the model has no "[CLS]"; the model's norms stay frozen too.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from datamodules.formats.words import pad
from zoo.core.answers import by_length, likeliest
from zoo.core.checks import check_count, is_whole
from zoo.core.data import CutTextData
from zoo.core.drawing import draw_answers
from zoo.core.metric import entry
from zoo.core.module import ZooModule
from zoo.core.verbs import verb
from zoo.errors import InputError
from zoo.models.transformers.bert import BERT


class Adapter(nn.Module):
    """The identity with a bottleneck beside it that gives nothing at first."""

    def __init__(self, width: int, bottleneck: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(width, bottleneck), nn.Linear(bottleneck, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.up(F.gelu(self.down(x)))


class AdapterBERT(ZooModule):
    """A frozen BERT with adapters and a read-out that names a text's class.

    Args:
        num_classes: number of classes.
        vocab_size: pieces of the language model; 0 fills up, 1 is the unknown, 2 the mask.
        context, layers, heads, width: of the language model, see `BERT`.
        bottleneck: hidden units of each adapter; 0 leaves them out: a linear read-out of the frozen model, to compare with.
        dropout: probability of dropping a unit of the mean state before the read-out.
        base: a checkpoint of the language model, whose weights are taken over when training begins. None leaves them random.
        tokenizer: the word pieces as `tokenizers` writes them in JSON; taken over from the base.

    Shapes:
        tokens: int64 [N, T], T ≤ context; lengths: int64 [N]; logits: [N, num_classes].
    """

    task: ClassVar[str] = "text-classification"
    learns_from: ClassVar[tuple[str, ...]] = ("labelled-text",)
    finetune_lr: ClassVar[float] = 2e-3

    def __init__(
        self,
        num_classes: int = 2,
        vocab_size: int = 8192,
        *,
        context: int = 64,
        layers: int = 4,
        heads: int = 4,
        width: int = 192,
        bottleneck: int = 24,
        dropout: float = 0.0,
        base: str | None = None,
        tokenizer: str | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        check_count(num_classes, "num_classes")
        if not is_whole(bottleneck) or bottleneck < 0:
            raise InputError(f"bottleneck is a whole number of at least 0, not {bottleneck!r}")
        self.base, self.context = base, context
        self.bert = BERT(vocab_size, context, layers=layers, heads=heads, width=width, tokenizer=tokenizer)
        del self.bert.head  # fills holes
        pairs = layers if bottleneck else 0
        self.adapters = nn.ModuleList(nn.ModuleList(Adapter(width, bottleneck) for _ in range(2)) for _ in range(pairs))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, num_classes)
        self.freeze("bert")

    def forward(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Class logits; without lengths every token counts."""
        if tokens.shape[1] > self.context:
            raise InputError(f"{tokens.shape[1]} pieces don't fit into a context of {self.context}: crop them")
        if lengths is None:
            return self.head(self.dropout(self.states(tokens).mean(1)))
        real = torch.arange(tokens.shape[1], device=tokens.device) < lengths.to(tokens.device)[:, None]
        states = self.states(tokens, real)
        mean = (states * real[:, :, None]).sum(1) / real.sum(1, keepdim=True)
        return self.head(self.dropout(mean))

    def states(self, tokens: Tensor, real: Tensor | None = None) -> Tensor:
        """What the last layer holds at every place, by way of the adapters, [N, T, width]."""
        if not self.adapters:
            return self.bert.states(tokens, real)
        x = self.bert.norm(self.bert.embedding(tokens))
        rotation = self.bert.rotation[: tokens.shape[1]]
        pairs: Any = zip(self.bert.blocks, self.adapters, strict=True)
        for block, (first, second) in pairs:
            x = x + first(block.attend(block.norm1(x), rotation, real))
            x = x + second(block.down(block.activation(block.up(block.norm2(x)))))
        return self.bert.last_norm(x)

    # Verbs -----------------------------------------------------------------------------------------------------------

    def encode(self, text: str) -> Tensor:
        """The pieces of a text, int64 [T], as many as the context holds; a word that none make up is the unknown, as in training.

        Raises:
            InputError: for an empty text, or one of unknown words alone.
        """
        return self.bert.tokens(text, lenient=True)[: self.context]

    @verb
    def predict_proba(self, x: str | Sequence[str], *, batch_size: int = 256) -> Tensor:
        """Class probabilities [N, num_classes] of one text or several.

        Args:
            batch_size: texts that go through the network at once, those of like lengths together.

        Raises:
            InputError: for an empty text, or none.
        """
        texts = [x] if isinstance(x, str) else list(x)
        if not texts:
            raise InputError("there is no text: give one, or a list of texts")

        def answer(part: list[Tensor]) -> Tensor:
            tokens, lengths = pad(part)
            return self(tokens.to(self.device), lengths).float().softmax(1).cpu()

        return by_length([self.encode(text) for text in texts], batch_size, answer)

    def predict(self, x: str | Sequence[str], top: int = 3) -> Any:
        """The `top` likeliest classes [(class, probability), …] of a text; of several texts a list of such lists."""
        rows = likeliest(self.predict_proba(x), self.classes, top)
        return rows[0] if isinstance(x, str) else rows

    # Training --------------------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Take over the base's weights and word pieces, give the data these pieces, and keep its classes."""
        super().setup(stage)
        if stage == "fit" and self.base is not None and self.name is None:
            from zoo.api import load

            self.start_from(load(self.base))
        data: CutTextData | None = getattr(self.trainer, "datamodule", None)
        if data is not None and hasattr(data, "classes"):
            self.bring_pieces(data)
            self.classes = list(data.classes)

    def start_from(self, base: Any) -> None:
        """Take over a language model and its pieces; InputError for one of another kind or size."""
        own = self.bert.state_dict()
        weights = {k: v for k, v in base.state_dict().items() if k in own} if isinstance(base, BERT) else {}
        if {k: v.shape for k, v in weights.items()} != {k: v.shape for k, v in own.items()}:
            raise InputError(f"{self.base or type(base).__name__} is no BERT of the sizes given here")
        self.bert.load_state_dict(weights)
        self.hparams["tokenizer"] = self.bert.hparams["tokenizer"] = base.hparams["tokenizer"]
        self.bert._tokenizer = None

    def bring_pieces(self, data: CutTextData) -> None:
        """Let a data module of texts cut them into this model's pieces, where it has any."""
        if self.hparams["tokenizer"] is not None and hasattr(data, "pieces"):
            data.pieces, data.longest = self.bert.tokenizer, self.context

    def adapt_to(self, data: CutTextData) -> None:
        """Let a person's own texts be cut into this model's pieces, with a fresh read-out where the classes are others."""
        self.bring_pieces(data)
        if self.head.out_features != len(data.classes):
            self.reset_head(len(data.classes))
        elif self.classes is not None and self.classes != list(data.classes):
            self.head.reset_parameters()
        self.classes = list(data.classes)

    def reset_head(self, num_classes: int) -> None:
        """A fresh read-out for another number of classes."""
        if check_count(num_classes, "num_classes") != self.head.out_features:
            self.take_fresh(num_classes=int(num_classes))
            self.classes = None

    def from_scratch(self) -> None:
        """A language model with random weights learns along."""
        self.unfreeze("bert")

    def measure(self, data: CutTextData) -> list[dict[str, Any]]:
        """As in ZooModule, with the model's own pieces."""
        self.bring_pieces(data)
        return super().measure(data)

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> Tensor:
        tokens, lengths, labels = batch
        loss = F.cross_entropy(self(tokens, lengths).float(), labels)
        self.log_train(loss=loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> None:
        self._measure(batch, "val")

    def test_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> None:
        self._measure(batch, "test")

    def _measure(self, batch: tuple[Tensor, Tensor, Tensor], split: str) -> None:
        tokens, lengths, labels = batch
        logits = self(tokens, lengths).float()
        values = {
            f"{split}/accuracy": (logits.argmax(1) == labels).float().mean(),
            f"{split}/loss": F.cross_entropy(logits, labels),
        }
        self.log_dict(values, prog_bar=True, batch_size=len(labels))

    def evaluate(self, data: CutTextData) -> list[dict[str, Any]]:
        """As in ZooModule, with the model's own pieces; beside it the share of the parameters that are new."""
        self.bring_pieces(data)
        new = sum(p.numel() for part in (self.adapters, self.head) for p in part.parameters())
        share = new / sum(p.numel() for p in self.parameters())
        how = f"adapters and read-out, {new:,} parameters, of all"
        return [*super().evaluate(data), entry(data, "test", "new_parameters", share, how, better="lower")]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW((p for p in self.parameters() if p.requires_grad), lr=2e-3, weight_decay=0.01)

    def golden_inputs(self) -> dict[str, Tensor]:
        vocabulary = int(self.hparams["vocab_size"])
        tokens = torch.randint(3, vocabulary, (4, 12), generator=torch.Generator().manual_seed(0))
        return {"tokens": tokens, "lengths": torch.tensor([12, 12, 7, 3])}

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"logits": self(inputs["tokens"], inputs["lengths"])}

    def preview(self, path: Path) -> Path | None:
        """Packaged test sentences with the class that the model gives them and the one that they have."""
        return draw_answers(self, path) if self.hparams["tokenizer"] is not None else None
