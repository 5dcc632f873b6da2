"""Requests to one server over connections that stay open; the key is never stored or shown."""

from __future__ import annotations

import base64
import http.client
import os
import selectors
import ssl
import threading
import urllib.request
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from harness import OptionError

ADDRESS_VARIABLE = "OPENAI_BASE_URL"
LONGEST_WAIT = 60.0
MIN_SECRET_LENGTH = 12
"""Keys shorter than this are placeholders for servers that need none, and are not hidden in answers."""

_AGAIN = (408, 409, 425, 429)
"""Statuses besides those of the server's own faults (5xx) after which another try makes sense."""
_BUSY = (429, 503, 529)
"""Statuses that ask all of a client's threads to wait, not only the one that was told."""
_DETAIL = 500
"""Characters of an error's body that a message shows."""


class ServerTrouble(Exception):
    """A request without a usable answer; the text holds no key.

    `again`: another try may help. `unreachable`: no connection was made. `status`: HTTP's, if there was one.
    `detail`: the body of an error. `wait`: seconds that the server asks to wait. `busy`: every thread should wait.
    """

    def __init__(
        self,
        text: str,
        again: bool = True,
        unreachable: bool = False,
        status: int | None = None,
        detail: str = "",
        wait: float | None = None,
    ) -> None:
        super().__init__(text)
        self.again, self.unreachable, self.status = again, unreachable, status
        self.detail, self.wait, self.busy = detail, wait, status in _BUSY


class ServerConnection:
    """A server by its address, such as `http://localhost:8000/v1`, and the key for it.

    Threads may send at the same time, each over a connection of its own, which the next request takes over.
    Proxies are those of the environment. Redirects are refused, since they would carry the key to another host.
    Raises OptionError for an address or key that can't be used.
    """

    def __init__(self, address: str | None, key_variable: str) -> None:
        self.address = find_server_address(address)
        self.key_variable = key_variable
        self.key()
        self._parts = urlsplit(self.address)
        self._proxy = _find_proxy(self._parts)
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()

    def post(self, path: str, body: bytes, timeout: float) -> bytes:
        """Return the body of the answer to a JSON body. Raises ServerTrouble.

        `timeout` is in seconds, for connecting and for each part of the answer.
        """
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if key := self.key():
            headers["Authorization"] = f"Bearer {key}"
        connection, connected = self._take(timeout), False
        try:
            if connection.sock is None:
                connection.connect()
            connected = True
            connection.request("POST", self._target(path, headers), body, headers)
            response = connection.getresponse()
            status = response.status
            data = response.read() if status < 300 else _read_detail(response)
        except (TimeoutError, http.client.HTTPException, OSError) as error:
            connection.close()
            raise ServerTrouble(
                f"{type(error).__name__}: {self.hide_key(str(error))}",
                again=not isinstance(error, ssl.SSLCertVerificationError),
                unreachable=not connected and not isinstance(error, TimeoutError),
            ) from None
        except BaseException:
            connection.close()  # half an answer would be taken for the next one
            raise
        if response.isclosed() and not response.will_close:
            with self._lock:
                self._idle.append(connection)
        else:
            connection.close()
        if status < 300:
            return data
        raise ServerTrouble(
            self.hide_key(f"{status} {response.reason}"),
            again=status in _AGAIN or status >= 500,
            status=status,
            detail=self.hide_key(" ".join(data.decode("utf-8", "replace").split())),
            wait=_read_retry_after(response.headers.get("Retry-After")),
        )

    def key(self) -> str:
        """Return the stripped key, "" if there is none. Raises OptionError, without showing it, if no header can carry it."""
        key = os.environ.get(self.key_variable, "").strip()
        if not (key.isascii() and key.isprintable()):
            raise OptionError(
                f"the key in {self.key_variable} has characters that no header can carry, such as a line break: set it again"
            )
        return key

    def hide_key(self, text: str) -> str:
        """Return a server's text with the key replaced by "…", since some servers echo it."""
        key = self.key()
        return text.replace(key, "…") if key else text

    def clean_answer(self, text: str) -> str:
        """Return an answer as it may be stored: without the key, and without halves of characters."""
        # a short key stands in for none: its letters stay in the answers
        hidden = self.hide_key(text) if len(self.key()) >= MIN_SECRET_LENGTH else text
        return hidden.encode("utf-8", "replace").decode()

    def close(self) -> None:
        """Close the connections that no request uses."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self, timeout: float) -> http.client.HTTPConnection:
        """Return an open connection that the server has not closed meanwhile, else a new one."""
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return self._make(timeout)
            if connection.sock is not None and not _is_readable(connection.sock):
                connection.timeout = timeout
                connection.sock.settimeout(timeout)
                return connection
            connection.close()

    def _make(self, timeout: float) -> http.client.HTTPConnection:
        kind: Any = (
            http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        )
        if self._proxy is None:
            made: http.client.HTTPConnection = kind(self._parts.hostname, self._parts.port, timeout=timeout)
            return made
        made = kind(self._proxy.hostname, self._proxy.port, timeout=timeout)
        if self._parts.scheme == "https":
            made.set_tunnel(str(self._parts.hostname), self._parts.port, _proxy_headers(self._proxy))
        return made

    def _target(self, path: str, headers: dict[str, str]) -> str:
        """Return what the request line names; a proxy for plain HTTP gets the whole address, and its login."""
        if self._proxy is None or self._parts.scheme == "https":
            return self._parts.path + path
        headers |= _proxy_headers(self._proxy)
        return self.address + path


def find_server_address(address: str | None) -> str:
    """Return the address, by default $OPENAI_BASE_URL. Raises OptionError as `check_server_address` does."""
    return check_server_address(address or os.environ.get(ADDRESS_VARIABLE, ""))


def check_server_address(address: str) -> str:
    """Return the address without a trailing slash. Raises OptionError if it is empty, no URL, or holds a password."""
    if not address:
        raise OptionError(f"an endpoint needs an address: set the option `address` or {ADDRESS_VARIABLE}")
    try:
        parts = urlsplit(address)
        named = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is not a number, half an IPv6 address
        named = False
    if not named or any(c.isspace() for c in address):
        raise OptionError(
            "the endpoint's address must start with http:// or https:// and name a host, with a port if needed"
        )
    if parts.username or parts.password or parts.query:
        raise OptionError(
            "the endpoint's address must hold no user, password or query: keys come from the environment"
        )
    return address.rstrip("/")


def _find_proxy(parts: SplitResult) -> SplitResult | None:
    found = urllib.request.getproxies().get(parts.scheme)
    if not found or urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    return urlsplit(found if "://" in found else f"http://{found}")


def _proxy_headers(proxy: SplitResult) -> dict[str, str]:
    if not proxy.username:
        return {}
    login = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}


def _is_readable(sock: Any) -> bool:
    """Return whether an idle connection has something to read, which can only be its end."""
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_READ)
        return bool(selector.select(0))


def _read_retry_after(header: str | None) -> float | None:
    try:
        return min(LONGEST_WAIT, max(0.0, float(header))) if header else None
    except ValueError:
        return None  # a date, which our own back-off replaces


def _read_detail(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(_DETAIL)
    except (OSError, http.client.HTTPException):
        return b""
