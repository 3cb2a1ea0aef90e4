"""Write requirements/*.txt: what the Makefile installs, each package with its version and the sha256 of its files.

The versions come from constraints.txt, the packages from pyproject.toml. uv resolves them (`pip install uv`); kept are the
files for Linux, macOS and Windows, of CPython 3.11 to 3.14.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from zoo.core.files import write_text
from zoo.errors import InputError, one_sentence

ROOT = Path(__file__).resolve().parents[1]
GROUPS = {"core": ("demo",), "test": ("test", "dev", "demo"), "docs": ("test", "dev", "demo", "docs")}
BUILD = "setuptools>=77"  # what builds the package itself, which pip would fetch without a hash
WHEEL = re.compile(r"-(?P<python>[^-]+)-(?P<abi>[^-]+)-(?P<system>[^-]+)\.whl$")
SYSTEMS = re.compile(r"any|manylinux\S*_(x86_64|aarch64)|linux_(x86_64|aarch64)|macosx_\S*(arm64|universal2)|win_amd64")
PYTHONS = re.compile(r"py3|py2\.py3|cp31[1-4]")


def lock(extras: tuple[str, ...], python: str = "3.11") -> str:
    """The text of one file of requirements.

    Raises:
        InputError: if uv isn't there, or finds no versions that fit together.
    """
    with tempfile.TemporaryDirectory() as place:
        build, found = Path(place) / "build.in", Path(place) / "pylock.toml"
        build.write_text(BUILD, encoding="utf-8")
        command = [
            "uv",
            "pip",
            "compile",
            str(ROOT / "pyproject.toml"),
            str(build),
            "-c",
            str(ROOT / "constraints.txt"),
        ]
        command += [f"--extra={extra}" for extra in extras] + ["--generate-hashes", "--quiet"]
        command += ["--universal", "--python-version", python, "--format", "pylock.toml", "-o", str(found)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise InputError("there is no uv here: pip install uv") from None
        if done.returncode:
            raise InputError(f"uv found no versions that fit together: {done.stderr.strip()[-500:]}")
        packages = tomllib.loads(found.read_text(encoding="utf-8"))["packages"]
    return "".join(entry(package) for package in packages if "version" in package)


def entry(package: dict[str, Any]) -> str:
    """The lines of one package; a source archive stands where there is no wheel.

    Raises:
        InputError: for a package without any file.
    """
    hashes = sorted(wheel["hashes"]["sha256"] for wheel in package.get("wheels", ()) if fits(wheel["url"]))
    if not hashes and "sdist" in package:
        hashes = [package["sdist"]["hashes"]["sha256"]]
    if not hashes:
        raise InputError(f"{package['name']} {package['version']} has no file for the systems of the project")
    marker = f" ; {package['marker']}" if "marker" in package else ""
    lines = [f"{package['name']}=={package['version']}{marker}", *(f"--hash=sha256:{value}" for value in hashes)]
    return " \\\n    ".join(lines) + "\n"


def fits(url: str) -> bool:
    """Whether a wheel is for one of the systems and Pythons of the project, by its name."""
    tags = WHEEL.search(url)
    if tags is None or not any(SYSTEMS.fullmatch(system) for system in tags["system"].split(".")):
        return False
    return tags["abi"] == "abi3" or any(PYTHONS.fullmatch(python) for python in tags["python"].split("."))


@one_sentence
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="*", default=list(GROUPS), help=f"some of {', '.join(GROUPS)}")
    parser.add_argument("--into", type=Path, default=ROOT / "requirements", help="folder of the files")
    options = parser.parse_args(argv)
    for group, extras in ((group, GROUPS[group]) for group in options.groups):
        python = "3.11.5" if group == "docs" else "3.11"  # what Sphinx's packages ask for
        write_text(options.into / f"{group}.txt", f"# {COMMAND}\n{lock(extras, python)}")
        print(options.into / f"{group}.txt")
    return 0


COMMAND = "made by python scripts/lock.py; install with pip install --require-hashes --no-deps -r"

if __name__ == "__main__":
    sys.exit(main())
