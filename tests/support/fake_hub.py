"""A Hub on loopback: the few calls of its API that ``fetch`` makes, answered from a folder.

``<folder>/<owner>/<name>/...`` holds the files of a model or data set; every revision is COMMIT.
"""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

COMMIT = "0123456789abcdef0123456789abcdef01234567"
DATE = "2024-01-01T00:00:00.000Z"


class Handler(BaseHTTPRequestHandler):
    """Answers for ``server.folder``."""

    def do_GET(self) -> None:
        parts = unquote(urlparse(self.path).path).strip("/").split("/")
        if parts[0] == "api" and len(parts) >= 4:
            self._api("/".join(parts[2:4]), parts[4:])
        elif "resolve" in parts:
            at = parts.index("resolve")
            self._file(self.folder / "/".join([*parts[at - 2 : at], *parts[at + 2 :]]))
        else:
            self._json({"error": "not found"}, 404)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""

    @property
    def folder(self) -> Path:
        folder: Path = self.server.folder  # type: ignore[attr-defined]
        return folder

    def _api(self, repo: str, rest: list[str]) -> None:
        root = self.folder / repo
        if not root.is_dir():
            self._json({"error": "Repository not found"}, 404)
        elif rest and rest[0] == "tree":
            base = root.joinpath(*rest[2:])
            paths = base.rglob("*") if "recursive=true" in self.path.lower() else base.iterdir()
            self._json([_entry(path, root) for path in sorted(paths)])
        else:
            names = [str(p.relative_to(root)) for p in sorted(root.rglob("*")) if p.is_file()]
            self._json(
                {
                    "_id": "1", "id": repo, "sha": COMMIT, "private": False, "gated": False,
                    "disabled": False, "downloads": 0, "likes": 0, "tags": [], "createdAt": DATE,
                    "lastModified": DATE, "siblings": [{"rfilename": name} for name in names],
                }
            )  # fmt: skip

    def _file(self, path: Path) -> None:
        if not path.is_file():
            self._send(b"", 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
            return
        content = path.read_bytes()
        self._send(content, 200, {"ETag": f'"{_sha(content)}"', "X-Repo-Commit": COMMIT})

    def _json(self, content: Any, status: int = 200) -> None:
        self._send(json.dumps(content).encode(), status, {"Content-Type": "application/json"})

    def _send(self, content: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _entry(path: Path, root: Path) -> dict[str, Any]:
    name = str(path.relative_to(root))
    if path.is_dir():
        return {"type": "directory", "path": name, "oid": "0" * 40, "size": 0}
    return {"type": "file", "path": name, "oid": _sha(path.read_bytes()), "size": path.stat().st_size}


def _sha(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


@contextmanager
def hub_server(folder: Path) -> Iterator[str]:
    """Serve ``folder`` for a while; yields the address for HF_ENDPOINT."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.folder = folder  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
