"""The five losses of segmentation where atoms are marked by 1, 5 and 20 % of the pixels.

    python scripts/figures/atoms.py                # five minutes on one core; writes a section into the card of unet-atoms

One small U-Net a cell of the table, on the first 200 training pictures for 20 epochs, measured on the 60 validation pictures:
the mean intersection over union of ground, carbon and silicon, and the F1 of the atoms' places within one pixel.
"""

import argparse
import sys
from typing import Any

import torch

from datamodules.atoms import Atoms
from zoo.errors import one_sentence
from zoo.models.segmentation.losses import LOSSES
from zoo.models.segmentation.metrics import class_metrics
from zoo.models.segmentation.points import find_points, point_metrics
from zoo.models.segmentation.unet import UNet
from zoo.store.cards import write_section
from zoo.store.hub import locate

RADII = (0.8, 1.8, 3.6)  # pixels of the discs: about 1, 5 and 20 % of a picture
NAME = "unet-atoms"


def measure(loss: str, radius: float, *, pictures: int, epochs: int, seed: int = 0) -> dict[str, Any]:
    """A cell of the table: mean IoU and F1 of a network trained with `loss` on discs of `radius`, and their share."""
    torch.manual_seed(seed)
    data = Atoms(16, radius=radius, limit=pictures, augment={"dihedral": True, "gain": 0.3}, seed=seed)
    model = UNet(3, 1, widths=[16, 24, 32], loss=loss, native=True)  # as the checkpoint's
    data.setup("fit")
    loader = data.train_dataloader()
    steps = epochs * len(loader)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.01)
    falling = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 5e-3, total_steps=steps, pct_start=0.05, anneal_strategy="linear"
    )
    model.train()
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            model.loss_of(model(x), y).backward()
            optimizer.step()
            falling.step()
    model.eval()
    given, truth, spots = [], [], []
    with torch.no_grad():
        for x, y in data.val_dataloader():
            p = model.probabilities(model(x))
            given.append(p.argmax(1))
            truth.append(y.long())
            spots += [find_points(one) for one in p]
    y = torch.cat(truth)
    overlap = class_metrics(torch.cat(given), y, list(Atoms.classes), None, "atoms")
    places = point_metrics(spots, data.coordinates("val"), "atoms")
    value = {row["metric"]: row["value"] for row in (*overlap, *places)}
    return {"share": (y > 0).float().mean().item(), "iou": value["miou"], "f1": value["f1"]}


def section(table: dict[str, list[dict[str, Any]]], pictures: int, epochs: int) -> str:
    """The table in Markdown, a row a loss."""
    first = next(iter(table.values()))
    shares = [f"{100 * cell['share']:.0f} %" for cell in first]
    lines = [
        "## Five losses, three sizes of mark\n",
        f"Each cell is a network of this kind, trained for {epochs} epochs on {pictures} pictures from the same seed. Its two "
        "numbers are from the validation part: the mean IoU of ground, carbon and silicon, then the F1 of places within a "
        "pixel. The columns say how many of the pixels the marks cover.\n",
        "| loss | " + " | ".join(shares) + " |",
        "|---" * (1 + len(shares)) + "|",
    ]
    lines += [
        f"| {loss} | " + " | ".join(f"{cell['iou']:.3f}, {cell['f1']:.3f}" for cell in cells) + " |"
        for loss, cells in table.items()
    ]
    return "\n".join(lines) + "\n"


@one_sentence
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=200, help="training pictures (default: 200)")
    parser.add_argument("--epochs", type=int, default=20, help="of the training (default: 20)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    table: dict[str, list[dict[str, Any]]] = {}
    for loss in LOSSES:
        table[loss] = [measure(loss, radius, pictures=options.pictures, epochs=options.epochs) for radius in RADII]
        print(loss, table[loss], flush=True)
    write_section(locate(NAME), section(table, options.pictures, options.epochs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
