"""The files of the web console: built by `make console`, served without a key.

They hold no data: the page asks the API for all that it shows, with the key that its user gives it.
"""

import base64
import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

BUILT = Path(__file__).parent / "built"
"""Where `make console` puts the files, each compressed. Git ignores it; wheels and Lambda packages carry it."""
NOT_BUILT = "The console is not built in this checkout. Run `make console`, and load this page again.\n"
ROOT, PAGE, ASSETS = "/", "/console/", "/console/assets/"

_TYPES: Mapping[str, str] = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_NAME = re.compile(r"[\w-]+(\.[\w-]+)+")
_SAFE: Mapping[str, str] = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "vary": "accept-encoding",
}
_YEAR_SECONDS = 31_536_000


def is_console(method: str, path: str, accept: str) -> bool:
    """Tell whether a request is for the console, and so needs no key: its files, and `/` as a browser asks for it."""
    is_below = path == PAGE.rstrip("/") or path.startswith(PAGE)
    return method == "GET" and (is_below or (path == ROOT and "text/html" in accept))


@dataclass(frozen=True)
class ConsoleSite:
    """Answers requests for the console. streams_at: where else the page may read streams from."""

    streams_at: str | None = None
    built: Path = BUILT

    def answer(self, event: Mapping[str, Any]) -> dict[str, Any] | None:
        """Answer an event of the gateway, if it is for the console. Nothing but GET is."""
        path, headers = event["rawPath"], event.get("headers") or {}
        if not is_console(event["requestContext"]["http"]["method"], path, headers.get("accept", "")):
            return None
        if path in (ROOT, PAGE.rstrip("/")):
            return _answer(302, {"location": "console/", "cache-control": "no-cache", "vary": "accept"})
        if not self._page:
            return _plain(404, NOT_BUILT)
        name = "index.html" if path == PAGE else path.removeprefix(PAGE)
        content = self._file(name)
        if content is None:
            return _plain(404, f"The console has no file {name[:100]!r}.\n")
        return self._sent(name, content, headers)

    @cached_property
    def _page(self) -> bytes | None:
        return self._file("index.html")

    @cached_property
    def _policy(self) -> str:
        """Nothing but this site: no inline script or style, no other server but the one for streams."""
        at = urlsplit(self.streams_at or "")
        streams = f" {at.scheme}://{at.netloc}" if at.netloc else ""
        return (
            f"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'{streams}; "
            "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
        )

    def _file(self, name: str) -> bytes | None:
        """Read a file as it is kept, compressed. None if there is none of this name: names lead nowhere else."""
        folder, _, file = name.rpartition("/")
        if folder not in ("", "assets") or not _NAME.fullmatch(file):
            return None
        try:
            return (self.built / folder / f"{file}.gz").read_bytes()
        except OSError:
            return None

    def _sent(self, name: str, content: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
        tag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
        is_hashed = name.startswith("assets/")
        kept = f"public, max-age={_YEAR_SECONDS}, immutable" if is_hashed else "no-cache"
        sent = {**_SAFE, "cache-control": kept, "etag": tag, "content-security-policy": self._policy}
        if tag in headers.get("if-none-match", ""):
            return _answer(304, sent)
        if "gzip" in headers.get("accept-encoding", ""):
            sent["content-encoding"] = "gzip"
        else:
            content = gzip.decompress(content)
        sent["content-type"] = _TYPES.get(Path(name).suffix, "application/octet-stream")
        return {**_answer(200, sent), "body": base64.b64encode(content).decode(), "isBase64Encoded": True}


def _plain(status: int, text: str) -> dict[str, Any]:
    return {**_answer(status, {**_SAFE, "content-type": _TYPES[".txt"], "cache-control": "no-store"}), "body": text}


def _answer(status: int, headers: Mapping[str, str]) -> dict[str, Any]:
    return {"statusCode": status, "headers": dict(headers), "body": "", "isBase64Encoded": False}
