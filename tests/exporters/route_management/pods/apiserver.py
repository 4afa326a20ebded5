"""A scripted API server: pods with resource versions, a history that can be compacted, lists in pages, watches.

    server.put(pod) ... server.delete(name)      change pods; every watch hears it
    server.bookmark(), server.compact()          what a real one does by itself
    server.refuse("list", 429, ...)              the next request of that kind is answered so
    server.cut("watch", ...)                     the next one breaks off inside a chunk, or goes silent

`server.requests` tells what was asked.
"""

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

Answer = Callable[["_Handler"], None]


class ApiServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.changed = threading.Condition()
        self.version, self.oldest = 100, 0
        self.pods: dict[tuple[str, str], dict[str, Any]] = {}
        self.history: list[tuple[int, bytes]] = []
        self.usage: bytes | None = None
        self.tokens = {"first"}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.scripts: dict[str, deque[Answer]] = {"list": deque(), "watch": deque(), "usage": deque()}
        self.page_hook: Callable[[int], None] = lambda number: None
        self.ended = 0
        """Watches of this generation or earlier are ended by the server."""
        self.generation = 0
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is part of the game."""

    def close(self) -> None:
        with self.changed:
            self.ended = self.generation + 1_000_000
            self.changed.notify_all()
        self.shutdown()
        self.server_close()

    def kubeconfig(self, folder: Path, token: str = "first") -> Path:  # noqa: S107
        (folder / "token").write_text(token)
        made = folder / "kubeconfig"
        made.write_text(
            json.dumps({
                "apiVersion": "v1", "kind": "Config", "current-context": "c",
                "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.server_address[1]}"}}],
                "users": [{"name": "u", "user": {"tokenFile": str(folder / "token")}}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            })
        )  # fmt: skip
        return made

    def put(self, pod: dict[str, Any], tell: bool = True) -> None:
        with self.changed:
            key = (pod["metadata"]["namespace"], pod["metadata"]["name"])
            self.version += 1
            known = self.pods.get(key)
            kind = "MODIFIED" if known and known["metadata"]["uid"] == pod["metadata"]["uid"] else "ADDED"
            pod["metadata"]["resourceVersion"] = str(self.version)
            self.pods[key] = pod
            if tell:
                self._tell(kind, pod)

    def delete(self, name: str, namespace: str = "alpha", tell: bool = True, **last: Any) -> None:
        with self.changed:
            self.version += 1
            pod = self.pods.pop((namespace, name)) | last
            pod["metadata"]["resourceVersion"] = str(self.version)
            if tell:
                self._tell("DELETED", pod)

    def bookmark(self) -> None:
        with self.changed:
            self.version += 1
            self._tell("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": str(self.version)}})

    def say(self, line: bytes) -> None:
        """Send a line as it is to every watch."""
        with self.changed:
            self.version += 1
            self.history.append((self.version, line + b"\n"))
            self.changed.notify_all()

    def compact(self) -> None:
        """Forget the history: watches from an earlier version are answered with 410."""
        with self.changed:
            self.oldest = self.version
            self.history.clear()

    def end_watches(self) -> None:
        """End every watch as a server does when its time is up."""
        with self.changed:
            self.ended = self.generation
            self.changed.notify_all()

    def refuse(
        self, kind: str, code: int, reason: str = "", message: str = "", retry_after: str = "", times: int = 1
    ) -> None:
        self.scripts[kind] += [lambda handler: handler.refuse(code, reason, message, retry_after)] * times

    def script(self, kind: str, answer: Answer) -> None:
        self.scripts[kind].append(answer)

    def asked(self, kind: str) -> list[dict[str, str]]:
        return [query for asked, query in list(self.requests) if asked == kind]

    def _tell(self, kind: str, pod: dict[str, Any]) -> None:
        self.history.append((self.version, json.dumps({"type": kind, "object": pod}).encode() + b"\n"))
        self.changed.notify_all()


class _Handler(BaseHTTPRequestHandler):
    server: ApiServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        parts = url.path.strip("/").split("/")
        self.namespace = parts[parts.index("namespaces") + 1] if "namespaces" in parts else None
        kind = "usage" if "metrics.k8s.io" in parts else "watch" if "watch" in query else "list"
        self.server.requests.append((kind, query | ({"namespace": self.namespace} if self.namespace else {})))
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in self.server.tokens:
            self.refuse(401, "Unauthorized", "Unauthorized")
        elif self.server.scripts[kind]:
            self.server.scripts[kind].popleft()(self)
        else:
            {"list": self.list, "watch": self.watch, "usage": self.usage}[kind](query)

    def list(self, query: dict[str, str]) -> None:
        server = self.server
        start, limit = int(query.get("continue", "0")), int(query.get("limit", "1000000"))
        server.page_hook(start // limit)
        with server.changed:
            pods = [pod for (where, _), pod in sorted(server.pods.items()) if self.namespace in (None, where)]
            metadata: dict[str, str] = {"resourceVersion": str(server.version)}
            if start + limit < len(pods):
                metadata["continue"] = str(start + limit)
            body = {"kind": "PodList", "metadata": metadata, "items": pods[start : start + limit]}
            self.reply(200, json.dumps(body).encode())

    def usage(self, query: dict[str, str]) -> None:
        if self.server.usage is None:
            self.refuse(404, "NotFound", "the server could not find the requested resource")
        else:
            self.reply(200, self.server.usage)

    def watch(self, query: dict[str, str]) -> None:
        server, version = self.server, int(query["resourceVersion"])
        if version < server.oldest:
            status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
            self.begin()
            self.chunk(json.dumps({"type": "ERROR", "object": status}).encode() + b"\n")
            self.chunk(b"")
            return
        with server.changed:
            server.generation += 1
            generation = server.generation
        self.begin()
        for line in self._lines(version, generation):
            self.chunk(line)
        self.chunk(b"")

    def _lines(self, version: int, generation: int) -> Iterator[bytes]:
        server = self.server
        while True:
            with server.changed:
                news = [(at, line) for at, line in server.history if at > version]
                if not news:
                    if server.ended >= generation:
                        return
                    server.changed.wait(5)
                    continue
            version = news[-1][0]
            for _, line in news:
                if self.namespace is None or b'"%s"' % self.namespace.encode() in line or b"BOOKMARK" in line:
                    yield line

    def begin(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def reply(self, code: int, body: bytes, **headers: str) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, code: int, reason: str = "", message: str = "", retry_after: str = "") -> None:
        status = {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}
        self.reply(code, json.dumps(status).encode(), **({"Retry_After": retry_after} if retry_after else {}))

    def cut(self, said: bytes) -> None:
        """Break off inside a chunk."""
        self.begin()
        self.wfile.write(b"%x\r\n%s" % (len(said) + 100, said))
        self.close_connection = True

    def fall_silent(self, said: bytes, until: threading.Event) -> None:
        """Say this and then nothing, with the connection open."""
        self.begin()
        if said:
            self.chunk(said)
        until.wait(10)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: requests are in `server.requests`."""
