"""Asking a worker over HTTP, with nothing but the standard library: a client of our own size starts at once."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

import msgspec

from streamflow.errors import StreamflowError

TIMEOUT = 5.0


class Unreachable(StreamflowError):
    """Nobody answers there."""


def get(address: str, target: str, timeout: float = TIMEOUT, *, token: str | None = None) -> tuple[int, Any]:
    """The status and the decoded JSON of ``GET target``. Raises `Unreachable`."""
    parts = urlsplit(address)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    try:
        connection.request("GET", target, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        return answer.status, msgspec.json.decode(answer.read())
    except (OSError, HTTPException, msgspec.DecodeError) as error:
        raise Unreachable(f"no worker answers at {address} ({error}); `streamflow run` says where it does") from error
    finally:
        connection.close()
