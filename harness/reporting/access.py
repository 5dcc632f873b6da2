"""Who may read a served page: the hosts that a request may name, and the token that it must bring."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
from http.cookies import CookieError, SimpleCookie


class Access:
    """Checks requests to a server that was asked for as `host` and is bound to `address` and `port`.

    A server on a loopback address needs no token; any other has one, made anew for each.
    """

    def __init__(self, host: str, address: str, port: int) -> None:
        bound = ipaddress.ip_address(address.partition("%")[0])
        self.port, self.loopback = port, bound.is_loopback
        self.token = None if self.loopback else secrets.token_urlsafe(24)
        self.cookie = f"harness_{port}"
        """Its name; browsers share cookies between the ports of a host."""
        self._names = {"localhost", host.strip("[]").lower()}
        if not self.loopback:
            self._names |= {socket.gethostname().lower(), socket.getfqdn().lower()}
        if bound.is_unspecified:
            self.host = socket.gethostname()
        else:
            self.host = f"[{host}]" if ":" in host else host

    @property
    def url(self) -> str:
        """The page's address, with the token if it needs one."""
        token = f"?token={self.token}" if self.token else ""
        return f"http://{self.host}:{self.port}/{token}"

    def accepts_host(self, header: str | None) -> bool:
        """Return whether a request's Host header names this server.

        A page of another site whose name is made to lead here (DNS rebinding) would name that site. Addresses
        can't be made to lead elsewhere.
        """
        if not header:
            return False
        name, _, port = header.rpartition(":") if not header.endswith("]") else (header, "", "")
        if not name:
            name, port = header, ""
        if (int(port) if port.isascii() and port.isdigit() else 80 if not port else -1) != self.port:
            return False
        name = name.strip("[]").lower().rstrip(".")
        try:
            literal = ipaddress.ip_address(name)
        except ValueError:
            return name in self._names
        return literal.is_loopback or not self.loopback

    def knows(self, token: str | None) -> bool:
        """Return whether the token is the server's, in a time that does not depend on where they differ."""
        if self.token is None:
            return True
        return token is not None and hmac.compare_digest(token.encode(), self.token.encode())

    def admits(self, authorization: str | None, cookies: str | None) -> bool:
        """Return whether a request's Authorization or Cookie header brings the token."""
        if self.token is None:
            return True
        kind, _, given = (authorization or "").partition(" ")
        if kind.lower() == "bearer" and self.knows(given.strip()):
            return True
        try:
            kept = SimpleCookie(cookies or "").get(self.cookie)
        except CookieError:
            return False
        return kept is not None and self.knows(kept.value)
