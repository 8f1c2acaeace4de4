"""`App`: a name, settings, and the graph that a script declares.

Declaring does no I/O. Whatever runs the graph takes `App.topology` and
`App.settings`; nobody keeps the app.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal, TypeVar, get_origin, overload

from streamflow.builder import Builder, Known, at_least_one
from streamflow.clock import Duration
from streamflow.errors import ConfigError, TopologyError
from streamflow.functions import timestamping
from streamflow.global_table import GlobalKTable
from streamflow.low_level import LowLevelWords
from streamflow.naming import anchor_of, legal
from streamflow.operators.contract import Context
from streamflow.operators.table_source import TableSource
from streamflow.operators.versioned import VersionedTableSource
from streamflow.processor import KeyValueStore, Processor, lasting
from streamflow.record import Windowed
from streamflow.serdes import Serde, Typed, raw, serde_of, shown
from streamflow.settings import Guarantee, NamingStyle, Optimize, Policy, Settings, settings
from streamflow.state.spec import StoreSpec
from streamflow.stream import KStream
from streamflow.table import KTable
from streamflow.topic import NewTopic, Topic
from streamflow.topology import GlobalSource, Source, Topology

K = TypeVar("K")
V = TypeVar("V")

Topics = str | Sequence[str] | re.Pattern[str]
When = int | datetime | None
Timestamp = Callable[[K, V], When] | Callable[[V], When] | Callable[[K, V, Context], When]
"""When a record happened: milliseconds since the epoch, an aware datetime, or None to drop it."""
OffsetReset = Literal["earliest", "latest", "fail"]


class App(LowLevelWords):
    """An application: what it is called, how it is to run, and its topology.

    ``id`` is in front of every name it makes in the log, so it must not change. Durations are timedeltas or texts
    such as ``"5m"``. ``timestamp`` is the extractor of every source that has none of its own (see `stream`).

    An error policy is ``"fail"`` (stop and commit nothing of it), ``"skip"`` (drop and count), ``"dead_letter"`` (keep
    the record as it came in ``dead_letter_topic``, by default ``<id>-dead-letters``), or ``f(context, error)`` that
    gives one of these words; ``context`` has ``topic``, ``partition``, ``offset``, ``timestamp`` and ``headers``.
    ``max_future`` drops and counts records that claim to be further ahead of the wall clock than that.

    ``on_start()`` is called in each worker before it takes its first record and ``on_stop()`` after its last, both
    plain or async; ``on_state_change(new, old)`` hears of CREATED, RESTORING, RUNNING, STOPPING and STOPPED.
    ``topic_partitions`` is for topics made without anybody saying how many. Raises `ConfigError` for what cannot be.

    >>> app = App("word-count")
    >>> lines = app.stream("lines", value=str)
    >>> counts = lines.flat_map_values(str.split, value=str).group_by(lambda word: word, key=str).count(name="counts")
    >>> counts.to_stream().to("counts")
    >>> print(app.topology.describe().splitlines()[0])
    Topologies:
    """

    def __init__(
        self,
        id: str,
        *,
        broker: str = "embedded://.streamflow",
        guarantee: Guarantee = "exactly_once",
        commit_interval: Duration = "100ms",
        state_dir: str = ".streamflow/state",
        timestamp: Callable[..., Any] | None = None,
        standby_replicas: int = 0,
        on_deserialize_error: Policy = "fail",
        on_process_error: Policy = "fail",
        dead_letter_topic: str | None = None,
        emit: Literal["every_update", "on_commit"] = "every_update",
        topic_partitions: int = 4,
        max_future: Duration | None = None,
        idle_flush: Duration | None = None,
        watchdog: Duration | None = "5m",
        on_failure: Literal["stop"] = "stop",
        replication_factor: int = -1,
        optimize: Optimize = "none",
        naming: NamingStyle = "stable",
        on_start: Callable[..., Any] | None = None,
        on_stop: Callable[..., Any] | None = None,
        on_state_change: Callable[..., Any] | None = None,
    ) -> None:
        self.id = legal(id)
        self.settings: Settings = settings(
            broker=broker,
            guarantee=guarantee,
            commit_interval=commit_interval,
            state_dir=state_dir,
            timestamp=timestamp,
            standby_replicas=standby_replicas,
            on_deserialize_error=on_deserialize_error,
            on_process_error=on_process_error,
            dead_letter_topic=dead_letter_topic,
            emit=emit,
            topic_partitions=topic_partitions,
            max_future=max_future,
            idle_flush=idle_flush,
            watchdog=watchdog,
            on_failure=on_failure,
            replication_factor=replication_factor,
            optimize=optimize,
            naming=naming,
            on_start=on_start,
            on_stop=on_stop,
            on_state_change=on_state_change,
        )
        self._builder = Builder(naming)
        self.routes: list[Any] = []
        self._readers: dict[str, tuple[str, Callable[..., Any] | None, OffsetReset]] = {}

    @overload
    def topic(
        self, name: str, *, partitions: int | None = None, config: Mapping[str, str] | None = None
    ) -> Topic[bytes, bytes]: ...
    @overload
    def topic(
        self, name: str, *, value: Typed[V], partitions: int | None = None, config: Mapping[str, str] | None = None
    ) -> Topic[bytes, V]: ...
    @overload
    def topic(
        self,
        name: str,
        *,
        key: Typed[K],
        value: Typed[V],
        partitions: int | None = None,
        config: Mapping[str, str] | None = None,
    ) -> Topic[K, V]: ...
    def topic(
        self,
        name: str,
        *,
        key: Any = bytes,
        value: Any = bytes,
        partitions: int | None = None,
        config: Mapping[str, str] | None = None,
    ) -> Topic[Any, Any]:
        """A topic with its types, to be read and written by name; ``partitions`` and ``config`` count if it is made.

        >>> orders = App("demo").topic("orders", key=str, value=float)
        >>> orders.value.name
        'float64'
        """
        at_least_one(partitions, f"topic '{name}'")
        known_key, known_value = _declared(name, "key", key), _declared(name, "value", value)
        self._builder.add_topic(NewTopic(legal(name), partitions or 0, dict(config or {})))
        return Topic(name, known_key, known_value)

    @overload
    def stream(
        self, topic: Topic[K, V], *, timestamp: Timestamp[K, V] | None = None,
        offset_reset: OffsetReset = "earliest", name: str | None = None,
    ) -> KStream[K, V]: ...  # fmt: skip
    @overload
    def stream(
        self, topic: Topics, *, timestamp: Timestamp[bytes, bytes] | None = None,
        offset_reset: OffsetReset = "earliest", name: str | None = None,
    ) -> KStream[bytes, bytes]: ...  # fmt: skip
    @overload
    def stream(
        self, topic: Topics, *, value: Typed[V], timestamp: Timestamp[bytes, V] | None = None,
        offset_reset: OffsetReset = "earliest", name: str | None = None,
    ) -> KStream[bytes, V]: ...  # fmt: skip
    @overload
    def stream(
        self, topic: Topics, *, key: Typed[K], timestamp: Timestamp[K, bytes] | None = None,
        offset_reset: OffsetReset = "earliest", name: str | None = None,
    ) -> KStream[K, bytes]: ...  # fmt: skip
    @overload
    def stream(
        self, topic: Topics, *, key: Typed[K], value: Typed[V], timestamp: Timestamp[K, V] | None = None,
        offset_reset: OffsetReset = "earliest", name: str | None = None,
    ) -> KStream[K, V]: ...  # fmt: skip
    def stream(
        self, topic: Topics | Topic[Any, Any], *, key: Any = None, value: Any = None,
        timestamp: Callable[..., Any] | None = None, offset_reset: OffsetReset = "earliest", name: str | None = None,
    ) -> KStream[Any, Any]:  # fmt: skip
        """The records of a topic, of several, or of all whose whole name a compiled pattern matches.

        ``key`` and ``value`` are types (bytes if not given). ``timestamp`` says when a record happened:
        ``f(value)``, ``f(key, value)`` or ``f(key, value, context)`` in milliseconds since 1970 or as an aware
        datetime; ``context.timestamp`` is the record's own, ``context.partition_time`` the greatest seen (-1 before
        the first). None or a negative number drops the record and counts it. ``offset_reset`` is where to begin
        without a position of our own. A topic that is read twice has one extractor and one ``offset_reset``.

        >>> orders = App("demo").stream("orders", key=str, value=dict, timestamp=lambda order: order["at"])
        """
        topics, pattern = _topics(topic)
        anchor = anchor_of(topics, pattern.pattern if pattern else None) if name is None else name
        step = self._builder.naming.step("source", anchor, name)
        source = self._source(step, topic, topics, pattern, key, value, timestamp, offset_reset)
        self._builder.add(step, source)
        return KStream(self._builder, step, Known(source.key, step), Known(source.value, step), anchor, False)

    @overload
    def table(
        self, topic: Topic[K, V], *, store: str | None = None, ttl: Duration | None = None,
        history: Duration | None = None, timestamp: Timestamp[K, V] | None = None, name: str | None = None,
    ) -> KTable[K, V]: ...  # fmt: skip
    @overload
    def table(
        self, topic: str, *, key: Typed[K], value: Typed[V], store: str | None = None, ttl: Duration | None = None,
        history: Duration | None = None, timestamp: Timestamp[K, V] | None = None, name: str | None = None,
    ) -> KTable[K, V]: ...  # fmt: skip
    def table(
        self, topic: str | Topic[Any, Any], *, key: Any = None, value: Any = None, store: str | None = None,
        ttl: Duration | None = None, history: Duration | None = None, timestamp: Callable[..., Any] | None = None,
        name: str | None = None,
    ) -> KTable[Any, Any]:  # fmt: skip
        """A topic read as a table: the latest value of each key, a null value deletes it.

        It is kept in a store if it has a ``name`` (or ``store``), or if another step needs its rows.

        With ``ttl`` a row is forgotten so long after its timestamp, by the greatest timestamp of its partition; nothing
        is said downstream when that happens.

        With ``history`` the table is versioned: it remembers what each row was, so far back, and streams are joined with
        the row of their records' own time. Updates may come in any order; only the newest of a key is its row of now.
        """
        topics = _one_topic(topic, key, value)
        source, step, kept = self._builder.naming.table(topics[0], name, store)
        meaning = self._source(source, topic, topics, None, key, value, timestamp, "earliest")
        self._builder.add(source, meaning)
        known_key, known_value = Known(meaning.key, step), Known(meaning.value, step)
        named = name is not None or store is not None
        if history is not None and ttl is not None:
            raise TopologyError(f"step '{step}' has both ttl= and history=; a history forgets by itself")
        if history is not None or ttl is not None:
            if history is not None:
                kept_for = lasting(history, f"step '{step}': history")
                spec = StoreSpec(kept, "versioned", meaning.key, meaning.value, retention_ms=kept_for)
                self._builder.add(step, VersionedTableSource(kept), source, table=True)
            else:
                assert ttl is not None
                ttl_ms = lasting(ttl, f"step '{step}': ttl")
                spec = StoreSpec(kept, "key_value", meaning.key, meaning.value, ttl_ms=ttl_ms)
                self._builder.add(step, TableSource(kept), source, table=True)
            self._builder.add_store(spec)
            return KTable(self._builder, step, known_key, known_value, step if named else topics[0])
        self._builder.add(step, TableSource(), source, table=True)
        self._builder.may_store(step, kept, known_key, known_value, named=named, by_topic=True)
        return KTable(self._builder, step, known_key, known_value, step if named else topics[0])

    @overload
    def global_table(
        self, topic: Topic[K, V], *, store: str | None = None, name: str | None = None
    ) -> GlobalKTable[K, V]: ...
    @overload
    def global_table(
        self, topic: str, *, key: Typed[K], value: Typed[V], store: str | None = None, name: str | None = None
    ) -> GlobalKTable[K, V]: ...
    def global_table(
        self, topic: str | Topic[Any, Any], *, key: Any = None, value: Any = None, store: str | None = None,
        name: str | None = None,
    ) -> GlobalKTable[Any, Any]:  # fmt: skip
        """A topic read as a table that every worker has whole, all partitions of it.

        For tables small enough for that, whose rows records name by something else than their own key. Nothing
        runs before it is read to its end; later updates are there when they are there.

        >>> from streamflow import App
        >>> app = App("shop")
        >>> countries = app.global_table("countries", key=str, value=str)
        >>> orders = app.stream("orders", key=int, value=dict)
        >>> named = orders.join(countries, lambda order, name: {**order, "country": name}, on=lambda o: o["to"], value=dict)
        """
        topics = _one_topic(topic, key, value)
        source, step, kept = self._builder.naming.table(topics[0], name, store)
        declared = topic if isinstance(topic, Topic) else None
        meaning = Source(
            topics,
            self._read_with(key, declared.key if declared else raw, source, "key"),
            self._read_with(value, declared.value if declared else raw, source, "value"),
        )
        spec = StoreSpec(kept, "key_value", meaning.key, meaning.value, source_topic=topics[0])
        self._builder.add_global(GlobalSource(meaning, source, step, spec))
        return GlobalKTable(self._builder, kept, Known(meaning.key, step), Known(meaning.value, step))

    @overload
    def add_global_store(
        self, store: KeyValueStore, topic: Topic[K, V], factory: Callable[[], Processor[K, V, Any, Any]]
    ) -> str: ...
    @overload
    def add_global_store(
        self, store: KeyValueStore, topic: str, factory: Callable[[], Processor[K, V, Any, Any]], *, key: Typed[K],
        value: Typed[V],
    ) -> str: ...  # fmt: skip
    def add_global_store(
        self, store: KeyValueStore, topic: str | Topic[Any, Any], factory: Callable[[], Processor[Any, Any, Any, Any]],
        *, key: Any = None, value: Any = None,
    ) -> str:  # fmt: skip
        """A store that every worker has whole, and that a processor fills from all partitions of a topic; gives its name.

        ``key`` and ``value`` are the topic's types; the store has its own. What the processor puts should follow from
        the topic alone, for each worker asks its own, from the topic's beginning, each time it starts; nothing runs
        before that is done. Between partitions there is no order: where records of several put the same key and the
        last is to win, workers may differ. It forwards to nobody and schedules nothing. Other processors read the store
        by ``context.store(name)``. A record that fails stops the worker, or is skipped where the policy says ``"skip"``.

        >>> from streamflow.processor import KeyValueStore, Processor
        >>> class ByCity(Processor[str, dict, str, str]):
        ...     def init(self, context):
        ...         self.mayors = context.store("mayors")
        ...     def process(self, record):
        ...         self.mayors.put(record.value["city"], record.key)
        >>> App("demo").add_global_store(KeyValueStore("mayors", key=str, value=str), "people", ByCity, key=str, value=dict)
        'mayors'
        """
        if not isinstance(store, KeyValueStore):
            raise TopologyError(f"a global store is a KeyValueStore of streamflow.processor, not {shown(store)}")
        if store.ttl is not None or store.max_entries is not None:
            raise TopologyError(
                f"global store '{store.name}' forgets nothing by itself: leave out ttl= and max_entries="
            )
        if not callable(factory):
            raise TopologyError(
                f"global store '{store.name}' needs a processor class behind its topic, not {factory!r}"
            )
        spec = replace(store.spec(), timestamped=True, logged=False)
        topics = _one_topic(topic, key, value)
        source, step, kept = self._builder.naming.table(topics[0], None, spec.name)
        declared = topic if isinstance(topic, Topic) else None
        meaning = Source(
            topics,
            self._read_with(key, declared.key if declared else raw, source, "key"),
            self._read_with(value, declared.value if declared else raw, source, "value"),
        )
        self._builder.add_global(GlobalSource(meaning, source, step, spec, processor=factory))
        return kept

    def add_source(
        self, name: str, topic: Topics | Topic[Any, Any], *, key: Any = None, value: Any = None,
        timestamp: Callable[..., Any] | None = None, offset_reset: OffsetReset = "earliest",
    ) -> str:  # fmt: skip
        """A source step by name, for `add_processor`: a topic, several, or a pattern. Gives the name."""
        topics, pattern = _topics(topic)
        source = self._source(name, topic, topics, pattern, key, value, timestamp, offset_reset)
        return self._builder.add(legal(name), source)

    @property
    def topology(self) -> Topology:
        """The graph as declared so far."""
        found = self._builder.freeze()
        if self.settings.optimize == "none":
            return found
        from streamflow.optimize import optimized

        return optimized(found)

    def http_routes(self, routes: Iterable[Any]) -> None:
        """Serve handlers of one's own beside streamflow's: aiohttp's `RouteTableDef`, or a list of `web.get(...)`.

        They run on the worker's loop and port, and ask for state with ``streamflow.http.queries(request)``.

        >>> from aiohttp import web
        >>> async def hello(request):
        ...     return web.Response(text="hello")
        >>> App("x").http_routes([web.get("/hello", hello)])
        """
        found = list(routes)
        for each in found:
            if not callable(getattr(each, "register", None)):
                raise ConfigError(
                    f"http_routes has {each!r:.80}; give it aiohttp's web.get(path, handler) and the like"
                )
        self.routes.extend(found)

    def run(self, **options: Any) -> None:
        """Run until told to stop, as ``streamflow run`` does; ``options`` are those of the command line."""
        from streamflow.run import run_app

        run_app(self, **options)

    def _source(
        self,
        step: str,
        topic: Topics | Topic[Any, Any],
        topics: tuple[str, ...],
        pattern: re.Pattern[str] | None,
        key: Any,
        value: Any,
        timestamp: Callable[..., Any] | None,
        offset_reset: OffsetReset,
    ) -> Source:
        declared = topic if isinstance(topic, Topic) else None
        if offset_reset not in ("earliest", "latest", "fail"):
            raise TopologyError(
                f"step '{step}': offset_reset is {offset_reset!r}; write 'earliest', 'latest' or 'fail'"
            )
        extractor = self.settings.timestamp if timestamp is None else timestamp
        for each in topics:
            self._read_alike(each, step, extractor, offset_reset)
        return Source(
            topics,
            self._read_with(key, declared.key if declared else raw, step, "key"),
            self._read_with(value, declared.value if declared else raw, step, "value"),
            pattern,
            None if extractor is None else timestamping(extractor, step),
            offset_reset,
        )

    def _read_alike(self, topic: str, step: str, extractor: Callable[..., Any] | None, reset: OffsetReset) -> None:
        """A task takes each record of a topic once, at one time, from one position; so its readers must agree."""
        first, other, otherwise = self._readers.setdefault(topic, (step, extractor, reset))
        for keyword, same in (("timestamp", extractor is other), ("offset_reset", reset == otherwise)):
            if not same:
                raise TopologyError(
                    f"steps '{first}' and '{step}' read topic '{topic}' with different {keyword}=; give both the same"
                )

    def _read_with(self, given: Any, default: Serde[Any], step: str, keyword: str) -> Serde[Any]:
        if given is Windowed or get_origin(given) is Windowed:
            raise TopologyError(
                f"step '{step}', {keyword}=: the bytes of a windowed key do not hold the window's size; "
                f'write {keyword}=serdes.windowed(str, "5m")'
            )
        return default if given is None else self._builder.serde(given, step, keyword)


def _declared(topic: str, keyword: str, kind: Any) -> Serde[Any]:
    try:
        return serde_of(kind)
    except TopologyError as error:
        raise TopologyError(f"topic '{topic}', {keyword}=: {error}") from None


def _one_topic(topic: Any, key: Any, value: Any) -> tuple[str, ...]:
    """The topic of a table, once it is found to be one, with types."""
    topics, pattern = _topics(topic)
    if len(topics) != 1 or pattern is not None:
        raise TopologyError(f"a table is read from one topic, not from {topic!r}")
    if not isinstance(topic, Topic) and (key is None or value is None):
        raise TopologyError(f"the table of topic '{topics[0]}' needs both key= and value=, such as key=str, value=str")
    return topics


def _topics(topic: Topics | Topic[Any, Any]) -> tuple[tuple[str, ...], re.Pattern[str] | None]:
    """The names, or the pattern, that the user wrote."""
    if isinstance(topic, Topic):
        return (topic.name,), None
    if isinstance(topic, re.Pattern):
        return (), topic
    if isinstance(topic, str):
        return (legal(topic),), None
    if isinstance(topic, list | tuple) and topic and all(isinstance(each, str) for each in topic):
        return tuple(dict.fromkeys(legal(each) for each in topic)), None
    raise TopologyError(f"a topic is a name, a list of names, a compiled pattern or app.topic(...), not {shown(topic)}")
