"""Long work shows itself: how far it is and how long it still takes, once it has taken two seconds.

    for part in track(parts, "drawing"):
        ...

    return gathered(parts)                      # torch.cat that keeps what is done when Ctrl-C comes

A terminal and a notebook see a bar that vanishes at the end. Standard error in a file gets one plain line a minute. A pipe gets
nothing, nor does anybody within `quiet()` or with ZOO_PROGRESS=0. Of loops inside each other only the outermost one shows.
"""

import os
import shutil
import stat
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor
from tqdm import tqdm

from zoo.errors import Interrupted

T = TypeVar("T")

DELAY = 2.0  # seconds that pass before anything is shown
MINUTE = 60.0  # seconds between two lines of a log

_here = threading.local()  # depth: how many loops of this thread are being shown or keep silent


@contextmanager
def quiet(silent: bool = True) -> Iterator[None]:
    """Show nothing within; `quiet(False)` changes nothing."""
    _here.depth = _depth() + silent
    try:
        yield
    finally:
        _here.depth = _depth() - silent


def bar(what: str, total: int | None) -> Any:
    """A bar with `update(n)` and `close()`, for loops that aren't ours; it shows as `track` does."""
    made = None if _depth() else _bar()
    if made is None:
        return tqdm(disable=True)
    return made(desc=what, total=total)


def watched() -> bool:
    """Whether a person looks at standard error, in a terminal or a notebook, and wants to see how far it is."""
    if _depth():
        return False
    return _in_notebook() or (sys.stderr is not None and not sys.stderr.closed and sys.stderr.isatty())


def track(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """The same items; how many of them are done is shown on standard error.

    Args:
        what: the work in a word or two, such as "drawing".
        total: the number of items, where they don't know it themselves.
    """
    count = len(items) if total is None and isinstance(items, Sized) else total
    made = None if count == 1 or _depth() else _bar()
    if made is None:
        yield from items
        return
    with quiet(), made(desc=what, total=count) as shown:
        for item in items:
            yield item
            shown.update()


def gathered(parts: Iterable[Tensor]) -> Tensor:
    """The parts as one tensor [N, …], each made when its turn comes.

    Raises:
        Interrupted: a KeyboardInterrupt, with the parts that were made before it in `done`.
    """
    done: list[Tensor] = []
    try:
        for part in parts:
            done.append(part)
    except KeyboardInterrupt:
        raise (Interrupted(torch.cat(done)) if done else KeyboardInterrupt) from None
    return torch.cat(done)


def _depth() -> int:
    return getattr(_here, "depth", 0)


def _bar() -> Callable[..., Any] | None:
    """A maker of progress bars for where standard error goes; None if nobody looks."""
    if os.environ.get("ZOO_PROGRESS", "1").lower() in ("0", "false", "no"):
        return None
    if _in_notebook():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # without ipywidgets it is a bar of text
            from tqdm.auto import tqdm as notebook

        return lambda **facts: notebook(**facts, delay=DELAY, leave=False)
    if sys.stderr is None or sys.stderr.closed:
        return None
    if sys.stderr.isatty():
        columns, rows = shutil.get_terminal_size()  # 80 and 24 where a terminal doesn't say
        return lambda **facts: tqdm(**facts, delay=DELAY, leave=False, file=sys.stderr, ncols=columns, nrows=rows)
    return _lines if _is_file(sys.stderr) else None


class _Lines(tqdm):  # type: ignore[type-arg]
    """A bar whose every state is a line of its own."""

    @staticmethod
    def status_printer(file: Any) -> Callable[[str], None]:
        return lambda text: print(text, file=file, flush=True)

    def close(self) -> None:
        self.disable = True  # without it a bar clears its place in a terminal
        super().close()


def _lines(**facts: Any) -> Any:
    """A bar for a log: one line a minute, none for work that is done sooner."""
    form = "{desc}: {n_fmt} of {total_fmt}, {elapsed} passed, {remaining} left"
    return _Lines(**facts, mininterval=MINUTE, delay=MINUTE, leave=False, file=sys.stderr, bar_format=form)


def _is_file(stream: Any) -> bool:
    try:
        return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError, AttributeError):  # a stream without a file behind it
        return False


def _in_notebook() -> bool:
    shell = sys.modules.get("IPython")
    return shell is not None and type(shell.get_ipython()).__name__ == "ZMQInteractiveShell"
