"""Retrain a checkpoint from its recipe and compare with what is published.

    python scripts/reproduce.py lenet5-mnist                 # one seed, beside the published mean ± std
    python scripts/reproduce.py lenet5-mnist --seeds 5 --trainer.accelerator=cpu

The tolerance comes from the published spread: a new run must lie within three standard deviations of the mean over seeds. Where
one seed was published, a share of n examples has the spread of its own evaluation, √(2p(1 - p)/n) between two runs, and anything
else may differ by two per cent; the output says which. Exit code 1 means outside.
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any

from zoo.errors import one_sentence
from zoo.paths import CHECKPOINTS
from zoo.train.experiment import run

ROUNDING = 1e-6  # float32
# These entries describe the model or the data, not the run's success: printed, but not compared.
NOT_COMPARED = ("_floor", "_pca_gaussian", "_std")


@one_sentence
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
    folder = run(options.name, options.runs, overrides, options.seeds, options.runs / options.name / "published")
    published = _metrics(CHECKPOINTS / options.name)
    inside = True
    print(f"\n{'metric':32} {'published':>24} {'here':>10}")
    for key, entry in _metrics(folder).items():
        if key not in published or key.endswith(NOT_COMPARED):
            continue
        claim, here = published[key], entry.get("mean", entry["value"])
        mean = claim.get("mean", claim["value"])
        allowed, words = tolerance(claim)
        agrees = abs(here - mean) <= allowed
        inside &= agrees
        print(f"{key:32} {mean:10.5g} {words:>14} {here:10.5g}  {'agrees' if agrees else 'OUTSIDE'}")
    return 0 if inside else 1


def tolerance(claim: dict[str, Any]) -> tuple[float, str]:
    """How far a new run may be from a published entry of metrics.json, and that in words."""
    value, n = claim["value"], claim.get("n")
    if "std" in claim:  # zero too: five runs of 500 out of 500 leave no room
        return 3 * claim["std"] + ROUNDING * abs(value), f"± {claim['std']:.2g} (n = {claim['n_seeds']})"
    if n and 0 <= value <= 1 and claim["better"] == "higher":
        spread = math.sqrt(2 * value * (1 - value) / n)
        return 3 * spread + ROUNDING, f"(one seed, ± {3 * spread:.2g} of {n:,} examples)"
    return 0.02 * abs(value), "(one seed, ± 2 %)"


def _metrics(folder: Path) -> dict[str, dict[str, Any]]:
    entries = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return {f"{e['dataset']}/{e['split']}/{e['metric']}": e for e in entries}
