"""ESOL: solubility in water of 1128 small molecules (Delaney, 2004; Wu et al., 2018, arXiv:1703.00564).

The target is the logarithm of the measured solubility in moles per litre; features come from the SMILES strings alone. The split
is random and fixed: 80 % train, 10 % validate, 10 % test, as MoleculeNet does for this set.
"""

import csv
import math
from typing import ClassVar

import torch
from torch_geometric.data import Data

from datamodules.base import fixed_permutation
from datamodules.files import fetch
from datamodules.formats.smiles import from_smiles
from datamodules.graphs import GraphDataModule
from zoo.errors import InputError

TARGET = "measured log solubility in mols per litre"


class ESOL(GraphDataModule):
    """Molecules with the logarithm of their solubility.

    Args:
        batch_size: molecules per batch.
        root: folder of the raw files; default `$ZOO_DATA`, else the user's cache folder.
    """

    name = "esol"
    offers: ClassVar[tuple[str, ...]] = ("molecules",)
    classes: tuple[str, ...] = ()
    unit: ClassVar[str] = "log10 mol/l"
    count: ClassVar[int] = 1128
    protocol = (
        "fixed random split 902/113/113, test RMSE and MAE in log10 mol/l, epoch chosen by validation error, mean over runs with "
        "seeds 0, 1, …"
    )
    licence = "MIT"
    licence_note = "DeepChem's licence for the file; the measurements were published by Delaney in 2004."
    homepage = "https://moleculenet.org"
    file: ClassVar[str] = "moleculenet/delaney-processed.csv"
    urls: ClassVar[tuple[str, ...]] = (
        "https://deepchemdata.s3-us-west-1.amazonaws.com/datasets/delaney-processed.csv",
        "https://raw.githubusercontent.com/deepchem/deepchem/master/datasets/delaney-processed.csv",
    )
    sha256: ClassVar[str] = "8c06a76f0c6487d29ab0f903e6a7a7139f189ab3c1178f159c8be8964602f189"

    def __init__(self, batch_size: int = 64, *, root: str | None = None) -> None:
        super().__init__(batch_size, root=root)
        self.save_hyperparameters()

    def prepare_data(self) -> None:
        fetch(self.file, self.urls, self.sha256, root=self.root)

    def load(self) -> list[Data]:
        path = fetch(self.file, self.urls, self.sha256, root=self.root)
        graphs = []
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                try:
                    value = float(row[TARGET])
                    graph = from_smiles(row["smiles"])
                except (KeyError, TypeError, ValueError) as error:
                    raise InputError(f"{path} has a row that can't be read ({error}): fetch it again.") from error
                graph.y = torch.tensor([value])
                graph.smiles = row["smiles"].strip()
                graphs.append(graph)
        if len(graphs) != self.count or not all(math.isfinite(float(g.y)) for g in graphs):
            raise InputError(f"{path} holds {len(graphs)} molecules, not {self.count}: fetch it again.")
        return graphs

    def split(self) -> tuple[list[int], list[int], list[int]]:
        order = fixed_permutation(self.count).tolist()
        tenth = self.count // 10 + 1
        return order[: -2 * tenth], order[-2 * tenth : -tenth], order[-tenth:]
