"""A loopback Hub that the unmodified official client publishes to and loads from.

It keeps each repository as a real git repository with LFS objects on disk, so that an independent server (olah) can serve
the very same folders, answers over HTTP as the Hub does (errors, redirects, LFS, a CDN under another host name that
refuses tokens), keeps a log of all requests, and misbehaves on order: see `Fault`.

It is written from the client's side of the protocol. It shows that the client and this package agree with each other; it
can't show what the real Hub does.
"""

import base64
import hashlib
import json
import re
import struct
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

import anyio
import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.hub.front_matter import card_errors, front_matter
from tests.hub.git_repo import POINTER, GitRepo, write_whole

ATTRIBUTES = "".join(
    f"*.{s} filter=lfs diff=lfs merge=lfs -text\n" for s in ("safetensors", "ckpt", "pt", "bin", "npz")
)
LFS_SUFFIXES = (".safetensors", ".ckpt", ".pt", ".bin", ".npz")


@dataclass
class Fault:
    """The next `times` requests whose "METHOD /path" matches `match` go wrong.

    Actions: "status" answers `value` (an HTTP status) with `headers`; "hang" waits `value` seconds, then breaks off;
    "cut" sends `value` bytes of the body, then breaks off; "bytes" sends other bytes of the same length;
    "call" calls `value()` and goes on.
    """

    action: str
    match: str
    value: Any = None
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)
    done: int = 0


@dataclass(frozen=True)
class Logged:
    method: str
    path: str
    query: str
    headers: dict[str, str]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class HubError(Exception):
    def __init__(self, status: int, code: str = "", message: str = "", **headers: str) -> None:
        self.status, self.code, self.message, self.headers = status, code, message, headers


@dataclass
class Repo:
    git: GitRepo
    private: bool = False
    gated: bool = False


class HubServer:
    """The server; `url` is its endpoint, `log` all requests, `faults` what goes wrong next."""

    def __init__(self, root: Path, tokens: dict[str, str], xet: Path | None = None) -> None:
        self.root, self.tokens, self.xet = root, tokens, xet
        self.log: list[Logged] = []
        self.faults: list[Fault] = []
        self.errors: list[str] = []  # bugs of this server
        self.repos: dict[str, Repo] = {}
        self.collections: dict[str, dict[str, Any]] = {}
        config = uvicorn.Config(
            self.asgi, host="127.0.0.1", port=0, log_level="critical", lifespan="off", ws="none", interface="asgi3"
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.port = 0

    def __enter__(self) -> "HubServer":
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = self.server.force_exit = True
        self.thread.join(5)

    def vanish(self) -> None:
        """Stop listening and drop every connection, as a machine does that loses its network."""
        for server in self.server.servers:
            server.close()
        self.faults.append(Fault("cut", ".*", 0, times=10**9))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def cdn(self) -> str:
        return f"http://localhost:{self.port}"

    def requests(self, pattern: str = "") -> list[str]:
        return [str(r) for r in self.log if re.search(pattern, str(r))]

    def fault(self, action: str, match: str, value: Any = None, times: int = 1, **headers: str) -> Fault:
        self.faults.append(Fault(action, match, value, times, headers))
        return self.faults[-1]

    # HTTP ------------------------------------------------------------------------------------------------------------

    async def asgi(self, scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        request = Request(scope, receive)
        raw = scope["raw_path"].decode().partition("?")[0]
        self.log.append(Logged(request.method, raw, scope["query_string"].decode(), dict(request.headers)))
        fault = next(
            (f for f in self.faults if f.done < f.times and re.search(f.match, f"{request.method} {raw}")), None
        )
        if fault:
            fault.done += 1
        if fault and fault.action == "call":
            fault.value()
        if fault and fault.action == "hang":
            await anyio.sleep(fault.value)
            fault = Fault("cut", "", 0)
        if fault and fault.action == "status":
            response: Response = JSONResponse({"error": "on order"}, fault.value, fault.headers)
        else:
            body = await request.body()
            response = await anyio.to_thread.run_sync(self.answer, request, raw, body)
        response.headers["X-Request-Id"] = f"request-{len(self.log)}"
        if fault and fault.action == "bytes":
            response.body = bytes(b ^ 0x5A for b in bytes(response.body))
        if fault and fault.action == "cut" and request.method != "HEAD":
            await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
            await send({"type": "http.response.body", "body": bytes(response.body)[: fault.value], "more_body": True})
            raise ConnectionError("broken off on order")
        if fault and fault.action == "cut":
            raise ConnectionError("broken off on order")
        await response(scope, receive, send)

    def answer(self, request: Request, raw: str, body: bytes) -> Response:
        try:
            for method, pattern, handler in ROUTES:
                found = re.fullmatch(pattern, raw)
                if found and request.method in method.split():
                    return handler(self, request, body, *[unquote(part) for part in found.groups()])
            raise HubError(404, "", f"no such page: {request.method} {raw}")
        except HubError as error:
            headers = {"X-Error-Code": error.code} if error.code else {}
            if error.message:
                headers["X-Error-Message"] = error.message
            headers |= {key.replace("_", "-"): value for key, value in error.headers.items()}
            return JSONResponse({"error": error.message, **getattr(error, "body", {})}, error.status, headers)
        except Exception:
            self.errors.append(traceback.format_exc())
            return JSONResponse({"error": "a bug of the test server"}, 500)

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

    # Accounts and repositories ---------------------------------------------------------------------------------------

    def whoami(self, request: Request, body: bytes) -> Response:
        user = self.user(request, needed=True)
        token = {"accessToken": {"displayName": "test", "role": "write"}}
        return JSONResponse({"type": "user", "name": user, "fullname": user, "orgs": [], "auth": token})

    def create(self, request: Request, body: bytes) -> Response:
        user = self.user(request, needed=True)
        asked = json.loads(body)
        name = f"{asked.get('organization') or user}/{asked['name']}"
        if name.split("/")[0] != user:
            raise HubError(403, "", "You don't have the rights to create a model under this namespace")
        if name in self.repos:
            error = HubError(409, "", "You already created this model repo")
            error.body = {"url": f"{self.url}/{name}"}  # type: ignore[attr-defined]
            raise error
        self.add_repo(name, private=asked.get("visibility") == "private" or bool(asked.get("private")))
        return JSONResponse({"url": f"{self.url}/{name}", "name": name, "id": name})

    def add_repo(self, name: str, *, private: bool = False) -> Repo:
        git = GitRepo(self.root / "models" / name)
        git.set_ref(
            "heads/main", git.commit({".gitattributes": git.put("blob", ATTRIBUTES.encode())}, "initial commit", None)
        )
        self.repos[name] = Repo(git, private)
        return self.repos[name]

    def validate_yaml(self, request: Request, body: bytes) -> Response:
        errors = card_errors(json.loads(body)["content"])
        answer = {"errors": [{"message": e} for e in errors], "warnings": []}
        return JSONResponse(answer, 400 if errors else 200)

    def collect(self, request: Request, body: bytes) -> Response:
        user, asked = self.user(request, needed=True), json.loads(body)
        if asked["namespace"] != user:
            raise HubError(403, "", "You don't have the rights to create a collection under this namespace")
        slug = f"{user}/{asked['title'].lower().replace(' ', '-')}-{len(asked['title']):024x}"
        if slug in self.collections:
            error = HubError(409, "", "This collection already exists")
            error.body = {"slug": slug}  # type: ignore[attr-defined]
            raise error
        page = {
            "slug": slug,
            "title": asked["title"],
            "owner": {"name": user},
            "items": [],
            "position": 0,
            "upvotes": 0,
        }
        page |= {"lastUpdated": "2026-01-01T00:00:00.000Z", "private": bool(asked["private"]), "theme": "blue"}
        self.collections[slug] = page | {"description": asked.get("description")}
        return JSONResponse(self.collections[slug])

    def collection(self, request: Request, body: bytes, slug: str) -> Response:
        if slug not in self.collections:
            raise HubError(404, "", "Collection not found")
        return JSONResponse(self.collections[slug])

    def collect_item(self, request: Request, body: bytes, slug: str) -> Response:
        item = json.loads(body)["item"]
        self.repo(request, item["id"], write=True)
        items = self.collections[slug]["items"]
        if any(one["id"] == item["id"] for one in items):
            raise HubError(409, "", "Item already exists in collection")
        items.append({"_id": f"{len(items):024x}", "id": item["id"], "type": item["type"], "position": len(items)})
        return JSONResponse(self.collections[slug])

    # Reading ---------------------------------------------------------------------------------------------------------

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

    def info(self, request: Request, body: bytes, name: str, revision: str = "main") -> Response:
        repo = self.repo(request, name)
        sha = self.commit_of(repo, revision)
        siblings: list[dict[str, Any]] = []
        for item in self.items(repo.git, sha):
            entry = {"rfilename": item["path"]}
            if "blobs" in request.query_params:
                lfs = item.get("lfs")
                entry |= {"size": item["size"], "blobId": item["oid"]}
                if lfs:
                    entry["lfs"] = {"sha256": lfs["oid"], "size": lfs["size"], "pointerSize": lfs["pointerSize"]}
            siblings.append(entry)
        card: dict[str, Any] = {}
        if "README.md" in repo.git.files(sha):
            card = front_matter(repo.git.content(sha, "README.md").decode()) or {}
        stamp = "2026-01-01T00:00:00.000Z"
        return JSONResponse(
            {"id": name, "modelId": name, "author": name.split("/")[0], "sha": sha, "lastModified": stamp}
            | {"createdAt": stamp, "private": repo.private, "gated": "auto" if repo.gated else False}
            | {"disabled": False, "downloads": 0, "likes": 0, "tags": card.get("tags", []), "siblings": siblings}
            | {"pipeline_tag": card.get("pipeline_tag"), "library_name": card.get("library_name"), "cardData": card}
            | {"model-index": card.get("model-index"), "config": {}, "spaces": []}
        )

    def tree(self, request: Request, body: bytes, name: str, revision: str) -> Response:
        repo = self.repo(request, name)
        return JSONResponse(self.items(repo.git, self.commit_of(repo, revision)))

    def paths_info(self, request: Request, body: bytes, name: str, revision: str) -> Response:
        repo = self.repo(request, name)
        if "json" in request.headers.get("content-type", ""):
            asked = json.loads(body)["paths"]
        else:
            asked = parse_qs(body.decode())["paths"]
        return JSONResponse([i for i in self.items(repo.git, self.commit_of(repo, revision)) if i["path"] in asked])

    def refs(self, request: Request, body: bytes, name: str) -> Response:
        git = self.repo(request, name).git
        answer: dict[str, Any] = {"converts": []}
        for key, kind in (("branches", "heads"), ("tags", "tags")):
            answer[key] = [{"name": n, "ref": f"refs/{kind}/{n}", "targetCommit": s} for n, s in git.refs(kind).items()]
        return JSONResponse(answer)

    def commits(self, request: Request, body: bytes, name: str, revision: str) -> Response:
        repo = self.repo(request, name)
        found = []
        for sha in repo.git.history(self.commit_of(repo, revision)):
            title = repo.git.get(sha).decode().partition("\n\n")[2].strip()
            found.append({"id": sha, "title": title, "message": "", "authors": [], "date": "2026-01-01T00:00:00.000Z"})
        return JSONResponse(found)

    def resolve(self, request: Request, body: bytes, name: str, revision: str, path: str) -> Response:
        repo = self.repo(request, name, content=True)
        sha = self.commit_of(repo, revision)
        files = repo.git.files(sha)
        if path not in files:
            raise HubError(404, "EntryNotFound", "Entry not found", X_Repo_Commit=sha)
        pointer = POINTER.fullmatch(repo.git.get(files[path]))
        if not pointer:
            where = f"/api/resolve-cache/models/{name}/{sha}/{path}"
            return Response(status_code=307, headers={"Location": where, "X-Repo-Commit": sha})
        oid = pointer.group(1).decode()
        headers = {
            "X-Repo-Commit": sha,
            "X-Linked-Etag": f'"{oid}"',
            "X-Linked-Size": pointer.group(2).decode(),
            "Location": f"{self.cdn}/cdn/{name}/{oid}",
        }
        if xet := self.xet_hash(oid):
            headers["X-Xet-Hash"] = xet
            headers["Link"] = f'<{self.url}/api/models/{name}/xet-read-token/{sha}>; rel="xet-auth"'
        return Response(status_code=302, headers=headers)

    def resolve_cache(self, request: Request, body: bytes, name: str, sha: str, path: str) -> Response:
        git = self.repo(request, name, content=True).git
        blob = git.files(sha)[path]
        return ranged(request, git.get(blob), {"ETag": f'"{blob}"', "X-Repo-Commit": sha})

    def cdn_get(self, request: Request, body: bytes, name: str, oid: str) -> Response:
        if "authorization" in request.headers:
            raise HubError(400, "", "Only one auth mechanism allowed")
        return ranged(request, self.repos[name].git.lfs_path(oid).read_bytes(), {"ETag": f'"{oid}"'})

    # Writing ---------------------------------------------------------------------------------------------------------

    def preupload(self, request: Request, body: bytes, name: str, revision: str) -> Response:
        git = self.repo(request, name, write=True).git
        present = {i["path"]: i.get("lfs", i)["oid"] for i in self.items(git, git.resolve(revision) or "")}
        answer = []
        for file in json.loads(body)["files"]:
            sample = base64.b64decode(file["sample"])
            lfs = file["path"].endswith(LFS_SUFFIXES) or b"\0" in sample or file["size"] > 10_000_000
            item = {"path": file["path"], "uploadMode": "lfs" if lfs else "regular", "shouldIgnore": False}
            if file["path"] in present:
                item["oid"] = present[file["path"]]
            answer.append(item)
        return JSONResponse({"files": answer})

    def lfs_batch(self, request: Request, body: bytes, name: str) -> Response:
        git = self.repo(request, name, write=True).git
        objects = []
        for asked in json.loads(body)["objects"]:
            entry = {"oid": asked["oid"], "size": asked["size"]}
            if not git.lfs_path(asked["oid"]).is_file():
                verify = {"href": f"{self.url}/{name}.git/info/lfs/verify"}
                entry["actions"] = {
                    "upload": {"href": f"{self.cdn}/cdn-upload/{name}/{asked['oid']}"},
                    "verify": verify,
                }
            objects.append(entry)
        return JSONResponse(
            {"transfer": "basic", "objects": objects}, headers={"Content-Type": "application/vnd.git-lfs+json"}
        )

    def cdn_put(self, request: Request, body: bytes, name: str, oid: str) -> Response:
        if "authorization" in request.headers:
            raise HubError(400, "", "Only one auth mechanism allowed")
        if hashlib.sha256(body).hexdigest() != oid:
            raise HubError(400, "", "the body has another sha256")
        write_whole(self.repos[name].git.lfs_path(oid), body)
        return Response()

    def lfs_verify(self, request: Request, body: bytes, name: str) -> Response:
        repo, asked = self.repo(request, name, write=True), json.loads(body)
        path = repo.git.lfs_path(asked["oid"])
        if not path.is_file() or path.stat().st_size != asked["size"]:
            raise HubError(404, "", "object not found")
        return JSONResponse({"message": "ok"})

    def commit(self, request: Request, body: bytes, name: str, branch: str) -> Response:
        git = self.repo(request, name, write=True).git
        head = git.ref(f"heads/{branch}")
        if head is None:
            raise HubError(404, "RevisionNotFound", f"Invalid rev id: {branch}")
        files, message = git.files(head), ""
        for line in map(json.loads, body.decode().splitlines()):
            value = line["value"]
            if line["key"] == "header":
                message = value["summary"]
                if value.get("parentCommit", head) != head:
                    raise HubError(412, "", "A commit has happened since. Please refresh and try again.")
            elif line["key"] == "file":
                files[value["path"]] = git.put("blob", base64.b64decode(value["content"]))
            elif line["key"] == "lfsFile":
                oid = value["oid"]
                if not git.lfs_path(oid).is_file() and not self.xet_hash(oid):
                    raise HubError(400, "", f"the object {oid} was never uploaded")
                pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {value['size']}\n"
                files[value["path"]] = git.put("blob", pointer.encode())
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        sha = git.commit(files, message, head)
        git.set_ref(f"heads/{branch}", sha)
        return JSONResponse({"commitOid": sha, "commitUrl": f"{self.url}/{name}/commit/{sha}", "success": True})

    def tag(self, request: Request, body: bytes, name: str, revision: str) -> Response:
        repo = self.repo(request, name, write=True)
        tag = json.loads(body)["tag"]
        if repo.git.ref(f"tags/{tag}"):
            raise HubError(409, "", "Tag already exists")
        repo.git.set_ref(f"tags/{tag}", self.commit_of(repo, revision))
        return Response()

    def untag(self, request: Request, body: bytes, name: str, tag: str) -> Response:
        repo = self.repo(request, name, write=True)
        if not repo.git.ref(f"tags/{tag}"):
            raise HubError(404, "RevisionNotFound", "Tag not found")
        (repo.git.git / "refs" / "tags" / tag).unlink()
        return Response()

    # Xet -------------------------------------------------------------------------------------------------------------

    def xet_token(self, request: Request, body: bytes, name: str, kind: str, revision: str) -> Response:
        self.repo(request, name, write=kind == "write")
        if self.xet is None:
            raise HubError(404, "", "xet is off")
        token = {"casUrl": f"local://{self.xet}", "exp": int(time.time()) + 3600, "accessToken": "xet"}
        headers = {
            "X-Xet-Cas-Url": token["casUrl"],
            "X-Xet-Access-Token": "xet",
            "X-Xet-Token-Expiration": str(token["exp"]),
        }
        return JSONResponse(token, headers=headers)

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


def ranged(request: Request, raw: bytes, headers: dict[str, str]) -> Response:
    headers = {**headers, "Accept-Ranges": "bytes"}
    wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))
    if wanted and (wanted.group(1) or wanted.group(2)):
        first = int(wanted.group(1)) if wanted.group(1) else max(0, len(raw) - int(wanted.group(2)))
        last = min(int(wanted.group(2)), len(raw) - 1) if wanted.group(1) and wanted.group(2) else len(raw) - 1
        if first >= len(raw):
            return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{len(raw)}"})
        part = raw[first : last + 1]
        return Response(part, 206, {**headers, "Content-Range": f"bytes {first}-{last}/{len(raw)}"})
    return Response(raw, headers=headers)


R = r"([^/]+/[^/]+)"
ROUTES: list[tuple[str, str, Callable[..., Response]]] = [
    ("GET", r"/api/whoami-v2", HubServer.whoami),
    ("POST", r"/api/repos/create", HubServer.create),
    ("POST", r"/api/validate-yaml", HubServer.validate_yaml),
    ("POST", r"/api/collections", HubServer.collect),
    ("GET", r"/api/collections/(.+)", HubServer.collection),
    ("POST", r"/api/collections/(.+)/items", HubServer.collect_item),
    ("GET HEAD", rf"/api/resolve-cache/models/{R}/([0-9a-f]{{40}})/(.+)", HubServer.resolve_cache),
    ("GET", rf"/api/models/{R}", HubServer.info),
    ("GET", rf"/api/models/{R}/revision/([^/]+)", HubServer.info),
    ("GET", rf"/api/models/{R}/tree/([^/]+)/?", HubServer.tree),
    ("POST", rf"/api/models/{R}/paths-info/([^/]+)", HubServer.paths_info),
    ("GET", rf"/api/models/{R}/refs", HubServer.refs),
    ("GET", rf"/api/models/{R}/commits/([^/]+)", HubServer.commits),
    ("POST", rf"/api/models/{R}/preupload/([^/]+)", HubServer.preupload),
    ("POST", rf"/api/models/{R}/commit/([^/]+)", HubServer.commit),
    ("POST", rf"/api/models/{R}/tag/([^/]+)", HubServer.tag),
    ("DELETE", rf"/api/models/{R}/tag/([^/]+)", HubServer.untag),
    ("GET", rf"/api/models/{R}/xet-(read|write)-token/([^/]+)", HubServer.xet_token),
    ("POST", rf"/{R}\.git/info/lfs/objects/batch", HubServer.lfs_batch),
    ("POST", rf"/{R}\.git/info/lfs/verify", HubServer.lfs_verify),
    ("GET HEAD", rf"/cdn/{R}/([0-9a-f]{{64}})", HubServer.cdn_get),
    ("PUT", rf"/cdn-upload/{R}/([0-9a-f]{{64}})", HubServer.cdn_put),
    ("GET HEAD", rf"/{R}/resolve/([^/]+)/(.+)", HubServer.resolve),
]
