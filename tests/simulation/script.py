"""The application that is simulated: every way a record can go, and every kind of store.

orders ----+--> passed                                  as they come
           +--> counted                                 count per customer
           +--> joined                                  left join with profiles
           +--> met                                     left join with every third order, in a stretch of time
           +--> windowed                                count per customer and tumbling window
           +--> sessioned                               count per customer and session
           |        +--> final                          each session once, when it is over
           +--> (toggles)                               a row that comes and goes: tombstones
           |        +--> both                           outer join with profiles
           |        +--> foreign                        left join with the profile that its value names
           +--> by remainder --> repartition --> regrouped   count over a repartition topic
                                           +--> ticked       a processor that speaks every ten seconds of stream time
profiles ------> (profiles)                             a table
"""

from __future__ import annotations

from streamflow import App, session, tumbling, until_window_closes
from streamflow.plan import plan
from streamflow.processor import KeyValueStore, Processor, ProcessorContext, Record
from streamflow.serdes import int64, session_windowed, string, windowed
from streamflow.state.spec import StoreSpec

from ..checkers import Gap, Windowing

APP = "sim"
PARTITIONS = 2
WINDOW = Windowing(size=10_000, grace=5_000)
GAP = Gap(gap=8_000, grace=5_000)
BEFORE, AFTER, GRACE = 15_000, 9_000, 6_000
TICK = 10_000
OUTPUTS = (
    "passed",
    "counted",
    "joined",
    "met",
    "windowed",
    "sessioned",
    "final",
    "both",
    "foreign",
    "regrouped",
    "ticked",
)
EXTERNAL = ("orders", "profiles", *OUTPUTS)
WINDOWED = windowed(str, "10s")
SESSION = session_windowed(str)
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


def third(value: int) -> bool:
    """The orders that the others are joined with."""
    return value % 3 == 0


def either(left: int | None, right: int | None) -> int:
    """Two rows, of which one may not be there, in one number."""
    return (left or 0) * 1000 + (right or 0)


def named(value: int) -> str:
    """The profile that a toggle names."""
    return f"k{value % 8}"


class Ticking(Processor[str, int, str, int]):
    """Says from time to time how many records there were."""

    def init(self, context: ProcessorContext[str, int]) -> None:
        self.context = context
        self.ticks = context.store("ticks")
        context.schedule(f"{TICK}ms", "stream_time", self.tick)

    def process(self, record: Record[str, int]) -> None:
        self.ticks.put("seen", (self.ticks.get("seen") or 0) + 1)

    def tick(self, now: int) -> None:
        self.context.forward(Record(self.context.task_id, self.ticks.get("seen") or 0, now))


def declared() -> App:
    """The script."""
    app = App(APP)
    profiles = app.table("profiles", key=str, value=int, name="profiles")
    orders = app.stream("orders", key=str, value=int)
    by_customer = orders.group_by_key()

    orders.to("passed")
    by_customer.count(name="counts").to_stream().to("counted")
    orders.left_join(profiles, joined, value=int, name="join").to("joined")
    within = f"{BEFORE}ms", f"{AFTER}ms"
    orders.left_join(orders.filter(third), either, within=within, grace=f"{GRACE}ms", value=int, name="meet").to("met")

    windows = by_customer.windowed_by(tumbling(f"{WINDOW.size}ms", grace=f"{WINDOW.grace}ms"))
    windows.count(name="windows", retention="120s").to_stream().to("windowed")
    visits = by_customer.windowed_by(session(f"{GAP.gap}ms", grace=f"{GAP.grace}ms"))
    sessions = visits.count(name="sessions", retention="120s")
    sessions.to_stream().to("sessioned")
    sessions.suppress(until_window_closes(), name="waiting").to_stream().to("final")

    toggles = by_customer.aggregate(lambda: 0, toggle, value=int, name="toggles")
    toggles.outer_join(profiles, either, value=int, name="both").to_stream().to("both")
    toggles.left_join(profiles, either, on=named, value=int, name="foreign").to_stream().to("foreign")

    remainders = orders.select_key(lambda _, value: remainder(value), key=str).repartition(name="remainder")
    remainders.group_by_key().count(name="remainders").to_stream().to("regrouped")
    app.add_store(KeyValueStore("ticks", key=str, value=int))
    remainders.process(Ticking, stores=["ticks"], key=str, value=int, name="tick").to("ticked")
    return app


PLAN = plan(declared().topology, APP, dict.fromkeys(EXTERNAL, PARTITIONS))
STORES = tuple(store for sub in PLAN.subtopologies for store in sub.stores)
INPUTS = tuple(topic for sub in PLAN.subtopologies for topics in sub.topics.values() for topic in topics)
REPARTITION = f"{APP}-remainder-repartition"


def changelog(store: str) -> str:
    """The name of a store's changelog."""
    return f"{APP}-{store}-changelog"


def changelog_key(spec: StoreSpec, key: bytes) -> bytes:
    """A key on disk as its changelog has it.

    A window's is segment, key, a zero byte and start on disk, and a session's has its end in front of the start
    (state/keys.py); no key here has a zero byte of its own.
    """
    return key[8 : -spec.tail - 1] + key[-spec.tail :] if spec.segmented else key
