"""Picture of docs/themes/words.md: word vectors in a recurrent network, learnt with it or taken from word2vec.

python scripts/figures/word_vectors.py               # four minutes; into docs/figures; needs SST-2
"""

import sys
from pathlib import Path
from typing import Any

import torch
from pictures import main, panels
from torch.nn import functional as F

import zoo
from datamodules.formats.words import pad, split
from zoo.core.files import write_figure
from zoo.models.recurrent.classifier import RecurrentClassifier

WAYS = {"learnt": (False, False), "frozen": (True, True), "tuned": (True, False), "random, frozen": (False, True)}
Texts = list[tuple[str, int]]


def vectors(
    path: Path,
    *,
    parts: tuple[Texts, Texts] | None = None,
    sizes: tuple[int, ...] = (500, 5000),
    epochs: int = 4,
    seeds: int = 2,
) -> dict[str, Any]:
    """SST-2 from few phrases: vectors learnt with the network, taken from word2vec and frozen, taken and tuned."""
    words = zoo.load("word2vec-gutenberg")
    if parts is None:
        data = zoo.datamodule("sst2")
        parts = data.texts("train"), data.texts("val")
    train, held = parts
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0)).tolist()
    chosen = [train[i] for i in order[: max(sizes)]]
    known = list(words.hparams["vocabulary"])
    extra = sorted({word for text, _ in chosen for word in split(text, "word")} - set(known))
    table: dict[str, list[tuple[float, float]]] = {}
    for way, (taken, frozen) in WAYS.items():
        table[way] = []
        for size in sizes:
            right = [fitted(chosen[:size], held, known + extra, words, taken, frozen, epochs, s) for s in range(seeds)]
            table[way].append((sum(right) / seeds, max(right) - min(right)))
    figure, axis = panels(6, 3.2)
    for i, (way, values) in enumerate(table.items()):
        places = torch.arange(len(sizes)) + 0.2 * (i - 1.5)
        axis.bar(places, [mean for mean, _ in values], 0.18, yerr=[spread / 2 for _, spread in values], label=way)
    axis.set_xticks(range(len(sizes)), [f"{size:,} phrases" for size in sizes])
    axis.set(title="accuracy on the validation sentences", ylim=(0.45, 0.85))
    axis.legend(frameon=False, fontsize=8, ncols=2, loc="upper left")
    write_figure(path, figure, dpi=75)
    return {
        "words of the phrases that word2vec doesn't know": len(extra),
        **{w: dict(zip(sizes, v, strict=True)) for w, v in table.items()},
    }


def fitted(
    texts: Texts, held: Texts, vocabulary: list[str], words: Any, taken: bool, frozen: bool, epochs: int, seed: int
) -> float:
    """Accuracy on held-out texts after the last of `epochs`, or of as many more as 150 steps take."""
    torch.manual_seed(seed)
    std = words.centre.weight.std().item()  # random vectors have the spread of those taken
    model = RecurrentClassifier(
        2, len(vocabulary) + 2, embedding=100, embedding_std=std, width=48, dropout=0.3, vocabulary=vocabulary
    )
    if taken:
        model.take_vectors(words)
    if frozen:
        model.freeze("embedding")
    optimizer = torch.optim.AdamW([w for w in model.parameters() if w.requires_grad], lr=2e-3, weight_decay=0.05)
    rows = [(model.encode(text), label) for text, label in texts]
    for epoch in range(max(epochs, min(20, 150 * 64 // len(rows)) if epochs > 1 else 1)):
        model.train()
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(1000 * seed + epoch)).tolist()
        for start in range(0, len(order), 64):
            some = [rows[i] for i in order[start : start + 64]]
            tokens, lengths = pad([row for row, _ in some])
            optimizer.zero_grad()
            F.cross_entropy(model(tokens, lengths), torch.tensor([label for _, label in some])).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    model.eval()
    answer = model.predict_proba([text for text, _ in held]).argmax(1)
    return (answer == torch.tensor([label for _, label in held])).float().mean().item()


PICTURES = {"vectors": vectors}

if __name__ == "__main__":
    sys.exit(main(__doc__, PICTURES))
