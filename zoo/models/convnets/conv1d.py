"""One-dimensional convolution that finds where proteins bind to DNA (DeepBind: Alipanahi et al., 2015, doi:10.1038/nbt.3300).

A sequence is one-hot, four rows of letters, and a filter w of width K is a motif: a score for each letter at each place, here for
each pair of neighbours, since what a protein feels of a letter depends on the next one (Siebert and Söding, 2016,
doi:10.1093/nar/gkw521). It is slid over both strands, and four things count: how well it fits where it fits best, how well
everywhere taken together, how well near the place where it should be, and in how many places:

    z_it = Σ_abk w_iabk x_a,t+k x_b,t+k+1 + b_i,    s = relu(z)
    h = [max_t s_it, log Σ_t exp z_it, Σ_t a_it s_it, Σ_t σ(z_it)],    p(factor binds | x) = σ(v · f(h) + c)

The other strand is read in its own direction, its letters paired A-T and C-G: with the letters in the order A, C, G, T that is x
turned around in both axes. So a sequence and its reverse complement get the same answer. The maximum finds one good site; the
sum is, if z is an energy, how much of the protein sits anywhere. The mean's weights a are learnt, for a peak's summit is in the
middle of its sequence, and the site that was bound is near: they start as equal and add up to one. The last is the number of
sites expected to be taken, if each takes one protein at most: many short motifs, each of little weight, add up by their number.

A few thousand peaks leave much to chance. So several members learn side by side, each by motifs and a loss of its own, and the
answer is their mean. One set of motifs serves all factors.

Departures from the paper: one network for seven factors, each learning from its own sequences alone, where DeepBind fits one each
and picks the best of thirty calibrations; pairs of letters, the sum, the number and the learnt weights; members; both strands
compete motif by motif and not sequence by sequence; AdamW.
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from datamodules.formats.dna import LETTERS, draw_logo, encode, one_hot
from zoo.core.answers import likeliest
from zoo.core.checks import check_count
from zoo.core.data import SequenceData
from zoo.core.files import write_figure
from zoo.core.metric import entry
from zoo.core.module import ZooModule
from zoo.core.verbs import looking, verb
from zoo.errors import InputError
from zoo.models.convnets.own_sequences import LearnsOwnSequences
from zoo.models.convnets.word_counts import word_scores

KNOTS = 11  # of a motif's weights along a sequence; straight lines between them, whatever its length


class MotifCNN(LearnsOwnSequences, ZooModule):
    """The best, summed and weighted fit of each motif on both strands, its number, and a small classifier for every factor.

    Args:
        num_classes: number of factors; their answers are independent of each other.
        motifs: number of filters of a member.
        members: networks that learn side by side and answer together.
        width: letters that a filter sees, two or more.
        hidden_dim: units of a member between motifs and answers; 0 for none, which weighs each motif by itself.
        dropout: of what the classifier sees.

    Shapes:
        x: [N, 4, L], any L; logits: [N, num_classes].
    """

    task: ClassVar[str] = "text-classification"
    learns_from: ClassVar[tuple[str, ...]] = ("dna",)
    finetune_lr: ClassVar[float] = 3e-3

    def __init__(
        self,
        num_classes: int = 7,
        motifs: int = 96,
        *,
        members: int = 1,
        width: int = 15,
        hidden_dim: int = 64,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        for name, value in (("num_classes", num_classes), ("motifs", motifs), ("members", members), ("width", width)):
            check_count(value, name)
        if width < 2:
            raise InputError("width is 1: a filter sees pairs of neighbours, so it needs two letters or more")
        self.save_hyperparameters()
        every, pooled = members * motifs, 4 * members * motifs
        self.scan = nn.Conv1d(16, every, width - 1)  # of pairs: a letter fewer
        self.where = nn.Parameter(torch.zeros(1, every, KNOTS))
        self.hidden = nn.Sequential(nn.BatchNorm1d(pooled), nn.Dropout(dropout))
        # linear layers of all members at once: a group of channels each
        if hidden_dim:
            self.hidden.extend(
                [nn.Conv1d(pooled, members * hidden_dim, 1, groups=members), nn.ReLU(), nn.Dropout(dropout)]
            )
        self.head = nn.Conv1d(members * hidden_dim or pooled, members * num_classes, 1, groups=members)

    def pairs(self, x: Tensor) -> Tensor:
        """Both strands in pairs of neighbours, [N, 2, 16, L + width - 2]; half a window of unknown letters on both ends."""
        x = self.strands(x)
        return (x[:, :, :, None, :-1] * x[:, :, None, :, 1:]).flatten(2, 3)

    def strands(self, x: Tensor) -> Tensor:
        """Both strands, each in its own direction, [N, 2, 4, L + width - 1], or one more for an even width."""
        around = self.hparams["width"] // 2
        x = F.pad(x, (around, around), value=0.25)
        return torch.stack([x, x.flip(1, 2)], 1)

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """The best, summed and weighted fit of each motif and its number, [N, members · motifs] all; the embedding [N, D]."""
        members = self.hparams["members"]
        energy = self.scan(self.pairs(x).flatten(0, 1))  # [2 N, members · motifs, places]
        fits, both = energy.relu(), (-1, 2)
        best = F.max_pool1d(fits, fits.shape[2])[..., 0].unflatten(0, both).amax(1)
        total = energy.logsumexp(2).unflatten(0, both).logsumexp(1)
        number = energy.sigmoid().sum(2).unflatten(0, both).sum(1)
        share = F.interpolate(self.where, fits.shape[2], mode="linear", align_corners=True).softmax(2)
        mean = (fits * share).sum(2).unflatten(0, both).mean(1)
        pooled = [stage.float().unflatten(1, (members, -1)) for stage in (best, total, mean, number)]
        hidden = self.hidden(torch.cat(pooled, 2).flatten(1)[..., None])  # [N, D, 1], member after member
        stages = {"best": best, "total": total, "mean": mean, "number": number}
        return stages | {"embedding": hidden[..., 0]}

    def opinions(self, x: Tensor) -> Tensor:
        """Logits of every member, [N, members, num_classes]."""
        logits = self.head(self.features(x)["embedding"][..., None])  # [N, members · num_classes, 1]
        return logits[..., 0].unflatten(1, (self.hparams["members"], -1))

    def forward(self, x: Tensor) -> Tensor:
        return self.opinions(x).mean(1)

    # Verbs -----------------------------------------------------------------------------------------------------------

    @verb
    def predict_proba(self, sequences: str | Sequence[str]) -> Tensor:
        """How likely each factor binds to each sequence, [N, num_classes]: of 101 letters like those of the training.

        A probability of 0.5 is that of one peak among as many shuffled ones; the answers of a row don't add up to 1.

        Raises:
            InputError: for no sequence, or a letter that isn't A, C, G, T or N (in either case), with its position.
        """
        several = [sequences] if isinstance(sequences, str) else list(sequences)
        if not several:
            raise InputError("there is no sequence: give a string of DNA, or a list of them")
        codes = [encode(sequence, f"sequence {number}") for number, sequence in enumerate(several, 1)]
        if len({len(c) for c in codes}) == 1:
            batches = list(torch.stack(codes).split(500))
        else:  # one by one: letters that fill up could be fitted by a motif
            batches = [c[None] for c in codes]
        return torch.cat([self(one_hot(batch.to(self.device))) for batch in batches]).float().sigmoid().cpu()

    def predict(self, x: str | Sequence[str], top: int = 3) -> Any:
        """The `top` likeliest factors [(factor, probability), …] of a sequence; of several a list of such lists."""
        rows = likeliest(self.predict_proba(x), self.classes, top)
        return rows[0] if isinstance(x, str) else rows

    @verb
    def motif(self, number: int, codes: Tensor, *, share: float = 0.5) -> tuple[Tensor, int]:
        """What a filter looks for: letter frequencies [4, width] of its best places, and the number of places.

        Every sequence gives its best place, if it fits at least `share` as well as the best of all.

        Args:
            codes: uint8 [N, L], see `datamodules.formats.dna`.
        """
        width, windows, fits = self.hparams["width"], [], []
        weight, bias = self.scan.weight[number, None], self.scan.bias
        for part in codes.split(500):
            x = one_hot(part.to(self.device))
            energy = F.conv1d(self.pairs(x).flatten(0, 1), weight, bias if bias is None else bias[number, None])
            fit, place = energy.unflatten(0, (-1, 2)).flatten(1).max(1)  # [N]: of both strands' places
            every = self.strands(x).unfold(3, width, 1).transpose(2, 3).flatten(1, 2)  # [N, 2 places, 4, width]
            windows.append(every[torch.arange(len(part)), place])
            fits.append(fit)
        found, fit = torch.cat(windows), torch.cat(fits)
        found = found[(fit >= share * fit.max()) & (fit > 0)]  # [places, 4, width]
        empty = torch.full((len(LETTERS), width), 0.25)
        return found.mean(0).cpu() if len(found) else empty, len(found)

    # Training --------------------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Take the factors' names over from the data module, so that they travel with the weights."""
        super().setup(stage)
        classes = getattr(getattr(self.trainer, "datamodule", None), "classes", None)
        if stage == "fit" and classes:
            if len(classes) != self.hparams["num_classes"]:
                raise InputError(
                    f"the data has {len(classes)} factors, the model num_classes={self.hparams['num_classes']}: make them equal"
                )
            self.classes = list(classes)

    def _loss(self, batch: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
        x, factor, label, weight = batch
        opinions = self.opinions(x)
        measured = opinions[torch.arange(len(x)), :, factor]  # [N, members]: of the one factor
        wanted = label[:, None].expand_as(measured)
        return F.binary_cross_entropy_with_logits(measured.float(), wanted, weight[:, None])

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor, Tensor], batch_idx: int) -> Tensor:
        loss = self._loss(batch)
        self.log_train(loss=loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor, Tensor], batch_idx: int) -> None:
        self.log("val/loss", self._loss(batch), batch_size=len(batch[2]), prog_bar=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=3e-3, weight_decay=0.01)

    # Claims ----------------------------------------------------------------------------------------------------------

    @verb
    def scores(self, codes: Tensor, factor: int) -> Tensor:
        """Logits of one factor for codes [N, L], on the CPU: [N]."""
        return torch.cat([self(one_hot(part.to(self.device)))[:, factor] for part in codes.split(500)]).float().cpu()

    def evaluate(self, data: SequenceData) -> list[dict[str, Any]]:
        """Area under the ROC curve of every factor, beside those of logistic regressions on counts of short words."""
        from sklearn.metrics import roc_auc_score

        values, words, weighed, held_out = {}, {}, {}, []
        for number, name in enumerate(data.classes):
            codes, label = data.labelled("test", number)
            values[name] = roc_auc_score(label, self.scores(codes, number))
            scores, k = word_scores(data, number)
            words[name] = roc_auc_score(label, scores), k
            if data.dwell:
                weighed[name] = roc_auc_score(label, word_scores(data, number, weighed=True)[0])
            codes, label = data.labelled("val", number)
            held_out.append(roc_auc_score(label, self.scores(codes, number)))
        how = "500 peaks and 500 shuffles of the test file, scikit-learn's roc_auc_score, last epoch"
        baseline = (
            "logistic regression on counts of words on both strands, same parts; their length and C by validation"
        )

        def claim(metric: str, value: float, text: str) -> dict[str, Any]:
            return entry(data, "test", metric, value, text, better="higher")

        least = min(values[name] - words[name][0] for name in values)
        entries = [
            claim("auc", fmean(values.values()), f"mean over the factors, each on {how}"),
            claim("auc_words", fmean(auc for auc, _ in words.values()), f"mean over the factors, {baseline}"),
            claim("least_gain", least, "smallest difference of auc and auc_words over the factors"),
        ]
        for name, value in values.items():
            auc, k = words[name]
            entries += [
                claim(f"auc_{name}", value, how),
                claim(f"auc_words_{name}", auc, f"{baseline} ({k} letters)"),
            ]
        if weighed:
            same = f"{baseline}, strong peaks weighing more as for this network"
            least = min(values[name] - weighed[name] for name in values)
            entries += [
                claim("auc_words_weighed", fmean(weighed.values()), f"mean over the factors, {same}"),
                claim("least_gain_weighed", least, "smallest difference of auc and auc_words_weighed over the factors"),
            ]
        mean = claim("auc", fmean(held_out), "mean over the factors, each on held-out peaks and their shuffles")
        return [*entries, mean | {"split": "val"}]

    def golden_inputs(self) -> dict[str, Tensor]:
        codes = torch.randint(5, (8, 60), generator=torch.Generator().manual_seed(0))
        return {"input": one_hot(codes)}

    def preview(self, path: Path) -> Path | None:
        """For each factor the two motifs that separate its peaks from their shuffles best, as sequence logos."""
        if self.data is None or not self.classes:
            return None
        from zoo.api import datamodule

        data: Any = datamodule(self.data["name"], **self.data["init"])
        import matplotlib

        matplotlib.use("Agg", force=False)
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 1.15 * len(self.classes)), layout="constrained")
        axes = figure.subplots(len(self.classes), 2, squeeze=False)
        for number, name in enumerate(self.classes):
            codes, label = data.labelled("val", number)
            with looking(self):
                best = torch.cat([self.features(one_hot(part))["best"] for part in codes.split(500)])
            gap = (best[label == 1].mean(0) - best[label == 0].mean(0)) / best.std(0).clamp(min=1e-6)
            for axis, motif in zip(axes[number], gap.topk(2).indices.tolist(), strict=True):
                frequencies, places = self.motif(motif, codes[label == 1])
                draw_logo(axis, frequencies)
                axis.set(xticks=[], yticks=[0, 1, 2])
                axis.set_title(f"{name}: filter {motif}, {places} places", fontsize=9)
        write_figure(path, figure, dpi=80)
        return path
