"""Store a checkpoint's weights in int8 (zoo.store.int8), and keep that only if its first metric stays what it was.

    python scripts/shrink.py maf-mnist
    python scripts/shrink.py gan-mnist --tolerance 0.01       # a distance between samples is noisier than an accuracy

The new folder is measured in a fresh process before it takes the old one's place; its recipe says `dtype: int8` from then on.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from zoo.cli.main import ended
from zoo.errors import InputError, ZooError
from zoo.store.atomic import replacing
from zoo.store.cards import write_card
from zoo.store.folder import read, read_config, write
from zoo.store.hub import locate

EVALUATE = Path(__file__).with_name("evaluate.py")


def shrink(folder: Path, tolerance: float) -> str:
    """Rewrite a folder in int8 and say what became of its size and first metric.

    Raises:
        InputError: if it is int8 already, was measured over several seeds, or the metric moved by more than the tolerance; the
            folder is as it was.
    """
    config = read_config(folder)
    before = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    if config["weights"]["dtype"] == "int8":
        raise InputError(f"{folder.name} is stored in int8 already")
    if "seconds_all_seeds" in json.loads((folder / "provenance.json").read_text(encoding="utf-8")):
        raise InputError(
            f"the mean of {folder.name} is one over several files, of which one is left: train it with dtype: int8 instead"
        )
    with replacing(folder) as staged:
        weights = config["weights"]
        write(
            read(folder), staged, name=folder.name, averaged=weights["averaged"], dtype=torch.int8, data=config["data"]
        )
        recipe = staged / "recipe.yaml"
        text = recipe.read_text(encoding="utf-8")
        recipe.write_text(in_int8(text), encoding="utf-8")
        with tempfile.TemporaryDirectory() as parent:  # whose name is the checkpoint's, as evaluation asks for
            copy = Path(shutil.copytree(staged, Path(parent) / folder.name))
            if subprocess.run([sys.executable, str(EVALUATE), str(copy), "--write"], check=False).returncode:
                raise InputError(f"{folder.name} couldn't be measured; it is stored as before")
            shutil.copyfile(copy / "metrics.json", staged / "metrics.json")
        was, now = before[0], json.loads((staged / "metrics.json").read_text(encoding="utf-8"))[0]
        moved = f"{was['metric']} {was['value']:.6g} -> {now['value']:.6g}"
        if not abs(now["value"] - was["value"]) <= tolerance * abs(was["value"]):
            raise InputError(f"{folder.name}: {moved} is more than {tolerance:.2%}; it is stored as before")
        write_card(staged)
    return f"{folder.name}: {moved}"


def in_int8(recipe: str) -> str:
    """A recipe whose export is in int8, whether it named a dtype, an export, or neither."""
    line = "  dtype: int8  # a quarter of the size, see zoo.store.int8"
    new, count = re.subn(r"(?m)^  dtype: \w+.*$", line, recipe)
    if count:
        return new
    if "\nexport:\n" in recipe:
        return recipe.replace("\nexport:\n", f"\nexport:\n{line}\n", 1)
    return recipe.replace("\ncard:\n", f"\nexport:\n{line}\ncard:\n", 1)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", help="names or folders of checkpoints")
    parser.add_argument("--tolerance", type=float, default=0.002, help="largest change of the metric, as a share of it")
    options = parser.parse_args(argv)
    failed = 0
    for name in options.names:
        try:
            print(shrink(locate(name), options.tolerance), flush=True)
        except ZooError as error:
            print(f"error: {error}", file=sys.stderr)
            failed = 2
    return failed


if __name__ == "__main__":
    sys.exit(ended(main))
