"""The figures of a character model's card: a temperature ladder, and how far its gradient reaches back.

    python scripts/figures/language.py gru-shakespeare

Writes extra.md, and for recurrent models gradients.png, into the checkpoint's folder; `scripts/cards.py` puts extra.md into the
card. The gradients of all three recurrent kinds are drawn together, as far as they are published.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import torch

import zoo
from datamodules.tinyshakespeare import sample_text
from zoo.errors import ZooError
from zoo.hub import locate

TEMPERATURES = (0.0, 0.3, 0.6, 0.8, 1.0, 1.3)
LAGS = 64


def ladder(model: Any) -> str:
    """One prompt and seed at rising temperatures: from a loop through English to noise."""
    parts = ["## Temperature\n", "The same prompt (`ROMEO:`) and seed at rising temperatures:\n"]
    for temperature in TEMPERATURES:
        text = model.generate("ROMEO:\n", 240, temperature=temperature, seed=0)
        parts.append(f"**{temperature:g}**\n\n```text\nROMEO:\n{text.rstrip()}\n```\n")
    return "\n".join(parts)


def gradients(path: Path) -> list[str]:
    """Draw the norm of the gradient against the lag for each published recurrent model; returns their names."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    from zoo.recurrent.gradients import gradient_norms
    from zoo.text.vocabulary import encode

    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    drawn = []
    for name in ("rnn-shakespeare", "gru-shakespeare", "lstm-shakespeare"):
        if name in zoo.list_models():
            model: Any = zoo.load(name)
            tokens = encode(sample_text()[:8192], model.characters).reshape(32, 256)
            norms = gradient_norms(model, tokens, LAGS).mean(1)
            axes.semilogy(torch.arange(LAGS + 1), norms, label=name.partition("-")[0].upper())
            drawn.append(name)
    axes.set(xlabel="characters back", ylabel="norm of the gradient")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return drawn


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    options = parser.parse_args()
    try:
        folder, model = locate(options.name), zoo.load(options.name)
        text = ladder(model)
        if zoo.info(options.name).architecture == "char-rnn":
            names = ", ".join(f"`{name}`" for name in gradients(folder / "gradients.png"))
            text += (
                "\n## How far back the gradient reaches\n\n"
                f"Norm of the gradient of the state with respect to the state k characters before it ({names}; 32 windows of "
                "256 held-out characters, 8 random directions each).\n\n"
                "![gradient norm against lag](gradients.png)\n"
            )
    except ZooError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    (folder / "extra.md").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
