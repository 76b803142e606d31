"""A proxy that has an installation below a path, as many companies put their tools."""

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive"}


class Below:
    """Serves `prefix` from the root of the host at a port, and nothing else."""

    def __init__(self, port: int, prefix: str) -> None:
        class Handler(_Handler):
            target, folder = port, prefix

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}{prefix}/console/"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    target: int
    folder: str

    def do_GET(self) -> None:
        """Pass a request on, and its answer back as it comes."""
        if not self.path.startswith(f"{self.folder}/"):
            self.send_error(404)
            return
        upstream = http.client.HTTPConnection("127.0.0.1", self.target, timeout=60)
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        try:
            upstream.request(self.command, self.path.removeprefix(self.folder), body or None, headers)
            answer = upstream.getresponse()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in HOP_BY_HOP:
                    self.send_header(name, value)
            self.send_header("connection", "close")
            self.end_headers()
            while part := answer.read1():
                self.wfile.write(part)
                self.wfile.flush()
        except OSError:  # the page has gone elsewhere
            return
        finally:
            upstream.close()

    do_POST = do_PUT = do_DELETE = do_PATCH = do_GET  # noqa: N815 - the server looks for these names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the server's
        """Say nothing."""
