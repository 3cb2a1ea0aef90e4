"""Raw files of the data sets: where they live, and how they are fetched and checked.

A file is looked for under `data_root()`. What isn't there is downloaded from the first mirror that answers with the
right sha256, into a temporary file beside its place, and renamed only when the hash agrees: a broken download never
looks like a data set. What is there already is held to the same hash.
"""

import bz2
import hashlib
import os
import tempfile
import zlib
from collections.abc import Sequence
from functools import cache, lru_cache
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from zoo.core.files import UMASK, read_bounded
from zoo.errors import InputError, ZooError

TIMEOUT = 20.0  # seconds without a byte before the next mirror is asked
CHUNK = 1 << 18
MOST = 2**28  # bytes of a raw file, packed or not; the largest here have 180 million


class DataNotFoundError(ZooError, FileNotFoundError):
    """A raw file is neither on disk nor to be had from its mirrors."""


def data_root(root: str | Path | None = None) -> Path:
    """Folder of the raw data: `root` if given, else `$ZOO_DATA`, else `zoo/data` in the user's cache folder."""
    if chosen := root or os.environ.get("ZOO_DATA"):
        return Path(chosen).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(cache) if cache else Path.home() / ".cache") / "zoo" / "data"
    except RuntimeError:  # a user without a home
        raise InputError("there is no home folder for the data: set ZOO_DATA") from None


def check(path: Path, sha256: str | None = None, *, root: str | Path | None = None) -> Path:
    """`path` if its bytes are the published ones, as far as those are known; every file is read for it once a process.

    Args:
        sha256: of the published file; else that of sha256.txt, which goes by the path below the data root.

    Raises:
        DataNotFoundError: if there is no such file.
        InputError: if they are others.
    """
    if not path.is_file():
        raise DataNotFoundError(
            f"{path} isn't there: prepare_data() fetches it, and ZOO_DATA names a folder that has it already"
        )
    if sha256 is None:
        place = os.path.relpath(path, data_root(root)).replace(os.sep, "/")
        sha256 = known().get(place, "")
    if sha256 and (found := _differs(path, sha256)):
        raise InputError(
            f"{path} isn't the published file (its sha256 is {found[:12]}…, not {sha256[:12]}…): remove it to fetch it again."
        )
    return path


def _differs(path: Path, sha256: str) -> str | None:
    """The sha256 of a file if it is another one."""
    about = path.stat()
    found = _hash(path, about.st_size, about.st_mtime_ns)
    return None if found == sha256 else found


@lru_cache(maxsize=512)
def _hash(path: Path, size: int, changed: int) -> str:
    return sha256_of(path)


@cache
def known() -> dict[str, str]:
    """The sha256 of published files that no mirror's list gives, by their paths below the data root."""
    lines = Path(__file__).with_name("sha256.txt").read_text(encoding="utf-8").splitlines()
    return {path: sha256 for sha256, path in (line.split("  ", 1) for line in lines)}


def read_checked(path: Path, *, most: int = MOST, root: str | Path | None = None) -> bytes:
    """The bytes of a raw data file, after `check`; those of a `.gz` or `.bz2` file unpacked.

    Args:
        most: how many bytes there can be at most, known before any is unpacked.

    Raises:
        InputError: for a file that is damaged, isn't the published one, or holds more.
    """
    raw = read_bounded(check(path, root=root), most)
    try:
        if path.suffix == ".gz":
            raw = _unpack(zlib.decompressobj(wbits=31), raw, most)
        elif path.suffix == ".bz2":
            raw = _unpack(bz2.BZ2Decompressor(), raw, most)
    except (EOFError, OSError, ValueError, zlib.error) as error:
        raise InputError(f"{path} can't be unpacked ({error}): remove it to fetch it again.") from None
    return raw


def _unpack(decompressor: Any, raw: bytes, most: int) -> bytes:
    """All members of a packed file, one after the other."""
    parts, total = [], 0
    fresh = decompressor.copy if hasattr(decompressor, "copy") else type(decompressor)
    decompressor = fresh()
    while raw:
        part = decompressor.decompress(raw, most + 1 - total)
        total += len(part)
        parts.append(part)
        if total > most:
            raise ValueError(f"it holds more than {most:,} bytes")
        if not decompressor.eof:
            raise EOFError("it is cut off")
        raw = decompressor.unused_data
        decompressor = fresh()
    return b"".join(parts)


def read_text(path: Path, *, most: int = MOST, encoding: str = "utf-8", root: str | Path | None = None) -> str:
    """The text of a raw data file, as `read_checked`.

    Raises:
        InputError: also for bytes that are no text of this encoding.
    """
    try:
        return read_checked(path, most=most, root=root).decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} isn't {encoding} text (byte {error.start}): remove it to fetch it again.") from None


def fetch(relative_path: str, urls: Sequence[str], sha256: str, *, root: str | Path | None = None) -> Path:
    """Path of a raw file, downloaded first if it's missing; its sha256 is checked wherever it comes from.

    Raises:
        DataNotFoundError: if it is neither here nor to be had.
        InputError: if the file that is here isn't the published one.
    """
    target = data_root(root) / relative_path
    if target.is_file():
        return check(target, sha256 or None, root=root)
    failures = []
    for url in urls:
        try:
            _download(url, target, sha256)
            return target
        except (OSError, HTTPException, ValueError) as error:  # refused, timed out, cut off, wrong hash, unknown scheme
            failures.append(f"{url}: {error}")
    raise DataNotFoundError(
        f"{target.name} isn't at {target} and no mirror gave it ({'; '.join(failures) or 'none is known'}): "
        f"set ZOO_DATA to a folder that has {relative_path}, or connect to the network."
    )


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(url: str, target: Path, sha256: str) -> None:
    request = Request(url, headers={"User-Agent": "zoo"})  # some hosts refuse urllib's own name
    with urlopen(request, timeout=TIMEOUT) as response, _progress() as progress:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        digest = hashlib.sha256()
        try:
            length = response.headers.get("Content-Length")
            task = progress.add_task(target.name, total=int(length) if length else None)
            left = MOST
            with os.fdopen(handle, "wb") as file:
                while chunk := response.read(CHUNK):
                    left -= len(chunk)
                    if left < 0:
                        raise ValueError(f"it sends more than {MOST:,} bytes")
                    file.write(chunk)
                    digest.update(chunk)
                    progress.advance(task, len(chunk))
            if digest.hexdigest() != sha256:
                raise ValueError(f"its sha256 is {digest.hexdigest()}, not {sha256}")
            os.chmod(temporary, 0o666 & ~UMASK)  # mkstemp makes files that only their owner can read
            os.replace(temporary, target)
        finally:
            Path(temporary).unlink(missing_ok=True)


def _progress():
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)  # stdout stays the caller's
