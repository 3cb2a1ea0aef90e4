"""The errors a user can act on. Each is one sentence: what was wrong, with what value, and what to do."""

import difflib
import functools
import sys
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec

P = ParamSpec("P")

SHORT, NEAREST = 8, 10  # names of a table that a message holds in any case; of a longer one, if none is near


class ZooError(Exception):
    """Base of all errors that the zoo raises on purpose; the command line prints them without a traceback.

    A message may hold what a stranger wrote, so signs that would steer a terminal are shown as escapes.
    """

    def __str__(self) -> str:
        return printable(super().__str__())


def printable(text: str) -> str:
    """A text without signs that a terminal acts on, but for the ends of lines and tabs."""
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode("ascii") for c in text)


class UnknownNameError(ZooError, LookupError):
    """A name that is not in a table; the message holds the nearest names, and all of a short table."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        lower = str(name)[:100].lower()
        near = difflib.get_close_matches(lower, known, n=3, cutoff=0.5)
        near += [each for each in known if len(lower) > 2 and lower in each and each not in near][: 4 - len(near)]
        hints = [f"Did you mean {' or '.join(near)}?"] if near else []
        if len(known) <= SHORT:
            hints.append(f"Known: {', '.join(known) or 'none'}.")
        elif not near:
            closest = difflib.get_close_matches(lower, known, n=NEAREST, cutoff=0.0)
            hints.append(f"The nearest of {len(known)}: {', '.join(closest)}.")
        shown = repr(name[:100] if isinstance(name, str) else name)[:120]
        super().__init__(f"there is no {kind} named {shown}. {' '.join(hints)}")


class UnknownWordError(UnknownNameError):
    """A word that a model never learnt."""

    def __init__(self, word: str, near: Iterable[str], size: int) -> None:
        hint = f"Near it are {', '.join(near)}." if near else "No word there is like it."
        ZooError.__init__(self, f"the word {word[:100]!r} is not in the vocabulary of {size:,} words. {hint}")


class CheckpointError(ZooError, ValueError):
    """A checkpoint folder that is incomplete, damaged or not ours."""


class InputError(ZooError, ValueError):
    """An argument or an input with a value that can't work."""


class ZooWarning(UserWarning):
    """An input that works and may not be what was meant."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C in long work. `done` holds what was finished by then, in its order and as it would have been returned."""

    def __init__(self, done: Any) -> None:
        super().__init__()
        self.add_note("what was finished by then is in `done` of this exception")
        self.done = done


class IncompleteError(InputError):
    """Attributions that were to add up to a difference of outputs and don't."""


class MissingExtraError(ZooError, ImportError):
    """A package of an optional group that is not installed."""

    def __init__(self, what: str, package: str, extra: str) -> None:
        super().__init__(f"{what} needs {package}: pip install 'lightning-model-zoo[{extra}]'")


class PublishError(ZooError, ValueError):
    """A checkpoint that isn't fit to be published, or a Hub that didn't take it."""


def one_sentence(command: Callable[P, int]) -> Callable[P, int]:
    """The `main` of a program: an error that the zoo raises on purpose is printed as its sentence, and the exit code is 2."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            return command(*args, **kwargs)
        except ZooError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2

    return run
