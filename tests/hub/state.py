"""What the loopback Hub holds: repositories, accounts and collections, who may see them, and its errors."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.requests import Request

from tests.hub.git_repo import POINTER, GitRepo

ATTRIBUTES = "".join(
    f"*.{s} filter=lfs diff=lfs merge=lfs -text\n" for s in ("safetensors", "ckpt", "pt", "bin", "npz")
)


class HubError(Exception):
    def __init__(self, status: int, code: str = "", message: str = "", **headers: str) -> None:
        self.status, self.code, self.message, self.headers = status, code, message, headers


@dataclass
class Repo:
    git: GitRepo
    private: bool = False
    gated: bool = False


class HubState:
    """Repositories below `root`, the owners of `tokens`, and the shared folder of `xet`."""

    url: str  # of the server

    def __init__(self, root: Path, tokens: dict[str, str], xet: Path | None = None) -> None:
        self.root, self.tokens, self.xet = root, tokens, xet
        self.repos: dict[str, Repo] = {}
        self.collections: dict[str, dict[str, Any]] = {}

    def add_repo(self, name: str, *, private: bool = False) -> Repo:
        git = GitRepo(self.root / "models" / name)
        git.set_ref(
            "heads/main", git.commit({".gitattributes": git.put("blob", ATTRIBUTES.encode())}, "initial commit", None)
        )
        self.repos[name] = Repo(git, private)
        return self.repos[name]

    def user(self, request: Request, *, needed: bool = False) -> str | None:
        header = request.headers.get("authorization", "")
        if header and header.removeprefix("Bearer ") not in self.tokens:
            raise HubError(401, "", "Invalid credentials in Authorization header")
        user = self.tokens.get(header.removeprefix("Bearer "))
        if needed and user is None:
            raise HubError(401, "", "Authentication required")
        return user

    def repo(self, request: Request, name: str, *, write: bool = False, content: bool = False) -> Repo:
        user = self.user(request, needed=write)
        repo = self.repos.get(name)
        if repo is None or (repo.private and user != name.split("/")[0]):
            raise HubError(404 if user else 401, "RepoNotFound", "Repository not found")
        if write and user != name.split("/")[0]:
            raise HubError(403, "", "You don't have the rights to write here")
        if content and repo.gated and user != name.split("/")[0]:
            raise HubError(403 if user else 401, "GatedRepo", f"Access to model {name} is restricted")
        return repo

    def commit_of(self, repo: Repo, revision: str) -> str:
        sha = repo.git.resolve(revision)
        if sha is None:
            raise HubError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return sha

    def items(self, git: GitRepo, commit: str) -> list[dict[str, Any]]:
        found = []
        for path, sha in git.files(commit).items():
            raw = git.get(sha)
            item: dict[str, Any] = {"type": "file", "oid": sha, "size": len(raw), "path": path}
            if pointer := POINTER.fullmatch(raw):
                oid, size = pointer.group(1).decode(), int(pointer.group(2))
                item |= {"size": size, "lfs": {"oid": oid, "size": size, "pointerSize": len(raw)}}
                if xet := self.xet_hash(oid):
                    item["xetHash"] = xet
            found.append(item)
        return found

    def xet_hash(self, oid: str) -> str | None:
        """The xet hash of a sha256, read off the shards that the client left in the shared folder.

        A shard holds records of 48 bytes: a header, then for each file its hash, its segments and their verification, and
        a record with the sha256. Hashes are four little-endian words, printed word by word.
        """
        for shard in sorted((self.xet or Path("/nonexistent")).rglob("*.mdb")):
            raw = shard.read_bytes()
            at = 48
            while at + 48 <= len(raw) and raw[at : at + 32] != b"\xff" * 32:
                file_hash = raw[at : at + 32]
                flags, entries = struct.unpack_from("<II", raw, at + 32)
                at += 48 * (1 + entries * (2 if flags >> 31 else 1))
                if flags >> 30 & 1:
                    if words(raw[at : at + 32]) == oid:
                        return words(file_hash)
                    at += 48
        return None


def words(raw: bytes) -> str:
    return "".join(f"{w:016x}" for w in struct.unpack("<4Q", raw))
