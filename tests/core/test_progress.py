"""Long work shows itself to those who look, in the form that suits where they look, and to nobody else."""

import contextlib
import io
import os
import pty
import subprocess
import sys

from tests.conftest import ROOT
from zoo.core import progress
from zoo.core.progress import quiet, track, watched

WORK = """
import sys, time
from zoo.core import progress
progress.DELAY, progress.MINUTE = 0.2, 0.2
with progress.quiet(sys.argv[1] == "quiet"):
    for i in progress.track(range(8), "outer work"):
        for j in progress.track(range(4), "inner work"):
            time.sleep(0.02)
"""


def run(stderr: object, argument: str = "", **env: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", WORK, argument],
        stderr=stderr,  # type: ignore[arg-type]
        env=os.environ | {"PYTHONPATH": str(ROOT)} | env,
    )


def in_terminal(argument: str = "", **env: str) -> str:
    ours, theirs = pty.openpty()
    process = run(theirs, argument, **env)
    os.close(theirs)
    seen = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        seen += part
    process.wait()
    os.close(ours)
    return seen.decode()


def test_a_terminal_sees_a_bar_with_the_time_left_that_vanishes():
    seen = in_terminal()
    assert "outer work" in seen and "inner" not in seen and "/8 [" in seen
    assert seen.endswith("\r") and not seen.rpartition("\r")[0].rpartition("\r")[2].strip()
    assert in_terminal("quiet") == in_terminal(ZOO_PROGRESS="0") == ""


def test_a_log_gets_plain_lines_and_a_pipe_nothing(tmp_path):
    log = tmp_path / "log"
    with log.open("w") as file:
        assert run(file).wait() == 0
    lines = log.read_text().splitlines()
    assert 1 <= len(lines) <= 8 and "\r" not in log.read_text(), lines
    assert all(line.startswith("outer work: ") and " of 8, " in line and line.endswith("left") for line in lines), lines
    piped = run(subprocess.PIPE)
    assert piped.communicate()[1] == b""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_short_work_shows_nothing_and_one_item_leaves_the_bar_to_what_is_inside(monkeypatch):
    seen = Terminal()
    monkeypatch.setattr(sys, "stderr", seen)
    assert watched() and list(track(range(100), "short")) == list(range(100))
    assert seen.getvalue() == ""
    monkeypatch.setattr(progress, "DELAY", 0.0)
    for _ in track([0], "one"):
        list(track(range(3), "inside"))
    assert "inside" in seen.getvalue() and "one" not in seen.getvalue()
    with quiet():
        assert not watched()
    assert watched()


def test_what_breaks_off_leaves_no_silence_behind(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with contextlib.suppress(KeyboardInterrupt):
        for _ in track(range(3), "work"):
            raise KeyboardInterrupt
    items = track(range(3), "work")
    next(items)
    del items
    assert watched() and progress._depth() == 0
