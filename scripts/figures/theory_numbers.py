"""Numbers of docs/theory.md and of a card that are measured on published files, put between their markers.

python scripts/figures/theory_numbers.py               # ten minutes; needs MNIST and Tiny Shakespeare
python scripts/figures/theory_numbers.py rates         # one of bits-back, planes, rates
"""

import argparse
import math
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

import zoo
from datamodules.mnist import MNIST
from datamodules.tinyshakespeare import TinyShakespeare
from zoo.core.files import write_text
from zoo.errors import ZooError, one_sentence
from zoo.store.cards import write_section
from zoo.store.hub import locate
from zoo.theory import bits_back, entropy, plane

PAGE = Path(__file__).parents[2] / "docs" / "theory.md"
READERS = ("rnn-shakespeare", "lstm-shakespeare", "gru-shakespeare", "gpt-shakespeare")


def put(page: Path, name: str, text: str) -> None:
    """Put a text between the markers <!-- name --> and <!-- /name --> of a page."""
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    old = page.read_text(encoding="utf-8")
    if start not in old or end not in old:
        raise ZooError(f"{page} has no markers {start} and {end}")
    write_text(page, re.sub(f"{start}.*?{end}", lambda _: f"{start}\n{text}\n{end}", old, flags=re.DOTALL))


def coded(model: Any, images: torch.Tensor, draws: int = 100) -> dict[str, float]:
    """Bits a pixel of a bits-back message of binary images, beside minus the bound, and whether it decodes exactly."""
    report = bits_back.report(model, images)
    back = bits_back.decompress(model, report.data)
    bound = torch.stack([torch.sub(*model.elbo(images, seed=seed)) for seed in range(draws)]).mean()
    return {
        "net": report.bits_per_dim,
        "elbo": -bound.item() / math.log(2) / images[0].numel(),
        "start_bits": report.start_bits,
        "exact": float(torch.equal(back, images)),
    }


def bits(page: Path, n: int = 1000) -> dict[str, float]:
    """Bits-back on the first n test digits."""
    model: Any = zoo.load("vae-mnist")
    data = MNIST(normalize=False)
    images = model.binarize(data.load("test")[0][:n].float() / 255, seed=0)
    found = coded(model, images)
    if not found["exact"]:
        raise ZooError("the message didn't decode exactly")
    gap = found["net"] / found["elbo"] - 1
    words = (
        f"{n:,} binarised test digits by `vae-mnist`: {found['net']:.4f} bits a pixel net, {abs(gap):.1%} "
        f"{'above' if gap > 0 else 'below'} minus the evidence lower bound\n({found['elbo']:.4f}, mean of 100 draws of the "
        f"code), decoded exactly. The stack began with {found['start_bits']:,.0f} random bits, which travel in the bytes\n"
        "and come back at the end."
    )
    put(page, "bits-back", words)
    return found


def turns(path: plane.Path, after: int = 400) -> np.ndarray:
    """Change of I(X; T) of the hidden layers 3, 4 and 5 from a step of the training to its end, in bits."""
    first = next(i for i, step in enumerate(path.steps) if step >= after)
    return (path.i_xt[-1] - path.i_xt[first])[2:5].numpy()


def planes(page: Path, seeds: int = 3, steps: int = 4000) -> dict[str, Any]:
    """What the layers lose or gain of their input after fitting, with tanh and with ReLU."""
    rows = ["| | layer 3 | layer 4 | layer 5 |", "|---|---|---|---|"]
    found: dict[str, Any] = {}
    for activation in ("tanh", "relu"):
        change = np.stack([turns(plane.follow(activation, steps, seed=seed)) for seed in range(seeds)])  # type: ignore[arg-type]
        found[activation] = change.tolist()
        for seed, row in enumerate(change):
            rows.append(f"| {activation}, seed {seed} | {' | '.join(f'{value:+.2f}' for value in row)} |")
    put(page, "planes", f"Change of I(X; T) in bits from step 400 to step {steps:,}:\n\n" + "\n".join(rows))
    return found


def rates(folder: Path, base: float = 2.0) -> dict[str, float]:
    """A card's section: what the past is worth to Markov chains and to networks, in nats a character of the held-out part."""
    text = TinyShakespeare().read()
    train, held = text[: TinyShakespeare.counts["train"]], text[TinyShakespeare.counts["train"] :]
    costs = {"independent characters": entropy.markov_nats(train, held, 0)}
    for order in range(1, 5):
        costs[f"Markov chain of order {order}"] = entropy.markov_nats(train, held, order)
    for name in READERS:
        costs[f"`{name}`"] = zoo.info(name).metric("nats_per_char")
    alone = costs["independent characters"]
    rows = ["| reader | nats a character | information rate in bits a character |", "|---|---|---|"]
    rows += [f"| {name} | {cost:.3f} | {(alone - cost) / math.log(base):.2f} |" for name, cost in costs.items()]
    words = (
        "Mean −log p of the held-out characters. The information rate is what a reader saves against one who takes them as\n"
        "independent. The chains are counted on the training part, 0.01 added to each count.\n"
        "`python scripts/figures/theory_numbers.py rates`"
    )
    table = "\n".join(rows)
    write_section(folder, f"## What the past is worth\n\n{words}\n\n{table}\n", measured_on=READERS)
    return costs


@one_sentence
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=["bits-back", "planes", "rates", []], help="all without")
    names = parser.parse_args().names or ["bits-back", "planes", "rates"]
    for name in names:
        found = (
            rates(locate("gpt-shakespeare")) if name == "rates" else {"bits-back": bits, "planes": planes}[name](PAGE)
        )
        print(name, found, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
