"""The command line of `zoo finetune` and scripts/finetune.py."""

import argparse
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import yaml

from zoo.core.allocator import keep_freed_memory
from zoo.errors import InputError, one_sentence
from zoo.train.finetuning import FineTuned, finetune
from zoo.train.fitting import MODES


@one_sentence
def main(argv: list[str]) -> int:
    """The command line of `zoo finetune` and scripts/finetune.py; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="finetune.py",
        allow_abbrev=False,
        epilog="--data.KEY VALUE goes to the data module (--data.root, --data.augment, --data.test_share, …), "
        "--trainer.KEY VALUE to lightning.Trainer (--trainer.accelerator, …).",
    )
    parser.add_argument("name", help="a checkpoint: a name, a folder, or hf://owner/name")
    parser.add_argument(
        "--data",
        default="image-folder",
        help="a kind of data (default: image-folder), such as unlabelled-folder, text-file, text-folder, text-csv, pairs-tsv, "
        "graph-csv, smiles-csv, table-csv, dna-fasta, midi-folder, mask-folder, box-folder, wav-folder",
    )
    parser.add_argument("--into", type=Path, help="folder of the result (default: runs/NAME-DATA)")
    parser.add_argument("--mode", choices=MODES, default="full", help="what learns (default: full)")
    parser.add_argument("--freeze", nargs="+", default=[], metavar="PART", help="parts that keep their weights")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--lr", type=float, help="learning rate of the head (default: the model's suggestion)")
    parser.add_argument("--layer-decay", type=float, default=0.7, help="how much slower each layer below learns")
    parser.add_argument(
        "--lora",
        type=int,
        metavar="RANK",
        help="GPT and BERT: learn a change of this rank beside frozen attention layers",
    )
    parser.add_argument("--patience", type=int, default=5, help="stop after so many epochs without a better value")
    parser.add_argument(
        "--no-scratch", action="store_true", help="don't train the same architecture from fresh weights"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fresh", action="store_true", help="replace an earlier result in the same folder")
    parser.add_argument(
        "--overwrite", action="store_true", help="write beside other files of the folder, which stay as they are"
    )
    options, rest = parser.parse_known_args(argv)
    keep_freed_memory()
    tune_by(options, rest)
    return 0


def tune_by(options: argparse.Namespace, rest: list[str]) -> FineTuned:
    """Fine-tune as the command line says, and print what came of it."""
    settings = overrides(rest)
    found = finetune(
        options.name,
        options.data,
        into=options.into,
        settings=settings["data"],
        mode=options.mode,
        freeze=options.freeze,
        epochs=options.epochs,
        lr=options.lr,
        layer_decay=options.layer_decay,
        lora=options.lora,
        patience=options.patience,
        scratch=not options.no_scratch,
        seed=options.seed,
        fresh=options.fresh,
        overwrite=options.overwrite,
        trainer=settings["trainer"],
    )
    for metric, value in found.after.items():
        beside = [f"{found.before[metric]:.4g} before"] if metric in found.before else []
        if found.scratch and metric in found.scratch:
            beside.append(f"{found.scratch[metric]:.4g} from scratch")
        print(f"{metric} on the held-out part: {value:.4g} ({', '.join(beside)}; {found.better[metric]} is better)")
    print(f'{found.folder}: zoo.load("{found.folder}") reads it, finetuning.png shows what was gained')
    return found


def overrides(rest: list[str]) -> dict[str, dict[str, Any]]:
    """{"data": …, "trainer": …} out of --data.KEY VALUE and --trainer.KEY=VALUE; values are YAML, as in a recipe.

    Raises:
        InputError: for anything else.
    """
    found: dict[str, dict[str, Any]] = {"data": {}, "trainer": {}}
    words = iter(rest)
    for word in words:
        option, joined, value = word.partition("=")
        group, _, key = option.removeprefix("--").partition(".")
        if not option.startswith("--") or group not in found or not key:
            raise InputError(f"there is no option {word!r}: see --help")
        if not joined:
            value = next(words, "")
            if not value or value.startswith("--"):
                raise InputError(f"{option} needs a value")
        try:
            found[group][key] = value if key == "root" else yaml.safe_load(value)  # a folder named 2024 stays a name
        except yaml.YAMLError:
            raise InputError(f"{option} can't be {value!r}: that is no valid YAML") from None
    check: Callable[..., Any] = L.Trainer.__init__
    if unknown := [key for key in found["trainer"] if key not in inspect.signature(check).parameters]:
        raise InputError(f"lightning.Trainer has no setting {', '.join(unknown)}")
    return found
