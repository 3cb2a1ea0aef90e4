"""Whether other classifiers agree with FCD: the Fréchet distance of generators in the embeddings of several networks.

    python scripts/figures/witness.py consistency-mnist consistency-mnist.distilled ddpm-mnist --steps 20   # minutes

A generator may have learnt to please the network that measures it, or a sibling of that network. Then a network of another kind,
which took no part in its training, would see less of a gain. The table goes into the card of the first generator named.
"""

import argparse
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

import zoo
from zoo.core.classifier import ImageClassifier
from zoo.core.module import ZooModule
from zoo.core.precision import quick_autocast
from zoo.errors import InputError, one_sentence
from zoo.metrics.features import embed, to_uint8
from zoo.metrics.frechet import frechet_distance, gaussian_statistics
from zoo.metrics.reference import extractor_of, images_of
from zoo.store.cards import write_section
from zoo.store.hub import locate

Table = dict[str, dict[str, float]]  # by generator and classifier
REAL = "real training images"


def images_by(model: ZooModule, n: int, steps: int | None) -> Tensor:
    """n images of a generator, in `steps` network calls if it takes them, else as it draws by itself."""
    options = {"steps": steps} if steps and "steps" in inspect.signature(model.sample).parameters else {}  # type: ignore[operator]
    with quick_autocast(model.device.type)[0]:
        return model.sample(n, seed=0, **options).cpu()  # type: ignore[operator]


def measure(generators: Sequence[str], witnesses: Sequence[str], n: int, steps: int | None) -> Table:
    """Distances of n images of each generator to the test split; as many real training images come first.

    Raises:
        InputError: if a witness is no image classifier, or the generators draw images of several data sets.
    """
    models = {name: zoo.load(name) for name in generators}
    datasets = {str((model.data or {}).get("name")) for model in models.values()}
    if len(datasets) != 1:
        raise InputError(f"the generators draw images of {', '.join(sorted(datasets))}: name some of one data set")
    train, test = images_of(datasets.pop())
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[:n]
    drawn = {REAL: train[order]}
    for name, model in models.items():
        print(f"drawing by {name}", flush=True)
        drawn[name] = to_uint8(images_by(model, n, steps), tuple(test.shape[1:]))
    table: Table = {name: {} for name in drawn}
    for witness in witnesses:
        classifier = zoo.load(witness)
        if not isinstance(classifier, ImageClassifier):
            raise InputError(f"{witness} is made for {classifier.task}, no image classifier")
        reference = gaussian_statistics(embed(classifier, test))
        for name, images in drawn.items():
            table[name][witness] = frechet_distance(*gaussian_statistics(embed(classifier, images)), *reference)
            print(f"{name} by {witness}: {table[name][witness]:.3f}", flush=True)
    return table


def text(table: Table, n: int, steps: int | None, command: str) -> str:
    """The card's section, in Markdown."""
    witnesses = list(next(iter(table.values())))
    lines = [
        "## By other eyes\n",
        f"The Fréchet distance of {n:,} images to the test split in the embedding of each classifier; scales differ, so "
        "compare within a column"
        + (f". Models that take a number of steps had {steps}" if steps else "")
        + f". `{command}`\n",
        "| images | " + " | ".join(witnesses) + " |",
        "|---" * (1 + len(witnesses)) + "|",
    ]
    lines += [f"| {name} | " + " | ".join(f"{row[w]:.3f}" for w in witnesses) + " |" for name, row in table.items()]
    return "\n".join(lines) + "\n"


def write(folder: Path, table: Table, n: int, steps: int | None, command: str) -> None:
    used = [name for name in (*table, *next(iter(table.values()))) if name != REAL]
    write_section(folder, text(table, n, steps, command), measured_on=used)


@one_sentence
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", help="generators of one data set")
    parser.add_argument(
        "--witness", nargs="+", help="classifiers (default, for digits: FCD's own, lenet5-mnist and vit-mnist)"
    )
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--steps", type=int, help="for models that take a number of steps (default: their own)")
    options = parser.parse_args()
    folder = locate(options.names[0])
    witnesses = options.witness or [extractor_of("mnist"), "lenet5-mnist", "vit-mnist"]
    table = measure(options.names, witnesses, options.images, options.steps)
    write(folder, table, options.images, options.steps, " ".join(["python scripts/figures/witness.py", *sys.argv[1:]]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
