"""Every place that writes, replaces or deletes a file, found in the source: each goes through the one writer or says why not."""

import ast
import fnmatch
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import ROOT

PAGE = ROOT / "docs" / "reliability.md"
SAFE = {"writing", "replacing", "write_text", "write_bytes", "write_json", "write_picture", "write_figure"}
RAW = {
    "savefig", "save", "save_file", "write_text", "write_bytes", "to_csv", "tofile", "dump", "unlink", "rmdir", "rmtree",
    "remove", "rename", "replace", "move", "copy", "copyfile", "copytree", "copy_file", "copy2", "extract", "extractall",
    "link_to", "symlink_to", "touch", "truncate", "hardlink_to", "NamedTemporaryFile", "mkstemp", "fdopen", "savez",
    "savetxt", "write",
}  # fmt: skip
OWNERS = {
    "os",
    "shutil",
    "torch",
    "np",
    "numpy",
    "json",
    "tempfile",
    "Path",
    "pickle",
    "tarfile",
}  # of names that are methods elsewhere
STAGED = "into a staged folder of `replacing`"
TEMPORARY = "in a temporary folder of its own"

# Functions that write without the one writer, and why nothing can be lost by it.
ALLOWED = {
    "zoo/core/files.py": "the one writer itself",
    "zoo/store/atomic.py": "the writer of folders itself",
    "datamodules/files.py:_download": "a temporary file of its own, renamed when its sha256 agrees",
    "datamodules/cifar10.py:unpack": "a hidden folder of its own; members by name, then renamed",
    "zoo/store/folder.py:write": STAGED,
    "zoo/metrics/reference.py:freeze": STAGED,
    "zoo/train/experiment.py:_fit_one": STAGED,
    "zoo/train/experiment.py:put_in_place": STAGED,
    "zoo/train/experiment.py:forget": "a run under its plain name, which nobody owns, when --fresh asks for it",
    "zoo/train/finetuning.py:finetune": STAGED,
    "zoo/train/finetuning_report.py:measure": STAGED,
    "zoo/train/finetuning.py:Work": "a hidden folder of a name of its own",
    "zoo/train/callbacks.py:Resume": "a file of this run alone, renamed when it is whole; the state before stays on an error",
    "zoo/cli/attack.py:run": "a method of ours, which writes by `write_bytes`",
    "zoo/cli/explain.py:run": "a method of ours, which writes by `write_bytes`",
    "datamodules/examples.py:_voices": "the temporary file of `writing`",
    "zoo/store/export.py:_program": "the temporary file of `writing`",
    "zoo/store/export.py:_tensors": "the temporary file of `writing`",
    "zoo/store/publish.py:push": TEMPORARY,
    "zoo/store/wheels.py:build": TEMPORARY,
    "scripts/shrink.py:shrink": STAGED,
    "scripts/train_many.py:pack": "written beside the archive, renamed when it is whole",
    "scripts/train_many.py:train": "logs are added to",
    "scripts/train_many.py:unpack": STAGED,
    "scripts/lock.py:lock": TEMPORARY,
    "scripts/docs.py": "docs/generated, which is nobody's and made anew each time",
    "scripts/pages/browser.py:write": "the same",
    "scripts/pages/leaderboards.py:_write_csv": "the same",
    "scripts/pages/notebooks.py:execute": "notebooks that were run before, of the same name",
    "zoo/app/answers.py:explain": "a method of ours, into a temporary folder",
    "setup.py": "the folder of a build",
}


def calls(tree: ast.AST, within: str = "") -> Iterator[tuple[str, ast.Call]]:
    """Every call with the name of the function or class at the top that holds it."""
    for node in ast.iter_child_nodes(tree):
        name = within
        if not within and isinstance(node, ast.FunctionDef | ast.ClassDef):
            name = node.name
        if isinstance(node, ast.Call):
            yield name, node
        yield from calls(node, name)


def writes(call: ast.Call) -> bool:
    """Whether a call writes, replaces or deletes a file on its own."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    texts = [a.value for a in [*call.args, *(k.value for k in call.keywords)] if isinstance(a, ast.Constant)]
    if name in ("open", "fdopen"):
        return any(isinstance(text, str) and len(text) <= 3 and set(text) & set("wax+") for text in texts)
    if not isinstance(call.func, ast.Attribute):
        return name == "save_file"
    owner = call.func.value
    if isinstance(owner, ast.Name) and owner.id == "files":
        return False
    if name in ("write", "copy", "remove", "dump", "move"):
        return isinstance(owner, ast.Name) and owner.id in OWNERS
    if name == "replace":  # of a text it has two arguments, of a path one
        return len(call.args) == 1 or (isinstance(owner, ast.Name) and owner.id == "os")
    if name in ("save", "savefig") and call.args and getattr(call.args[0], "id", "") == "buffer":  # into memory
        return False
    return name in RAW


@cache
def sources() -> dict[Path, list[tuple[str, ast.Call]]]:
    """Every file of ours with its calls; it is read once for all tests."""
    found = [path for place in ("zoo", "datamodules", "scripts") for path in (ROOT / place).rglob("*.py")]
    files = sorted([*found, ROOT / "setup.py", ROOT / "hubconf.py"])
    return {path: list(calls(ast.parse(path.read_text(encoding="utf-8")))) for path in files}


@cache
def places() -> tuple[dict[str, list[int]], set[str]]:
    """Lines that write on their own, by "file:function", and the files that write at all."""
    raw: dict[str, list[int]] = {}
    writers = set()
    for path, made in sources().items():
        file = path.relative_to(ROOT).as_posix()
        for function, call in made:
            name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            if writes(call):
                raw.setdefault(f"{file}:{function}", []).append(call.lineno)
                writers.add(file)
            elif name in SAFE:
                writers.add(file)
    return raw, writers


def listed() -> list[str]:
    """Files and patterns of the first column of the page's list."""
    section = PAGE.read_text(encoding="utf-8").partition("## Every place that writes")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return [part.strip().strip("`") for row in rows for part in row.split(",")]


def test_every_write_goes_through_the_one_writer():
    raw, _ = places()
    strange = {where: lines for where, lines in raw.items() if not {where, where.partition(":")[0]} & ALLOWED.keys()}
    assert not strange, "write through zoo.core.files (write_text, write_json, write_picture, write_figure, writing)"
    gone = [where for where in ALLOWED if not any(where in (found, found.partition(":")[0]) for found in raw)]
    assert not gone, "these write no more: take them off the list"


def test_the_page_lists_every_file_that_writes():
    _, writers = places()
    patterns = listed()
    assert len(patterns) > 15
    assert not [file for file in sorted(writers) if not any(fnmatch.fnmatch(file, pattern) for pattern in patterns)]
    assert not [pattern for pattern in patterns if not fnmatch.filter(writers, pattern)]


@pytest.mark.parametrize(
    "line",
    [
        "figure.savefig(path)", "image.save(path)", "path.write_text('x')", "open(path, 'w')", "path.open('ab')",
        "Path(a).unlink()", "shutil.rmtree(a)", "a.rename(b)", "a.replace(b)", "torch.save(a, b)", "json.dump(a, b)",
        "os.replace(a, b)", "save_file(a, b)",
    ],
)  # fmt: skip
def test_what_counts_as_a_write(line):
    assert [call for _, call in calls(ast.parse(line)) if writes(call)]


@pytest.mark.parametrize(
    "line",
    ["open(path)", "path.open('rb')", "text.replace(a, b)", "write_text(path, text)", "picture.save(buffer, 'PNG')"],
)
def test_what_does_not(line):
    assert not [call for _, call in calls(ast.parse(line)) if writes(call)]


def test_pictures_of_strangers_are_opened_in_one_place():
    found = {}
    for path, made in sources().items():
        for function, call in made:
            if getattr(call.func, "attr", "") == "open" and ast.unparse(call.func).endswith("Image.open"):
                found[f"{path.relative_to(ROOT).as_posix()}:{function}"] = ast.unparse(call)
    assert all("formats=" in text for text in found.values()), found
    assert set(found) == {
        "zoo/core/pictures.py:opening",  # any file
        "zoo/core/samples.py:_strip",  # packaged
        "scripts/bench.py:photo_row",  # drawn a line before
        "zoo/core/files.py:write_figure",  # of our own making, in memory
        "zoo/explain/drawing.py:draw",  # the same
    }
