"""Where a checkpoint is: in the checkout, in a folder, or on the Hugging Face Hub."""

from pathlib import Path

from zoo.errors import CheckpointError
from zoo.index import entries, nearest

CHECKPOINTS = Path(__file__).resolve().parents[1] / "checkpoints"
SCHEME = "hf://"


def locate(
    name: str | Path,
    *,
    revision: str | None = None,
    token: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
) -> Path:
    """The folder of a checkpoint, downloaded if need be: a bare name, "hf://owner/name[@revision]", or a folder.

    Raises:
        UnknownNameError: if a bare name is neither in the checkout nor in the index.
        CheckpointError: if it can't be had.
    """
    text = str(name)
    if text.startswith(SCHEME):
        repo, _, tag = text.removeprefix(SCHEME).partition("@")
        return _download(repo, revision or tag or "main", token, cache_dir, local_files_only)
    if isinstance(name, Path) or "/" in text or text in (".", ".."):
        if not (Path(text) / "config.json").is_file():
            raise CheckpointError(f"{text} is no checkpoint folder: it has no config.json")
        return Path(text)
    if revision is None and (CHECKPOINTS / text / "config.json").is_file():
        return CHECKPOINTS / text
    if text not in entries():
        raise nearest(text, (p.parent.name for p in CHECKPOINTS.glob("*/config.json")))
    entry = entries()[text]
    if entry.repo is None:
        raise CheckpointError(f"{text} isn't published on the Hub yet: use a checkout of the repository that holds it")
    return _download(entry.repo, revision or entry.revision or "main", token, cache_dir, local_files_only)


def _download(repo: str, revision: str, token: str | None, cache: str | Path | None, local_only: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    from zoo import __version__

    try:
        folder = snapshot_download(
            repo,
            revision=revision,
            token=token,
            cache_dir=cache,
            local_files_only=local_only,
            allow_patterns=["*.json", "*.safetensors", "*.yaml", "README.md", "preview.png"],
            library_name="lightning-model-zoo",
            library_version=__version__,
        )
    except RepositoryNotFoundError:
        raise CheckpointError(f"there is no repository {repo!r} on the Hub, or this token may not read it") from None
    except LocalEntryNotFoundError:
        raise CheckpointError(
            f"{repo} is not on this machine and the Hub can't be reached: run `zoo download {repo.split('/')[-1]}` "
            "while online, or pass a folder"
        ) from None
    except HfHubHTTPError as error:
        raise CheckpointError(f"the Hub refused {repo}@{revision}: {error.server_message or error}") from None
    return Path(folder)
