"""Folders that are the old or the new ones at every moment, whatever is killed and whenever."""

import contextlib
import ctypes
import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path


class replacing:
    """Context manager: a staged copy of a folder that takes the folder's place at the end, or vanishes on an error.

    On Linux the two are exchanged in one system call, so at every moment the folder is the old or the new one. Elsewhere the
    old one is moved aside first; if the process dies between the two renames, the next `replacing` brings it back.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.aside = folder.with_name(f".{folder.name}.old")

    def __enter__(self) -> Path:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        if self.aside.exists() and not self.folder.exists():
            os.rename(self.aside, self.folder)
        shutil.rmtree(self.aside, ignore_errors=True)
        prefix = f".{self.folder.name}.new-{socket.gethostname()}-"
        for left in self.folder.parent.glob(f"*{prefix}*"):  # staged folders may themselves be staged: "..name.new-"
            if not _alive(left.name.partition(prefix)[2].partition("-")[0]):
                shutil.rmtree(left, ignore_errors=True)  # of an export that was killed
        self.staged = Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-", dir=self.folder.parent))
        self.staged.chmod(0o755)
        try:
            if self.folder.exists():
                shutil.copytree(self.folder, self.staged, dirs_exist_ok=True)
        except BaseException:  # a full disk: leave no half copy behind
            shutil.rmtree(self.staged, ignore_errors=True)
            raise
        return self.staged

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is not None:
            shutil.rmtree(self.staged, ignore_errors=True)
            return
        for path in self.staged.rglob("*"):
            if path.is_file():
                sync(path)
        if not self.folder.exists():
            os.rename(self.staged, self.folder)
        elif exchange(self.staged, self.folder):
            shutil.rmtree(self.staged, ignore_errors=True)
        else:
            os.rename(self.folder, self.aside)
            os.rename(self.staged, self.folder)
            shutil.rmtree(self.aside, ignore_errors=True)


def exchange(a: Path, b: Path) -> bool:
    """Swap two paths in one step; False where the system can't."""
    if sys.platform != "linux":
        return False
    with contextlib.suppress(AttributeError, OSError):
        libc = ctypes.CDLL(None, use_errno=True)
        here, swap = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
        return libc.renameat2(here, os.fsencode(a), here, os.fsencode(b), swap) == 0
    return False


def sync(path: Path) -> None:
    """Wait until a file is on the disk, so that a rename that follows can't outrun its content in a power cut."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True
