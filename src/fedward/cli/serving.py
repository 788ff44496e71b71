"""A page that follows an audit, served on this machine by the standard library alone."""

from __future__ import annotations

import errno
import json
import socket
import sys
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from ..failures import MendableError
from ..report.following import line_told, no_audit, read_from
from ..report.live import LIVE_POLICY, live_page
from . import display

HERE = "127.0.0.1"
"""Where a page is served that nobody else is to read."""
_PATIENCE = 30  # seconds for a request
_DIGITS = 16
_LONGEST = 80  # characters of what says which file is meant


class ServeError(MendableError, OSError):
    """A page that cannot be served; the message says why."""

    def __str__(self) -> str:
        return str(self.args[0])


def serve(path: Path, host: str, port: int) -> None:
    """Serve the page until Ctrl-C."""
    with make_server(path, host, port) as server:
        if not is_local(host):
            display.say(f"Whoever can reach {host} can read {path}: there is no password.", display.err)
        display.say(f"Watching {path}; Ctrl-C ends it. {address(host, server.server_port)}")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return


def make_server(path: Path, host: str, port: int) -> ThreadingHTTPServer:
    """A server of the page, which answers once it is run.

    Raises:
        ServeError: the port is taken, or the host is none of this machine's.
    """
    try:
        return _Server(host, port, partial(_Handler, path, is_local(host)))
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        other = (
            "; give another port, or none for any free one" if getattr(error, "errno", 0) == errno.EADDRINUSE else ""
        )
        raise ServeError(f"{host}:{port} cannot be served: {why}{other}") from error


def is_local(host: str) -> bool:
    """Whether a host is this machine for nobody but itself."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def address(host: str, port: int) -> str:
    """Where the page is."""
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, host: str, port: int, handler: partial[_Handler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever asked has gone: nobody is left to be told. Anything else is a fault to be seen."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    """The page, and what was added to the audit since an offset. Nothing else is read, and nothing is written."""

    timeout = _PATIENCE
    protocol_version = "HTTP/1.1"
    server_version = "fedward"
    sys_version = ""

    def __init__(self, path: Path, local: bool, *arguments: object) -> None:
        self._path = path
        self._local = local
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """Answer a request."""
        if self._local and not self._meant():
            self._send(HTTPStatus.FORBIDDEN, "text/plain", "this page is for this machine alone")
            return
        path, _, query = self.path.partition("?")
        if path == "/":
            self._send(HTTPStatus.OK, "text/html", live_page(self._path.name))
        elif path == "/lines":
            self._lines(query)
        else:
            self._send(HTTPStatus.NOT_FOUND, "text/plain", "there is nothing of that name")

    def _meant(self) -> bool:
        """Whether the browser was told this machine's name: else a page elsewhere has its own name lead here."""
        try:
            name = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        except ValueError:
            return False
        return name is not None and is_local(name)

    def _lines(self, query: str) -> None:
        given = parse_qs(query)
        offset = given.get("offset", ["0"])[-1]
        file = given.get("file", [""])[-1]
        if not offset.isdecimal() or not offset.isascii() or len(offset) > _DIGITS or len(file) > _LONGEST:
            self._send(HTTPStatus.BAD_REQUEST, "text/plain", "offset must be a number of bytes")
            return
        try:
            piece = read_from(self._path, int(offset), file)
        except FileNotFoundError:
            self._send(HTTPStatus.OK, "application/json", json.dumps({"waiting": True}))
            return
        except OSError as error:
            self._send(HTTPStatus.OK, "application/json", json.dumps({"failed": error.strerror or "cannot be read"}))
            return
        if offset == "0" and (why := no_audit(piece)):
            self._send(HTTPStatus.OK, "application/json", json.dumps({"failed": why}))
            return
        told = {
            "lines": [line_told(line) for line in piece.lines],
            "offset": piece.offset,
            "file": piece.file,
            "again": piece.again,
            "more": piece.more,
            "broken": piece.broken,
        }
        self._send(HTTPStatus.OK, "application/json", json.dumps(told, allow_nan=False, separators=(",", ":")))

    def _send(self, status: HTTPStatus, kind: str, text: str) -> None:
        body = text.encode(errors="replace")
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Content-Security-Policy", LIVE_POLICY)
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            self.close_connection = True  # whoever asked has gone

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the terminal is not for every look that a page takes."""
