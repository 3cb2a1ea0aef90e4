"""Long work shows itself to those who look, in the form that suits where they look, and to nobody else."""

import contextlib
import io
import os
import pty
import sys
import threading
import time
from typing import TextIO
from unittest import mock

import pytest

from zoo.core import progress
from zoo.core.progress import quiet, track, watched


@pytest.fixture
def quick(monkeypatch):
    """Two seconds and a minute are a fifth of a second."""
    monkeypatch.setattr(progress, "DELAY", 0.2)
    monkeypatch.setattr(progress, "MINUTE", 0.2)


def work(stderr: TextIO, *, silent: bool = False) -> None:
    """Two loops inside each other, of less than a second, with another standard error."""
    with stderr, mock.patch.object(sys, "stderr", stderr), quiet(silent):
        for _ in track(range(8), "outer work"):
            for _ in track(range(4), "inner work"):
                time.sleep(0.02)


def in_terminal(**options: bool) -> str:
    ours, theirs = pty.openpty()
    worker = threading.Thread(target=work, args=(os.fdopen(theirs, "w"),), kwargs=options)
    worker.start()
    seen = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        seen += part
    worker.join()
    os.close(ours)
    return seen.decode()


def test_a_terminal_sees_a_bar_with_the_time_left_that_vanishes(quick, monkeypatch):
    seen = in_terminal()
    assert "outer work" in seen and "inner" not in seen and "/8 [" in seen
    assert seen.endswith("\r") and not seen.rpartition("\r")[0].rpartition("\r")[2].strip()
    assert in_terminal(silent=True) == ""
    monkeypatch.setenv("ZOO_PROGRESS", "0")
    assert in_terminal() == ""


def test_a_log_gets_plain_lines_and_a_pipe_nothing(quick, tmp_path):
    log = tmp_path / "log"
    work(log.open("w"))
    lines = log.read_text().splitlines()
    assert 1 <= len(lines) <= 8 and "\r" not in log.read_text(), lines
    assert all(line.startswith("outer work: ") and " of 8, " in line and line.endswith("left") for line in lines), lines
    ours, theirs = os.pipe()
    work(os.fdopen(theirs, "w"))
    with os.fdopen(ours) as piped:
        assert piped.read() == ""


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
