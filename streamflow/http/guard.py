"""Who may ask: this machine alone, or whoever has the token, or everybody where somebody said so.

    listens on       token      a request is answered if
    loopback         none       it names this machine in Host, and is no write that another site's page sends
    anywhere         given      it has ``Authorization: Bearer TOKEN`` (but for /health/* and the page: no data)
    elsewhere        none       `serve` refuses to begin, unless told that everybody may: then it is no write of a page

A loopback port is not private by itself. Every page that a browser on this machine shows may send requests to it: it
cannot read the answers, since none allows it (there is no CORS here), unless its own name leads to 127.0.0.1
(DNS rebinding), which the name in Host tells; and it can write, which Origin and Sec-Fetch-Site tell.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from streamflow.errors import ConfigError
from streamflow.http.asked import Refused

MOST_HEADER_BYTES = 32_768
"""Of all headers of a request. A single one has `MOST_FIELD_BYTES` at most."""
MOST_FIELD_BYTES = 8_190
SHORTEST_TOKEN = 16
UNGUARDED = frozenset({"/", "/health/live", "/health/ready"})
PAGE = "/dashboard/"
"""What probes ask, which have no token."""
READS = frozenset({"GET", "HEAD"})


class Headers(Protocol):
    """The headers of a request, several of the same name among them."""

    def getall(self, key: str, default: list[str]) -> list[str]: ...
    def items(self) -> Iterable[tuple[str, str]]: ...


@dataclass(frozen=True)
class Guard:
    """Decides for one server. ``local``: only this machine reaches it; ``names`` are further names it has."""

    token: str | None = None
    local: bool = True
    names: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.token is not None:
            check_token(self.token)

    def check(self, method: str, path: str, headers: Headers) -> None:
        """Let a request through, or raise `Refused` with 400, 401, 403 or 431."""
        if sum(len(name) + len(value) + 4 for name, value in headers.items()) > MOST_HEADER_BYTES:
            raise Refused(431, f"the headers have more than {MOST_HEADER_BYTES:,} bytes", Connection="close")
        if self.token is not None:
            if (plain := path.partition("?")[0]) not in UNGUARDED and not plain.startswith(PAGE):
                self._check_token(headers.getall("Authorization", []), self.token)
            return
        hosts = headers.getall("Host", [])
        if len(hosts) > 1:
            raise Refused(400, "Host is given twice")
        if self.local and hosts and not self._is_here(hosts[0]):
            raise Refused(
                403,
                f"Host is {hosts[0][:60]!r}, which is not this machine; only localhost and 127.0.0.1 are answered here "
                "unless the worker has a token (--http-token)",
            )
        if method not in READS:
            _refuse_other_sites(headers, hosts)

    def _check_token(self, given: list[str], token: str) -> None:
        scheme, _, word = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        same = hmac.compare_digest(word.strip().encode("utf-8", "surrogateescape"), token.encode())
        if not same or scheme.lower() != "bearer":
            raise Refused(
                401,
                "this worker wants its token: Authorization: Bearer TOKEN",
                WWW_Authenticate='Bearer realm="streamflow"',
            )

    def _is_here(self, host: str) -> bool:
        name = host_of(host)
        if name == "localhost" or name in self.names:
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False


def authorization(token: str | None) -> Mapping[str, str]:
    """The header that a request needs where there is a token.

    >>> authorization("a-long-enough-one"), authorization(None)
    ({'Authorization': 'Bearer a-long-enough-one'}, {})
    """
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def check_token(token: str) -> None:
    """Raise `ConfigError` unless this can be a token."""
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(
            f"the HTTP token has {len(token)} letters; write {SHORTEST_TOKEN} or more of ASCII without spaces, such as "
            "`openssl rand -hex 16` gives"
        )


def host_of(text: str) -> str:
    """The name in a Host header, without its port.

    >>> host_of("LocalHost:8080"), host_of("[::1]:8080"), host_of("example.com.")
    ('localhost', '::1', 'example.com')
    """
    if text[:1] == "[":
        return text[1:].partition("]")[0].lower()
    name, _, port = text.rpartition(":")
    return (name if name and port.isdecimal() else text).lower().rstrip(".")


def _refuse_other_sites(headers: Headers, hosts: list[str]) -> None:
    """A browser tells which page sends a request; a program that is no browser has no page and tells nothing."""
    for site in headers.getall("Sec-Fetch-Site", []):
        if site not in ("same-origin", "none"):
            raise Refused(403, f"a page of another site sent this (Sec-Fetch-Site: {site[:60]}); it may not write here")
    own = hosts[0].lower() if hosts else ""
    for origin in headers.getall("Origin", []):
        if origin.partition("://")[2].lower() != own or not own:
            raise Refused(403, f"a page of another site sent this (Origin: {origin[:60]}); it may not write here")
