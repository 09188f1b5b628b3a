"""A stand-in for the file API of the Hugging Face Hub, as far as its client asks for it."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_of_a_test"


class Hub(ThreadingHTTPServer):
    """Repositories in memory, each with one branch; files by their SHA-256 for LFS."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repos: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.messages: list[str] = []
        self.blobs: dict[str, bytes] = {}
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        """What `HF_ENDPOINT` is set to."""
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def running() -> Iterator[Hub]:
    """A server until the end of the block."""
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()


class Handler(BaseHTTPRequestHandler):
    """One request; the routes are those of the documentation of the Hub's API."""

    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""

    def do_GET(self) -> None:
        path = self._path()
        if found := re.fullmatch(r"/api/models/([\w.-]+/[\w.-]+)/(revision|tree)/([^/]+)", path):
            self._repo(*found.groups())
        elif found := re.fullmatch(r"/([\w.-]+/[\w.-]+)/resolve/([^/]+)/(.+)", path):
            self._file(*found.groups())
        else:
            self._json(404, {"error": f"no such address {path}"})

    do_HEAD = do_GET

    def do_POST(self) -> None:
        path, data = self._path(), self._data()
        if path == "/api/validate-yaml":
            return self._json(200, {"errors": [], "warnings": []})
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._json(401, {"error": "Invalid username or password."})
        if path == "/api/repos/create":
            return self._create(json.loads(data))
        repo = re.sub(r"^/api/models/", "/", path).split("/preupload")[0].split("/commit/")[0]
        repo = repo.removesuffix(".git/info/lfs/objects/batch").removesuffix("/verify")[1:]
        if repo not in self.server.repos:
            return self._json(404, {"error": "Repository not found"}, "RepoNotFound")
        if "/preupload/" in path:
            return self._modes(json.loads(data)["files"])
        if path.endswith("/objects/batch"):
            return self._batch(json.loads(data)["objects"])
        return self._commit(repo, [json.loads(line) for line in data.splitlines()])

    def do_PUT(self) -> None:
        data, oid = self._data(), self._path().rpartition("/")[2]
        assert hashlib.sha256(data).hexdigest() == oid
        self.server.blobs[oid] = data
        self._json(200, {})

    def _create(self, asked: dict[str, Any]) -> None:
        name = f"{asked.get('organization')}/{asked['name']}"
        if name in self.server.repos:
            return self._json(409, {"error": "You already created this model repo"})
        self.server.repos[name] = {}
        self.server.private[name] = asked.get("private") or asked.get("visibility") == "private"
        return self._json(200, {"url": f"{self.server.url}/{name}", "id": name})

    def _modes(self, files: list[dict[str, Any]]) -> None:
        large = (".safetensors", ".stablehlo")
        modes = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(large) else "regular",
                "shouldIgnore": False,
            }
            for file in files
        ]
        self._json(200, {"files": modes})

    def _batch(self, objects: list[dict[str, Any]]) -> None:
        found = [
            one | {"actions": {"upload": {"href": f"{self.server.url}/lfs/{one['oid']}"}}}
            for one in objects
        ]
        self._json(200, {"transfer": "basic", "objects": found})

    def _commit(self, repo: str, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                self.server.messages.append(value["summary"])
            elif line["key"] == "file":
                self.server.repos[repo][value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.server.repos[repo][value["path"]] = self.server.blobs[value["oid"]]
        sha = self._sha(repo)
        url = f"{self.server.url}/{repo}/commit/{sha}"
        self._json(200, {"commitOid": sha, "commitUrl": url, "success": True})

    def _repo(self, repo: str, kind: str, revision: str) -> None:
        if not self._known(repo, revision):
            return
        files = self.server.repos[repo]
        if kind == "tree":
            return self._json(
                200,
                [
                    {"type": "file", "path": k, "size": len(x), "oid": hashlib.sha1(x).hexdigest()}
                    for k, x in files.items()
                ],
            )
        siblings = [{"rfilename": name} for name in files]
        about = {"_id": "0", "id": repo, "sha": self._sha(repo), "private": False}
        return self._json(200, about | {"siblings": siblings, "tags": [], "downloads": 0})

    def _file(self, repo: str, revision: str, name: str) -> None:
        if not self._known(repo, revision):
            return
        data = self.server.repos[repo].get(name)
        if data is None:
            return self._json(404, {"error": "Entry not found"}, "EntryNotFound")
        etag = hashlib.sha256(data).hexdigest()
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": self._sha(repo)}
        return self._send(200, data, headers)

    def _known(self, repo: str, revision: str) -> bool:
        if repo not in self.server.repos:
            self._json(404, {"error": "Repository not found"}, "RepoNotFound")
        elif revision not in ("main", self._sha(repo)):
            self._json(404, {"error": f"Invalid rev id: {revision}"}, "RevisionNotFound")
        else:
            return True
        return False

    def _sha(self, repo: str) -> str:
        return hashlib.sha1(repr(sorted(self.server.repos[repo].items())).encode()).hexdigest()

    def _path(self) -> str:
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append(f"{self.command} {path}")
        return path

    def _data(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _json(self, code: int, value: Any, error: str = "") -> None:
        headers = {"X-Error-Code": error} if error else {}
        if "error" in (value if isinstance(value, dict) else {}):
            headers["X-Error-Message"] = value["error"]
        self._send(code, json.dumps(value).encode(), headers | {"Content-Type": "application/json"})

    def _send(self, code: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in (headers | {"Content-Length": str(len(data))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
