"""Retrain a checkpoint from its recipe and compare with what is published.

    python scripts/reproduce.py lenet5-mnist                 # one seed, beside the published mean ± std
    python scripts/reproduce.py lenet5-mnist --seeds 5 --trainer.accelerator=cpu

The tolerance comes from the published spread: a new run must lie within three standard deviations of the mean (where one seed
was published, within two per cent of the value, and the output says so). Exit code 1 means outside.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from zoo.errors import ZooError
from zoo.paths import CHECKPOINTS
from zoo.train.experiment import run

# A measure's size tells of the model or the data, not of the run's success: printed, but not compared.
NOT_COMPARED = ("_floor", "_pca_gaussian", "_std")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="reproduce.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("name")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--runs", type=Path, default=Path("runs/reproduce"))
    options, overrides = parser.parse_known_args(argv)
    try:
        folder = run(options.name, options.runs, overrides, options.seeds, options.runs / options.name / "published")
    except ZooError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    published = _metrics(CHECKPOINTS / options.name)
    inside = True
    print(f"\n{'metric':32} {'published':>24} {'here':>10}")
    for key, entry in _metrics(folder).items():
        if key not in published or key.endswith(NOT_COMPARED):
            continue
        claim, here = published[key], entry.get("mean", entry["value"])
        mean, std = claim.get("mean", claim["value"]), claim.get("std")
        tolerance = 3 * std if std else 0.02 * abs(mean)
        agrees = abs(here - mean) <= tolerance
        inside &= agrees
        spread = f"± {std:.2g} (n = {claim['n_seeds']})" if std else "(one seed, ± 2 %)"
        print(f"{key:32} {mean:10.5g} {spread:>14} {here:10.5g}  {'agrees' if agrees else 'OUTSIDE'}")
    return 0 if inside else 1


def _metrics(folder: Path) -> dict[str, dict[str, Any]]:
    entries = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return {f"{e['dataset']}/{e['split']}/{e['metric']}": e for e in entries}
