"""The pages of the loopback Hub that are read: facts of a repository, its files, and the CDN."""

import json
import re
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.hub.front_matter import front_matter
from tests.hub.git_repo import POINTER
from tests.hub.state import HubError, HubState


class Reading(HubState):
    """Handlers that change nothing."""

    cdn: str  # the server under another host name

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
