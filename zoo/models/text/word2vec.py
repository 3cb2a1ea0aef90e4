"""Word vectors by skip-gram with negative sampling (Mikolov et al., 2013, arXiv:1310.4546).

A word is known by the company it keeps. Each word has two vectors, u as a centre and v as a neighbour; for a pair (c, o) that was
seen in a text and k words drawn at random, the loss classifies the one against the others:

    −log σ(u_c · v_o) − Σ_{i=1..k} log σ(−u_c · v_i),        i ~ frequency^¾

Words that are used alike get vectors of like direction. After training only u is looked at.

Departures from the paper: Adam on batches of pairs for one pair at a time, and gradients of a batch are summed before a step.
"""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.core.answers import ranked
from zoo.core.batch import labelled
from zoo.core.checks import check_count
from zoo.core.data import CountedWordData, WordData
from zoo.core.drawing import draw_text
from zoo.core.metric import entry
from zoo.core.module import ZooModule
from zoo.core.verbs import verb
from zoo.errors import InputError, UnknownWordError

SHOWN = (
    "captain",
    "whale",
    "mother",
    "money",
    "london",
    "horse",
    "beautiful",
    "angry",
    "monday",
    "three",
    "walked",
    "battle",
)


class Word2Vec(ZooModule):
    """Two tables of vectors.

    Args:
        vocab_size: number of words.
        dim: length of a vector.
        negatives: words that are drawn against each pair.
        vocabulary: the words in the order of their rows; training takes it over from the data.

    Shapes:
        centres, contexts: int64 [N]; scores: [N].
    """

    task: ClassVar[str] = "feature-extraction"
    use: ClassVar[str] = (
        'print(model.neighbours("whale"))                     # [(word, cosine), …]\n'
        'print(model.analogy("man", "king", "woman"))'
    )

    def __init__(
        self, vocab_size: int = 100, dim: int = 100, *, negatives: int = 5, vocabulary: list[str] | None = None
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        for name, value in (("vocab_size", vocab_size), ("dim", dim), ("negatives", negatives)):
            check_count(value, name)
        self.centre, self.neighbour = nn.Embedding(vocab_size, dim), nn.Embedding(vocab_size, dim)
        nn.init.uniform_(self.centre.weight, -0.5 / dim, 0.5 / dim)
        nn.init.zeros_(self.neighbour.weight)  # so that the first steps move the centres alone apart
        self.noise: Tensor | None = None  # [vocab_size], what negatives are drawn from; known while training
        self._index: dict[str, int] = {}
        if vocabulary is not None:
            self._take(vocabulary)

    def forward(self, centres: Tensor, contexts: Tensor) -> Tensor:
        """u · v of each pair."""
        return (self.centre(centres) * self.neighbour(contexts)).sum(1)

    # Verbs -----------------------------------------------------------------------------------------------------------

    def row(self, word: str) -> int:
        """The row of a word.

        Raises:
            InputError: if there is no vocabulary yet.
            UnknownWordError: a LookupError with the nearest words.
        """
        if not self._index:
            raise InputError("this model has no vocabulary yet: train it, or load it")
        if (found := self._index.get(str(word).lower())) is None:
            near = difflib.get_close_matches(str(word)[:100].lower(), self._index, n=3, cutoff=0.7)
            raise UnknownWordError(str(word), near, len(self._index))
        return found

    @verb
    def embed(self, words: str | Sequence[str]) -> Tensor:
        """The vector [dim] of a word, or [N, dim] of several."""
        if isinstance(words, str):
            return self.centre.weight[self.row(words)].clone()
        if not isinstance(words, Sequence):
            raise InputError(f"a word is a string, and several are a list of strings, not {words!r:.60}")
        return self.centre.weight[[self.row(word) for word in words]].clone()

    def similarity(self, a: str, b: str) -> float:
        """Cosine of the angle between two words' vectors."""
        return F.cosine_similarity(self.embed(a), self.embed(b), dim=0).item()

    def neighbours(self, word: str, top: int = 10) -> list[tuple[str, float]]:
        """The words whose vectors point most nearly the same way: [(word, cosine), …]."""
        return self._nearest(self.embed(word), {self.row(word)}, top)

    def analogy(self, a: str, b: str, c: str, top: int = 5) -> list[tuple[str, float]]:
        """What is to c as b is to a: the words nearest to b − a + c of the unit vectors."""
        u, v, w = F.normalize(self.embed([a, b, c]), dim=1)
        return self._nearest(v - u + w, {self.row(word) for word in (a, b, c)}, top)

    @torch.no_grad()
    def _nearest(self, vector: Tensor, without: set[int], top: int) -> list[tuple[str, float]]:
        cosine = F.normalize(self.centre.weight, dim=1) @ F.normalize(vector, dim=0)
        cosine[list(without)] = -torch.inf
        found = ranked(cosine[None], self.hparams["vocabulary"].__getitem__, top)[0]
        return [(word, value) for word, value in found if value > -torch.inf]

    # Training --------------------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Take vocabulary and frequencies over from the data module."""
        super().setup(stage)
        data: CountedWordData | None = getattr(self.trainer, "datamodule", None)
        if stage == "fit" and data is not None and hasattr(data, "frequencies"):
            if not self._index:
                self._take(data.vocabulary)
            elif list(data.vocabulary) != self.hparams["vocabulary"]:
                raise InputError("the data has another vocabulary than the model: train a fresh one")
            self.noise = data.frequencies.pow(0.75).float()

    def _take(self, vocabulary: Sequence[str]) -> None:
        if len(vocabulary) != self.hparams["vocab_size"]:
            raise InputError(
                f"the vocabulary has {len(vocabulary)} words, the model vocab_size={self.hparams['vocab_size']}"
            )
        self._index = {word: i for i, word in enumerate(vocabulary)}
        if len(self._index) != len(vocabulary):
            raise InputError("the vocabulary has a word twice; each may come up once")
        self.hparams["vocabulary"] = list(vocabulary)

    def loss(self, centres: Tensor, contexts: Tensor, noise: Tensor) -> Tensor:
        """Mean loss of pairs [N] against the words `noise` [N, k]."""
        u = self.centre(centres)  # [N, dim]
        seen = F.logsigmoid((u * self.neighbour(contexts)).sum(1))
        drawn = F.logsigmoid(-torch.einsum("nd,nkd->nk", u, self.neighbour(noise))).sum(1)
        return -(seen + drawn).mean()

    def draw(self, n: int, k: int) -> Tensor:
        """Words drawn by their frequency^¾, int64 [n, k]; all alike where no frequency is known."""
        if self.noise is None:
            return torch.randint(self.hparams["vocab_size"], (n, k), device=self.device)
        return torch.multinomial(self.noise.to(self.device), n * k, replacement=True).reshape(n, k)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        centres, contexts = labelled(batch)
        loss = self.loss(centres, contexts, self.draw(len(centres), self.hparams["negatives"]))
        self.log_train(loss=loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=2e-3)

    # Measures --------------------------------------------------------------------------------------------------------

    @verb
    def evaluate(self, data: WordData) -> list[dict[str, Any]]:
        """How often a neighbour of the held-out pages scores above a word drawn by the same frequencies."""
        if list(data.vocabulary) != self.hparams["vocabulary"]:
            raise InputError(
                f"{data.name} has another vocabulary than {self.name or 'the model'}: it can't be measured on it"
            )
        pairs = data.loader("val", seed=0).pairs(0)[:200_000]
        frequency = torch.bincount(pairs[:, 1], minlength=self.hparams["vocab_size"]).float()
        others = torch.multinomial(frequency, len(pairs), replacement=True, generator=torch.Generator().manual_seed(0))
        differ = others != pairs[:, 1]
        seen, drawn = self(*pairs[differ].T), self(pairs[differ, 0], others[differ])
        value = (seen > drawn).double().mean().item()
        how = (
            f"{int(differ.sum()):,} pairs of the held-out last 5 % of each novel: share whose neighbour scores above a word "
            "drawn by the neighbours' own frequencies (chance: 0.5); last epoch, nothing chosen on them; float32"
        )
        return [entry(data, "val", "accuracy", value, how, better="higher")]

    def golden_inputs(self) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(0)
        words = torch.randint(self.hparams["vocab_size"], (2, 16), generator=generator)
        return {"centres": words[0], "contexts": words[1]}

    def golden_outputs(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"scores": self(inputs["centres"], inputs["contexts"])}

    def preview(self, path: Path) -> Path | None:
        """The neighbours of some words."""
        shown = [word for word in SHOWN if word in self._index]
        if not shown:
            return None
        lines = [
            f"{word:10} {''.join(f'{p:.2f} {near}'.ljust(20) for near, p in self.neighbours(word, 5))}"
            for word in shown
        ]
        return draw_text("\n".join(lines), path, columns=True)
