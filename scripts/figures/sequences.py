"""What a card says beyond its metrics about attention, positions and decoding; after `language.py`, which writes a card anew.

    python scripts/figures/sequences.py gpt-shakespeare      # attention as kernel regression, what positions make of places
    python scripts/figures/sequences.py attention-seq2seq-multi30k       # any translator: greedy choice against beam search
    python scripts/figures/sequences.py bert-gutenberg       # probe beside bag of words, filled holes, neighbours
    python scripts/figures/sequences.py music-transformer-chorales       # learnt distances, continuations of one opening

Each section takes the place of the one with its title in the folder's extra.md; `scripts/cards.py` puts that into the card.
"""

import argparse
import json
import math
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import zoo
from zoo import registry
from zoo.core.files import write_figure
from zoo.errors import InputError, one_sentence
from zoo.models.recurrent.rolls import draw_roll
from zoo.models.text.beam import beam_search
from zoo.store.cards import write_section
from zoo.store.hub import locate

PARKS = {
    "yellowstone national park": 5,
    "yosemite national park": 4,
    "redwood national park": 2,
    "redwood state park": 1,
    "cook county park": 1,
}
ORGANISATIONS = {
    "google": 6,
    "bank of america": 4,
    "bank of england": 3,
    "bank of china": 2,
    "national institutes of health": 3,
    "national park service": 2,
}

HOLES = (
    "Call me [MASK].",
    "He took off his [MASK] and sat down by the fire.",
    "The [MASK] galloped up to the general and saluted.",
    "She was very [MASK] to see her sister again.",
    "They sailed for many days across the [MASK].",
)
WORDS = ("captain", "whale", "mother", "london", "beautiful", "angry", "three", "walked", "battle", "he")


# Attention as kernel regression ------------------------------------------------------------------------------------


def gaussian_weights(x: Tensor, known: Tensor, width: float) -> Tensor:
    """Weights [N, K] of kernel regression: exp(−(x − x_k)² / 2 width²), summing to 1 in each row."""
    kernel = (-(x[:, None] - known).square() / (2 * width**2)).exp()
    return kernel / kernel.sum(1, keepdim=True)


def gaussian_as_attention(x: Tensor, known: Tensor, width: float) -> Tensor:
    """The same weights as a softmax of dot products: q = (x, −1/2) / width², k = (x_k, x_k²)."""
    queries = torch.stack([x, torch.full_like(x, -0.5)], 1) / width**2
    keys = torch.stack([known, known.square()], 1)
    return (queries @ keys.T).softmax(1)


class LearntKernel(nn.Module):
    """softmax_k(⟨W_q φ(x), W_k φ(x_k)⟩ / √d), φ(x) = (1, x, x², x³); it begins as the Gaussian of a width."""

    def __init__(self, d: int = 8, *, width: float = 0.15) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(4, d, bias=False), nn.Linear(4, d, bias=False)
        with torch.no_grad():
            for layer in (self.query, self.key):
                layer.weight.normal_(std=0.01)
            scale = d**0.25 / width  # √d is taken away again; half on either side
            self.query.weight[0, 1] += scale  # x · x_k, as in `gaussian_as_attention`
            self.key.weight[0, 1] += scale
            self.query.weight[1, 0] -= scale / 2  # −x_k² / 2
            self.key.weight[1, 2] += scale

    def scores(self, x: Tensor, known: Tensor) -> Tensor:
        powers = torch.arange(4)
        q, k = self.query(x[:, None] ** powers), self.key(known[:, None] ** powers)
        return q @ k.T / math.sqrt(q.shape[1])

    def forward(self, x: Tensor, known: Tensor) -> Tensor:
        return self.scores(x, known).softmax(1)

    def fit(self, known: Tensor, y: Tensor, steps: int) -> float:
        """Train on predicting each value from all others; returns the last mean squared error."""
        optimizer = torch.optim.Adam(self.parameters(), lr=0.05)
        loss = torch.zeros(())
        for _ in range(steps):
            weights = self.scores(known, known).fill_diagonal_(-math.inf).softmax(1)
            loss = F.mse_loss(weights @ y, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return loss.item()


def kernel_regression(path: Path, *, points: int = 60, steps: int = 1500) -> dict[str, float]:
    """Draw regression by a fixed and a learnt kernel with their weights; returns the mean squared error of each."""
    plt = pyplot()
    generator = torch.Generator().manual_seed(0)
    known = torch.rand(points, generator=generator).mul(2).sub(1).sort().values
    x = torch.linspace(-1, 1, 200)

    def truth(x: Tensor) -> Tensor:
        return (1.5 * math.pi * (x + 1).square()).sin()  # slow on the left, fast on the right

    y = truth(known) + 0.15 * torch.randn(points, generator=generator)
    torch.manual_seed(0)
    learnt = LearntKernel()
    learnt.fit(known, y, steps)
    with torch.no_grad():
        kinds = {
            "Gaussian, 0.15": gaussian_as_attention(x, known, 0.15),
            "Gaussian, 0.05": gaussian_as_attention(x, known, 0.05),
            "learnt dot product": learnt(x, known),
        }
    figure, axes = plt.subplots(1, 4, figsize=(13, 3.2), layout="constrained")
    axes[0].plot(known, y, ".", color="0.6")
    axes[0].plot(x, truth(x), color="0.8")
    for axis, (name, weights) in zip(axes[1:], kinds.items(), strict=True):
        axes[0].plot(x, weights @ y, label=name)
        axis.imshow(weights.sqrt(), aspect="auto", cmap="Greys", extent=(1, points, 1, -1))
        axis.set(title=name, xlabel="key (known point)", ylabel="query x")
    axes[0].legend(frameon=False, fontsize=8)
    axes[0].set(title="regression", xlabel="x")
    write_figure(path, figure, dpi=100)
    plt.close(figure)
    return {name: F.mse_loss(weights @ y, truth(x)).item() for name, weights in kinds.items()}


# Positions -----------------------------------------------------------------------------------------------------------


def sinusoids(places: int, d: int) -> Tensor:
    """The table [places, d] of Vaswani et al. (2017): sines and cosines of rising wavelength."""
    angle = torch.arange(places).float()[:, None] * 10000.0 ** (-torch.arange(0, d, 2).float() / d)
    return torch.stack([angle.sin(), angle.cos()], 2).flatten(1)


def positions(path: Path, *, places: int = 64, d: int = 32) -> Tensor:
    """Draw the table of sinusoids and how alike places are by it and by rotations; returns these likenesses [2, places]."""
    from zoo.models.transformers.gpt import rotate, rotations

    plt = pyplot()
    table = sinusoids(places, d)
    added = table @ table.T / (d / 2)
    vector = torch.ones(1, 1, places, d)
    turned = rotate(vector, rotations(places, d))[0, 0]  # one vector at every place
    rotary = turned @ turned.T / d
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.2), layout="constrained")
    axes[0].imshow(table, aspect="auto", cmap="RdBu")
    axes[0].set(title="sinusoids", xlabel="channel", ylabel="place")
    axes[1].imshow(added, cmap="Greys")
    axes[1].set(title="dot products of two places", xlabel="place", ylabel="place")
    middle = places // 2
    for name, likeness, style in (("sinusoids, added", added, "-"), ("rotary, of one vector", rotary, "--")):
        axes[2].plot(torch.arange(-middle, places - middle), likeness[middle], style, label=name)
    axes[2].set(title="likeness by distance", xlabel="places between")
    axes[2].legend(frameon=False, fontsize=8)
    write_figure(path, figure, dpi=100)
    plt.close(figure)
    return torch.stack([added[0], rotary[0]])


@torch.inference_mode()
def distances(model: Any, rolls: list[Tensor], path: Path, *, reach: int = 40) -> Tensor:
    """Draw what each distance adds to the scores of a music Transformer, a row a head; returns it, [layers · heads, reach].

    The mean over all events of the rolls of q · r_δ / √d, without that of each head.
    """
    from zoo.models.transformers.music import NEXT, events_of

    plt = pyplot()
    reach = min(reach, model.hparams["reach"])
    rows = []
    for roll in rolls:
        x = model.eval().embedding(F.pad(events_of(roll), (1, 0), value=NEXT))[None]
        terms = []
        for block in model.blocks:
            q = block.qkv(block.norm1(x)).unflatten(2, (3, block.heads, -1))[:, :, 0].transpose(1, 2)
            terms.append((q @ block.distance[:, :reach].transpose(1, 2)).mean((0, 2)) / math.sqrt(q.shape[3]))
            x = block(x)
        rows.append(torch.cat(terms))
    found = torch.stack(rows).mean(0)
    found = found - found.mean(1, keepdim=True)
    figure, axis = plt.subplots(figsize=(8, 0.25 * len(found) + 1.2), layout="constrained")
    picture = axis.imshow(found, aspect="auto", cmap="RdBu_r", vmin=-found.abs().max(), vmax=found.abs().max())
    heads = len(found) // len(model.blocks)
    axis.set_yticks(range(len(found)), [f"{i // heads + 1}.{i % heads + 1}" for i in range(len(found))])
    axis.set(xlabel="events back (a chord of four notes and the end of its step are five)", ylabel="layer.head")
    figure.colorbar(picture, ax=axis)
    write_figure(path, figure, dpi=100)
    plt.close(figure)
    return found


# Greedy choice against beam search -----------------------------------------------------------------------------------


class Names:
    """A language model that knows names by heart: the next word as often as it followed the same words."""

    def __init__(self, names: dict[str, int]) -> None:
        self.words = ["<start>", "<end>", *sorted({word for name in names for word in name.split()})]
        self.follow: dict[tuple[int, ...], Counter[int]] = {}
        for name, count in names.items():
            tokens = [*(self.words.index(word) for word in name.split()), 1]
            for i, token in enumerate(tokens):
                self.follow.setdefault(tuple(tokens[:i]), Counter())[token] += count

    def step(self, newest: Tensor, state: list[tuple[int, ...]]) -> tuple[Tensor, list[tuple[int, ...]]]:
        """Log-probabilities of the next words, and the words so far."""
        state = [
            prefix if token == 0 else (*prefix, token) for prefix, token in zip(state, newest.tolist(), strict=True)
        ]
        rows = torch.full((len(state), len(self.words)), -math.inf)
        for row, prefix in zip(rows, state, strict=True):
            counts = self.follow[prefix]
            for token, count in counts.items():
                row[token] = math.log(count / counts.total())
        return rows, state

    def best(self, beams: int) -> tuple[str, float]:
        """The name that so many beams find, and its probability."""
        found = beam_search(
            self.step,
            [()],
            start=0,
            end=1,
            beams=beams,
            length=6,
            penalty=0.0,
            reorder=lambda state, rows: [state[i] for i in rows.tolist()],
        )
        tokens, value = found[0]
        return " ".join(self.words[token] for token in tokens), math.exp(value)


def beams() -> str:
    """A table of what one beam and two find in each collection."""
    lines = [
        "Two models that know small collections of names by heart, and the name that they find likeliest. The best first word "
        "needn't begin the best name: most organisations of this list begin with *bank*, but the most frequent one is "
        "another.\n",
        "| collection | most frequent | greedy | two beams |\n|---|---|---|---|",
    ]
    for what, names in (("parks", PARKS), ("organisations", ORGANISATIONS)):
        top = max(names, key=lambda name: names[name])
        cells = [f"{name} ({p:.2f})" for name, p in (Names(names).best(k) for k in (1, 2))]
        lines.append(f"| {what} | {top} ({names[top] / sum(names.values()):.2f}) | {cells[0]} | {cells[1]} |")
    return "\n".join(lines) + "\n"


# Cards of two models -------------------------------------------------------------------------------------------------


def read(model: Any, folder: Path) -> dict[str, str]:
    """Sections on a masked language model."""
    values = {m["metric"]: m["value"] for m in metrics(folder)}
    shots = sorted(int(name.rpartition("_")[2]) for name in values if name.startswith("probe_accuracy_"))
    probe = [
        "Which novel a passage of 24 words of the held-out pages is from, by logistic regression on the mean of the last layer's "
        "states, and on the bag of words of the same few labelled passages:\n",
        "| labelled passages of each novel | this model's states | bag of words |\n|---|---|---|",
        *(f"| {n} | {values[f'probe_accuracy_{n}']:.3f} | {values[f'bag_accuracy_{n}']:.3f} |" for n in shots),
    ]
    holes = ["| text | likeliest |\n|---|---|"]
    for text in HOLES:
        found = ", ".join(f"{piece} {p:.2f}" for piece, p in model.fill_mask(text, 5))
        holes.append(f"| {text} | {found} |")
    near = [
        "Pieces whose rows of the embedding point most nearly the same way:\n",
        "| piece | nearest, with the cosine |\n|---|---|",
    ]
    table = F.normalize(model.embedding.weight.detach().float(), dim=1)
    for word in WORDS:
        if (row := model.tokenizer.token_to_id(word)) is not None:
            cosine = table @ table[row]
            cosine[row] = -1
            best = cosine.topk(6)
            cells = (
                f"{model.tokenizer.id_to_token(i)} {p:.2f}" for p, i in zip(*map(Tensor.tolist, best), strict=True)
            )
            near.append(f"| {word} | {', '.join(cells)} |")
    return {
        "Beside a bag of words": "\n".join(probe),
        "Holes": "\n".join(holes),
        "Neighbours": "\n".join(near),
    }


def heard(model: Any, folder: Path) -> dict[str, str]:
    """Sections on a music Transformer."""
    from datamodules.jsb_chorales import sample

    rolls = sample()
    distances(model, rolls, folder / "distances.png")
    variations(model, rolls[0], folder / "variations.png")
    lines = [
        "Mean -log p of a step, the same sets of keys on the same split:\n",
        "| model | test | validation |\n|---|---|---|",
    ]
    for name in ("lstm-chorales", folder.name):
        if (folder.parent / name / "metrics.json").is_file():
            found = {m["split"]: m["value"] for m in metrics(folder.parent / name) if m["metric"] == "nats_per_step"}
            lines.append(f"| `{name}` | {found['test']:.3f} | {found['val']:.3f} |")
    return {
        "Beside coins for each key": "\n".join(lines),
        "What a distance says": "What each head of each layer adds to the score of an event that lies so many events back, on "
        "average over eight test chorales (red: looked at more):\n\n![learnt distances](distances.png)",
        "Continuations": "Eight steps of a test chorale (grey) and four different continuations of twenty-four, drawn at once "
        "without replacement:\n\n![continuations](variations.png)",
    }


def variations(model: Any, roll: Tensor, path: Path, *, primer: int = 8, steps: int = 24, count: int = 4) -> None:
    """Draw continuations of a roll's beginning, one below the other."""
    plt = pyplot()
    opening = roll[:primer]
    found = model.variations(steps, count, primer=opening, seed=0)
    figure, axes = plt.subplots(len(found), 1, figsize=(9, 1.8 * len(found)), layout="constrained", squeeze=False)
    sounding = torch.cat([opening, *(new for new, _ in found)]).any(0)
    for axis, (new, value) in zip(axes[:, 0], found, strict=True):
        draw_roll(axis, torch.cat([0.4 * opening.float(), new.float()]), sounding)
        axis.set(title=f"log p = {value:.1f} nats")
        axis.label_outer()
    write_figure(path, figure, dpi=90)
    plt.close(figure)


def metrics(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def explained(folder: Path) -> dict[str, str]:
    """Sections on attention and positions."""
    errors = kernel_regression(folder / "kernel.png")
    positions(folder / "positions.png")
    cells = "; ".join(f"{name}: {error:.3f}" for name, error in errors.items())
    return {
        "Attention as kernel regression": "Attention is a weighted mean whose weights are a kernel of query and key. With a "
        "Gaussian kernel it is Nadaraya-Watson regression, and a Gaussian kernel is itself a softmax of dot products, with keys "
        "(x, x²). Learning the maps of query and key (here of cubic polynomials, from the wide Gaussian on) lets the kernel "
        f"narrow where the function is fast. Mean squared errors against the true curve: {cells}.\n\n"
        "![kernel regression](kernel.png)",
        "Positions": "A table of sinusoids that is added, and a rotation of queries and keys by their place (this model's): the "
        "likeness of two places depends on how far apart they are, and is the same function for both.\n\n"
        "![positions](positions.png)",
    }


def pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    return plt


@one_sentence
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    options = parser.parse_args()
    folder, model = locate(options.name), zoo.load(options.name)
    kind = registry.name_of(type(model), registry.ARCHITECTURES)
    if kind == "gpt":
        sections = explained(folder)
    elif kind == "bert":
        sections = read(model, folder)
    elif kind == "music-transformer":
        sections = heard(model, folder)
    elif model.task == "translation":
        sections = {"Greedy choice against beam search": beams()}
    else:
        raise InputError(f"there is nothing to draw of a {kind}; see --help")
    shown = [options.name] if kind in ("bert", "music-transformer") else []  # elsewhere nothing is asked of the weights
    for title, body in sections.items():
        write_section(folder, f"## {title}\n\n{body.strip()}\n", measured_on=shown)
    return 0


if __name__ == "__main__":
    sys.exit(main())
