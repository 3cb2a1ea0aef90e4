"""Walk docs/start.md as a new user does, in an environment of its own, and write into it what each part took.

    python scripts/first_minutes.py                     # builds the wheel and installs it with all it needs: some gigabytes
    python scripts/first_minutes.py --keep ~/fresh      # keeps the environment, or takes one that is there without installing

The blocks of the page run one after the other in an empty folder, without the checkout and without its data sets.
"""

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from zoo.core.files import write_text
from zoo.paths import ROOT

PAGE = ROOT / "docs" / "start.md"
START, END = "<!-- measured -->", "<!-- end -->"
INSTALL = "Install"


def parts(text: str) -> dict[str, list[tuple[str, str]]]:
    """The blocks of code (language, code) of each part of the page that has some; the installation comes from elsewhere."""
    found = {}
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        title, _, body = part.partition("\n")
        if title != INSTALL and (blocks := re.findall(r"^```(bash|python)\n(.*?)^```", body, re.DOTALL | re.MULTILINE)):
            found[title] = blocks
    return found


def timed(commands: list[list[str]], folder: Path, environment: dict[str, str]) -> tuple[float, float]:
    """Seconds and seconds of processor time of some commands; what one prints is shown where it fails."""
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    for command in commands:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)[:200]} failed:\n{done.stdout[-1000:]}{done.stderr[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - started, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def said(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def markdown(table: dict[str, tuple[float, float]]) -> str:
    total = [sum(values[i] for values in table.values()) for i in (0, 1)]
    lines = ["| part | time | of a processor |", "|---|---|---|"]
    lines += [f"| {title} | {said(wall)} | {said(busy)} |" for title, (wall, busy) in table.items()]
    return "\n".join([*lines, f"| **together** | **{said(total[0])}** | **{said(total[1])}** |"]) + "\n"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="folder of the environment (default: a temporary one)")
    parser.add_argument(
        "--page", type=Path, default=PAGE, help="the page that is walked and written (default: docs/start.md)"
    )
    options = parser.parse_args(argv)
    text = options.page.read_text(encoding="utf-8")
    if START not in text:
        parser.error(f"{options.page} has no line {START!r} to write the times behind")
    with tempfile.TemporaryDirectory() as place:
        folder, home = Path(place) / "work", (options.keep or Path(place) / "environment").resolve()
        folder.mkdir()
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "ZOO_", "PYTHON"))}
        environment = kept | {"PATH": f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}", "HOME": place}
        table = {}
        if not (home / "bin" / "zoo").exists():
            build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", place, str(ROOT)]
            timed([build], ROOT, dict(os.environ))
            wheel = next(Path(place).glob("*.whl"))
            pip = [
                str(home / "bin" / "pip"),
                "install",
                "-q",
                "--no-cache-dir",
                f"{wheel}[demo]",
                "-c",
                str(ROOT / "constraints.txt"),
            ]
            table[INSTALL] = timed([[sys.executable, "-m", "venv", str(home)], pip], folder, kept)
            print(INSTALL, *map(said, table[INSTALL]), flush=True)
        for title, blocks in parts(text).items():
            runs = [["bash", "-euc", code] if kind == "bash" else ["python", "-c", code] for kind, code in blocks]
            table[title] = timed(runs, folder, environment)
            print(title, *map(said, table[title]), flush=True)
    if INSTALL in table:
        before, _, rest = text.partition(START)
        write_text(options.page, f"{before}{START}\n{markdown(table)}{END}{rest.partition(END)[2]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
