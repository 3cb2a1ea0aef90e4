"""DNA as numbers: letters and codes, shuffles that keep the pairs of neighbours, counts of short words, sequence logos.

Codes are 0 to 3 for A, C, G and T, so that 3 - code is the letter on the other strand; 4 is N, a letter that nobody could read.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.errors import InputError, MissingExtraError

LETTERS = "ACGT"
UNKNOWN = 4
COLOURS = {"A": "#109648", "C": "#255c99", "G": "#f7b32b", "T": "#d62839"}
_CODES = np.full(256, 255, np.uint8)
for _code, _letter in enumerate("ACGTN"):
    _CODES[[ord(_letter), ord(_letter.lower())]] = _code


def encode(sequence: str, what: str = "the sequence") -> Tensor:
    """Codes of a sequence in either case, uint8 [L].

    Raises:
        InputError: for an empty sequence or another letter, with its position, counted from 1.
    """
    if not isinstance(sequence, str) or not sequence:
        raise InputError(f"{what} is a string of at least one letter, not {sequence!r}")
    codes = _CODES[np.frombuffer(sequence.encode("latin-1", "replace"), np.uint8)]
    if (codes == 255).any():
        place = int((codes == 255).argmax())
        raise InputError(
            f"{what} has {sequence[place]!r} at position {place + 1}: DNA has the letters A, C, G, T and N"
        )
    return torch.from_numpy(codes)


def one_hot(codes: Tensor) -> Tensor:
    """Codes [N, L] as float32 [N, 4, L]; the unknown letter is a quarter of each."""
    table = torch.cat([torch.eye(4), torch.full((1, 4), 0.25)]).to(codes.device)
    return table[codes.long()].transpose(1, 2)


def reverse_complement(codes: Tensor) -> Tensor:
    """The other strand, read in its own direction: [N, L] or [L]."""
    return torch.where(codes == UNKNOWN, codes, 3 - codes).flip(-1)


def shuffle_pairs(codes: Tensor, generator: torch.Generator) -> Tensor:
    """Each sequence [N, L] with its letters in another order and every pair of neighbours as often as before, uniformly.

    A sequence is a walk over a graph with an edge for every pair, and so is its shuffle: an Eulerian walk from the first letter.
    A walk takes every edge exactly if the last edges out of all letters but the end lead to the end (Altschul and Erickson,
    1985). So the edges out of each letter are put into a random order, and drawn anew where the last ones don't lead there.
    """
    n, length = codes.shape
    if length < 3:
        return codes.clone()
    here, there, end = codes[:, :-1].long(), codes[:, 1:].long(), codes[:, -1].long()
    key = torch.empty(n, length - 1, device=codes.device)
    open_ = torch.arange(n, device=codes.device)  # whose order isn't settled
    while len(open_):
        draw = torch.rand(len(open_), length - 1, generator=generator, device=codes.device)
        key[open_] = draw
        last = torch.stack([_last(letter, here[open_], there[open_], draw) for letter in range(5)], 1)  # [open, 5]
        last.scatter_(1, end[open_, None], end[open_, None])  # whoever is at the end stays there
        reached = last
        for _ in range(4):  # no way without a loop is longer
            reached = last.gather(1, reached)
        open_ = open_[(reached != end[open_, None]).any(1)]
    order = (here + key).argsort(1)  # by letter, then by key: keys are below 1
    follow = there.gather(1, order)  # successors in the order of their use, letter after letter
    counts = F.one_hot(here, 5).sum(1)
    place = counts.cumsum(1) - counts  # [N, 5]: the next edge out of each letter
    walk = [codes[:, 0].long()]
    for _ in range(length - 1):
        at = place.gather(1, walk[-1][:, None])
        place.scatter_(1, walk[-1][:, None], at + 1)
        walk.append(follow.gather(1, at)[:, 0])
    return torch.stack(walk, 1).to(codes.dtype)


def _last(letter: int, here: Tensor, there: Tensor, key: Tensor) -> Tensor:
    """Where the last edge out of a letter leads, [N]; from a letter that doesn't occur to the end."""
    key = key.where(here == letter, -1.0)
    best = key.argmax(1, keepdim=True)
    return torch.where(key.gather(1, best)[:, 0] >= 0, there.gather(1, best)[:, 0], there[:, -1])


def count_words(codes: Tensor, k: int) -> Any:
    """How often each word of k letters occurs on either strand of [N, L]: a SciPy sparse matrix [N, 4^k].

    A word and its reverse complement are one: the smaller number of the two. Words with an unknown letter don't count.
    """
    from scipy.sparse import csr_matrix

    windows = codes.long().unfold(1, k, 1)  # [N, L - k + 1, k]
    power = 4 ** torch.arange(k - 1, -1, -1)
    number = torch.minimum((windows * power).sum(2), ((3 - windows) * power.flip(0)).sum(2))
    known = (windows < UNKNOWN).all(2)
    row = torch.arange(len(codes))[:, None].expand_as(number)[known]
    ones = np.ones(len(row), np.float32)
    return csr_matrix((ones, (row.numpy(), number[known].numpy())), shape=(len(codes), 4**k))


def word_regression(
    parts: dict[str, tuple[Tensor, Tensor]],
    ks: Sequence[int] = (5, 6, 7, 8),
    cs: Sequence[float] = (0.01, 0.03),
    weight: Tensor | None = None,
) -> tuple[Tensor, int]:
    """Logistic regression on `count_words`: scores of the "test" part, and the k that served "val" best.

    Args:
        parts: codes [N, L] and labels [N] of "train", "val" and "test".
        ks, cs: lengths of words, and strengths of scikit-learn's C, of which the best pair on "val" is taken.
        weight: of the sequences of the "train" part, [N]; None for 1.
    """
    try:
        from sklearn.linear_model import LogisticRegression
        from sklearn.metrics import roc_auc_score
    except ImportError as error:
        raise MissingExtraError("the baseline of word counts", "scikit-learn", "explain") from error
    best, scores, chosen = -1.0, torch.empty(0), ks[0]
    weighed = None if weight is None else weight.numpy()
    for k in ks:
        counts = {name: count_words(codes, k) for name, (codes, _) in parts.items()}
        for c in cs:
            model = LogisticRegression(C=c, max_iter=300).fit(counts["train"], parts["train"][1].numpy(), weighed)
            auc = roc_auc_score(parts["val"][1].numpy(), model.decision_function(counts["val"]))
            if auc > best:
                best, chosen = auc, k
                scores = torch.from_numpy(model.decision_function(counts["test"]))
    return scores, chosen


def share_words(codes: Tensor, others: Tensor, k: int = 30) -> Tensor:
    """Which of the sequences [N, L] have k letters in a row, on either strand, that any of the others has too: bool [N]."""

    def words(rows: Tensor) -> np.ndarray:
        number = torch.zeros(len(rows), rows.shape[1] - k + 1, dtype=torch.long)
        for place in range(k):  # two bits a letter: 31 letters at most
            number = 4 * number + rows[:, place : place + number.shape[1]].long().clamp(max=3)
        return number.numpy()

    known = np.unique(np.concatenate([words(others), words(reverse_complement(others))]))
    own = words(codes)
    place = np.searchsorted(known, own).clip(max=len(known) - 1)
    return torch.from_numpy((known[place] == own).any(1))


def draw_logo(axis: Any, frequencies: Tensor) -> None:
    """Draw a motif [4, K] as letters whose heights add up to the information in bits: 2 - entropy."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.patches import PathPatch
    from matplotlib.textpath import TextPath
    from matplotlib.transforms import Affine2D

    p = frequencies.clamp(min=1e-9)
    heights = p * (2 + (p * p.log2()).sum(0))  # [4, K]
    font = FontProperties(family="DejaVu Sans", weight="bold")
    glyphs = {letter: TextPath((0, 0), letter, size=1, prop=font) for letter in LETTERS}
    for column in range(p.shape[1]):
        base = 0.0
        for row in heights[:, column].argsort().tolist():
            height, letter = heights[row, column].item(), LETTERS[row]
            box = glyphs[letter].get_extents()
            fit = Affine2D().translate(-box.x0, -box.y0).scale(0.95 / box.width, height / box.height)
            path = glyphs[letter].transformed(fit.translate(column + 0.025, base))
            axis.add_patch(PathPatch(path, facecolor=COLOURS[letter], linewidth=0))
            base += height
    axis.set(xlim=(0, p.shape[1]), ylim=(0, 2))
