"""How a text classifier takes a person's own texts: new words behind the known ones, a fresh head for other classes."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from datamodules.formats.words import FIRST, PADDING, UNKNOWN
from zoo.core.checks import check_count
from zoo.core.data import VocabularyData
from zoo.core.module import ZooModule
from zoo.errors import InputError


class LearnsOwnTexts(ZooModule):
    """What a person's own data ask of the model beside it in this folder."""

    embedding: nn.Embedding
    head: nn.Linear
    _take: Callable[[list[str]], None]

    def data_settings(self, kind: str) -> dict[str, Any]:
        """The unit that the model reads, and its vocabulary."""
        if kind != "text-csv":
            return {}
        return {"unit": self.hparams["unit"], "vocabulary": self.hparams["vocabulary"]}

    def adapt_to(self, data: VocabularyData) -> None:
        """Take new words behind the known ones, and a fresh head where the classes are others.

        Raises:
            InputError: for texts by another unit, or a vocabulary in another order.
        """
        wanted, known, name = list(data.vocabulary), self.hparams["vocabulary"], self.name or type(self).__name__
        if data.unit != self.hparams["unit"] or (known and wanted[: len(known)] != list(known)):
            raise InputError(
                f"{name} reads texts by {self.hparams['unit']} with a vocabulary of its own: make the data module with "
                'unit=model.hparams["unit"], vocabulary=model.hparams["vocabulary"]'
            )
        if (new := len(wanted) - len(known or ())) and known:
            old = self.embedding
            self.embedding = nn.Embedding(old.num_embeddings + new, old.embedding_dim, padding_idx=PADDING)
            with torch.no_grad():
                self.embedding.weight[: old.num_embeddings] = old.weight
                self.embedding.weight[old.num_embeddings :] = old.weight[UNKNOWN]
            self.hparams["vocab_size"] = self.embedding.num_embeddings
            unit = self.hparams["unit"] + ("s" if new > 1 else "")
            print(f"{name}: {new} new {unit} to learn, from the vector of the unknown one on")
        elif len(wanted) + FIRST != self.hparams["vocab_size"]:
            self.take_fresh(vocab_size=len(wanted) + FIRST, vocabulary=None)
        self._take(wanted)
        if self.hparams["num_classes"] != len(data.classes):
            self.reset_head(len(data.classes))
        elif self.classes != list(data.classes):
            self.head.reset_parameters()  # as many classes, but others
        self.classes = list(data.classes)

    def reset_head(self, num_classes: int) -> None:
        """A fresh read-out for another number of classes."""
        if check_count(num_classes, "num_classes") != self.hparams["num_classes"]:
            self.take_fresh(num_classes=int(num_classes))
            self.classes = None
