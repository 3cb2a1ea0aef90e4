"""Where a checkpoint is: in the checkout, in the installed package, in a folder, or on the Hugging Face Hub.

A bare name is fetched at the commit that the index pins, through the standard Hugging Face cache. A full commit hash can't
change its meaning, so a model that is in the cache loads without a single request.
"""

import errno
import json
import os
import time
from pathlib import Path
from typing import Any

from zoo.core.files import is_plain, shown
from zoo.errors import CheckpointError
from zoo.index import entries, known_as, nearest
from zoo.paths import CHECKPOINTS, in_wheels, names_in
from zoo.registry import family
from zoo.store.files import LOADED

SCHEME = "hf://"
WAITS = (1.0, 2.0, 4.0)  # seconds between attempts while the Hub has trouble; the client has retried before that


def locate(
    name: str | Path,
    *,
    revision: str | None = None,
    token: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    force: bool = False,
) -> Path:
    """The folder of a checkpoint, downloaded if need be: a bare name, "hf://owner/name", both with "@revision", or a folder.

    Args:
        revision, token, cache_dir, local_files_only: as in huggingface_hub.
        force: fetch it again, over a damaged copy in the cache.

    Raises:
        UnknownNameError: if a bare name is neither in the checkout nor in the index.
        CheckpointError: if it can't be had.
    """
    text = str(name)
    options: dict[str, Any] = {
        "token": token,
        "cache_dir": cache_dir,
        "local_files_only": local_files_only,
        "force_download": force,
    }
    if text.startswith(SCHEME):
        repo, _, tag = text.removeprefix(SCHEME).partition("@")
        return _download(repo, revision or tag or "main", **options)
    if isinstance(name, Path) or "/" in text or os.sep in text or text in (".", ".."):
        if not _holds_config(Path(text)):
            raise CheckpointError(f"{shown(text)} is no checkpoint folder: it has no config.json")
        return Path(text)
    if not is_plain(text):
        raise nearest(text, names_in(CHECKPOINTS))
    if not _holds_config(Path(text)):
        text, _, tag = text.partition("@")
        revision = revision or tag or None
    text = known_as(text)
    if text not in entries() and _holds_config(
        Path(text)
    ):  # a folder of the working directory, where no model has its name
        return Path(text)
    if revision is None and (CHECKPOINTS / text / "config.json").is_file():
        return CHECKPOINTS / text
    if text not in entries():
        raise nearest(text, names_in(CHECKPOINTS))
    entry = entries()[text]
    earlier = next((v for v in reversed(entry.earlier) if revision is not None and v.called(revision)), None)
    if earlier is not None:
        folder = _download(earlier.repo, earlier.revision, **options)
        _check_hash(folder, f"{earlier.repo}@{earlier.revision}", text, earlier.sha256)
        return folder
    if revision is None and (packaged := in_wheels(text)) is not None:
        _check_hash(packaged, entry.repo or str(packaged), text, entry.sha256)
        return packaged
    if entry.repo is None:
        raise CheckpointError(
            f"{text} isn't published on the Hub yet: install its wheel of weights, lightning-model-zoo-weights-"
            f"{family(entry.architecture)}, or use a checkout of the repository; "
            f"here are {', '.join(names_in(CHECKPOINTS)) or 'no models'}"
        )
    folder = _download(entry.repo, revision or entry.revision or "main", **options)
    if revision is None:
        _check_hash(folder, entry.repo, text, entry.sha256)
    return folder


def _holds_config(folder: Path) -> bool:
    try:
        return (folder / "config.json").is_file() or (folder / ".zoo-commit").is_dir()
    except (OSError, ValueError):  # a name that is too long, or no name
        return False


def _check_hash(folder: Path, where: str, name: str, sha256: str) -> None:
    """Refuse weights that aren't those of the index, even where their own config.json agrees with them."""
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))["weights"]["sha256"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return  # reading the checkpoint says what is wrong with it
    if found != sha256:
        raise CheckpointError(
            f"{where} holds other weights of {name} than this version of the package was published with "
            f"(sha256 {str(found)[:12]}…, not {sha256[:12]}…): update the package, or name a revision to trust"
        )


def _download(repo: str, revision: str, *, token: str | None, **options: Any) -> Path:
    """One snapshot of a repository, config and weights of the same commit."""
    from huggingface_hub import snapshot_download

    from zoo.version import __version__

    for wait in (*WAITS, None):
        try:
            folder = snapshot_download(
                repo,
                revision=revision,
                token=token,
                allow_patterns=list(LOADED),  # exact names: no path of a repository can lead elsewhere
                library_name="lightning-model-zoo",
                library_version=__version__,
                **options,
            )
            return Path(folder)
        except Exception as error:
            if wait is None or not passing(error):
                raise CheckpointError(explain(error, repo, revision, token)) from None
        time.sleep(wait)
    raise AssertionError("unreachable")


def _answer(error: BaseException | None) -> Any:
    """The client's error that holds an HTTP answer: this one, or one that it wraps; None where there is none."""
    while error is not None and getattr(error, "response", None) is None:
        error = error.__cause__
    return error


def status_of(error: BaseException) -> int | None:
    """The HTTP status behind an error of the client."""
    answer = _answer(error)
    return None if answer is None else int(answer.response.status_code)


def passing(error: BaseException) -> bool:
    """Whether an error may go away by itself: the server has trouble, or a connection broke."""
    status = status_of(error)
    if status is not None:
        return status == 429 or status >= 500
    broken = ("RemoteProtocolError", "ReadError", "ReadTimeout", "WriteError", "ConnectionResetError")
    return type(error).__name__ in broken or "Consistency check failed" in str(error)


def explain(error: BaseException, repo: str, revision: str | None, token: str | None = None) -> str:
    """One sentence for a person, without any token: what the client's error means and what to do."""
    from huggingface_hub import errors

    where = f"{repo}@{revision}" if revision else repo
    status = status_of(error)
    if isinstance(error, errors.GatedRepoError):  # a subclass of RepositoryNotFoundError: it goes first
        text = f"{repo} is gated: ask for access on its page, then pass token= or run `hf auth login`"
    elif isinstance(error, errors.RepositoryNotFoundError):
        text = f"there is no repository {repo!r} on the Hub, or this token may not read it"
    elif isinstance(error, errors.RevisionNotFoundError):
        text = f"{repo} has no revision {revision!r}: name a branch, a tag or a full commit hash"
    elif isinstance(error, errors.HFValidationError):
        text = f'{repo!r} is no repository name: write "hf://owner/name"'
    elif status == 401:
        text = f"the Hub doesn't accept this token for {repo}: run `hf auth login`, or pass another token="
    elif status == 403:
        text = f"this token may not do that with {repo}: use one with the right, or another owner"
    elif status is not None and (status == 429 or status >= 500):
        text = f"the Hub has trouble and answers {status} for {where}: try again later"
    elif status is not None:
        answer = _answer(error)
        text = f"the Hub refused {where}: {getattr(answer, 'server_message', None) or f'status {status}'}"
    elif isinstance(error, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled):
        text = (
            f"{repo} is not on this machine and the Hub can't be reached: "
            f"run `zoo download {SCHEME}{where}` while online, or pass a folder"
        )
    elif getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        text = f"no space is left for {where}: free some, or set cache_dir= or HF_HOME to another disk"
    else:
        text = f"{where} couldn't be fetched: {type(error).__name__}: {error}; try again"
    return without_token(text, token)


def without_token(text: str, token: str | None = None) -> str:
    """The text with any access token of this process blotted out: a server may send one back in its message."""
    from huggingface_hub import get_token

    for secret in (token, get_token()):
        if isinstance(secret, str) and secret:
            text = text.replace(secret, "hf_***")
    return text
