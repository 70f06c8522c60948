"""Access to the server: address rule, token, and protection from other web sites.

Without a token the server listens on the loopback interface only. Programs on the same machine have access
then, and so has every web page in a browser on it. Two checks refuse those pages: the name in ``Host`` must
be of the loopback interface (a foreign name that resolves to it is DNS rebinding), and ``Origin`` must be
that host.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from vireid_cli.errors import UsageError, VireidError
from vireid_cli.serve.limits import RequestRefused

SHORTEST_TOKEN = 16
OPEN_PATHS = frozenset({"/", "/health"})
"""Paths without a token: the page, which contains no data, and the state of the server."""

_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})


@dataclass(frozen=True, slots=True)
class Access:
    """Rule of access.

    Attributes:
        token: Token of all requests; None without.
        hosts: Accepted names in ``Host`` without a token; None accepts every name.
    """

    token: str | None
    hosts: frozenset[str] | None

    def check(self, path: str, headers: Mapping[bytes, bytes]) -> None:
        """Check a request.

        Args:
            path: Path of the request.
            headers: Headers with names in lower case.

        Raises:
            RequestRefused: No or a wrong token (401), or a request of another web site (403).
        """
        if self.token is not None:
            if path not in OPEN_PATHS and not same_token(bearer(headers.get(b"authorization")), self.token):
                raise RequestRefused(401, "The token is missing or wrong.", "Authorization: Bearer TOKEN")
            return
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if self.hosts is not None and _name_of(host) not in self.hosts:
            raise RequestRefused(403, "This host name is not served.", "Use http://127.0.0.1 or --token.")
        origin = headers.get(b"origin")
        if origin is not None and _host_of(origin) != host:
            raise RequestRefused(403, "Requests of other web sites are refused.")


def choose_access(host: str, token: str | None, insecure: bool) -> Access:
    """Return the rule of access for an address.

    Args:
        host: Address or host name to listen on.
        token: Token, or None.
        insecure: Whether to serve other addresses without a token.

    Raises:
        UsageError: The address is not of the loopback interface, and there is neither a token nor
            ``insecure``; the token is short; or ``insecure`` has no effect.
    """
    if token is not None:
        if insecure:
            raise UsageError("--insecure has no effect beside --token; remove one of them.")
        if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
            raise UsageError(
                f"--token needs at least {SHORTEST_TOKEN} ASCII characters without blanks.",
                "Make one: openssl rand -hex 32",
            )
        return Access(token, None)
    if is_loopback(host):
        if insecure:
            raise UsageError(
                f"--insecure has no effect on --host {host}, which other machines can't reach; remove it.",
                "To serve other machines without a token: --host 0.0.0.0 --insecure",
            )
        return Access(None, _LOCAL_NAMES | {host.lower()})
    if not insecure:
        raise UsageError(
            f"--host {host} is reachable from other machines and needs a token.",
            "Set --token (or VIREID_TOKEN), or serve without protection with --insecure.",
        )
    return Access(None, None)


def is_loopback(host: str) -> bool:
    """Whether all addresses of a host are of the loopback interface.

    Raises:
        UsageError: The host has no address.
    """
    return all(ipaddress.ip_address(address).is_loopback for address in addresses(host))


def addresses(host: str) -> list[str]:
    """IP addresses of a host, without zones.

    Raises:
        UsageError: The host is empty or has no address.
    """
    try:
        entries = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM) if host else []
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--host {host}: this name has no address.") from error
    if not entries:
        raise UsageError("--host is empty.", "Set --host 127.0.0.1.")
    return [str(entry[4][0]).partition("%")[0] for entry in entries]


def listen(host: str, port: int, backlog: int) -> socket.socket:
    """Open a listening socket.

    Raises:
        VireidError: The address is in use or not of this machine.
    """
    address = addresses(host)[0]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.create_server((address, port), family=family, backlog=backlog)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise VireidError(f"can't listen on {host} port {port}: {reason}", "Set another --port.") from error


def bearer(header: bytes | None) -> str:
    """Token of an ``Authorization`` header; empty without."""
    scheme, _, token = (header or b"").decode("latin-1").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def same_token(given: str, token: str) -> bool:
    """Compare tokens in a time that depends neither on their content nor on the length of ``token``."""
    digests = (hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in (given, token))
    return hmac.compare_digest(*digests)


def _host_of(origin: bytes) -> str | None:
    """Host and port in an ``Origin`` header; None for a malformed one."""
    try:
        return urlsplit(origin.decode("latin-1").lower()).netloc
    except ValueError:  # such as an address without its closing bracket
        return None


def _name_of(host: str) -> str:
    """Name in a ``Host`` header, without the port."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
