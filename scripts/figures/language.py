"""The figures and tables of a language model's card.

    python scripts/figures/language.py gru-shakespeare

Writes extra.md, and pictures that it shows, into the checkpoint's folder; `scripts/cards.py` puts extra.md into the card:

* a character model writes the same prompt at rising temperatures;
* the gradients of the recurrent kinds are drawn together, as far as they are published;
* a GPT's cache is measured against recomputation;
* beside a classifier stands logistic regression on a bag of words or letters, and beside word vectors their neighbours;
* of a translation, the attention map.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

import zoo
from datamodules.tinyshakespeare import sample_text
from zoo import registry
from zoo.core.files import write_figure
from zoo.errors import one_sentence
from zoo.models.text.translation import SHOWN, AttentiveTranslator
from zoo.paths import CHECKPOINTS
from zoo.store.cards import write_section
from zoo.store.hub import locate

TEMPERATURES = (0.0, 0.3, 0.6, 0.8, 1.0, 1.3)
LAGS = 64


def ladder(model: Any) -> str:
    """One prompt and seed at rising temperatures: from a loop through English to noise."""
    capitals = "R" in model.characters
    prompt = "ROMEO:\n" if capitals else "call me ishmael. "
    parts = ["## Temperature\n", f"The same prompt (`{prompt.strip()}`) and seed at rising temperatures:\n"]
    for temperature in TEMPERATURES:
        text = model.generate(prompt, 240, temperature=temperature, seed=0)
        parts.append(f"**{temperature:g}**\n\n```text\n{prompt}{text.rstrip()}\n```\n")
    return "\n".join(parts)


def cache_table(model: Any, tokens: int = 256) -> str:
    """Processor seconds for `tokens` tokens with the cache and without, on the model's sizes and on nanoGPT's."""
    from zoo.models.transformers.gpt import GPT

    sizes = {
        "this model's": {key: model.hparams[key] for key in ("layers", "heads", "width")},
        "nanoGPT's": {"layers": 6, "heads": 6, "width": 384},
    }
    lines = [
        "## The cache\n",
        f"Processor seconds that {tokens} characters take with the keys and values of the past kept, and with everything "
        f"computed again for each (one CPU thread, a context of {tokens}, fresh weights):\n",
        "| sizes | cache | recomputation | times faster |\n|---|---|---|---|",
    ]
    torch.set_num_threads(1)
    for name, size in sizes.items():
        fresh = GPT(65, tokens, **size).eval()
        seconds = [_write(fresh, tokens, cached=cached) for cached in (True, False)]
        shape = f"{size['layers']} layers, width {size['width']}"
        lines.append(f"| {name}: {shape} | {seconds[0]:.2f} | {seconds[1]:.2f} | {seconds[1] / seconds[0]:.1f} |")
    return "\n".join(lines) + "\n"


@torch.inference_mode()
def _write(model: Any, tokens: int, *, cached: bool) -> float:
    """Processor seconds of writing greedily from one token on."""
    seen, state = torch.zeros(1, 1, dtype=torch.long), None
    model(seen)  # whatever a first call costs
    started = time.process_time()
    for _ in range(tokens):
        logits, state = model.step(seen[:, -1:] if cached else seen, state if cached else None)
        seen = torch.cat([seen, logits[:, -1:].argmax(2)], 1)
    return time.process_time() - started


def baseline(model: Any, folder: Path) -> str:
    """Logistic regression on counts, fitted to the same training part with scikit-learn's own settings."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import accuracy_score, balanced_accuracy_score
    from sklearn.pipeline import make_pipeline

    from datamodules.formats.words import split

    data = zoo.datamodule(model.data["name"])
    if data.unit == "word":
        what, counts = "words", CountVectorizer(analyzer=_Words(split))
    else:
        what, counts = (
            "sequences of one to three letters",
            CountVectorizer(analyzer="char", ngram_range=(1, 3), lowercase=False),
        )
    pipeline = make_pipeline(counts, LogisticRegression(max_iter=1000))
    pipeline.fit(*zip(*data.texts("train"), strict=True))
    lines = [
        "## Beside a bag of words\n" if data.unit == "word" else "## Beside a bag of letters\n",
        f"Logistic regression on the counts of {what} (scikit-learn, its own settings, the same training part):\n",
        "| part | metric | this model | bag |\n|---|---|---|---|",
    ]
    measures = {"accuracy": accuracy_score, "balanced_accuracy": balanced_accuracy_score}
    for measured in read_metrics(folder):
        if measure := measures.get(measured["metric"]):
            texts, labels = zip(*data.texts(measured["split"]), strict=True)
            bag = measure(labels, pipeline.predict(texts))
            lines.append(f"| {measured['split']} | {measured['metric']} | {measured['value']:.4f} | {bag:.4f} |")
    return "\n".join(lines) + "\n"


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


class _Words:
    """A text's words as an analyser of scikit-learn."""

    def __init__(self, split: Any) -> None:
        self.split = split

    def __call__(self, text: str) -> list[str]:
        return self.split(text, "word")


def company(model: Any) -> str:
    """Neighbours of some words."""
    words = ("captain", "whale", "mother", "money", "london", "beautiful", "angry", "three", "walked", "battle")
    rows = [
        f"| {word} | {', '.join(f'{near} {p:.2f}' for near, p in model.neighbours(word, 6))} |"
        for word in words
        if word in model.hparams["vocabulary"]
    ]
    return "## Neighbours\n\n| word | nearest, with the cosine |\n|---|---|\n" + "\n".join(rows) + "\n"


def gradients(path: Path) -> list[str]:
    """Draw the norm of the gradient against the lag for each published recurrent model; returns their names."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    from datamodules.formats.characters import encode
    from zoo.models.recurrent.gradients import gradient_norms

    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    drawn = []
    for name in ("rnn-shakespeare", "gru-shakespeare", "lstm-shakespeare"):
        if (CHECKPOINTS / name / "model.safetensors").is_file():
            model: Any = zoo.load(name)
            tokens = encode(sample_text()[:8192], model.characters).reshape(32, 256)
            norms = gradient_norms(model, tokens, LAGS).mean(1)
            axes.semilogy(torch.arange(LAGS + 1), norms, label=name.partition("-")[0].upper())
            drawn.append(name)
    axes.set(xlabel="characters back", ylabel="norm of the gradient")
    axes.legend(frameon=False)
    write_figure(path, figure, dpi=110)
    plt.close(figure)
    return drawn


@one_sentence
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    options = parser.parse_args()
    folder, model = locate(options.name), zoo.load(options.name)
    kind = registry.name_of(type(model), registry.ARCHITECTURES)
    if kind == "rnn-classifier":
        write_section(folder, baseline(model, folder), measured_on=[options.name])
    elif kind == "word2vec":
        write_section(folder, company(model), measured_on=[options.name])
    elif isinstance(model, AttentiveTranslator):
        model.attention_map(SHOWN[model.hparams["source"]][2], folder / "attention.png")
        text = "## Attention\n\nHow far each piece of the translation looked at each piece of the source:\n\n"
        text += "![attention map](attention.png)\n"
        write_section(folder, text, measured_on=[options.name])
    else:
        write_section(folder, ladder(model), measured_on=[options.name])
    if kind == "gpt":
        write_section(folder, cache_table(model))  # of fresh weights
    if kind == "char-rnn" and model.data["name"] == "tinyshakespeare":
        drawn = gradients(folder / "gradients.png")
        names = ", ".join(f"`{name}`" for name in drawn)
        text = (
            "## How far back the gradient reaches\n\n"
            f"Norm of the gradient of the state with respect to the state k characters before it ({names}; 32 windows of "
            "256 held-out characters, 8 random directions each).\n\n"
            "![gradient norm against lag](gradients.png)\n"
        )
        write_section(folder, text, measured_on=drawn)
    return 0


if __name__ == "__main__":
    sys.exit(main())
