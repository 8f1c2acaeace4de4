"""What an `App` is told about how to run: checked at once, kept as plain data.

Command line, environment and configuration file come later and win; see the
entry layer. Nothing here changes what the topology means, but ``naming`` and
``timestamp``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from streamflow.clock import Duration, milliseconds
from streamflow.errors import ConfigError, TopologyError
from streamflow.functions import takes
from streamflow.naming import legal

Answer = Literal["fail", "skip", "dead_letter"]
Policy = Answer | Callable[[Any, Exception], Answer]
"""What to do with a record that cannot be handled, or ``f(context, error)`` that says it."""
Guarantee = Literal["exactly_once", "at_least_once"]
Emit = Literal["every_update", "on_commit"]
NamingStyle = Literal["stable", "kafka_streams"]
Optimize = Literal["none", "all"]


@dataclass(frozen=True)
class Settings:
    """An application's settings, durations in milliseconds."""

    broker: str = "embedded://.streamflow"
    guarantee: Guarantee = "exactly_once"
    commit_interval_ms: int = 100
    state_dir: str = ".streamflow/state"
    standby_replicas: int = 0
    timestamp: Callable[..., Any] | None = None
    on_deserialize_error: Policy = "fail"
    on_process_error: Policy = "fail"
    dead_letter_topic: str | None = None
    emit: Emit = "every_update"
    topic_partitions: int = 4
    max_future_ms: int | None = None
    idle_flush_ms: int | None = None
    watchdog_ms: int | None = 300_000
    replication_factor: int = -1
    naming: NamingStyle = "stable"
    optimize: Optimize = "none"
    on_start: Callable[..., Any] | None = None
    on_stop: Callable[..., Any] | None = None
    on_state_change: Callable[..., Any] | None = None

    @property
    def dead_letters(self) -> bool:
        """Some policy may send a record to the dead letter topic."""
        return any(
            policy == "dead_letter" or callable(policy) for policy in (self.on_deserialize_error, self.on_process_error)
        )


def settings(
    *,
    commit_interval: Duration,
    max_future: Duration | None,
    idle_flush: Duration | None,
    watchdog: Duration | None,
    on_failure: str,
    **others: Any,
) -> Settings:
    """Settings from `App`'s keyword arguments, or a `ConfigError` that says which one cannot be used."""
    _one_of("guarantee", others["guarantee"], ("exactly_once", "at_least_once"))
    _one_of("naming", others["naming"], ("stable", "kafka_streams"))
    _one_of("emit", others["emit"], ("every_update", "on_commit"))
    for name in ("on_deserialize_error", "on_process_error"):
        if callable(others[name]):
            _called_with(name, others[name], "f(context, error)", 2)
        else:
            _one_of(name, others[name], ("fail", "skip", "dead_letter"), "or f(context, error)")
    replicas = others["standby_replicas"]
    if not isinstance(replicas, int) or isinstance(replicas, bool) or replicas < 0:
        raise ConfigError(f"standby_replicas is {replicas!r}; it must be a whole number, 0 for none")
    _one_of("optimize", others["optimize"], ("none", "all"))
    _only("on_failure", on_failure, "stop")
    copies = others["replication_factor"]
    if not isinstance(copies, int) or isinstance(copies, bool) or (copies < 1 and copies != -1):
        raise ConfigError(f"replication_factor is {copies!r}; it must be a whole number of at least 1, or -1")
    for name, shape, arguments in _HOOKS:
        if others[name] is not None:
            _called_with(name, others[name], shape, arguments)
    if isinstance(others["state_dir"], Path):
        others["state_dir"] = str(others["state_dir"])
    _names(others)
    partitions = others["topic_partitions"]
    if not isinstance(partitions, int) or isinstance(partitions, bool) or partitions < 1:
        raise ConfigError(f"topic_partitions is {partitions!r}; it must be a whole number of at least 1")
    return Settings(
        commit_interval_ms=_positive("commit_interval", commit_interval),
        max_future_ms=None if max_future is None else _positive("max_future", max_future),
        idle_flush_ms=None if idle_flush is None else _positive("idle_flush", idle_flush),
        watchdog_ms=None if watchdog is None else _positive("watchdog", watchdog),
        **others,
    )


_HOOKS = (
    ("timestamp", "f(value), f(key, value) or f(key, value, context)", None),
    ("on_start", "f()", 0),
    ("on_stop", "f()", 0),
    ("on_state_change", "f(new, old)", 2),
)


def _called_with(name: str, f: Any, shape: str, arguments: int | None) -> None:
    if not callable(f):
        raise ConfigError(f"{name} is {f!r}, which cannot be called; give it a function {shape}")
    if arguments is not None and not takes(f, arguments):
        raise ConfigError(f"{name} is called as {shape}, and the function given cannot be called like that")


def _names(others: dict[str, Any]) -> None:
    """Texts that are texts, and a topic that can be one."""
    for name in ("broker", "state_dir"):
        if not isinstance(others[name], str) or not others[name]:
            raise ConfigError(f"{name} is {others[name]!r}; write a text such as {getattr(Settings, name)!r}")
    try:
        if others["dead_letter_topic"] is not None:
            legal(others["dead_letter_topic"])
    except TopologyError as error:
        raise ConfigError(f"dead_letter_topic: {error}") from None


def _positive(name: str, duration: Duration) -> int:
    found = milliseconds(duration, name)
    if found <= 0:
        raise ConfigError(f"{name} is {duration!r}; it must be at least 1 ms")
    return found


def _one_of(name: str, value: object, known: tuple[str, ...], also: str = "") -> None:
    if value not in known:
        raise ConfigError(f"{name} is {value!r}; write {', '.join(map(repr, known))} {also}".rstrip())


def _only(name: str, value: object, possible: object) -> None:
    """Refuse what this version cannot do, rather than take it and not do it."""
    if value != possible:
        raise ConfigError(f"{name}={value!r} is not available in this version; only {possible!r} is")
