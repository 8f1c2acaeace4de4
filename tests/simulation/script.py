"""The application that is simulated: two sub-topologies, five stores, every way a record can go.

    orders ----+--> passed                                  as they come
               +--> counted                                 count per customer
               +--> joined                                  left join with profiles
               +--> windowed                                count per customer and tumbling window
               +--> (toggles)                               a row that comes and goes: tombstones
               +--> by remainder --> repartition --> regrouped   count over a repartition topic
    profiles ------> (profiles)                             a table

The plan is made by hand, so the simulation stands on the runtime alone.
"""

from __future__ import annotations

from streamflow.functions import arity
from streamflow.operators.aggregate import Aggregate, Count
from streamflow.operators.join import StreamTableJoin
from streamflow.operators.map import SelectKey
from streamflow.operators.repartition_filter import DropNullKeys
from streamflow.operators.table_ops import ToStream
from streamflow.operators.table_source import TableSource
from streamflow.operators.window_aggregate import WindowCount
from streamflow.plan import Plan, SubTopology
from streamflow.serdes import int64, string, windowed
from streamflow.state.spec import StoreSpec
from streamflow.topic import NewTopic
from streamflow.topology import Sink, Source, Step
from streamflow.windows import TimeWindow

from ..checkers import Windowing

APP = "sim"
PARTITIONS = 2
WINDOW = Windowing(size=10_000, grace=5_000)
RETENTION = 120_000
REPARTITION = f"{APP}-remainder-repartition"
OUTPUTS = ("passed", "counted", "joined", "windowed", "regrouped")
EXTERNAL = ("orders", "profiles", *OUTPUTS)
WINDOWED = windowed(str, "10s")
TEXT, NUMBER = string, int64


def remainder(value: int) -> str:
    """The key of the repartition topic."""
    return f"r{value % 5}"


def toggle(total: int, value: int) -> int | None:
    """A row that is there after every other record of its key."""
    return None if total else value + 1


def joined(value: int, row: int | None) -> int:
    """Stream value and table row in one number."""
    return value * 1000 + (row or 0)


def _source(*topics: str) -> Source:
    return Source(topics, TEXT, NUMBER)


def _store(name: str, **more: object) -> StoreSpec:
    return StoreSpec(name, more.pop("kind", "key_value"), TEXT, NUMBER, **more)  # type: ignore[arg-type]


def changelog(store: str) -> str:
    """The name of a store's changelog."""
    return f"{APP}-{store}-changelog"


MAIN_STORES = (
    _store("counts"),
    _store("profiles"),
    _store("toggles"),
    _store("windows", kind="window", retention_ms=RETENTION, window_ms=WINDOW.size),
)
REGROUP_STORES = (_store("remainders"),)
STORES = (*MAIN_STORES, *REGROUP_STORES)

MAIN = SubTopology(
    number=0,
    name="main",
    steps=(
        Step("profiles-in", _source("profiles")),
        Step("profiles", TableSource("profiles"), ("profiles-in",), table=True),
        Step("orders", _source("orders")),
        Step("passed", Sink("passed", TEXT, NUMBER), ("orders",)),
        Step("count", Count("counts"), ("orders",), table=True),
        Step("count-stream", ToStream(), ("count",)),
        Step("counted", Sink("counted", TEXT, NUMBER), ("count-stream",)),
        Step("join", StreamTableJoin(arity(joined, "joiner", "join"), "profiles", left=True), ("orders",)),
        Step("joined", Sink("joined", TEXT, NUMBER), ("join",)),
        Step(
            "window",
            WindowCount("windows", TimeWindow(WINDOW.size, WINDOW.size, WINDOW.grace)),
            ("orders",),
            table=True,
        ),
        Step("window-stream", ToStream(), ("window",)),
        Step("windowed", Sink("windowed", WINDOWED, NUMBER), ("window-stream",)),
        Step(
            "toggle",
            Aggregate("toggles", arity(int, "initializer", "toggle"), arity(toggle, "aggregator", "toggle")),
            ("orders",),
            table=True,
        ),
        Step("select", SelectKey(arity(remainder, "key selector", "select")), ("orders",)),
        Step("filter", DropNullKeys(), ("select",)),
        Step("remainder-out", Sink("remainder-repartition", TEXT, NUMBER, repartition="remainder"), ("filter",)),
    ),
    topics={"profiles-in": ("profiles",), "orders": ("orders",)},
    stores=MAIN_STORES,
    changelogs={store.name: changelog(store.name) for store in MAIN_STORES},
    sinks={name: name for name in OUTPUTS[:-1]} | {"remainder-out": REPARTITION},
    partitions=PARTITIONS,
    fingerprint="main",
)
REGROUP = SubTopology(
    number=1,
    name="regroup",
    steps=(
        Step("remainder-in", Source((REPARTITION,), TEXT, NUMBER, repartition="remainder")),
        Step("recount", Count("remainders"), ("remainder-in",), table=True),
        Step("recount-stream", ToStream(), ("recount",)),
        Step("regrouped", Sink("regrouped", TEXT, NUMBER), ("recount-stream",)),
    ),
    topics={"remainder-in": (REPARTITION,)},
    stores=REGROUP_STORES,
    changelogs={store.name: changelog(store.name) for store in REGROUP_STORES},
    sinks={"regrouped": "regrouped"},
    partitions=PARTITIONS,
    fingerprint="regroup",
)


def _internal(store: StoreSpec) -> NewTopic:
    if store.kind == "window":
        config = {
            "cleanup.policy": "compact,delete",
            "retention.ms": str(RETENTION + 86_400_000),
            "message.timestamp.type": "LogAppendTime",
        }
    else:
        config = {"cleanup.policy": "compact"}
    return NewTopic(changelog(store.name), PARTITIONS, config, internal=True)


PLAN = Plan(
    app_id=APP,
    subtopologies=(MAIN, REGROUP),
    internal_topics=(
        NewTopic(REPARTITION, PARTITIONS, {"cleanup.policy": "delete", "retention.ms": "-1"}, internal=True),
        *map(_internal, STORES),
    ),
    partitions={
        **dict.fromkeys((*EXTERNAL, REPARTITION), PARTITIONS),
        **dict.fromkeys((changelog(store.name) for store in STORES), PARTITIONS),
    },
)
INPUTS = ("orders", "profiles", REPARTITION)


def changelog_key(spec: StoreSpec, key: bytes) -> bytes:
    """A key on disk as its changelog has it.

    A window's is segment, key, a zero byte and start on disk (state/keys.py); no key here has a zero byte of its own.
    """
    return key[8:-9] + key[-8:] if spec.kind == "window" else key
