"""Files that a person names: checked before the work, then written in one step, so that each is the old or the new one."""

import contextlib
import io
import json
import os
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import InputError, ZooError

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL import Image

UMASK = os.umask(0o022)
os.umask(UMASK)  # it can't be read without being set: once, before there are threads


def plain_name(name: Any, what: str = "a name") -> str:
    """`name` if it can stand for one file or folder of its own: no path, nothing hidden, nothing that doesn't print.

    Raises:
        InputError: otherwise.
    """
    if not is_plain(name):
        shown = repr(name)[:80]
        raise InputError(
            f"{what} can't be {shown}: it is one plain name, without separators and no dot at its beginning"
        )
    return str(name)


def is_plain(name: Any) -> bool:
    """Whether `plain_name` takes a name."""
    if not isinstance(name, str) or not name.isprintable() or name.startswith(".") or set(name) & set("/\\:"):
        return False
    return 0 < len(os.fsencode(name)) <= 200


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[Path]:
    """A temporary file beside `path`, with its suffix, that takes its place at the end, or vanishes on an error.

    A link is followed, permissions are kept, missing folders are made.

    Raises:
        InputError: if it can't be written; what was there before is untouched then.
    """
    check_output(path)
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.stem[:80]}-{os.getpid()}-{time.monotonic_ns()}{target.suffix}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and not stat.S_ISREG(target.stat().st_mode):  # /dev/stdout, a pipe: nothing to keep
            yield target
            return
        mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o666 & ~UMASK
        yield temporary
        sync(temporary)
        temporary.chmod(mode)
        os.replace(temporary, target)
    except ZooError:
        raise
    except OSError as error:
        raise InputError(
            f"{path} can't be written: {error.strerror or error}; what was there before is untouched"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file in one step."""
    with writing(path) as file:
        file.write_text(text, encoding="utf-8")


def write_bytes(path: str | Path, raw: bytes) -> None:
    """Write a file in one step."""
    with writing(path) as file:
        file.write_bytes(raw)


def write_json(path: str | Path, value: Any, indent: int = 2) -> None:
    """Write a JSON file in one step."""
    write_text(path, json.dumps(value, indent=indent) + "\n")


def write_picture(path: str | Path, picture: "Image.Image", **how: Any) -> None:
    """Write a PIL picture in one step; `how` as in its `save`."""
    from PIL import Image

    if "format" not in how:
        check_output(path, Image.registered_extensions())
    with writing(path) as file:
        picture.save(file, **how)


def write_figure(
    path: str | Path, figure: "Figure", *, dpi: float | None = None, colours: int | None = None, **how: Any
) -> None:
    """Write a matplotlib figure in one step; `how` as in its `savefig`.

    Args:
        colours: of a PNG, at most so many: 64 take a third of the bytes.
    """
    from PIL import Image

    check_output(path, [f".{suffix}" for suffix in figure.canvas.get_supported_filetypes()])
    if colours is None:
        with writing(path) as file:
            figure.savefig(file, dpi=dpi or "figure", **how)
        return
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=dpi or "figure", **how)
    write_picture(path, Image.open(drawn, formats=["PNG"]).convert("RGB").quantize(colours), optimize=True)


def check_output(path: str | Path, suffixes: Iterable[str] = ()) -> Path:
    """`path` if a file can be written there: asked before the work that makes the file.

    Raises:
        InputError: for a folder, a place that can't be written, or another suffix than `suffixes`.
    """
    path, known = Path(path), sorted(suffixes)
    try:
        path.exists()
    except (OSError, ValueError) as error:  # too long, a loop of links, a zero in it
        raise InputError(f"{str(path)[:80]!r} can't be a file: {getattr(error, 'strerror', None) or error}") from None
    if path.is_dir() or not path.name:
        raise InputError(f"{path} is a folder: name a file in it")
    if known and path.suffix.lower() not in known:
        raise InputError(f"{path} has the suffix {path.suffix!r}: it can be {', '.join(known)}")
    target = Path(os.path.realpath(path))
    near = next(folder for folder in target.parents if folder.exists())
    if not near.is_dir():
        raise InputError(f"{path} can't be written: {near} is a file")
    if not os.access(target if target.exists() else near, os.W_OK):
        raise InputError(f"{path} can't be written: you may not write to {target if target.exists() else near}")
    return path


def parse_json(text: str) -> Any:
    """The value of a JSON text, as strictly as JSON is meant: no key twice in an object, no NaN.

    Raises:
        ValueError: for anything else, however deep or long.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice = next(key for i, (key, _) in enumerate(pairs) if key in dict(pairs[:i]))
            raise ValueError(f"the key {twice[:40]!r} stands twice in an object")
        return found

    def finite(name: str) -> Any:
        raise ValueError(f"{name} is no JSON")

    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def shown(text: object, most: int = 200) -> str:
    """A text from elsewhere as it may be printed: without control characters, which could steer a terminal, and not too long."""
    clean = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text)[: most + 1])
    return clean if len(clean) <= most else f"{clean[:most]}…"


def read_bounded(path: str | Path, most: int) -> bytes:
    """The bytes of a regular file of at most `most` bytes.

    Raises:
        InputError: for a larger one, or one that can't be read.
    """
    shown = repr(str(path))[:200]
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise InputError(f"{shown} is no regular file")
        with open(path, "rb") as file:
            raw = file.read(most + 1)
    except FileNotFoundError:
        raise InputError(f"there is no file {shown}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{shown} can't be read: {getattr(error, 'strerror', None) or error}") from None
    if len(raw) > most:
        raise InputError(f"{shown} has more than {most:,} bytes, the limit: it isn't what it should be")
    return raw


def sync(path: Path) -> None:
    """Wait until a file is on the disk, so that a rename that follows can't outrun its content in a power cut."""
    with path.open("rb+") as file:  # Windows syncs no file that is open for reading alone
        os.fsync(file.fileno())
