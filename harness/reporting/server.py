"""The server of a live report: three addresses that can only be read, and none that is a path of a file."""

from __future__ import annotations

import errno
import socket
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from harness.errors import HarnessError
from harness.reporting.access import Access
from harness.reporting.live import LiveReport, encode

METHODS = ("GET", "HEAD")
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
NOTHING = "default-src 'none'; frame-ancestors 'none'"
"""The policy of answers that are no page."""


class ReportServer(ThreadingHTTPServer):
    """Serves a live report at `host` and `port` (0: any free one). Raises HarnessError if it can't."""

    daemon_threads = True

    def __init__(self, report: LiveReport, host: str, port: int) -> None:
        self.report = report
        try:
            family, *_, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        except (OSError, UnicodeError) as error:
            raise HarnessError(f"--host {host}: no such address: {error}") from None
        self.address_family = family
        try:
            super().__init__((str(place[0]), port), _Handler)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise HarnessError(
                    f"--port {port}: taken on {host}; name another, or 0 for any that is free"
                ) from None
            raise HarnessError(f"--host {host}, --port {port}: can't be used: {error.strerror}") from None
        bound = self.server_address
        self.access = Access(host, str(bound[0]), int(bound[1]))

    def server_bind(self) -> None:
        """Bind without looking the host's name up, which may take long."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Pass over connections that break off."""


class _Handler(BaseHTTPRequestHandler):
    """Answers one connection's requests."""

    server: ReportServer
    protocol_version = "HTTP/1.1"
    timeout = 60

    def parse_request(self) -> bool:
        """Read a request's head; refuse what only reading does not need, and who may not read."""
        if not super().parse_request():
            return False
        access = self.server.access
        try:
            url = urlsplit(self.path)
            given = parse_qs(url.query).get("token", [None])[0]
        except ValueError:
            self._refuse(HTTPStatus.BAD_REQUEST, "the request names no address")
            return False
        if self.command not in METHODS:
            self._refuse(
                HTTPStatus.METHOD_NOT_ALLOWED, "this page can only be read", Allow=", ".join(METHODS)
            )
        elif not access.accepts_host(self.headers.get("Host")):
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST, "the request names another host")
        elif url.path == "/" and access.token and given is not None and access.knows(given):
            keep = f"{access.cookie}={access.token}; Path=/; HttpOnly; SameSite=Strict"
            self._send(
                HTTPStatus.SEE_OTHER, b"", "text/plain", NOTHING, {"Set-Cookie": keep, "Location": "/"}
            )
        elif not access.admits(self.headers.get("Authorization"), self.headers.get("Cookie")):
            self._refuse(
                HTTPStatus.UNAUTHORIZED, "open the address with the token that harness serve printed"
            )
        else:
            return True
        return False

    def do_GET(self) -> None:
        """Answer with the page, what changed since a version, or a record's details."""
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        report = self.server.report
        if url.path == "/":
            page = report.page()
            policy = f"{page.policy}; frame-ancestors 'none'"
            self._send(
                HTTPStatus.OK, page.html.encode("utf-8", "replace"), "text/html; charset=utf-8", policy
            )
        elif url.path == "/update":
            self._send_json(report.update(query.get("since", "")))
        elif url.path == "/record" and (detail := report.detail(query.get("id", ""))) is not None:
            self._send_json(detail)
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "there is nothing here")

    do_HEAD = do_GET

    def _send_json(self, answer: Any) -> None:
        self._send(HTTPStatus.OK, encode(answer), "application/json", NOTHING)

    def _refuse(self, status: HTTPStatus, why: str, **headers: str) -> None:
        """Answer in one line, and end the connection: whatever else the request holds is not read."""
        self.close_connection = True
        self._send(
            status,
            f"{why}\n".encode(),
            "text/plain; charset=utf-8",
            NOTHING,
            {**headers, "Connection": "close"},
        )

    def _send(
        self, status: HTTPStatus, body: bytes, kind: str, policy: str, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        sent = {"Content-Type": kind, "Content-Length": str(len(body)), "Content-Security-Policy": policy}
        for name, value in {**HEADERS, **sent, **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def version_string(self) -> str:
        """Name the program and no versions."""
        return "harness"

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: addresses may contain the token."""
