"""A git repository with LFS objects on disk, as the loopback Hub keeps each of its own."""

import hashlib
import os
import re
import threading
import time
import zlib
from pathlib import Path

POINTER = re.compile(rb"version https://git-lfs\.github\.com/spec/v1\noid sha256:([0-9a-f]{64})\nsize (\d+)\n")


class GitRepo:
    """A git repository of loose objects: written here, readable by any git."""

    def __init__(self, path: Path) -> None:
        self.git = path / ".git"
        for folder in ("objects", "refs/heads", "refs/tags", "lfs/objects"):
            (self.git / folder).mkdir(parents=True, exist_ok=True)
        (self.git / "HEAD").write_text("ref: refs/heads/main\n")
        (self.git / "config").write_text("[core]\n\trepositoryformatversion = 0\n\tbare = false\n")

    def put(self, kind: str, body: bytes) -> str:
        raw = f"{kind} {len(body)}\0".encode() + body
        sha = hashlib.sha1(raw).hexdigest()
        write_whole(self.git / "objects" / sha[:2] / sha[2:], zlib.compress(raw))
        return sha

    def get(self, sha: str) -> bytes:
        raw = zlib.decompress((self.git / "objects" / sha[:2] / sha[2:]).read_bytes())
        return raw.partition(b"\0")[2]

    def put_tree(self, files: dict[str, str]) -> str:
        here: dict[str, tuple[str, str]] = {}
        below: dict[str, dict[str, str]] = {}
        for path, sha in files.items():
            first, _, rest = path.partition("/")
            if rest:
                below.setdefault(first, {})[rest] = sha
            else:
                here[first] = ("100644", sha)
        here |= {name: ("40000", self.put_tree(content)) for name, content in below.items()}
        order = sorted(here, key=lambda name: name + "/" if here[name][0] == "40000" else name)
        return self.put("tree", b"".join(f"{here[n][0]} {n}\0".encode() + bytes.fromhex(here[n][1]) for n in order))

    def files(self, commit: str) -> dict[str, str]:
        """Path -> blob of a commit."""
        found: dict[str, str] = {}

        def walk(tree: str, prefix: str) -> None:
            raw = self.get(tree)
            while raw:
                head, _, raw = raw.partition(b"\0")
                mode, _, name = head.decode().partition(" ")
                sha, raw = raw[:20].hex(), raw[20:]
                if mode == "40000":
                    walk(sha, f"{prefix}{name}/")
                else:
                    found[prefix + name] = sha

        walk(self.get(commit).split(b"\n")[0].split()[1].decode(), "")
        return found

    def commit(self, files: dict[str, str], message: str, parent: str | None) -> str:
        who = f"Zoo <zoo@localhost> {int(time.time())} +0000"
        lines = [f"tree {self.put_tree(files)}", *([f"parent {parent}"] if parent else []), f"author {who}"]
        return self.put("commit", ("\n".join([*lines, f"committer {who}"]) + f"\n\n{message}\n").encode())

    def ref(self, name: str) -> str | None:
        path = self.git / "refs" / name
        return path.read_text().strip() if path.is_file() else None

    def set_ref(self, name: str, sha: str) -> None:
        write_whole(self.git / "refs" / name, f"{sha}\n".encode())

    def refs(self, kind: str) -> dict[str, str]:
        return {p.name: p.read_text().strip() for p in sorted((self.git / "refs" / kind).iterdir())}

    def resolve(self, revision: str) -> str | None:
        if re.fullmatch("[0-9a-f]{40}", revision):
            return revision if (self.git / "objects" / revision[:2] / revision[2:]).is_file() else None
        return self.ref(f"heads/{revision}") or self.ref(f"tags/{revision}")

    def history(self, commit: str | None) -> list[str]:
        found = []
        while commit:
            found.append(commit)
            parent = re.search(rb"^parent (\w+)$", self.get(commit), re.M)
            commit = parent.group(1).decode() if parent else None
        return found

    def lfs_path(self, oid: str) -> Path:
        return self.git / "lfs" / "objects" / oid[:2] / oid[2:4] / oid

    def content(self, commit: str, path: str) -> bytes:
        """The bytes of a file, LFS pointers followed."""
        raw = self.get(self.files(commit)[path])
        pointer = POINTER.fullmatch(raw)
        return self.lfs_path(pointer.group(1).decode()).read_bytes() if pointer else raw


def write_whole(path: Path, raw: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f"{path.name}.{threading.get_ident()}.tmp")
    staged.write_bytes(raw)
    os.replace(staged, path)
