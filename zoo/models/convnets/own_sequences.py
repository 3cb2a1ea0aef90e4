"""How a network of DNA takes a person's own sequences: a fresh last layer, and what is measured on the held-out ones."""

from statistics import fmean
from typing import Any

from zoo.core.checks import check_count
from zoo.core.data import ClassData, SequenceData
from zoo.core.metric import entry
from zoo.core.module import ZooModule


class LearnsOwnSequences(ZooModule):
    """What a person's own data ask of the model beside it in this folder."""

    def adapt_to(self, data: ClassData) -> None:
        """A fresh last layer where the factors are others."""
        if self.hparams["num_classes"] != len(data.classes):
            self.reset_head(len(data.classes))
        elif self.classes != list(data.classes):
            head: Any = self.head
            head.reset_parameters()
        self.classes = list(data.classes)

    def reset_head(self, num_classes: int) -> None:
        """A fresh last layer for another number of factors."""
        if check_count(num_classes, "num_classes") != self.hparams["num_classes"]:
            self.take_fresh(num_classes=int(num_classes))
            self.classes = None

    def measure(self, data: SequenceData) -> list[dict[str, Any]]:
        """Area under the ROC curve on held-out sequences and their shuffles, mean over the factors, and the loss."""
        from sklearn.metrics import roc_auc_score

        scores: Any = self.scores
        found = []
        for number in range(len(data.classes)):
            codes, label = data.labelled("test", number)
            found.append(roc_auc_score(label, scores(codes, number)))
        how = f"held-out sequences and as many shuffles, scikit-learn's roc_auc_score, mean over {len(found)} factors"
        return [entry(data, "test", "auc", fmean(found), how, better="higher"), *super().measure(data)]
