"""From a URL to a log.

embedded://PATH               a folder, relative to where the program runs
embedded:///PATH              a folder, absolute
  ?durability=fast            commits faster, and may lose the last ones in a power cut (default: full)

kafka://HOST:PORT,HOST:PORT   a cluster, by some of its brokers; port 9092 if not said
kafka+ssl://...               the same over TLS
  ?ca=FILE                    certificates to believe, instead of the system's
  &certificate=FILE&key=FILE  the client's own
  &mechanism=SCRAM-SHA-512    SASL, with USER:PASSWORD@ in front of the hosts or in STREAMFLOW_KAFKA_USER and
                              STREAMFLOW_KAFKA_PASSWORD; PLAIN if only a user is given, OAUTHBEARER with a token
                              in STREAMFLOW_KAFKA_TOKEN
  &session_timeout=10s        how long a worker may be silent before its tasks move (default: 45s)
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qsl, unquote

from streamflow.clock import Clock, milliseconds
from streamflow.errors import ConfigError, StreamflowError
from streamflow.log.contract import Log

if TYPE_CHECKING:
    from streamflow.log.kafka.security import Security

_SHAPES = "write embedded://FOLDER, or kafka://HOST:PORT"
_PORT = 9092
_SERVERS = re.compile(r"(\[[^]@]*\]|[^:/,@\[\]]+)(:\d{1,5})?(,(\[[^]@]*\]|[^:/,@\[\]]+)(:\d{1,5})?)*/?")
_OF_KAFKA = ("ca", "certificate", "key", "mechanism", "session_timeout", "check_hostname")


@dataclass(frozen=True)
class Address:
    """Where an embedded log lies, and how durable its commits are."""

    path: Path
    durability: Literal["full", "fast"] = "full"


@dataclass(frozen=True)
class Cluster:
    """Some brokers of a cluster. ``options`` are those of the URL; secrets are kept out of sight."""

    servers: tuple[tuple[str, int], ...]
    tls: bool = False
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    options: Mapping[str, str] = field(default_factory=dict[str, str])
    session_timeout: float = 45.0


def parse(url: str) -> Address | Cluster:
    """What a URL says; `ConfigError` for what cannot be opened.

    >>> parse("embedded://data/log?durability=fast")
    Address(path=PosixPath('data/log'), durability='fast')
    >>> parse("kafka://one,two:9093").servers
    (('one', 9092), ('two', 9093))
    """
    scheme, found, rest = url.partition("://")
    if found and scheme in ("kafka", "kafka+ssl"):
        return _cluster(shown(url), scheme == "kafka+ssl", rest)
    if not found or scheme != "embedded":
        raise ConfigError(f"broker {shown(url)!r} is not a log this version knows; {_SHAPES}")
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


def is_embedded(url: str | None) -> bool:
    """Whether a URL names an embedded log; it is the default."""
    return url is None or url.startswith("embedded:")


def shown(url: str) -> str:
    """A URL as it may be shown: without a password, also where that stands in the wrong place.

    >>> shown("kafka://me:secret@host:9092")
    'kafka://me:***@host:9092'
    >>> shown("kafka://me:secret/host")
    'kafka://me:***'
    """
    if url.startswith("embedded:"):
        return url
    scheme, found, rest = url.partition("://") if "://" in url else ("", "", url)
    where, mark, query = rest.partition("?")
    if "@" in query:  # then the question mark is most likely one of the password
        return f"{scheme}{found}***"
    who, at, hosts = where.rpartition("@")
    user, colon, _ = who.partition(":")
    begun = f"{scheme}{found}{user}{colon and ':***'}{at}"
    if not _SERVERS.fullmatch(hosts):  # whatever stands behind a colon may be a password that lacks its @
        host, colon, _ = hosts.partition(":")
        return f"{begun}{host}{colon and ':***'}"
    return f"{begun}{hosts}{mark}" + "&".join(map(_option, query.split("&")))


def _option(written: str) -> str:
    """An option as it may be shown: one that is not known may be anything."""
    name, equals, _ = written.partition("=")
    return written if name in _OF_KAFKA else f"{name}{equals and '=***'}"


def _cluster(url: str, tls: bool, rest: str) -> Cluster:
    where, _, query = rest.partition("?")
    if "@" in query:
        raise ConfigError(
            f"broker {url!r} has an @ behind its first ?; percent-encode ? in the password as %3F, @ as %40"
        )
    who, _, hosts = where.rpartition("@")
    user, _, password = who.partition(":")
    servers: list[tuple[str, int]] = []
    for each in hosts.rstrip("/").split(","):
        host, colon, port = each.rpartition(":")
        host, port = (host, port) if colon else (each, str(_PORT))
        if not host or not port.isdecimal() or int(port) > 65_535:
            raise ConfigError(
                f"broker {url!r}: broker {len(servers) + 1} in it is no HOST:PORT; write kafka://HOST:PORT,HOST:PORT, "
                "or kafka://USER:PASSWORD@HOST:PORT with / ? @ of a password percent-encoded"
            )
        servers.append((host.strip("[]"), int(port)))
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name in options:
        if name not in _OF_KAFKA:
            raise ConfigError(f"broker {url!r} has the option {name!r}; known are {', '.join(_OF_KAFKA)}")
    try:
        timeout = milliseconds(options.get("session_timeout", "45s"), "session_timeout") / 1000
    except StreamflowError as error:
        raise ConfigError(f"broker {url!r}: {error}") from None
    return Cluster(
        tuple(servers),
        tls,
        unquote(user) if who else os.environ.get("STREAMFLOW_KAFKA_USER"),
        unquote(password) if who else os.environ.get("STREAMFLOW_KAFKA_PASSWORD"),
        options,
        timeout,
    )


def _security(cluster: Cluster) -> Security:
    from streamflow.log.kafka.security import MECHANISMS, Security

    token = os.environ.get("STREAMFLOW_KAFKA_TOKEN")
    sasl = cluster.user is not None or token is not None or "mechanism" in cluster.options
    mechanism = cluster.options.get("mechanism", "PLAIN" if cluster.user is not None else "OAUTHBEARER")
    if mechanism not in MECHANISMS:
        raise ConfigError(f"the SASL mechanism is {mechanism!r}; known are {', '.join(MECHANISMS)}")
    if sasl and (token if mechanism == "OAUTHBEARER" else cluster.user) is None:
        where = "STREAMFLOW_KAFKA_TOKEN" if mechanism == "OAUTHBEARER" else "STREAMFLOW_KAFKA_USER"
        raise ConfigError(f"{mechanism} needs {where}, and it is not set")
    return Security(
        protocol=("SASL_SSL" if cluster.tls else "SASL_PLAINTEXT") if sasl else "SSL" if cluster.tls else "PLAINTEXT",
        mechanism=mechanism,
        user=cluster.user,
        password=cluster.password,
        token=token,
        ca=cluster.options.get("ca"),
        certificate=cluster.options.get("certificate"),
        key=cluster.options.get("key"),
        check_hostname=cluster.options.get("check_hostname", "true") != "false",
    )


def open_log(url: str, *, clock: Clock | None = None, session_timeout: float = 10.0, replication: int = -1) -> Log:
    """The log behind a URL, not yet started.

    ``session_timeout`` in seconds is for members of an embedded log that hang, ``replication`` how many copies new
    topics have on Kafka.
    """
    address = parse(url)
    if isinstance(address, Cluster):
        from streamflow.log.kafka import KafkaLog

        return KafkaLog(
            address.servers,
            security=_security(address),
            session_timeout=address.session_timeout,
            replication=replication,
        )
    if replication not in (-1, 1):
        raise ConfigError(f"replication_factor is {replication!r}, but an embedded log keeps one copy; leave it at -1")
    from streamflow.log.embedded import EmbeddedLog  # brings aiokafka's codec: only who opens a log pays for it

    return EmbeddedLog(address.path, clock=clock, durability=address.durability, session_timeout=session_timeout)
