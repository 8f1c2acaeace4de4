"""From a URL to a log.

embedded://PATH       a folder, relative to where the program runs
embedded:///PATH      a folder, absolute
?durability=fast      commits faster, and may lose the last ones in a power cut (default: full)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl

from streamflow.clock import Clock
from streamflow.errors import ConfigError
from streamflow.log.contract import Log

_SHAPES = "write embedded://FOLDER, or embedded:///FOLDER for an absolute path"


@dataclass(frozen=True)
class Address:
    """Where an embedded log lies, and how durable its commits are."""

    path: Path
    durability: Literal["full", "fast"] = "full"


def parse(url: str) -> Address:
    """What a URL says; `ConfigError` for what cannot be opened.

    >>> parse("embedded://data/log?durability=fast")
    Address(path=PosixPath('data/log'), durability='fast')
    """
    scheme, found, rest = url.partition("://")
    if found and scheme == "kafka":
        raise ConfigError(f"broker {url!r}: this version has the embedded log only; {_SHAPES}")
    if not found or scheme != "embedded":
        raise ConfigError(f"broker {url!r} is not a log this version knows; {_SHAPES}")
    path, _, query = rest.partition("?")
    if not path:
        raise ConfigError(f"broker {url!r} names no folder; {_SHAPES}")
    durability: Literal["full", "fast"] = "full"
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name != "durability":
            raise ConfigError(f"broker {url!r} has the option {name!r}; known is durability")
        if value not in ("full", "fast"):
            raise ConfigError(f"broker {url!r}: durability is {value!r}; write full or fast")
        durability = "fast" if value == "fast" else "full"
    return Address(Path(path), durability)


def open_log(url: str, *, clock: Clock | None = None, session_timeout: float = 10.0) -> Log:
    """The log behind a URL, not yet started. ``session_timeout`` in seconds, for members that hang."""
    address = parse(url)
    from streamflow.log.embedded import EmbeddedLog  # brings aiokafka's codec: only who opens a log pays for it

    return EmbeddedLog(address.path, clock=clock, durability=address.durability, session_timeout=session_timeout)
