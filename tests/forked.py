"""Processes of their own, which a test may kill, without paying for the import of torch each time.

A fork server imports `tests.preload` once and forks for every call; the targets are functions of the test modules.
"""

import multiprocessing
import os
import tempfile
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.preload"])


def start(target: Callable[..., None], *args: Any) -> BaseProcess:
    """Start `target(*args)` in a process of its own, in this one's environment; its file `process.log` holds what it prints."""
    handle, log = tempfile.mkstemp(prefix=f"{target.__name__}-", suffix=".log")
    os.close(handle)
    process = _context.Process(target=_logged, args=(log, dict(os.environ), target, *args), daemon=True)
    process.log = Path(log)  # type: ignore[attr-defined]
    process.start()
    return process


def _logged(log: str, environment: dict[str, str], target: Callable[..., None], *args: Any) -> None:
    os.environ.clear()  # the fork server's is that of the first test that started a process
    os.environ.update(environment)
    output = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    target(*args)


def finish(*processes: BaseProcess, timeout: float = 180, fine: tuple[int, ...] = (0,)) -> list[int | None]:
    """Wait for processes; fails with what they printed if one ends with another code than `fine`, or not in time."""
    for process in processes:
        process.join(timeout)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
        process.join()
    assert all(code in fine for code in codes), f"{codes}\n" + "\n".join(p.log.read_text()[-3000:] for p in processes)
    for process in processes:
        process.log.unlink()
    return codes


def run(target: Callable[..., None], *args: Any, fine: tuple[int, ...] = (0,)) -> int | None:
    """Run `target(*args)` to its end; returns the exit code."""
    return finish(start(target, *args), fine=fine)[0]
