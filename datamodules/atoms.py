"""Atoms as a scanning transmission electron microscope shows them: graphene of carbon with silicon in it, drawn by a formula.

Each picture is a honeycomb lattice, turned, shifted and a little strained. Some places are empty, a cluster of them is a hole,
and some hold silicon. An atom is a Gaussian spot; the detector's signal grows as Z^1.7, so silicon (Z = 14) is four times as
bright as carbon (Z = 6). Shot noise and an uneven ground are laid over it. Every number is drawn by splitmix64 from (seed,
split, picture).

Labels are maps of discs around the atoms, 0 for the ground, 1 for carbon and 2 for silicon; `coordinates` has the places
themselves.
"""

import math
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from datamodules.base import CLI_KEYS, key
from datamodules.dense import DenseDataModule
from zoo.errors import InputError

SIDE, BOND = 96, (9.0, 14.0)  # pixels of a picture's side, and between neighbours
SILICON = (14 / 6) ** 1.7  # its brightness beside carbon's


class Atoms(DenseDataModule):
    """Pictures [N, 1, 96, 96] with maps [N, 96, 96] of the kinds. See `DenseDataModule` for the other arguments.

    Args:
        radius: of the discs in pixels: 0.8 marks about 1 % of the pixels, 1.8 about 5 %, 3.6 about 20 %.
        limit: only so many pictures of each split, for a quick look.
    """

    use: ClassVar[str] = (
        "from zoo.core.samples import picture_sample\n"
        "\n"
        'pictures, _ = picture_sample("atoms")               # packaged pictures; a path, PIL image or array will do too\n'
        "for kind, p, (x, y) in model.points(pictures[0])[:5]:\n"
        "    print(kind, round(p, 2), round(x, 1), round(y, 1))    # in pixels; model.segment gives the map of kinds"
    )

    name = "atoms"
    classes = ("ground", "C", "Si")
    image_shape = (1, SIDE, SIDE)
    mean = (0.115,)
    std = (0.116,)
    counts: ClassVar[dict[str, int]] = {"train": 600, "val": 60, "test": 150}
    licence: ClassVar[str] = "none needed"
    licence_note: ClassVar[str] = "Pictures computed by a formula."
    homepage: ClassVar[str] = "https://doi.org/10.1126/sciadv.abd5084"

    def __init__(
        self,
        batch_size: int = 16,
        *,
        radius: float = 2.5,
        augment: dict[str, Any] | None = None,
        normalize: bool = True,
        seed: int = 0,
        root: str | None = None,
        limit: int | None = None,
    ) -> None:
        if not 0.5 <= radius <= BOND[0] / 2:
            raise InputError(f"radius is {radius}; discs have 0.5 to {BOND[0] / 2} pixels, so that they stay apart.")
        super().__init__(batch_size, augment=augment, normalize=normalize, seed=seed, root=root)
        self.save_hyperparameters(ignore=CLI_KEYS)
        self.radius, self.limit = radius, limit
        self._places: dict[str, list[Tensor]] = {}

    def prepare_data(self) -> None:
        """Nothing is to be fetched."""

    def missing(self) -> list[str]:
        return []

    def load_split(self, split: str) -> tuple[Tensor, Tensor]:
        count = min(self.counts[split], self.limit or self.counts[split])
        number = ("train", "val", "test").index(split)
        drawn = [draw(key(0, number, i), self.radius) for i in range(count)]
        self._places[split] = [atoms for _, _, atoms in drawn]
        return torch.stack([picture for picture, _, _ in drawn]), torch.stack([kinds for _, kinds, _ in drawn])

    def coordinates(self, split: str) -> list[Tensor]:
        """For each picture of a split its atoms, float [n, 3] of (kind, x, y) in pixels from the upper left corner."""
        self.tensors(split)
        return self._places[split]

    def _checked(self, split: str, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return (x, y) if self.limit else super()._checked(split, x, y)


def uniform(seed: int, n: int) -> np.ndarray:
    """n numbers in [0, 1) by splitmix64 (Steele, Lea and Flood, 2014), the same on every machine."""
    z = np.uint64(seed) + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) / 2.0**53


def draw(seed: int, radius: float) -> tuple[Tensor, Tensor, Tensor]:
    """A picture uint8 [1, 96, 96], its map of kinds uint8 [96, 96], and its atoms [n, 3] of (kind, x, y)."""
    u = uniform(seed, 16)
    bond, angle = BOND[0] + (BOND[1] - BOND[0]) * u[0], u[1] * math.pi / 3
    a = bond * math.sqrt(3)
    step = math.ceil(1.6 * SIDE / a)
    i, j = np.meshgrid(np.arange(-step, step + 1), np.arange(-step, step + 1))
    cell = i[..., None] * np.array([a, 0.0]) + j[..., None] * np.array([a / 2, a * math.sqrt(3) / 2])
    places = np.stack([cell, cell + np.array([a / 2, a * math.sqrt(3) / 6])]).reshape(-1, 2)  # two atoms a cell
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    strain = np.eye(2) + 0.04 * (u[2:6].reshape(2, 2) - 0.5)
    places = places @ (turn @ strain).T + SIDE / 2 + a * (u[6:8] - 0.5)
    places = places[((places > 1.5) & (places < SIDE - 1.5)).all(1)]
    chance = uniform(seed ^ 0x5EED, 3 * len(places)).reshape(3, -1)
    hole = np.hypot(*(places - SIDE * u[8:10]).T) < bond * 2.5 * (u[10] - 0.4)
    there = (chance[0] > 0.04) & ~hole
    kinds = np.where(chance[1] < 0.3 * u[11], 2, 1)[there]
    places = places[there] + 0.5 * (chance[2][there, None] - 0.5)
    ys, xs = np.mgrid[:SIDE, :SIDE] + 0.5
    squared = (xs[..., None] - places[:, 0]) ** 2 + (ys[..., None] - places[:, 1]) ** 2  # [H, W, atoms]
    sigma = bond * (0.17 + 0.08 * u[12])
    signal = (np.exp(-squared / (2 * sigma**2)) * np.where(kinds == 2, SILICON, 1.0)).sum(-1)
    ground = 0.15 + 0.25 * (1 + np.sin(xs / 40 + 6 * u[13]) * np.cos(ys / 35 + 6 * u[14])) / 2
    dose = 8 + 40 * u[15]  # electrons that a carbon atom scatters into the brightest pixel
    noise = uniform(seed ^ 0xD05E, 2 * SIDE * SIDE).reshape(2, SIDE, SIDE)
    normal = np.sqrt(-2 * np.log(1 - noise[0])) * np.cos(2 * math.pi * noise[1])
    mean = dose * (signal + ground)
    counted = (mean + np.sqrt(mean) * normal).clip(min=0)
    picture = (counted / (dose * (SILICON + 0.6)) * 255).clip(0, 255).round().astype(np.uint8)
    near = squared.argmin(-1) if len(places) else np.zeros((SIDE, SIDE), int)
    inside = squared.min(-1) <= radius**2 if len(places) else np.zeros((SIDE, SIDE), bool)
    labels = np.where(inside, kinds[near] if len(places) else 0, 0).astype(np.uint8)
    atoms = np.concatenate([kinds[:, None], places], 1)
    return torch.from_numpy(picture)[None], torch.from_numpy(labels), torch.from_numpy(atoms).float()
