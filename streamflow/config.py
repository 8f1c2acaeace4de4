"""Where settings come from: flags, then ``STREAMFLOW_*``, then ``streamflow.toml``, then ``App(...)``, then defaults.

``streamflow.toml`` lies in the folder the command is called from and holds the options' own names, for all commands
alike, and those arguments of ``App(...)`` that are texts or numbers:

    broker = "embedded:///var/lib/streamflow"
    workers = 4
    commit-interval = "50ms"
    on-process-error = "dead_letter"
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from streamflow.errors import ConfigError
from streamflow.settings import Settings, settings

FILE = "streamflow.toml"

OPTIONS: dict[str, type] = {
    "broker": str,
    "workers": int,
    "until_idle": bool,
    "http": str,
    "no_http": bool,
    "http_token": str,
    "http_open": bool,
    "advertise": str,
    "state_dir": str,
    "reload": bool,
    "commit_interval": str,
    "log_level": str,
    "log_format": str,
    "debug": bool,
}
"""Options of the command line that make sense for more than one call."""

SETTINGS: dict[str, type] = {
    "broker": str,
    "guarantee": str,
    "commit_interval": str,
    "state_dir": str,
    "on_deserialize_error": str,
    "on_process_error": str,
    "dead_letter_topic": str,
    "emit": str,
    "topic_partitions": int,
    "standby_replicas": int,
    "max_future": str,
    "idle_flush": str,
    "watchdog": str,
}
"""Arguments of ``App(...)`` that can be given from outside of the script."""


def read_file(folder: Path = Path()) -> dict[str, Any]:
    """The settings of ``streamflow.toml``, with underscores in their names; nothing when there is no such file."""
    path = folder / FILE
    try:
        text = path.read_text()
    except FileNotFoundError:
        return {}
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{FILE} is not TOML: {error}") from error
    return {(plain := name.replace("-", "_")): _checked(plain, value) for name, value in found.items()}


def _checked(name: str, value: Any) -> Any:
    wanted = OPTIONS.get(name) or SETTINGS.get(name)
    known = sorted({*OPTIONS, *SETTINGS})
    if wanted is None:
        near = get_close_matches(name, known, 1)
        advice = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
        raise ConfigError(f"{FILE}: unknown setting {name!r}; {advice}")
    if type(value) is not wanted:
        raise ConfigError(f"{FILE}: {name} is {value!r}; write {_EXAMPLES[wanted]}")
    return value


_EXAMPLES = {str: 'a text in quotes, such as "10s"', int: "a whole number", bool: "true or false"}


def defaults(folder: Path = Path()) -> dict[str, Any]:
    """What ``streamflow.toml`` says for options, as click's default map."""
    return {name: value for name, value in read_file(folder).items() if name in OPTIONS}


def outside(given: Mapping[str, Any], folder: Path = Path(), environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """The ``App(...)`` arguments that come from outside of the script.

    ``given`` is what the command line settled already (flags, environment and file; None where nobody said anything).
    """
    found = {name: value for name, value in read_file(folder).items() if name in SETTINGS}
    for name, kind in SETTINGS.items():
        variable = f"STREAMFLOW_{name.upper()}"
        if (text := environ.get(variable)) is not None:
            found[name] = _number(variable, text) if kind is int else text
    found.update({name: value for name, value in given.items() if name in SETTINGS and value is not None})
    return found


def _number(variable: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"{variable} is {text!r}; write a whole number") from None


def apply(given: Settings, changes: Mapping[str, Any]) -> Settings:
    """Settings with the changes, checked as if the script had given them to ``App(...)``."""
    now: dict[str, Any] = {each.name: getattr(given, each.name) for each in fields(given)}
    optional = {name: now.pop(f"{name}_ms") for name in ("max_future", "idle_flush", "watchdog")}
    arguments: dict[str, Any] = {
        "commit_interval": timedelta(milliseconds=now.pop("commit_interval_ms")),
        **{name: None if ms is None else timedelta(milliseconds=ms) for name, ms in optional.items()},
        **_ONLY,
        **now,
        **changes,
    }
    return settings(**arguments)


_ONLY = {"on_failure": "stop"}
"""Arguments that `Settings` does not keep, because they have one possible value."""


def address(text: str) -> tuple[str, int]:
    """``HOST:PORT`` apart; the host may be left out.

    >>> address("127.0.0.1:8080"), address(":9000"), address("[::1]:80")
    (('127.0.0.1', 8080), ('127.0.0.1', 9000), ('::1', 80))
    """
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65_535:
        raise ConfigError(f"--http is {text!r}; write HOST:PORT, such as 127.0.0.1:8080")
    return host.strip("[]") or "127.0.0.1", int(port)
