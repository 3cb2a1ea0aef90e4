"""Fine-tune a model of each family on the small example of its kind of data, and write the table of docs/own-data.md.

    python scripts/own_data.py                     # all of them, a few minutes on one core
    python scripts/own_data.py gpt-shakespeare     # some of them; the others keep their numbers

Each row is measured on the example's held-out part: the model as it came, fine-tuned, and its architecture from scratch.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import zoo
from datamodules.examples import write_example
from zoo.cli.main import ended
from zoo.core.allocator import keep_freed_memory
from zoo.core.files import write_json, write_text
from zoo.errors import ZooError
from zoo.paths import ROOT

ROWS: dict[str, tuple[str, dict[str, Any]]] = {  # of model: kind of data, settings of the run
    "lenet5-mnist": ("image-folder", {"epochs": 5}),
    "simclr-cifar10": ("image-folder", {"epochs": 20}),
    "vae-fashion-mnist": ("unlabelled-folder", {"epochs": 10}),
    "gan-mnist": ("image-folder", {"epochs": 10}),
    "realnvp-mnist": ("image-folder", {"epochs": 5}),
    "pixelcnn-mnist": ("image-folder", {"epochs": 3}),
    "ddpm-mnist": ("image-folder", {"epochs": 3}),
    "gru-shakespeare": ("text-file", {"epochs": 2}),
    "gpt-shakespeare": ("text-folder", {"epochs": 2}),
    "bert-gutenberg": ("text-file", {"epochs": 2}),
    "lstm-sst2": ("text-csv", {"epochs": 4}),
    "transformer-multi30k": ("pairs-tsv", {"epochs": 4}),
    "gcn-cora": ("graph-csv", {"epochs": 60, "patience": 20}),
    "mpnn-esol": ("smiles-csv", {"epochs": 30}),
    "perceptron-iris": ("table-csv", {"epochs": 30}),
    "conv1d-tfbs": ("dna-fasta", {"epochs": 5}),
    "lstm-chorales": ("midi-folder", {"epochs": 10}),
    "unet-nuclei": ("mask-folder", {"epochs": 3}),
    "yolo-bccd": ("box-folder", {"epochs": 3}),
    "unet-separation": ("wav-folder", {"epochs": 1, "settings": {"train_size": 32, "val_size": 8, "test_size": 8}}),
}
START, END = "<!-- measured -->", "<!-- end -->"


def row(name: str, trainer: dict[str, Any] | None = None) -> dict[str, Any]:
    """The numbers of one model on the example of its kind."""
    kind, settings = ROWS[name]
    with tempfile.TemporaryDirectory() as place:
        root = write_example(kind, Path(place) / "example")
        options = {"enable_progress_bar": False} | (trainer or {})
        found = zoo.finetune(name, kind, root=root, into=Path(place) / "result", trainer=options, **settings)
    metric = min(found.after, key=lambda name: "loss" in name)  # what people read, where there is more than the loss
    values = {
        "before": found.before[metric],
        "after": found.after[metric],
        "scratch": (found.scratch or {}).get(metric),
    }
    return {"kind": kind, "metric": metric, "better": found.better[metric], "epochs": settings["epochs"], **values}


def markdown(table: dict[str, dict[str, Any]]) -> str:
    """The table, in Markdown."""
    lines = ["| model | data | metric | before | fine-tuned | from scratch |", "|---|---|---|---|---|---|"]
    for name in [name for name in ROWS if name in table]:
        found = table[name]
        cells = [f"{found[key]:.3g}" for key in ("before", "after", "scratch")]
        arrow = "↑" if found["better"] == "higher" else "↓"
        lines.append(f"| {name} | {found['kind']} | {found['metric']} {arrow} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(ROWS), help=f"some of {', '.join(ROWS)}")
    parser.add_argument("--into", type=Path, default=ROOT / "docs", help="folder of own-data.md (default: docs)")
    options = parser.parse_args(argv)
    kept, page = options.into / "own-data.json", options.into / "own-data.md"
    table = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
    for name in options.names:
        try:
            table[name] = row(name)
        except (ZooError, KeyError) as error:
            print(f"error: {name}: {error}", file=sys.stderr)
            return 2
        write_json(kept, table, indent=1)
        print(name, table[name], flush=True)
        if page.is_file():
            before, _, rest = page.read_text(encoding="utf-8").partition(START)
            write_text(page, f"{before}{START}\n{markdown(table)}{END}{rest.partition(END)[2]}")
    return 0


if __name__ == "__main__":
    keep_freed_memory()
    sys.exit(ended(main))
