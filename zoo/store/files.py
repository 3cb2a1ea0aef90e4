"""The files of a checkpoint folder: what each holds, which of them loading, a card and the Hub need, and its metrics."""

import hashlib
from pathlib import Path
from typing import Any

from zoo.core.files import write_json

TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
REFERENCE = "reference.safetensors"  # what an extractor of zoo.metrics saw in real images, beside its weights
LOADED = ("config.json", "model.safetensors", "golden.safetensors", "metrics.json")  # loading and checking need these
FINISHED = (  # a folder without one of these is work to come
    "config.json", "model.safetensors", "recipe.yaml", "metrics.json", "provenance.json", "golden.safetensors",
)  # fmt: skip
PUBLISHED = {  # what a repository of the Hub has to hold, in the words of a refusal
    "config.json": "configuration",
    "model.safetensors": "weights",
    "recipe.yaml": "recipe",
    "metrics.json": "metrics",
    "golden.safetensors": "golden tensors",
    "README.md": "card",
}
SHOWN = ("README.md", "preview.png", TOKENIZER, TOKENIZER_CONFIG)  # for readers and other tools
SENT = frozenset({*FINISHED, *SHOWN, "history.csv", "extra.md"})  # to the Hub, beside the pictures of the card
OURS = frozenset({*SENT, "hub.json", "confusion.png", "finetuning.json", "finetuning.png"})  # all that the zoo writes


def write_metrics(folder: Path, metrics: list[dict[str, Any]]) -> None:
    """Write metrics.json: each entry with the sha256 of the weights in the folder, from which it was measured."""
    sha256 = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    write_json(folder / "metrics.json", [{**entry, "sha256": sha256} for entry in metrics])
