"""The pages of the loopback Hub that are written: accounts, repositories, collections, LFS objects, commits and tags."""

import base64
import hashlib
import json
import time

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.hub.front_matter import card_errors
from tests.hub.git_repo import write_whole
from tests.hub.state import HubError, HubState

LFS_SUFFIXES = (".safetensors", ".ckpt", ".pt", ".bin", ".npz")


class Writing(HubState):
    """Handlers that change something, or give the right to."""

    cdn: str  # the server under another host name

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
