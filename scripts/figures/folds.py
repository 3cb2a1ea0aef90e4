"""The averaged validation curve of a cross-validated graph classifier, and what the paper's way of choosing reads from it.

    python scripts/figures/folds.py gin-mutag --runs runs      # after scripts/train.py gin-mutag --runs runs

The card's accuracy is nested: every fold tests a model whose epoch another fold chose. The paper chooses the epoch with the
best mean over the validation folds and reports that very mean; it is given beside the nested one, never in place of it.
Writes folds.png and extra.md into the checkpoint's folder; `scripts/cards.py` puts extra.md into the card.
"""

import argparse
import csv
import json
import statistics
import sys
from pathlib import Path

from zoo.core.files import write_figure
from zoo.errors import InputError, one_sentence
from zoo.store.cards import write_section
from zoo.store.hub import locate


def curves(run: Path) -> list[list[float]]:
    """Validation accuracy of every epoch, one list a fold."""
    found = []
    for path in sorted(run.glob("seed*/history.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            found.append([float(row["val/accuracy"]) for row in csv.DictReader(file)])
    if not found or len({len(curve) for curve in found}) > 1:
        raise InputError(f"{run} doesn't hold the whole histories of all folds: train first, by scripts/train.py")
    return found


@one_sentence
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="a checkpoint whose seeds are folds")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where scripts/train.py kept the runs")
    options = parser.parse_args()
    folder, folds = locate(options.name), curves(options.runs / options.name)
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    mean = [statistics.mean(epoch) for epoch in zip(*folds, strict=True)]
    best = max(range(len(mean)), key=mean.__getitem__)
    spread = statistics.stdev(fold[best] for fold in folds)
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    nested = next(entry for entry in metrics if (entry["split"], entry["metric"]) == ("test", "accuracy"))
    figure = Figure(figsize=(5.4, 3.2), layout="constrained")
    axis = figure.subplots()
    for fold in folds:
        axis.plot(fold, color="C0", alpha=0.2, lw=0.8)
    axis.plot(mean, color="C0", label=f"mean of {len(folds)} folds")
    axis.plot(best, mean[best], "o", color="C1", label=f"epoch {best}: {mean[best]:.3f}")
    axis.set(xlabel="epoch", ylabel="validation accuracy")
    axis.legend(frameon=False)
    write_figure(folder / "folds.png", figure, dpi=100)
    write_section(
        folder,
        f"""## Two protocols

![validation curves](folds.png)

Nested selection, as in the table above: {100 * nested["mean"]:.1f} ± {100 * nested["std"]:.1f} %. By the paper's protocol, the
best epoch of the averaged validation curve reported on those very folds: [{100 * mean[best]:.1f} ± {100 * spread:.1f} %]. The
second flatters, since the epoch was chosen on what it is measured on; papers of this family quote it. (Eight folds train here in
both cases, the paper trains on nine.)
""",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
