"""How much a text's vector holds: a linear read-out of few labelled texts, beside the same read-out of a bag of words.

    min_W Σ_i −log softmax(W z_i + b)_{y_i} + ‖W‖² / (2 C)

Both see the same labelled texts and are measured on the same others. A vector learnt from much unlabelled text should need fewer
labels than counts, in which words that weren't among the labelled ones mean nothing.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from datamodules.formats.words import split
from zoo.core.data import PassageData
from zoo.core.metric import entry
from zoo.errors import InputError

# of C; each kind of vector gets the best one of these on the validation part
STRENGTHS = (0.1, 1.0, 10.0, 100.0, 1000.0)


class LinearProbe:
    """Logistic regression by L-BFGS on vectors that are centred and scaled to a mean length of 1.

    Args:
        z: vectors [N, D].
        labels: int64 [N].
        classes: their number.
        strength: C of the equation above.

    Raises:
        InputError: if a class has no vector, or a number is out of its range.
    """

    def __init__(self, z: Tensor, labels: Tensor, classes: int, *, strength: float = 10.0) -> None:
        if not 0 < strength < math.inf:
            raise InputError(f"strength must be above 0, not {strength!r}")
        if len(z) != len(labels) or len(labels.unique()) != classes:
            raise InputError(f"{classes} classes need one or more vectors each; there are {len(z)}")
        with torch.inference_mode(False), torch.enable_grad():
            z = z.detach().clone().double()
            self.centre = z.mean(0)
            self.scale = (z - self.centre).norm(dim=1).mean().clamp(min=1e-12)
            x = (z - self.centre) / self.scale
            weight = torch.zeros(classes, x.shape[1], dtype=torch.float64, requires_grad=True)
            bias = torch.zeros(classes, dtype=torch.float64, requires_grad=True)
            optimizer = torch.optim.LBFGS([weight, bias], max_iter=100, line_search_fn="strong_wolfe")
            labels = labels.clone()

            def loss() -> Tensor:
                optimizer.zero_grad()
                value = F.cross_entropy(F.linear(x, weight, bias), labels, reduction="sum")
                value = value + weight.square().sum() / (2 * strength)
                value.backward()
                return value

            optimizer.step(loss)
            self.weight, self.bias = weight.detach(), bias.detach()

    def __call__(self, z: Tensor) -> Tensor:
        """Probabilities [N, classes]."""
        return F.linear((z.double() - self.centre) / self.scale, self.weight, self.bias).softmax(1)


class BagOfWords:
    """Rows of log(1 + count) · log(N / document frequency), of length 1, over the words of the texts that it was made with."""

    def __init__(self, texts: Sequence[str]) -> None:
        frequency = Counter(word for text in texts for word in set(split(text, "word")))
        self.index = {word: i for i, word in enumerate(sorted(frequency))}
        self.rarity = torch.tensor([math.log(len(texts) / frequency[word]) + 1 for word in self.index])

    def __call__(self, texts: Sequence[str]) -> Tensor:
        rows = torch.zeros(len(texts), len(self.index))
        for i, text in enumerate(texts):
            for word, count in Counter(split(text, "word")).items():
                if (place := self.index.get(word)) is not None:
                    rows[i, place] = math.log1p(count) * self.rarity[place]
        return F.normalize(rows, dim=1)


def probe_entries(
    data: PassageData,
    embed: Callable[[Sequence[str]], Tensor],
    part: str,
    *,
    words: int = 24,
    shots: Sequence[int] = (4, 16, 64),
    draws: int = 10,
    most: int = 150,
) -> list[dict[str, Any]]:
    """Accuracy of naming the novel of a passage of the test part, from `shots` labelled passages of each, for both vectors.

    The labelled passages are of the training part, drawn `draws` times; both kinds of vectors get the same ones. The strength of
    each is the one that is best on the validation part in the first draw.

    Args:
        data: has `novels` and `passages(part, words)`.
        embed: vectors [N, D] of texts.
        part: words on the test part for the entries' `how`.
        most: passages of each novel that are tested, evenly spread.
    """
    classes = len(data.novels)
    rows = {name: data.passages(name, words) for name in ("train", "val", "test")}
    by_class = {
        name: [[text for text, label in found if label == c] for c in range(classes)] for name, found in rows.items()
    }
    generator = torch.Generator().manual_seed(0)

    def some(name: str) -> tuple[list[str], Tensor]:
        spread = [texts[:: max(1, len(texts) // most)][:most] for texts in by_class[name]]
        return [text for texts in spread for text in texts], torch.arange(classes).repeat_interleave(
            torch.tensor([len(texts) for texts in spread])
        )

    (val, val_label), (test, test_label) = some("val"), some("test")
    val_vectors, test_vectors = embed(val), embed(test)
    entries = []
    for n in shots:
        labels = torch.arange(classes).repeat_interleave(n)
        accuracy: dict[str, list[float]] = {"probe": [], "bag": []}
        strength: dict[str, float] = {}
        for _ in range(draws):
            chosen = [
                texts[i]
                for texts in by_class["train"]
                for i in torch.randperm(len(texts), generator=generator)[:n].tolist()
            ]
            bag = BagOfWords(chosen)
            vectors = {
                "probe": (embed(chosen), val_vectors, test_vectors),
                "bag": (bag(chosen), bag(val), bag(test)),
            }
            for kind, (known, of_val, of_test) in vectors.items():
                if kind not in strength:
                    tried = {
                        c: _accuracy(LinearProbe(known, labels, classes, strength=c), of_val, val_label)
                        for c in STRENGTHS
                    }
                    strength[kind] = max(tried, key=lambda c: tried[c])
                probe = LinearProbe(known, labels, classes, strength=strength[kind])
                accuracy[kind].append(_accuracy(probe, of_test, test_label))
        for kind, found in accuracy.items():
            value = torch.tensor(found, dtype=torch.float64)
            what = "mean states of the last layer" if kind == "probe" else "bag of words (log counts, tf-idf)"
            how = (
                f"which of {classes} novels {len(test):,} passages of {words} words are from, logistic regression on {what} of "
                f"{n} labelled passages of each novel's training part: mean of {draws} draws (std {value.std():.3f}), C = "
                f"{strength[kind]:g} chosen on the validation part; {part}"
            )
            metric = f"{kind}_accuracy_{n}"
            entries.append(entry(data, "test", metric, value.mean(), how, better="higher"))
    return entries


def _accuracy(probe: LinearProbe, z: Tensor, labels: Tensor) -> float:
    return (probe(z).argmax(1) == labels).double().mean().item()
