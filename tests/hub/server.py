"""A loopback Hub that the unmodified official client publishes to and loads from.

It keeps each repository as a real git repository with LFS objects on disk, so that an independent server (olah) can serve
the very same folders, answers over HTTP as the Hub does (errors, redirects, LFS, a CDN under another host name that
refuses tokens), keeps a log of all requests, and misbehaves on order: see `Fault`.

It is written from the client's side of the protocol. It shows that the client and this package agree with each other; it
can't show what the real Hub does.
"""

import re
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import anyio
import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.hub.reading import Reading
from tests.hub.state import HubError
from tests.hub.writing import Writing


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


class HubServer(Reading, Writing):
    """The server; `url` is its endpoint, `log` all requests, `faults` what goes wrong next."""

    def __init__(self, root: Path, tokens: dict[str, str], xet: Path | None = None) -> None:
        super().__init__(root, tokens, xet)
        self.log: list[Logged] = []
        self.faults: list[Fault] = []
        self.errors: list[str] = []  # bugs of this server
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
