"""The table and the figures of a diffusion model's card: samplers × steps, the reverse process, nearest training images.

    python scripts/figures/diffusion.py ddpm-fashion-mnist --images 500       # everything, twenty minutes of one core
    python scripts/figures/diffusion.py ddpm-mnist --images 2000 --all-steps     # a row of 1,000 steps, too: two hours
    python scripts/figures/diffusion.py ddpm-mnist --images 300 --quick     # a look at it

Writes samplers.json, reverse.png, nearest.png, reconstruction.png, interpolation.png and extra.md into the checkpoint's folder;
`scripts/cards.py` puts extra.md into the card. Distances fall with the number of images, so the floor is measured at the same
number. Each row is kept as it is measured: stopped, the same command goes on with the next one.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import zoo
from zoo.core.files import write_json
from zoo.core.images import save_grid
from zoo.core.precision import quick_autocast
from zoo.errors import one_sentence
from zoo.metrics.features import embed, to_uint8
from zoo.metrics.frechet import frechet_distance, gaussian_statistics
from zoo.metrics.reference import images_of, load_pair
from zoo.metrics.reference import read as read_reference
from zoo.store.cards import write_section
from zoo.store.folder import read_config
from zoo.store.hub import locate

Row = tuple[str, float, tuple[int, ...]]  # a sampler, its η, and numbers of steps
GRID: list[Row] = [
    ("ancestral", 0.0, (10, 20, 50, 100)),
    ("ddim", 1.0, (20,)),
    ("ddim", 0.5, (20,)),
    ("ddim", 0.0, (5, 10, 20, 50, 100)),
    ("dpm-solver++", 0.0, (5, 10, 20, 50)),
    ("heun", 0.0, (5, 10)),
]
QUICK: list[Row] = [("ddim", 0.0, (5,)), ("dpm-solver++", 0.0, (5,))]
LONG: Row = ("ddim", 0.0, (1000,))  # every step of the training's schedule
ROUNDS = (10, 30, 100)  # steps each way of the reconstructions


def sampler_table(model: Any, dataset: str, count: int, grid: list[Row], file: Path) -> dict[str, Any]:
    """FCD and milliseconds per image for every sampler and number of steps, from `count` images each.

    Rows are written to `file` one by one; those that it holds of these weights and as many images aren't measured again.
    """
    reference, (extractor, _) = read_reference(dataset), load_pair(dataset)

    def fcd(images: Tensor) -> float:
        features = embed(extractor, to_uint8(images, model.image_shape))
        return frechet_distance(*gaussian_statistics(features), reference.mean, reference.covariance)

    train = images_of(dataset)[0]
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))
    floors = [fcd(train[order[i * count : (i + 1) * count]].float() / 255) for i in range(3)]
    context, precision = quick_autocast("cpu")
    facts = {
        "images": count,
        "weights": read_config(file.parent)["weights"]["sha256"],
        "floor": sum(floors) / len(floors),
        "threads": torch.get_num_threads(),
        "precision": precision,
    }
    before = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    kept = before["rows"] if all(before.get(key) == value for key, value in facts.items()) else []
    measured = {(row["sampler"], row["eta"], row["steps"]): row for row in kept}
    rows = []
    for name, eta, steps in [(name, eta, steps) for name, eta, many in grid for steps in many]:
        row = measured.get((name, eta, steps))
        if row is None:
            started = time.process_time()  # other work of the machine counts little
            with context:
                images = model.sample(count, seed=0, sampler=name, steps=steps, eta=eta)
            milliseconds = 1e3 * (time.process_time() - started) / count
            calls = 2 * steps - 1 if name == "heun" else steps
            row = {"sampler": name, "eta": eta, "steps": steps, "calls": calls, "fcd": fcd(images), "ms": milliseconds}
        rows.append(row)
        write_json(file, facts | {"rows": rows}, indent=1)
        print({k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()}, flush=True)
    return facts | {"rows": rows}


def reverse_process(model: Any, path: Path) -> None:
    """Six digits on their way from noise, eleven looks each."""
    x = torch.randn(6, *model.image_shape, generator=torch.Generator().manual_seed(1))
    states = [x, *model.trajectory(x, sampler="ddim", steps=50)]
    picked = [states[i] for i in (0, 10, 20, 25, 30, 34, 38, 42, 45, 48, 50)]
    strip = torch.stack(picked, 1).flatten(0, 1)  # [6 · 11, C, H, W], a digit a row
    save_grid((strip / 2 + 0.5).clamp(0, 1), path, columns=len(picked))


def nearest(model: Any, dataset: str, path: Path) -> None:
    """Each sample above the training image that is nearest in feature space: near relatives, not copies."""
    extractor, _ = load_pair(dataset)
    images = model.sample(16, seed=0)
    train = images_of(dataset)[0]
    distance = torch.cdist(embed(extractor, to_uint8(images, model.image_shape)), embed(extractor, train))
    closest = train[distance.argmin(1)].float() / 255
    save_grid(torch.cat([images, closest]), path, columns=16)


def reconstruction(model: Any, dataset: str, path: Path) -> dict[int, float]:
    """Packaged test images, and below them what deterministic DDIM makes of their codes; returns the mean error by steps."""
    from zoo.core.samples import sample_split

    x = sample_split(dataset)[0][:12].float() / 255
    rows = {steps: model.decode(model.encode(x, steps=steps), steps=steps) for steps in ROUNDS}
    save_grid(torch.cat([x, *rows.values()]), path, columns=len(x))
    return {steps: (again - x).abs().mean().item() for steps, again in rows.items()}


def interpolation(model: Any, dataset: str, path: Path) -> None:
    """Paths between packaged test images through the codes of deterministic DDIM."""
    from zoo.core.samples import sample_split

    x = sample_split(dataset)[0][:8].float() / 255
    rows = [model.interpolate(x[2 * i], x[2 * i + 1], steps=10) for i in range(4)]
    save_grid(torch.cat(rows), path, columns=10)


def extra(name: str, table: dict[str, Any], options: str = "") -> str:
    """The card's own section, in Markdown."""
    lines = [
        "## Samplers\n",
        f"FCD of {table['images']:,} images for each sampler and number of steps, the network as published; as many real "
        f"training images have {table['floor']:.2f} (the floor). Smaller samples have larger distances: compare within "
        "this table only. "
        f"Milliseconds of processor time per image with {table['threads']} thread(s), {table['precision']}, in batches of 250. "
        f"`python scripts/figures/diffusion.py {name} --images {table['images']}{options}`\n",
        "| sampler | η | steps | network calls | FCD | × floor | ms/image |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in table["rows"]:
        eta = f"{r['eta']:g}" if r["sampler"] == "ddim" else ""
        ratio = r["fcd"] / table["floor"]
        lines.append(
            f"| {r['sampler']} | {eta} | {r['steps']} | {r['calls']} | {r['fcd']:.2f} | {ratio:.1f} | {r['ms']:.0f} |"
        )
    errors = table["rounds"].items()
    rounds = ", ".join(f"{steps} steps (mean error of a pixel {error:.3f})" for steps, error in errors)
    lines += [
        "\nThe reverse process, deterministic DDIM, noise on the left:\n\n![reverse process](reverse.png)",
        "\nSamples (above) and the training images nearest to them in feature space (below):\n\n![nearest](nearest.png)",
        f"\nTest images (first row), and what deterministic DDIM makes of their codes, there and back in {rounds}:"
        "\n\n![reconstruction](reconstruction.png)",
        "\nBetween pairs of test images, along the great circle of their codes:\n\n![interpolation](interpolation.png)\n",
    ]
    return "\n".join(lines)


@one_sentence
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument(
        "--all-steps", action="store_true", help="a row of 1,000 steps as well: 80 minutes at 2,000 images"
    )
    parser.add_argument("--quick", action="store_true", help="two cells of the table only")
    options = parser.parse_args()
    folder, model = locate(options.name), zoo.load(options.name)
    dataset = model.data["name"]
    reverse_process(model, folder / "reverse.png")
    nearest(model, dataset, folder / "nearest.png")
    rounds = reconstruction(model, dataset, folder / "reconstruction.png")
    interpolation(model, dataset, folder / "interpolation.png")
    grid = [*(QUICK if options.quick else GRID), *([LONG] if options.all_steps else [])]
    table = sampler_table(model, dataset, options.images, grid, folder / "samplers.json") | {"rounds": rounds}
    write_json(folder / "samplers.json", table, indent=1)
    text = extra(options.name, table, " --all-steps" if options.all_steps else "")
    write_section(folder, text, measured_on=[options.name])
    return 0


if __name__ == "__main__":
    sys.exit(main())
