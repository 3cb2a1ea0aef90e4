"""Snippets of the documentation, each run as in a new Python, without paying for the import of torch each time.

One process imports the large packages, and nothing of ours; it forks for every snippet.
"""

import json
import os
import subprocess
import sys
import traceback
from pathlib import Path

SIXTEEN = "sample(16,"


def quick(code: str) -> str:
    """The same lines, which draw two images in place of sixteen."""
    return code.replace(SIXTEEN, "sample(2,")


class Snippets:
    """The process that forks."""

    def __init__(self) -> None:
        here = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen([sys.executable, __file__], text=True, env=here, **pipes)

    def run(self, code: str, folder: Path) -> None:
        """Run a snippet in a folder; fails with what it printed if it raises."""
        self.process.stdin.write(json.dumps([code, str(folder)]) + "\n")
        self.process.stdin.flush()
        code_of_exit = self.process.stdout.readline().strip()
        log = folder / "snippet.log"
        assert code_of_exit == "0", log.read_text(encoding="utf-8")[-2000:]

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(30)


def serve() -> None:
    sys.path[0] = ""  # the working directory, as for python -c
    import lightning  # noqa: F401
    import torchvision  # noqa: F401

    for line in sys.stdin:
        code, folder = json.loads(line)
        child = os.fork()
        if child == 0:
            _run(code, folder)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _run(code: str, folder: str) -> None:
    status = 1
    try:
        os.chdir(folder)
        log = os.open("snippet.log", os.O_CREAT | os.O_WRONLY)
        os.dup2(log, 1)
        os.dup2(log, 2)
        exec(compile(code, "snippet", "exec"), {"__name__": "__main__"})
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    serve()
