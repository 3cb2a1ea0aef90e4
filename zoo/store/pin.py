"""Where a folder was published: kept beside it in hub.json, since it can't be part of the commit that it names."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

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


def write_pin(folder: Path, published: Published, contents: str = "") -> None:
    """Keep in the folder where it was published; the index takes it from there. Other weights that were published before stay
    known by their revision, hash and metrics.

    Args:
        contents: a hash of all that was sent, by which the next publishing sees that nothing has changed.
    """
    before = _read(folder)
    facts = {key: value for key, value in asdict(published).items() if key != "changed"}
    facts |= {"metrics": _metrics(folder), "contents": contents}
    write_json(folder / PIN, facts | {"earlier": _earlier(before, published.sha256)})


def read_pin(folder: Path, sha256: str) -> dict[str, Any]:
    """{"repo", "revision"} of a folder whose present weights are published, and "earlier", the weights that they replaced."""
    facts = _read(folder)
    if not facts:
        return {}
    found: dict[str, Any] = {}
    if facts["sha256"] == sha256:
        found = {"repo": facts["repo"], "revision": facts["revision"]}
    earlier = _earlier(facts, sha256)
    return found | ({"earlier": earlier} if earlier else {})


def sent_before(folder: Path, repo: str, contents: str) -> bool:
    """Whether exactly this content was published to this repository before."""
    facts = _read(folder)
    return bool(contents) and facts.get("repo") == repo and facts.get("contents") == contents


def _earlier(facts: dict[str, Any], sha256: str) -> list[dict[str, Any]]:
    """The weights of a pin that aren't these, oldest first."""
    kept = {key: facts.get(key) for key in ("repo", "revision", "sha256", "tag")} | {
        "metrics": facts.get("metrics", {})
    }
    every = [*facts.get("earlier", []), *([kept] if facts else [])]
    return [version for version in every if version["sha256"] != sha256]


def _metrics(folder: Path) -> dict[str, float]:
    try:
        metrics = parse_json((folder / "metrics.json").read_text(encoding="utf-8"))
        return {f"{m['dataset']}/{m['split']}/{m['metric']}": float(m["value"]) for m in metrics}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _read(folder: Path) -> dict[str, Any]:
    try:
        facts = parse_json((folder / PIN).read_text(encoding="utf-8"))
        if not all(isinstance(facts[key], str) for key in ("repo", "revision", "sha256")):
            raise ValueError("repo, revision and sha256 are texts")
        for version in facts.get("earlier", []):
            if not all(isinstance(version[key], str) for key in ("repo", "revision", "sha256")):
                raise ValueError("repo, revision and sha256 of earlier weights are texts")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder / PIN} is damaged: {type(error).__name__}: {str(error)[:80]}") from None
    return facts
