"""Where a folder was published: kept beside it in hub.json, since it can't be part of the commit that it names."""

from dataclasses import asdict, dataclass
from pathlib import Path

from zoo.core.files import parse_json, write_json
from zoo.errors import CheckpointError

PIN = "hub.json"  # where the folder was published; it can't be part of the commit that it names


@dataclass(frozen=True)
class Published:
    """Where a folder now stands: `revision` is the full commit to pin, `changed` the paths that the commit touched."""

    repo: str
    revision: str
    sha256: str
    tag: str | None = None
    changed: tuple[str, ...] = ()


def write_pin(folder: Path, published: Published) -> None:
    """Keep in the folder where it was published; the index takes it from there."""
    facts = {key: value for key, value in asdict(published).items() if key != "changed"}
    write_json(folder / PIN, facts)


def read_pin(folder: Path, sha256: str) -> dict[str, str]:
    """{"repo", "revision"} of a folder whose present weights are published, else nothing."""
    try:
        facts = parse_json((folder / PIN).read_text(encoding="utf-8"))
        if not all(isinstance(facts[key], str) for key in ("repo", "revision", "sha256")):
            raise ValueError("repo, revision and sha256 are texts")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder / PIN} is damaged: {type(error).__name__}: {str(error)[:80]}") from None
    return {"repo": facts["repo"], "revision": facts["revision"]} if facts["sha256"] == sha256 else {}
