"""Snippets of the documentation, each run as in a new Python, without paying for the import of torch each time."""

import os
import sys
from pathlib import Path

from tests import forked

SIXTEEN = "sample(16,"
OURS = ("zoo", "datamodules", "scripts", "tests")


def quick(code: str) -> str:
    """The same lines, which draw two images in place of sixteen."""
    return code.replace(SIXTEEN, "sample(2,")


def run(code: str, folder: Path) -> str:
    """Run a snippet in a folder; returns what it printed, and fails with it if the snippet raises."""
    process = forked.start(_run, code, str(folder))
    process.join(180)
    said = process.log.read_text(encoding="utf-8")
    forked.finish(process)
    return said


def _run(code: str, folder: str) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
        del sys.modules[name]  # a snippet imports what it uses of ours, or fails
    sys.path.insert(0, "")  # the working directory, as for python -c
    os.chdir(folder)
    exec(compile(code, "snippet", "exec"), {"__name__": "__main__"})
