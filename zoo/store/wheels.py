"""Wheels of weights: all checkpoints by family, at most 95 MB a wheel; `zoo.load` finds them once they are installed.

    python -m zoo.store.wheels --out dist/
    python -m zoo.store.wheels --out dist/ --family graphs

A wheel holds a package of plain files, `lightning_model_zoo_weights_graphs/NAME/…`, and an entry point that names it. Its files
are checked like all others: the sha256 of config.json, and that of the index.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from zoo import registry
from zoo.errors import InputError, one_sentence
from zoo.paths import CHECKPOINTS, WEIGHTS, names_in
from zoo.store.files import LOADED, SHOWN
from zoo.version import __version__

LIMIT = 95 * 10**6  # bytes; a package index takes 100 MB a file
PREFIX = "lightning-model-zoo-weights"

PYPROJECT = """[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "{distribution}"
version = "{version}"
description = "Weights of the Lightning model zoo: {names}"
license = "Apache-2.0"
requires-python = ">=3.11"
dependencies = ["lightning-model-zoo"]

[project.entry-points."{group}"]
{package} = "{package}"

[tool.setuptools]
packages = ["{package}"]
include-package-data = false

[tool.setuptools.package-data]
{package} = ["*/*"]
"""


def plan(checkpoints: Path = CHECKPOINTS, limit: int = LIMIT) -> dict[str, list[str]]:
    """Names of checkpoints by wheel: one a family, or several, numbered, where a family exceeds the limit."""
    families: dict[str, list[str]] = {}
    for name in names_in(checkpoints, "model.safetensors"):
        config = json.loads((checkpoints / name / "config.json").read_text(encoding="utf-8"))
        families.setdefault(registry.family(config["architecture"]), []).append(name)
    wheels: dict[str, list[str]] = {}
    for family, names in sorted(families.items()):
        part, total = 1, 0
        for name in names:
            size = sum(file.stat().st_size for file in _files(checkpoints / name))
            if total + size > limit:
                part, total = part + 1, 0
            total += size
            wheels.setdefault(family if part == 1 else f"{family}-{part}", []).append(name)
    return wheels


def build(wheel: str, names: list[str], out: Path, checkpoints: Path = CHECKPOINTS) -> Path:
    """Build one wheel of weights in a folder; returns its file.

    Raises:
        InputError: if the builder fails; its last words are in the message.
    """
    distribution = f"{PREFIX}-{wheel}"
    package = distribution.replace("-", "_")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        (root / package).mkdir()
        (root / package / "__init__.py").write_text(f'"""Weights of the {wheel} family."""\n', encoding="utf-8")
        for name in names:
            (root / package / name).mkdir()
            for file in _files(checkpoints / name):
                shutil.copyfile(file, root / package / name / file.name)
        text = PYPROJECT.format(
            distribution=distribution, version=__version__, names=", ".join(names), group=WEIGHTS, package=package
        )
        (root / "pyproject.toml").write_text(text, encoding="utf-8")
        command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out.resolve()), place]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise InputError(
                f"the wheel {distribution} couldn't be built: {(done.stderr or done.stdout).strip()[-300:]}"
            )
    return next(out.glob(f"{package}-*.whl"))


def _files(folder: Path) -> list[Path]:
    return [folder / file for file in (*LOADED, *SHOWN) if (folder / file).is_file()]


@one_sentence
def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="wheels", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the wheels")
    parser.add_argument("--family", help="only the wheels of one family")
    options = parser.parse_args(argv)
    wheels = plan()
    chosen = {w: names for w, names in wheels.items() if options.family in (None, w, w.rsplit("-", 1)[0])}
    if not chosen:
        raise InputError(f"no wheel of the family {options.family!r}; there are {', '.join(wheels)}")
    for wheel, names in chosen.items():
        path = build(wheel, names, options.out)
        print(f"{path}: {len(names)} models, {path.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
