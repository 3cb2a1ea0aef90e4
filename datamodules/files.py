"""Raw files of the data sets: where they live, and how they are fetched and checked.

A file is looked for under `data_root()`. What isn't there is downloaded from the first mirror that answers with the
right sha256, into a temporary file beside its place, and renamed only when the hash agrees: a broken download never
looks like a data set.
"""

import hashlib
import os
import tempfile
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from urllib.request import Request, urlopen

from zoo.errors import ZooError

TIMEOUT = 20.0  # seconds without a byte before the next mirror is asked
CHUNK = 1 << 18


class DataNotFoundError(ZooError, FileNotFoundError):
    """A raw file is neither on disk nor to be had from its mirrors."""


def data_root(root: str | Path | None = None) -> Path:
    """Folder of the raw data: `root` if given, else `$ZOO_DATA`, else `zoo/data` in the user's cache folder."""
    if chosen := root or os.environ.get("ZOO_DATA"):
        return Path(chosen).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "zoo" / "data"


def fetch(relative_path: str, urls: Sequence[str], sha256: str, *, root: str | Path | None = None) -> Path:
    """Path of a raw file, downloaded first if it's missing. A file that exists is taken as it is."""
    target = data_root(root) / relative_path
    if target.is_file():
        return target
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
            with os.fdopen(handle, "wb") as file:
                while chunk := response.read(CHUNK):
                    file.write(chunk)
                    digest.update(chunk)
                    progress.advance(task, len(chunk))
            if digest.hexdigest() != sha256:
                raise ValueError(f"its sha256 is {digest.hexdigest()}, not {sha256}")
            os.chmod(temporary, 0o644)  # mkstemp makes files that only their owner can read
            os.replace(temporary, target)
        finally:
            Path(temporary).unlink(missing_ok=True)


def _progress():
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)  # stdout stays the caller's
