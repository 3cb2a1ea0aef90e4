"""Picture of docs/themes/words.md: vectors of slices of music, from what sounds before and after.

python scripts/figures/words.py                      # seconds; into docs/figures; needs the chorales
"""

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from pictures import main, panels
from torch import Tensor
from torch.nn import functional as F

import zoo
from datamodules.formats.midi import LOWEST
from zoo.core.files import write_figure
from zoo.models.text.word2vec import Word2Vec

NOTES = ("C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B")
Slice = frozenset[int]  # pitch classes that sound together

# Slices of music -----------------------------------------------------------------------------------------------------


def slices_of(roll: Tensor) -> list[Slice]:
    """The pitch classes of each step that isn't silent."""
    return [frozenset((LOWEST + key) % 12 for key in step.nonzero().flatten().tolist()) for step in roll if step.any()]


def pairs(chorales: list[list[Slice]], index: dict[Slice, int], window: int) -> Tensor:
    """Rows of each slice and each of its neighbours, int64 [N, 2]; slices without a row are passed over."""
    found = []
    for chorale in chorales:
        rows = [index[piece] for piece in chorale if piece in index]
        for i, row in enumerate(rows):
            found += [(row, rows[j]) for j in range(max(0, i - window), min(len(rows), i + window + 1)) if j != i]
    return torch.tensor(found)


def triad(root: int, minor: bool = False) -> Slice:
    return frozenset({root % 12, (root + (3 if minor else 4)) % 12, (root + 7) % 12})


def ranks(x: Tensor) -> Tensor:
    """Ranks, those of equal values alike."""
    _, which, count = x.unique(return_inverse=True, return_counts=True)
    return (count.cumsum(0) - (count - 1) / 2)[which].double()


def rank_correlation(a: Tensor, b: Tensor) -> float:
    return torch.corrcoef(torch.stack([ranks(a), ranks(b)]))[0, 1].item()


def slices(path: Path, *, rolls: list[Tensor] | None = None, steps: int = 3000, most: int = 120) -> dict[str, Any]:
    """Vectors of what sounds at a time in Bach's chorales, from the neighbours in time alone."""
    chorales = [slices_of(roll) for roll in rolls or zoo.datamodule("jsb-chorales").rolls("train")]
    counts = Counter(piece for chorale in chorales for piece in chorale)
    vocabulary = [piece for piece, _ in counts.most_common(most)]
    index = {piece: i for i, piece in enumerate(vocabulary)}
    names = ["-".join(str(pitch) for pitch in sorted(piece)) for piece in vocabulary]
    every = pairs(chorales, index, 1)
    torch.manual_seed(0)
    model = Word2Vec(len(vocabulary), 16, vocabulary=names)
    model.noise = torch.tensor([float(counts[piece]) for piece in vocabulary]).pow(0.75)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * (1 - step / steps)
        pick = every[torch.randint(len(every), (256,))]
        optimizer.zero_grad()
        model.loss(*pick.T, model.draw(256, 5)).backward()
        optimizer.step()
    unit = F.normalize(model.centre.weight.detach(), dim=1)
    cosine = unit @ unit.T
    above = torch.triu_indices(len(unit), len(unit), 1)
    shared = torch.tensor([[len(a & b) / len(a | b) for b in vocabulary] for a in vocabulary])
    by_fifths: dict[int, list[float]] = {}
    chords = [(root, minor) for root in range(12) for minor in (False, True) if triad(root, minor) in index]
    for root, minor in chords:
        for other, also in chords:
            if minor == also and root != other:
                away = ((other - root) * 7) % 12
                by_fifths.setdefault(min(away, 12 - away), []).append(
                    cosine[index[triad(root, minor)], index[triad(other, also)]].item()
                )
    means = {away: sum(values) / len(values) for away, values in sorted(by_fifths.items())}
    figure, (left, right) = panels(10, 3.8, 1, 2)
    rows = [index[triad(*chord)] for chord in chords]
    centred = unit[rows] - unit[rows].mean(0)
    plane = centred @ torch.linalg.svd(centred, full_matrices=False)[2][:2].T
    for (root, minor), (x, y) in zip(chords, plane.tolist(), strict=True):
        name = NOTES[root].lower() if minor else NOTES[root]
        left.text(x, y, name, color="C0" if minor else "C1", ha="center", va="center", fontsize=10)
    left.set(
        xlim=(plane[:, 0].min() - 0.2, plane[:, 0].max() + 0.2), ylim=(plane[:, 1].min() - 0.2, plane[:, 1].max() + 0.2)
    )
    left.set(title="triads, minor in small letters", xticks=[], yticks=[])
    for away, values in by_fifths.items():
        right.plot([away] * len(values), values, "o", ms=3, color="0.6")
    right.plot(list(means), list(means.values()), "k-", lw=1.5)
    right.set(xlabel="steps on the circle of fifths between two triads of a kind", title="cosine of their vectors")
    write_figure(path, figure, dpi=75)
    return {
        "slices, kinds, pairs": (sum(counts.values()), len(counts), len(every)),
        "in the vocabulary": sum(counts[piece] for piece in vocabulary) / sum(counts.values()),
        "triads": len(chords),
        "cosine by fifths": means,
        "rank correlation of cosine and shared pitch classes": rank_correlation(cosine[*above], shared[*above]),
    }


PICTURES = {"slices": slices}

if __name__ == "__main__":
    sys.exit(main(__doc__, PICTURES))
