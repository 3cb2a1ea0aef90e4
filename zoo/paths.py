"""Where the checkpoints of this machine are: in the checkout, inside the installed package, or in installed wheels of weights."""

from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]  # the checkout, or the folder of installed packages
IN_CHECKOUT = (ROOT / "pyproject.toml").is_file()
CHECKPOINTS = (ROOT if IN_CHECKOUT else ROOT / "zoo") / "checkpoints"
WEIGHTS = "lightning_model_zoo.weights"  # the group of entry points under which a wheel of weights names its package


def names_in(root: Path, file: str = "config.json") -> list[str]:
    """Sorted names of the folders of `root` that hold a file; one that is just being written has a dot before its name."""
    return sorted(path.parent.name for path in root.glob(f"[!.]*/{file}"))


@cache
def weight_wheels() -> tuple[Path, ...]:
    """The folders of checkpoints that installed wheels of weights bring; none of their code is run."""
    found = []
    for entry in entry_points(group=WEIGHTS):
        spec = find_spec(entry.value)
        found += [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    return tuple(sorted(found))


def in_wheels(name: str) -> Path | None:
    """The folder of a checkpoint in an installed wheel of weights, if there is one."""
    return next((place / name for place in weight_wheels() if (place / name / "config.json").is_file()), None)


def whereabouts(name: str, repo: str | None) -> str:
    """Where a checkpoint is: "here", "bundled" with the package, in a "wheel", on the "Hub", or "nowhere yet"."""
    if (CHECKPOINTS / name / "config.json").is_file():
        return "here" if IN_CHECKOUT else "bundled"
    if in_wheels(name):
        return "wheel"
    return "Hub" if repo else "nowhere yet"
