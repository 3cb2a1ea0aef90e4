"""Where the checkpoints of this machine are: in the checkout, or the few small ones inside an installed package."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]  # the checkout, or the folder of installed packages


def _home() -> Path:
    """The checkout's checkpoints/, or the few small ones inside an installed package."""
    return (ROOT if (ROOT / "pyproject.toml").is_file() else ROOT / "zoo") / "checkpoints"


CHECKPOINTS = _home()


def names_in(root: Path, file: str = "config.json") -> list[str]:
    """Sorted names of the folders of `root` that hold a file; one that is just being written has a dot before its name."""
    return sorted(path.parent.name for path in root.glob(f"[!.]*/{file}"))
