"""Kafka's Java clients and Kafka Streams read what streamflow wrote, and the other way round, on a real broker."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from streamflow import serdes
from streamflow.cli.options import with_log
from streamflow.log.batch import records
from streamflow.log.contract import Log
from streamflow.record import TopicPartition, Windowed
from streamflow.serdes import Serde
from streamflow.topic import NewTopic
from tests.kafka.broker import jars, missing
from tests.log.support import fetch_one, seeded

SOURCE = Path(__file__).with_name("Peer.java")
MINUTE, GAP = 60_000, 30_000
ORDERS, USERS, PARTITIONS, SPREAD = 400, 25, 3, 5
DEADLINE = 60.0  # seconds

Row = tuple[int, Any, Any, int, list[list[str]]]
"""Partition, key, value, timestamp, headers."""

SERDES: dict[str, Serde[Any]] = {
    "str": serdes.string,
    "int32": serdes.int32,
    "int64": serdes.int64,
    "float64": serdes.float64,
    "bytes": serdes.raw,
    "uuid": serdes.uuid,
    "windowed": serdes.windowed(str, "1m"),
    "session": serdes.session_windowed(str),
}
SCALARS = ("str", "int32", "int64", "float64", "bytes", "uuid")

SCRIPT = """
from streamflow import App, session, tumbling
from streamflow.serdes import float64, int32, int64, raw, string, uuid

app = App("ours", commit_interval="200ms")
orders = app.stream("orders", key=str, value=float)
by_user = orders.group_by_key()
minutes = by_user.windowed_by(tumbling("1m", grace="1d")).count(name="minutes")
minutes.to_stream().to("minutes-by-streamflow")
visits = by_user.windowed_by(session("30s", grace="1d")).count(name="visits")
visits.to_stream().to("visits-by-streamflow")
sums = by_user.reduce(lambda total, amount: total + amount, name="sums")
sums.filter(lambda total: total >= 0, name="kept").to_stream().to("sums-by-streamflow")
sizes = orders.group_by(lambda amount: round(amount), key=int, name="size").count(name="sizes")
sizes.to_stream().to("sizes-by-streamflow")

for name, kind in {"str": string, "int32": int32, "int64": int64, "float64": float64, "bytes": raw, "uuid": uuid}.items():
    app.stream(name, key=kind, value=kind).map(lambda k, v: (k, v), key=kind, value=kind).to(name + "-by-streamflow")
"""

BACK = """
from streamflow import App
from streamflow.serdes import session_windowed, windowed

app = App("back", commit_interval="200ms")
pairs = lambda here, there: f"{here} and {there}"
minute, visit = windowed(str, "1m"), session_windowed(str)
here = app.table("minutes-by-streamflow", key=minute, value=int, name="minutes-here")
there = app.table("minutes-by-java", key=minute, value=int, name="minutes-there")
here.join(there, pairs, value=str, name="minutes").to_stream().to("minutes-met")
here = app.table("visits-by-streamflow", key=visit, value=int, name="visits-here")
there = app.table("visits-by-java", key=visit, value=int, name="visits-there")
here.join(there, pairs, value=str, name="visits").to_stream().to("visits-met")
here = app.table("sums-by-streamflow", key=str, value=float, name="sums-here")
there = app.table("sums-by-java", key=str, value=float, name="sums-there")
here.join(there, pairs, value=str, name="sums").to_stream().to("sums-met")
again = app.stream("java-size-repartition", key=int, value=float).group_by_key().count(name="again")
changelog = app.table("java-sizes-changelog", key=int, value=int, name="changelog")
again.join(changelog, pairs, value=str, name="sizes").to_stream().to("sizes-met")
"""


class Java:
    """A Java process that does what it is told."""

    def __init__(self, folder: Path, bootstrap: str) -> None:
        self._said = folder / "said"
        path = f"{jars(artifacts=('kafka-streams', 'kafka-streams-test-utils'), name='streams')}/*"
        compiled = subprocess.run(
            ["javac", "-cp", path, "-d", str(folder), str(SOURCE)], capture_output=True, text=True
        )
        assert compiled.returncode == 0, compiled.stderr
        command = ["java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{path}:{folder}"]
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(
                [*command, "Peer", bootstrap, str(folder / "state")],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said,
            )  # fmt: skip

    def __call__(self, do: str, **more: Any) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **more}).encode() + b"\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, self._said.read_text()[-3000:]
        return json.loads(answer)

    def read(self, topic: str, key: str, value: str) -> list[Row]:
        """Partition by partition, each in its order."""
        told = sorted(self("read", topic=topic, key=key, value=value), key=lambda row: row[0])
        return [(row[0], of_json(key, row[1]), of_json(value, row[2]), row[3], row[4]) for row in told]

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def of_json(kind: str, told: Any) -> Any:
    if told is None:
        return None
    if kind in ("windowed", "session"):
        return Windowed(*told)
    return bytes.fromhex(told) if kind == "bytes" else uuid.UUID(told) if kind == "uuid" else told


def to_json(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else str(value) if isinstance(value, uuid.UUID) else value


class Shop(NamedTuple):
    """Both have counted the same orders and read each other's counts."""

    broker: str
    java: Java
    orders: list[tuple[str, float, int]]
    """User, amount, time."""
    sent: dict[str, list[tuple[Any, Any, int, list[list[str]]]]]
    """A kind of keys and values -> what Java's producer sent."""

    def ours(self, topic: str, key: str, value: str) -> list[Row]:
        """What streamflow reads."""
        read_key, read_value = SERDES[key].deserialize, SERDES[value].deserialize

        async def work(log: Log) -> list[Row]:
            found: list[Row] = []
            for n in range((await log.topics())[topic].partitions):
                tp = TopicPartition(topic, n)
                ends = (await log.offsets([tp]))[tp]
                place = ends.start
                while place < ends.end:
                    fetched = await fetch_one(log, tp, place)
                    for batch in fetched.batches:
                        found += [
                            (n, read_key(r.key), read_value(r.value), r.timestamp, [[k, v.decode()] for k, v in r.headers])
                            for r in records(batch) if r.offset >= place
                        ]  # fmt: skip
                    place = fetched.next_offset
            return found

        return list(with_log(self.broker, work))


def sample(choice: random.Random, kind: str) -> Any:
    """A value of a kind, the odd ones often."""
    match kind:
        case "str":
            return choice.choice(["", "a", "größe", "日本", "x" * 40, f"user-{choice.randrange(1000)}"])
        case "int32":
            return choice.choice([0, -1, 2**31 - 1, -(2**31), choice.randrange(-9999, 9999)])
        case "int64":
            return choice.choice([0, -1, 2**63 - 1, -(2**63), choice.randrange(-(2**50), 2**50)])
        case "float64":
            return choice.choice([0.0, -0.0, 1e308, -5e-324, 0.1, choice.uniform(-1e6, 1e6)])
        case "bytes":
            return choice.randbytes(choice.randrange(12))
        case _:
            return uuid.UUID(bytes=choice.randbytes(16))


def run(folder: Path, name: str, text: str, broker: str) -> None:
    """A script of streamflow's, until all that is there is processed."""
    (folder / f"{name}.py").write_text(text)
    command = ["-m", "streamflow", "run", f"{name}.py", "--until-idle", "--no-http", "--broker", broker]
    ended = subprocess.run(
        [sys.executable, *command], cwd=folder, capture_output=True, text=True, timeout=DEADLINE, env=dict(os.environ)
    )
    assert ended.returncode == 0, ended.stderr


def table(rows: list[Row]) -> dict[Any, Any]:
    """The rows that a table of these records has."""
    last = {key: value for _, key, value, _, _ in rows}
    return {key: value for key, value in last.items() if value is not None}


def minutes_of(orders: list[tuple[str, float, int]]) -> dict[Windowed[str], int]:
    counted = Counter((user, at // MINUTE * MINUTE) for user, _, at in orders)
    return {Windowed(user, start, start + MINUTE): count for (user, start), count in counted.items()}


def visits_of(orders: list[tuple[str, float, int]]) -> dict[Windowed[str], int]:
    found: dict[Windowed[str], int] = {}
    for user in {user for user, _, _ in orders}:
        times = sorted(at for its, _, at in orders if its == user)
        start = end = times[0]
        count = 0
        for at in times:
            if at > end + GAP:
                found[Windowed(user, start, end)] = count
                start, count = at, 0
            end, count = at, count + 1
        found[Windowed(user, start, end)] = count
    return found


def sums_of(orders: list[tuple[str, float, int]]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for user, amount, _ in orders:
        sums[user] = sums.get(user, 0.0) + amount
    return {user: total for user, total in sums.items() if total >= 0}


def sizes_of(orders: list[tuple[str, float, int]]) -> dict[int, int]:
    return dict(Counter(int(amount) for _, amount, _ in orders))


@pytest.fixture(scope="module")
def shop(bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Java's producer sends; streamflow, Kafka Streams and streamflow again work on it, each until it is done."""
    if why := missing() or ("" if shutil.which("javac") else "javac is missing: apt install openjdk-17-jdk-headless"):
        pytest.skip(f"THE TESTS WITH JAVA ARE SKIPPED. {why}")
    choice, folder, broker = seeded(), tmp_path_factory.mktemp("java"), f"kafka://{bootstrap}"
    began = int(time.time() * 1000) // MINUTE * MINUTE - 10 * MINUTE
    orders = [
        (f"user-{choice.randrange(USERS)}", float(choice.randrange(-9, 10)), began + choice.randrange(8 * MINUTE))
        for _ in range(ORDERS)
    ]
    sent = {
        kind: [
            (sample(choice, kind), None if n % 5 == 0 else sample(choice, kind), began + n,
             [[f"h{i}", f"ü{i}"] for i in range(choice.randrange(3))])
            for n in range(60)
        ]
        for kind in SCALARS
    }  # fmt: skip

    async def make_topics(log: Log) -> None:
        names = ["orders", "orders-by-java"]
        names += [
            f"{name}-by-{who}" for name in ("minutes", "visits", "sums", "sizes") for who in ("streamflow", "java")
        ]
        names += ["minutes-joined", "sums-joined", "visits-again", "minutes-met", "visits-met", "sums-met", "sizes-met"]
        spread = [f"{kind}-by-{who}" for kind in SCALARS for who in ("streamflow", "java")]
        await log.create_topics([NewTopic(name, PARTITIONS) for name in names])
        await log.create_topics([NewTopic(name, SPREAD) for name in spread])
        await log.create_topics([NewTopic(name, 1) for name in SCALARS])

    with_log(broker, make_topics)
    java = Java(folder, bootstrap)
    try:
        placed = [[user, amount, at, [["n", str(n)]]] for n, (user, amount, at) in enumerate(orders)]
        java("produce", topic="orders", key="str", value="float64", records=placed)
        for kind, rows in sent.items():
            told = [[to_json(key), to_json(value), at, headers] for key, value, at, headers in rows]
            for topic in (kind, f"{kind}-by-java"):
                java("produce", topic=topic, key=kind, value=kind, records=told)
        run(folder, "ours", SCRIPT, broker)
        java("start")
        waited_for: list[tuple[str, str, str, dict[Any, Any]]] = [
            ("minutes-joined", "windowed", "str", both(minutes_of(orders))),
            ("sums-joined", "str", "str", both(sums_of(orders))),
            ("visits-again", "session", "int64", visits_of(orders)),
            ("visits-by-java", "session", "int64", visits_of(orders)),
            ("sizes-by-java", "int64", "int64", sizes_of(orders)),
        ]
        until = time.monotonic() + DEADLINE
        while waited_for:
            topic, key, value, wanted = waited_for[0]
            if (found := table(java.read(topic, key, value))) == wanted:
                waited_for.pop(0)
                continue
            assert time.monotonic() < until, f"{topic} of Kafka Streams: {found}, and should be {wanted}"
            time.sleep(0.2)
        assert java("stop"), "Kafka Streams did not end"
        run(folder, "back", BACK, broker)
        yield Shop(broker, java, orders, sent)
    finally:
        java.close()


DEFINED: dict[str, Callable[[list[tuple[str, float, int]]], dict[Any, Any]]]
DEFINED = {"minutes": minutes_of, "visits": visits_of, "sums": sums_of, "sizes": sizes_of}


def both(rows: dict[Any, Any]) -> dict[Any, str]:
    return {key: f"{value} and {value}" for key, value in rows.items()}


@pytest.mark.parametrize("kind", SCALARS)
def test_the_same_key_lies_in_the_same_partition_with_the_same_bytes_time_and_headers(shop: Shop, kind: str) -> None:
    by_java, by_streamflow = f"{kind}-by-java", f"{kind}-by-streamflow"
    theirs: list[Row] = shop.java.read(by_java, kind, kind)
    assert len({partition for partition, *_ in theirs}) > 1
    assert any(value is None for _, _, value, _, _ in theirs), "no tombstone was sent"
    sent = sorted(repr(row) for row in shop.sent[kind])
    assert sorted(repr(tuple(row[1:])) for row in theirs) == sent
    # Each reads both, in the order in which they were sent; repr tells 0.0 and -0.0 apart.
    for topic, read in ((by_streamflow, shop.java.read), (by_java, shop.ours), (by_streamflow, shop.ours)):
        assert repr(read(topic, kind, kind)) == repr(theirs)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("minutes", "windowed", "int64"),
        ("visits", "session", "int64"),
        ("sums", "str", "float64"),
        ("sizes", "int64", "int64"),
    ],
)
def test_both_count_alike_and_read_each_others_tables_from_the_same_partitions(
    shop: Shop, name: str, key: str, value: str
) -> None:
    wanted = DEFINED[name](shop.orders)
    assert wanted
    places: list[dict[Any, set[int]]] = []
    for topic in (f"{name}-by-streamflow", f"{name}-by-java"):
        by_java, by_streamflow = shop.java.read(topic, key, value), shop.ours(topic, key, value)
        assert by_java == by_streamflow
        assert table(by_java) == wanted
        places.append({its: {row[0] for row in by_java if row[1] == its} for its in wanted})
        if name in ("visits", "sums"):
            assert any(row[2] is None for row in by_java), "no tombstone was written"
    assert places[0] == places[1]
    assert all(len(partitions) == 1 for partitions in places[0].values())


def test_updates_carry_the_same_times(shop: Shop) -> None:
    def times(topic: str) -> dict[Any, int]:
        rows = shop.java.read(topic, "windowed", "int64")
        return {(key, value): at for _, key, value, at, _ in rows}

    assert times("minutes-by-streamflow") == times("minutes-by-java")


def test_kafka_streams_joins_a_windowed_count_of_streamflows_with_its_own(shop: Shop) -> None:
    assert table(shop.java.read("minutes-joined", "windowed", "str")) == both(minutes_of(shop.orders))


def test_kafka_streams_joins_sums_of_streamflows_with_its_own(shop: Shop) -> None:
    assert table(shop.java.read("sums-joined", "str", "str")) == both(sums_of(shop.orders))


def test_kafka_streams_places_sessions_of_streamflows_where_they_were(shop: Shop) -> None:
    assert shop.java.read("visits-again", "session", "int64") == shop.java.read(
        "visits-by-streamflow", "session", "int64"
    )


@pytest.mark.parametrize(("name", "key"), [("minutes", "windowed"), ("visits", "session"), ("sums", "str")])
def test_streamflow_joins_tables_of_kafka_streams_with_its_own(shop: Shop, name: str, key: str) -> None:
    assert table(shop.ours(f"{name}-met", key, "str")) == both(DEFINED[name](shop.orders))


def test_streamflow_reads_repartition_and_changelog_topics_of_kafka_streams(shop: Shop) -> None:
    assert table(shop.ours("sizes-met", "int64", "str")) == both(sizes_of(shop.orders))


def test_headers_pass_through_kafka_streams_as_streamflow_reads_them(shop: Shop) -> None:
    there = shop.ours("orders-by-java", "str", "float64")
    assert there == shop.java.read("orders", "str", "float64")
    assert {headers[0][1] for *_, headers in there} == {str(n) for n in range(ORDERS)}


def test_java_reads_a_repartition_topic_of_streamflows(shop: Shop) -> None:
    rows = shop.java.read("ours-size-repartition", "int64", "bytes")
    assert Counter(key for _, key, _, _, _ in rows) == sizes_of(shop.orders)
