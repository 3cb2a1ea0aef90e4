"""Files and folders that are the old or the new ones at every moment, whatever is killed and whenever, and nobody else's.

What the zoo writes has the names of `OURS`, in a folder whose config.json says so. Only such files are replaced or removed;
whatever else lies beside them stays where it is, the very same file.
"""

import contextlib
import ctypes
import json
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from zoo.core.files import UMASK, sync
from zoo.errors import CheckpointError, InputError
from zoo.store.files import OURS

SMALL = 4 * 2**20  # bytes of a config.json; ours hold a few thousand
STAGED = ".zoo-new"  # begins the name of a folder that is being filled
COMMIT = ".zoo-commit"  # a filled one whose files are on their way into the folder that holds it
GONE = ".gone"  # names, in a committed folder, of files that go


# A folder ----------------------------------------------------------------------------------------------------------------


class replacing:
    """Context manager: a staged copy of our files in a folder, which take their place at the end, or vanish on an error.

    A folder that isn't there yet appears as a whole. One that holds nothing but our files is exchanged with the staged one in
    a single system call, so at every moment it is the old or the new one. Where that can't be (somebody else's files, the working
    directory, a mount point, another system than Linux), the staged files are first kept inside the folder as a whole and then
    moved one by one, config.json last; `settle` finishes what a killed process began. A link is followed: its target changes.

    Raises:
        InputError: on entering, for a folder that holds a file of our names which isn't ours, unless `overwrite`.
    """

    def __init__(self, folder: Path, *, overwrite: bool = False) -> None:
        self.folder = Path(os.path.realpath(folder))
        self.overwrite = overwrite

    def __enter__(self) -> Path:
        aside = self.folder.with_name(f".{self.folder.name}.old")
        if (
            aside.is_dir() and not self.folder.exists()
        ):  # earlier versions moved the old folder there, and may have died then
            os.rename(aside, self.folder)
        settle(self.folder)
        check_writable(self.folder, overwrite=self.overwrite)
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        prefix = f"{STAGED}-{socket.gethostname()}-"
        self.whole = not self.folder.exists() or (not foreign(self.folder) and not _in_use(self.folder))
        place = self.folder.parent if self.whole else self.folder
        for left in (self.folder.parent, self.folder):
            _sweep(left, prefix)
        self.staged = Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-", dir=place))
        self.staged.chmod(0o777 & ~UMASK)
        try:
            for name in OURS:
                if (self.folder / name).is_file():
                    shutil.copyfile(self.folder / name, self.staged / name)
        except BaseException:  # a full disk: leave no half copy behind
            shutil.rmtree(self.staged, ignore_errors=True)
            raise
        return self.staged

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is not None:
            shutil.rmtree(self.staged, ignore_errors=True)
            return
        try:
            self.finish()
        except BaseException:
            shutil.rmtree(self.staged, ignore_errors=True)
            raise

    def finish(self) -> None:
        for path in self.staged.iterdir():
            if path.is_file():
                sync(path)
        if self.whole:
            if not self.folder.exists():
                os.rename(self.staged, self.folder)
                return
            if not foreign(self.folder) and exchange(self.staged, self.folder):
                shutil.rmtree(self.staged, ignore_errors=True)
                return
            inside = Path(tempfile.mkdtemp(prefix=f"{self.staged.name}-", dir=self.folder))
            for path in self.staged.iterdir():
                shutil.copyfile(path, inside / path.name)
                sync(inside / path.name)
            shutil.rmtree(self.staged)
            self.staged = inside
        kept = {path.name for path in self.staged.iterdir()}
        gone = sorted(name for name in OURS - kept if (self.folder / name).is_file())
        (self.staged / GONE).write_text(json.dumps(gone), encoding="utf-8")
        sync(self.staged / GONE)
        os.rename(self.staged, self.folder / COMMIT)
        settle(self.folder)


def settle(folder: Path) -> None:
    """Finish a replacement that was cut off: move what is committed inside a folder to its place.

    Raises:
        CheckpointError: if that isn't allowed here.
    """
    commit = folder / COMMIT
    if not commit.is_dir():
        return
    try:
        with contextlib.suppress(FileNotFoundError):  # somebody else finishes it at this moment
            for name in json.loads((commit / GONE).read_text(encoding="utf-8")):
                if name in OURS:
                    (folder / name).unlink(missing_ok=True)
        for path in sorted(commit.iterdir(), key=lambda path: path.name == "config.json"):
            if path.name != GONE:
                with contextlib.suppress(FileNotFoundError):
                    os.replace(path, folder / path.name)
        shutil.rmtree(commit, ignore_errors=True)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{folder} was being written when its writer died, and can't be finished here ({error}): "
            "load it once from where it may be written"
        ) from None


def ours(folder: Path) -> bool:
    """Whether a folder holds a checkpoint, so that its files of our names are ours."""
    with contextlib.suppress(OSError, ValueError, RecursionError), (folder / "config.json").open("rb") as file:
        config = json.loads(file.read(SMALL))
        return isinstance(config, dict) and "zoo_format" in config
    return False


def foreign(folder: Path) -> list[str]:
    """Sorted names of what in a folder isn't ours; a folder that isn't there has none."""
    if not folder.is_dir():
        return []
    entries = [e for e in os.scandir(folder) if not e.name.startswith((STAGED, COMMIT))]
    mine = OURS if ours(folder) or {e.name for e in entries} <= {"recipe.yaml", "extra.md"} else frozenset()
    return sorted(e.name for e in entries if e.name not in mine or not e.is_file(follow_symlinks=False))


def check_writable(folder: Path, *, alone: bool = False, overwrite: bool = False) -> None:
    """Refuse a folder before any work, if a checkpoint can't be written there without a loss.

    Args:
        alone: anything that isn't ours is a reason, not just a file that has one of our names.
        overwrite: files of our names may be replaced whoever wrote them; everything else stays in any case.

    Raises:
        InputError: in one sentence.
    """
    try:
        folder = Path(os.path.realpath(folder))
        exists = folder.exists()
    except (OSError, ValueError) as error:  # too long, a loop of links, a zero in it
        raise InputError(
            f"{str(folder)[:80]!r} can't be a folder: {getattr(error, 'strerror', None) or error}"
        ) from None
    if not folder.name:
        raise InputError(f"{folder} can't be a checkpoint: name a folder in it")
    if exists and not folder.is_dir():
        raise InputError(f"{folder} is a file: a checkpoint is a folder, choose another name")
    near = next(path for path in (folder, *folder.parents) if path.exists())
    if not near.is_dir():
        raise InputError(f"{folder} can't be made: {near} is a file")
    if not os.access(near, os.W_OK | os.X_OK):
        raise InputError(f"{folder} can't be written: you may not write to {near}")
    found = [name for name in foreign(folder) if alone or name in OURS]
    if found and not overwrite:
        shown = ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
        raise InputError(
            f"{folder} holds {shown}, which the zoo didn't write: choose another folder, or say overwrite "
            f"({'these stay, ours are put beside them' if not OURS.intersection(found) else 'our files take their place'})"
        )


def exchange(a: Path, b: Path) -> bool:
    """Swap two paths in one step; False where the system can't."""
    if sys.platform != "linux":
        return False
    with contextlib.suppress(AttributeError, OSError):
        libc = ctypes.CDLL(None, use_errno=True)
        here, swap = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
        return libc.renameat2(here, os.fsencode(a), here, os.fsencode(b), swap) == 0
    return False


def _in_use(folder: Path) -> bool:
    """Whether a folder can't go away: it is the working directory of this process or a mount point, or lies above one."""
    with contextlib.suppress(OSError):
        here = Path(os.path.realpath("."))
        return folder in (here, *here.parents) or os.path.ismount(folder)
    return True


def _sweep(place: Path, prefix: str) -> None:
    """Remove staged folders of processes of this machine that are dead."""
    with contextlib.suppress(OSError):
        for left in os.scandir(place):
            if left.name.startswith(prefix) and not _alive(left.name.removeprefix(prefix).partition("-")[0]):
                shutil.rmtree(left.path, ignore_errors=True)


# A run -------------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Hold a folder for this process alone until the end of the block; the lock ends with the process in any case.

    Raises:
        InputError: if another process holds it; the message names that process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:  # a system without advisory locks
        yield
        return
    with (folder / ".lock").open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read(200).strip() or "another process"
            raise InputError(f"{folder} is in use by {owner}: wait until it ends, or choose another folder") from None
        except OSError:  # a file system without locks
            yield
            return
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%F %T')}\n")
        lock.flush()
        yield


def _alive(pid: str) -> bool:
    if os.name != "posix":  # Windows reads the signal 0 as Ctrl-C
        return True
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
