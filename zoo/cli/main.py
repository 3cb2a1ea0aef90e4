"""The command line `zoo`: each verb is a file of this folder.

A verb's file has a docstring, its help; `add(command)`, its arguments; and `run(options)`. A file that has `main(argv)` in their
place reads its own arguments: `zoo train NAME --trainer.max_epochs=3` passes everything on. A verb with `LIGHT = True` never
trains a model: in a process of its own it goes without Lightning, see `zoo.core.standin`.

Errors that a person can act on end with exit code 2 and one line; anything else is a bug and shows its traceback.
"""

import argparse
import contextlib
import importlib
import pkgutil
import sys
from collections.abc import Callable
from io import TextIOBase, TextIOWrapper
from types import ModuleType
from typing import TextIO

import zoo.cli
from zoo.core import standin
from zoo.core.allocator import keep_freed_memory
from zoo.errors import ZooError, printable
from zoo.version import __version__


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns the exit code. Without `argv` it is that of this process, which does nothing else."""
    if argv is not None:
        return ended(lambda: _run(list(argv)))
    try:
        return ended(lambda: _run(sys.argv[1:], own_process=True))
    except standin.NeedsLightning:
        standin.start_again()


def ended(command: Callable[[], int]) -> int:
    """The exit code of a command: one line, whatever ends it early."""
    try:
        return command()
    except ZooError as error:
        print(f"zoo: {error}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "memory" not in str(error):
            raise
        print("zoo: that takes more memory than there is: ask for less at once", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        print(f"zoo: interrupted; {str(error) or 'what was finished before is kept'}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `zoo list | head`
        sys.stderr.close()
        return 0


def _run(argv: list[str], *, own_process: bool = False) -> int:
    for stream in (sys.stdout, sys.stderr):  # a terminal that knows ASCII alone gets escapes, no traceback
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    verb = verbs().get(argv[0]) if argv else None
    if verb is not None and hasattr(verb, "main"):
        return verb.main(argv[1:])
    options = parser().parse_args(argv)
    if own_process and getattr(verb, "LIGHT", False):
        standin.install()
    keep_freed_memory()
    with contextlib.redirect_stdout(Plain(sys.stdout)):
        options.run(options)
    return 0


class Plain(TextIOBase):
    """A stream to which a verb prints what a stranger may have written: class names, texts, facts. No terminal acts on it."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        return self.stream.write(printable(text))

    def flush(self) -> None:
        self.stream.flush()

    def isatty(self) -> bool:
        return self.stream.isatty()

    def fileno(self) -> int:
        return self.stream.fileno()


def verbs() -> dict[str, ModuleType]:
    """The module of every verb, by its name on the command line."""
    names = sorted(module.name for module in pkgutil.iter_modules(zoo.cli.__path__) if module.name != "main")
    return {name: importlib.import_module(f"zoo.cli.{name}") for name in names}


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="zoo", description="Pretrained teaching models: list, look at, use and check them."
    )
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for name, verb in verbs().items():
        doc = (verb.__doc__ or "").strip()
        command = commands.add_parser(
            name, help=doc.splitlines()[0], description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        if not hasattr(verb, "main"):
            verb.add(command)
            command.set_defaults(run=verb.run)
    return top


if __name__ == "__main__":
    sys.exit(main())
