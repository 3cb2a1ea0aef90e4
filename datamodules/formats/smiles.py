"""From a SMILES string to a graph: atoms are nodes, bonds are edges, hydrogens are counted on the atoms that hold them.

A reader of the OpenSMILES grammar for what small molecules use: the organic subset, brackets with isotope, hydrogens and
charge, branches, rings (%nn too), all bonds, aromatic atoms, and parts separated by a dot. Stereo marks are read and
left out: the graph has none.
"""

import re
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F
from torch_geometric.data import Data

from zoo.errors import InputError

VALENCES = {
    "B": (3,), "C": (4,), "N": (3, 5), "O": (2,), "P": (3, 5), "S": (2, 4, 6), "F": (1,), "Cl": (1,), "Br": (1,), "I": (1,)
}  # fmt: skip
WEIGHTS = {
    "H": 1.008, "B": 10.812, "C": 12.011, "N": 14.007, "O": 15.999, "F": 18.998, "Si": 28.086, "P": 30.974, "S": 32.067,
    "Cl": 35.453, "Se": 78.96, "Br": 79.904, "I": 126.904,
}  # fmt: skip
SYMBOLS = ("C", "N", "O", "S", "P", "F", "Cl", "Br", "I")  # one column each; all others share one
LONGEST = 5000  # characters
BONDS = {"-": 1.0, "/": 1.0, "\\": 1.0, "=": 2.0, "#": 3.0, ":": 1.5}
TOKEN = re.compile(
    r"(?P<bracket>\[(?P<isotope>\d{1,3})?(?P<symbol>[A-Z][a-z]?|[a-z]{1,2})(?P<chiral>@{0,2})(?P<h>H\d?)?"
    r"(?P<charge>\+\d{1,2}|-\d{1,2}|\+{1,9}|-{1,9})?(?::\d{1,4})?\])|(?P<plain>Br|Cl|[BCNOPSFI]|[bcnops])|(?P<bond>[-=#:/\\])|"
    r"(?P<ring>%\d\d|\d)|(?P<other>[().])"
)


@dataclass
class Atom:
    """An atom with its facts in the string; hydrogens is None until the bonds are known."""

    symbol: str
    aromatic: bool
    charge: int = 0
    hydrogens: int | None = None
    bonds: list[float] = field(default_factory=list)

    def fill(self) -> None:
        """Count the hydrogens that the organic subset leaves out: those up to the next normal valence."""
        if self.hydrogens is None:
            used = sum(1.0 if order == 1.5 else order for order in self.bonds) + (1 if self.aromatic else 0)
            normal = VALENCES[self.symbol][:1] if self.aromatic else VALENCES[self.symbol]
            self.hydrogens = int(next((valence - used for valence in normal if valence >= used), 0))


def parse(smiles: str) -> tuple[list[Atom], list[tuple[int, int, float]]]:
    """Atoms, and bonds (i, j, order) with order 1.5 between aromatic atoms.

    Raises:
        InputError: for a string that is no SMILES, naming the place.
    """
    if not isinstance(smiles, str) or not smiles.strip():
        raise InputError(f'a molecule is a SMILES string such as "CCO", not {smiles!r}')
    text = smiles.strip()
    if len(text) > LONGEST:
        raise InputError(f"a SMILES string has at most {LONGEST:,} characters, not {len(text):,}")
    atoms: list[Atom] = []
    bonds: list[tuple[int, int, float]] = []
    branches: list[int] = []
    rings: dict[int, tuple[int, str | None]] = {}
    last, bond, place = -1, None, 0

    def wrong(what: str) -> InputError:
        return InputError(f"{smiles!r} is no SMILES string: {what} at character {place + 1}")

    def join(i: int, j: int, mark: str | None) -> None:
        both = atoms[i].aromatic and atoms[j].aromatic
        order = BONDS[mark] if mark else 1.5 if both else 1.0
        bonds.append((i, j, order))
        atoms[i].bonds.append(order)
        atoms[j].bonds.append(order)

    while place < len(text):
        token = TOKEN.match(text, place)
        if token is None:
            raise wrong(f"{text[place]!r} means nothing")
        if token["plain"] or token["bracket"]:
            symbol = token["plain"] or token["symbol"]
            atom = Atom(symbol.capitalize(), symbol[0].islower())
            if token["bracket"]:
                h, charge = token["h"], token["charge"] or ""
                atom.hydrogens = int(h[1:] or 1) if h else 0
                atom.charge = _charge(charge)
            atoms.append(atom)
            if last >= 0:
                join(last, len(atoms) - 1, bond)
            last, bond = len(atoms) - 1, None
        elif token["bond"]:
            if last < 0 or bond:
                raise wrong("a bond joins nothing")
            bond = token["bond"]
        elif token["ring"]:
            number = int(token["ring"].lstrip("%"))
            if last < 0:
                raise wrong("a ring has no atom")
            if number in rings:
                other, mark = rings.pop(number)
                if other == last:
                    raise wrong("an atom closes a ring with itself")
                join(other, last, mark or bond)
            else:
                rings[number] = last, bond
            bond = None
        elif token["other"] == "(":
            if last < 0:
                raise wrong("a branch has no atom")
            branches.append(last)
        elif token["other"] == ")":
            if not branches or bond:
                raise wrong("a branch ends that didn't begin" if not bond else "a bond joins nothing")
            last = branches.pop()
        else:
            last = -1
        place = token.end()
    if branches or rings or bond or not atoms:
        raise wrong("a branch, a ring or a bond is open")
    for atom in atoms:
        atom.fill()
    return atoms, bonds


def _charge(text: str) -> int:
    sign = 1 if text.startswith("+") else -1
    return sign * (int(text[1:]) if text[1:].isdigit() else len(text))


def from_smiles(smiles: str) -> Data:
    """The molecule as a PyG graph: x [atoms, ATOM_FEATURES], edge_index [2, 2 * bonds], edge_attr [2 * bonds, BOND_FEATURES]."""
    import networkx as nx

    atoms, bonds = parse(smiles)
    graph = nx.Graph([(i, j) for i, j, _ in bonds])
    bridges = {frozenset(pair) for pair in nx.bridges(graph)} if bonds else set()
    in_ring = [frozenset((i, j)) not in bridges for i, j, _ in bonds]  # a bond whose loss cuts nothing off
    ring_atoms = {atom for (i, j, _), ring in zip(bonds, in_ring, strict=True) if ring for atom in (i, j)}
    x = torch.stack([_atom_features(atom, i in ring_atoms) for i, atom in enumerate(atoms)])
    ends = torch.tensor([[i, j] for i, j, _ in bonds], dtype=torch.long).reshape(-1, 2).T
    orders = (1.0, 1.5, 2.0, 3.0)
    marks = [
        [float(order == o) for o in orders] + [float(ring)] for (*_, order), ring in zip(bonds, in_ring, strict=True)
    ]
    attributes = torch.tensor(marks).reshape(-1, BOND_FEATURES)
    return Data(x=x, edge_index=torch.cat([ends, ends.flip(0)], 1), edge_attr=attributes.repeat(2, 1))


def _atom_features(atom: Atom, in_ring: bool) -> Tensor:
    symbol = SYMBOLS.index(atom.symbol) if atom.symbol in SYMBOLS else len(SYMBOLS)
    parts = [(symbol, len(SYMBOLS) + 1), (min(len(atom.bonds), 5), 6), (min(atom.hydrogens or 0, 4), 5)]
    one_hot = [F.one_hot(torch.tensor(value), size) for value, size in parts]
    return torch.cat([*one_hot, torch.tensor([atom.charge, atom.aromatic, in_ring])]).float()


def molecular_weight(smiles: str) -> float:
    """Grams per mole, by standard atomic weights."""
    atoms, _ = parse(smiles)
    if unknown := sorted({atom.symbol for atom in atoms} - WEIGHTS.keys()):
        raise InputError(
            f"{smiles!r:.80} has {', '.join(unknown)}, whose weight isn't listed; listed are {', '.join(WEIGHTS)}"
        )
    return sum(WEIGHTS[atom.symbol] + WEIGHTS["H"] * (atom.hydrogens or 0) for atom in atoms)


BOND_FEATURES = 5
ATOM_FEATURES = len(SYMBOLS) + 1 + 6 + 5 + 3
