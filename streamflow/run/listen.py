"""The socket that HTTP will answer on, taken before there is a server.

aiohttp takes a third of a second to import. The socket listens at once, so the address can be told to the group and
to the person who waits for it, and requests queue until the server is there.
"""

from __future__ import annotations

import errno
import socket

from streamflow.errors import ConfigError

PORT_RANGE = 20
BACKLOG = 128


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens on the first free port from ``port`` on; 0 is any. Raises `ConfigError` if none is."""
    try:
        family, kind, protocol, _, _ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise ConfigError(f"--http: {host!r} is no address of this machine ({error.strerror})") from error
    for candidate in range(port, min(port + PORT_RANGE, 65_536)) if port else (0,):
        sock = socket.socket(family, kind, protocol)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, candidate))
            sock.listen(BACKLOG)
        except OSError as error:
            sock.close()
            if error.errno != errno.EADDRINUSE:
                raise ConfigError(f"--http: cannot listen on {host} port {candidate}: {error.strerror}") from error
            continue
        sock.setblocking(False)
        return sock
    raise ConfigError(f"--http: the ports {port} to {port + PORT_RANGE - 1} of {host} are all in use; name another")


def url(sock: socket.socket, advertised: str | None = None) -> str:
    """The URL under which others reach what listens on this socket: by the host that is ``advertised``, else by the
    one it listens on; a wildcard address is none, so by the machine's name."""
    host, port = sock.getsockname()[:2]
    if advertised:
        host = advertised.strip("[]")
    elif host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_local(host: str) -> bool:
    """Only this machine reaches what listens there."""
    return host == "localhost" or host.startswith("127.") or host == "::1"
