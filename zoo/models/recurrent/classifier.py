"""Many to one: a recurrent network reads a text and names its class (Graves and Schmidhuber, 2005; Socher et al., 2013).

Two networks read the text, one from each end; where a class shows, some unit of some step lights up, and the largest value of
each unit over all steps is what the read-out sees:

    h_t = [→h_t ; ←h_t],     p(class | x_1 … x_T) = softmax(W max_t h_t + b)

With pooling="last" it sees the last state of each direction in place of the maximum. Texts of unlike lengths are packed, so what
fills the short ones up changes nothing: not the backward direction, which would else start in the filling, not the maximum.

Where one class has half of all texts, a network learns to say that class. With `balance` τ > 0 it learns from z + τ log π, the
logits raised by what the classes' shares π of the training texts say without reading (Menon et al., 2021, arXiv:2007.07314); the
logits z, which answer, are left with what the text says.

Departures from the papers: no parse trees, words drop out of a text at random, AdamW; vectors are learnt from the labelled texts
alone, or begin with those of a `Word2Vec`.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from datamodules.formats.words import FIRST, PADDING, UNKNOWN, index_of, pad, split, tokens_of
from zoo.core.answers import by_length, likeliest
from zoo.core.checks import check_count
from zoo.core.data import LabelledTextData, VocabularyData
from zoo.core.drawing import draw_answers
from zoo.core.metric import entry
from zoo.core.module import ZooModule
from zoo.core.verbs import verb
from zoo.errors import InputError
from zoo.models.recurrent.char_rnn import LAYERS
from zoo.models.recurrent.own_texts import LearnsOwnTexts
from zoo.models.text.word2vec import Word2Vec


class RecurrentClassifier(LearnsOwnTexts, ZooModule):
    """Embedding, recurrent layer in one or both directions, pooling over time, read-out.

    Args:
        num_classes: number of classes.
        vocab_size: number of tokens: the vocabulary's, and two more for padding and the unknown.
        unit: whether a token is a "word" or a "character".
        kind: "rnn", "gru" or "lstm".
        embedding: length of a token's vector.
        embedding_std: standard deviation of the vectors before training; at 1 the chance in rare words drowns what is learnt.
        width: units of each direction.
        bidirectional: read from both ends.
        pooling: "max" over the steps, or the "last" state.
        dropout: of the embeddings and before the read-out.
        word_dropout: share of the tokens that a training text loses to "unknown".
        label_smoothing: probability mass that the loss spreads over the other classes.
        balance: τ; 0 aims at the share of all texts that is right, 1 at its mean over the classes.
        vocabulary: words or characters in the order of their tokens; training takes it over from the data.
        vectors: name of a `Word2Vec` with vectors of length `embedding`: training begins with those of the words that it knows.

    Shapes:
        tokens: int64 [N, T]; lengths: int64 [N]; logits: [N, num_classes].
    """

    task: ClassVar[str] = "text-classification"
    learns_from: ClassVar[tuple[str, ...]] = ("labelled-text",)

    def __init__(
        self,
        num_classes: int = 2,
        vocab_size: int = 100,
        *,
        unit: Literal["word", "character"] = "word",
        kind: Literal["rnn", "gru", "lstm"] = "lstm",
        embedding: int = 64,
        embedding_std: float = 0.2,
        width: int = 64,
        bidirectional: bool = True,
        pooling: Literal["max", "last"] = "max",
        dropout: float = 0.0,
        word_dropout: float = 0.0,
        label_smoothing: float = 0.0,
        balance: float = 0.0,
        vocabulary: list[str] | None = None,
        vectors: str | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        for name, value in (("num_classes", num_classes), ("embedding", embedding), ("width", width)):
            check_count(value, name)
        for name, choice, known in (
            ("unit", unit, ("word", "character")),
            ("kind", kind, LAYERS),
            ("pooling", pooling, ("max", "last")),
        ):
            if choice not in known:
                raise InputError(f"{name} is one of {', '.join(known)}, not {choice!r}")
        if check_count(vocab_size, "vocab_size") < FIRST:
            raise InputError(f"vocab_size is {vocab_size}, but padding and the unknown alone are {FIRST} tokens")
        if not 0 < embedding_std < math.inf:
            raise InputError(f"embedding_std is {embedding_std!r}; it is a number above 0")
        if balance < 0:
            raise InputError(f"balance is {balance!r}; it is 0 or more")
        self.embedding = nn.Embedding(vocab_size, embedding, padding_idx=PADDING)
        with torch.no_grad():
            self.embedding.weight.mul_(embedding_std)
        self.rnn = LAYERS[kind](embedding, width, batch_first=True, bidirectional=bidirectional)
        self.dropout1, self.dropout2 = nn.Dropout(dropout), nn.Dropout(dropout)
        self.head = nn.Linear(width * (2 if bidirectional else 1), num_classes)
        self._index: dict[str, int] = {}
        self._offset: Tensor | None = None  # τ log π of the data that it trains on
        if vocabulary is not None:
            self._take(vocabulary)

    def forward(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Class logits; without lengths every token counts."""
        if lengths is None:
            lengths = torch.full((tokens.shape[0],), tokens.shape[1])
        return self.head(self.dropout2(self.states(tokens, lengths)))

    def states(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """What the read-out sees of each text, [N, D]."""
        x = self.dropout1(self.embedding(tokens))
        if bool((lengths == tokens.shape[1]).all()):  # nothing to leave out, and the fused kernel takes it as it is
            hidden, last = self.rnn(x)
        else:
            packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
            packed, last = self.rnn(packed)
            hidden, _ = pad_packed_sequence(packed, batch_first=True, padding_value=-torch.inf)
        if self.hparams["pooling"] == "max":
            return hidden.amax(1)
        last = last[0] if isinstance(last, tuple) else last  # [directions, N, width]
        return last.transpose(0, 1).flatten(1)

    # Verbs -----------------------------------------------------------------------------------------------------------

    def encode(self, text: str) -> Tensor:
        """The tokens of a text, int64 [T]; what isn't in the vocabulary becomes the token "unknown".

        Raises:
            InputError: for an empty text, or where there is no vocabulary yet.
        """
        pieces = split(text, self.hparams["unit"])
        if not self._index:
            raise InputError("this model has no vocabulary yet: train it, or load it")
        return tokens_of(pieces, self._index)

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

    @torch.no_grad()
    def take_vectors(self, vectors: Word2Vec, *, rescale: bool = False) -> int:
        """Begin with the vectors of all words that another model knows; returns their number.

        `freeze("embedding")` then keeps them, without it training tunes them.

        Args:
            rescale: scale a fresh model's random vectors to the spread of those taken, or words without one are loudest.

        Raises:
            InputError: if they are none, or have another length, or this model has no vocabulary yet.
        """
        if not isinstance(vectors, Word2Vec):
            raise InputError(f"{vectors.name or type(vectors).__name__} has no vectors of words: name a word2vec")
        if not self._index:
            raise InputError("this model has no vocabulary yet: make it with vocabulary=data.vocabulary")
        if vectors.hparams["dim"] != self.hparams["embedding"]:
            raise InputError(
                f"the vectors have the length {vectors.hparams['dim']}, the model embedding={self.hparams['embedding']}: make "
                "them equal"
            )
        known = [word for word in vectors.hparams["vocabulary"] or () if word in self._index]
        if rescale:
            spread = vectors.centre.weight.std().to(self.embedding.weight)
            self.embedding.weight.mul_(spread / self.hparams["embedding_std"])
        if known:
            rows = torch.tensor([self._index[word] for word in known], device=self.device)
            self.embedding.weight[rows] = vectors.embed(known).to(self.embedding.weight)
        return len(known)

    # Training --------------------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Take vocabulary and class names over from the data module, so that they travel with the weights."""
        super().setup(stage)
        data: VocabularyData | None = getattr(self.trainer, "datamodule", None)
        if stage == "fit" and data is not None and hasattr(data, "vocabulary"):
            if data.unit != self.hparams["unit"] or data.num_classes != self.hparams["num_classes"]:
                raise InputError(
                    f"the data has {data.num_classes} classes of texts by {data.unit}, the model {self.hparams['num_classes']} "
                    f"by {self.hparams['unit']}: make them equal"
                )
            if not self._index:
                self._take(data.vocabulary)
            elif list(data.vocabulary) != self.hparams["vocabulary"]:
                raise InputError("the data has another vocabulary than the model: train a fresh one")
            if self.hparams["vectors"] is not None and self.name is None:  # a loaded model has learnt its own from them
                from zoo.api import load

                vectors: Any = load(self.hparams["vectors"])
                self.take_vectors(vectors, rescale=True)
            self.classes = list(data.classes)
            if self.hparams["balance"]:
                count = torch.bincount(
                    torch.tensor([label for _, label in data.texts("train")]), minlength=len(data.classes)
                )
                self._offset = self.hparams["balance"] * (count.clamp(min=1) / count.sum()).log()

    def _take(self, vocabulary: Sequence[str]) -> None:
        if len(vocabulary) + FIRST != self.hparams["vocab_size"]:
            raise InputError(
                f"a vocabulary of {len(vocabulary)} and {FIRST} special tokens don't make vocab_size="
                f"{self.hparams['vocab_size']}: set it to {len(vocabulary) + FIRST}"
            )
        self._index = index_of(vocabulary)
        if len(self._index) != len(vocabulary):
            raise InputError("the vocabulary has a piece twice; each may come up once")
        self.hparams["vocabulary"] = list(vocabulary)

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> Tensor:
        tokens, lengths, labels = batch
        if share := self.hparams["word_dropout"]:
            lost = (torch.rand(tokens.shape, device=tokens.device) < share) & (tokens != PADDING)
            tokens = tokens.masked_fill(lost, UNKNOWN)
        logits = self(tokens, lengths)
        if self._offset is not None:
            logits = logits + self._offset.to(logits)
        loss = F.cross_entropy(logits, labels, label_smoothing=self.hparams["label_smoothing"])
        self.log_train(loss=loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> None:
        tokens, lengths, labels = batch
        logits = self(tokens, lengths)
        values = {
            "val/loss": F.cross_entropy(logits, labels),
            "val/accuracy": (logits.argmax(1) == labels).float().mean(),
        }
        self.log_dict(values, prog_bar=True, batch_size=len(labels))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=2e-3)

    # Measures --------------------------------------------------------------------------------------------------------

    def evaluate(self, data: LabelledTextData) -> list[dict[str, Any]]:
        """Accuracy on the whole test and validation parts, and its mean over the classes where there are many."""
        entries = []
        for part in ("test", "val"):
            rows = data.texts(part)
            label = torch.tensor([label for _, label in rows])
            right = (self.predict_proba([text for text, _ in rows]).argmax(1) == label).double()
            values = {"accuracy": right.mean()}
            if len(data.classes) > 2:
                values["balanced_accuracy"] = torch.stack([right[label == c].mean() for c in label.unique()]).mean()
            how = f"all {len(rows):,} texts of the {part} part; last epoch, nothing chosen on it; float32"
            entries += [entry(data, part, metric, value, how, better="higher") for metric, value in values.items()]
        return entries

    def golden_inputs(self) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(0)
        return {
            "tokens": torch.randint(self.hparams["vocab_size"], (3, 12), generator=generator),
            "lengths": torch.tensor([12, 5, 1]),
        }

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"logits": self(inputs["tokens"], inputs["lengths"])}

    def preview(self, path: Path) -> Path | None:
        """Packaged test texts with the class that the model gives them and the one that they have."""
        return draw_answers(self, path) if self._index else None
