"""The notebooks of the site: text under docs/notebooks, executed on packaged samples, written as .ipynb with their outputs.

python -m scripts.pages.notebooks                # execute those whose text changed since, and say what each took
python -m scripts.pages.notebooks first flows    # these alone
"""

import hashlib
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client import AsyncKernelManager
from jupyter_core.utils import run_sync
from nbclient import NotebookClient

from zoo.core.files import write_text

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "docs" / "notebooks"
DONE = ROOT / "runs" / "notebooks"  # executed notebooks, by the hash of what they were made from
ALT = re.compile(r":alt: (.+)\n")
LIMIT = 2**20  # bytes of a notebook with its outputs
SETUP = """try:
    import zoo
except ImportError:  # on a machine that lacks it, such as Colab
    %pip install -q "lightning-model-zoo[demo,rl,explain]"
"""


def names() -> list[str]:
    """All notebooks, the first one first."""
    return sorted((path.stem for path in SOURCES.glob("*.md") if path.stem != "index"), key=lambda n: (n != "first", n))


def parse(text: str) -> Any:
    """A notebook from its text: blocks that are fenced as {code-cell} are code, all between them is Markdown.

    A line `:alt: …` at the beginning of a block says what its picture shows.
    """
    body = text.split("---\n", 2)[2]
    cells = []
    for number, part in enumerate(re.split(r"^```\{code-cell\}\n(.*?)^```$", body, flags=re.DOTALL | re.MULTILINE)):
        alt = ALT.match(part)
        code = part[alt.end() :] if alt else part
        if code.strip():
            make = nbformat.v4.new_code_cell if number % 2 else nbformat.v4.new_markdown_cell
            shown = {"mystnb": {"image": {"alt": alt[1]}}} if alt else {}
            cells.append(make(code.strip("\n"), id=f"cell-{number}", metadata=shown))
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return notebook


class Kernel:
    """One IPython kernel for all notebooks: the packages are imported once, the names of each notebook are forgotten after it."""

    def __init__(self) -> None:
        self.manager = AsyncKernelManager(transport="ipc" if os.name == "posix" else "tcp")
        self.place = tempfile.TemporaryDirectory()
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "ignore",
            "ZOO_DATA": str(Path(self.place.name) / "no-data"),
        }

    def run(self, notebook: Any, name: str) -> None:
        """Execute a notebook's cells in an empty folder of its own.

        Raises:
            CellExecutionError: for a cell that fails, with its traceback.
        """
        folder = Path(self.place.name) / name
        folder.mkdir()
        # A notebook before this one may have drawn into a file, which leaves matplotlib without pictures in the page.
        # The packages stay: looking through all their objects each time would take most of what a notebook takes.
        ready = f"import gc\ngc.freeze()\n%reset -f\n%matplotlib inline\nimport os\nos.chdir({str(folder)!r})"
        notebook.cells.insert(0, nbformat.v4.new_code_cell(ready))
        NotebookClient(notebook, km=self.manager, timeout=300).execute(env=self.environment)
        del notebook.cells[0]

    def close(self) -> None:
        if self.manager.has_kernel:
            run_sync(self.manager.shutdown_kernel)(now=True)
        self.place.cleanup()


def execute(chosen: Iterable[str] = ()) -> Iterator[Path]:
    """The executed notebooks as files, all by default; those run whose text, the package or the index changed since.

    Raises:
        CellExecutionError: for a cell that fails, with its traceback.
    """
    DONE.mkdir(parents=True, exist_ok=True)
    kernel = Kernel()
    try:
        for name in chosen or names():
            text = (SOURCES / f"{name}.md").read_text(encoding="utf-8")
            target = DONE / f"{name}-{_made_from(text)}.ipynb"
            if not target.is_file():
                notebook = parse(text)
                kernel.run(notebook, name)
                notebook.cells = [_plain(cell) for cell in notebook.cells]
                notebook.cells.insert(
                    0, nbformat.v4.new_code_cell(SETUP, id="setup", metadata={"tags": ["remove-cell"]})
                )
                for old in DONE.glob(f"{name}-*.ipynb"):
                    old.unlink()
                write_text(target, nbformat.writes(notebook))
            yield target
    finally:
        kernel.close()


def _made_from(text: str) -> str:
    """A hash of the text and of what its outputs depend on."""
    parts = [text, (ROOT / "zoo" / "index.json").read_text(encoding="utf-8")]
    code = (path for path in sorted((ROOT / "zoo").rglob("*.py")) if path.parent.name not in ("app", "cli"))
    parts += [path.read_text(encoding="utf-8") for path in code]
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:16]


def _plain(cell: Any) -> Any:
    """A cell without the times of its execution and the notes of other packages on the error stream, its print in one piece."""
    cell["metadata"].pop("execution", None)
    outputs: list[Any] = []
    for out in cell.get("outputs", ()):
        if outputs and out.get("name") == outputs[-1].get("name") == "stdout":
            outputs[-1]["text"] += out["text"]  # what was printed in one go or in several
        elif out.get("name") != "stderr":
            outputs.append(out)
    if "outputs" in cell:
        cell["outputs"] = outputs
    return cell


def main(chosen: list[str]) -> int:
    start = time.perf_counter()
    for path in execute(chosen):
        print(f"{path.name:40} {time.perf_counter() - start:6.1f} s {path.stat().st_size / 1024:6.0f} KiB", flush=True)
        start = time.perf_counter()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
