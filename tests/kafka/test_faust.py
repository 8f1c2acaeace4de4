"""What a real Faust worker wrote to a real broker becomes tables of streamflow's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from click.testing import CliRunner, Result

from streamflow import serdes
from streamflow.cli import cli
from streamflow.cli.options import with_log
from streamflow.log.batch import encode
from streamflow.log.contract import Log
from streamflow.log.partitioner import partition_of
from streamflow.record import TopicPartition
from streamflow.serdes import Serde
from streamflow.topic import NewTopic
from tests.log.support import read, seeded

WORKER = Path(__file__).with_name("faust_worker.py")
ORDERS, KEYS, USERS, PARTITIONS = 300, 40, 5, 3
DEADLINE = 60.0  # seconds


class Shop(NamedTuple):
    broker: str
    orders: list[tuple[str, str, int]]
    """Key, user, amount."""


@pytest.fixture(scope="module")
def shop(bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Orders that a Faust worker has counted; it has ended."""
    choice, folder, broker = seeded(), tmp_path_factory.mktemp("faust"), f"kafka://{bootstrap}"
    changelogs = [f"shop-{name}-changelog" for name in ("counts", "by-user", "last", "raw", "minutes")]
    orders = [(f"k{choice.randrange(KEYS)}", f"u{choice.randrange(USERS)}", choice.randrange(4)) for _ in range(ORDERS)]

    async def place(log: Log) -> None:
        # Faust makes its changelogs itself, but now and then counts before it has seen them, and its agent ends
        await log.create_topics([NewTopic(topic, PARTITIONS) for topic in ("shop-orders", *changelogs)])
        now = int(time.time() * 1000)
        for key, user, amount in orders:
            value = msgspec.json.encode({"user": user, "amount": amount})
            to = TopicPartition("shop-orders", partition_of(key.encode(), PARTITIONS))
            await log.append({to: encode([(key.encode(), value, now, [])])})

    async def written(log: Log) -> int:
        sums = []
        for topic in changelogs:
            ends = await log.offsets([TopicPartition(topic, p) for p in range(PARTITIONS)])
            sums.append(sum(each.end for each in ends.values()))
        return min(sums)

    with_log(broker, place)
    environment = {**os.environ, "BROKER": bootstrap, "FOLDER": str(folder)}
    with (folder / "said").open("wb") as said:
        worker = subprocess.Popen(
            [sys.executable, str(WORKER), "worker", "--without-web"],
            env=environment,
            stdout=said,
            stderr=said,
            cwd=folder,
        )
        try:
            until = time.monotonic() + DEADLINE
            while with_log(broker, written) < ORDERS:
                assert worker.poll() is None and time.monotonic() < until, (folder / "said").read_text()[-3000:]
                time.sleep(0.2)
        finally:
            worker.send_signal(signal.SIGTERM)
            try:
                worker.wait(20)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
    yield Shop(broker, orders)


def imported(shop: Shop, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["import-faust", "shop", *arguments, "--broker", shop.broker], standalone_mode=True)


def said(result: Result) -> str:
    """What a person would read."""
    return f"{result.output}{result.exception or ''}"


def table(shop: Shop, topic: str, key: Serde[Any], value: Serde[Any]) -> dict[Any, Any]:
    """The rows of a topic, each of which must lie where its key belongs."""

    async def work(log: Log) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for partition in range((await log.topics())[topic].partitions):
            for _, its, data, _ in await read(log, TopicPartition(topic, partition)):
                assert its is not None
                assert partition_of(its if key.placed_by is None else its[key.placed_by], PARTITIONS) == partition
                assert its not in found, "a row was written twice"
                found[its] = value.deserialize(data)
        return {key.deserialize(its): row for its, row in found.items()}

    return dict(with_log(shop.broker, work))


def last_of(shop: Shop, topic: str) -> int:
    """The number that was written last."""

    async def work(log: Log) -> int:
        found = [row for p in range(4) if (await log.topics())[topic].partitions > p
                 for row in await read(log, TopicPartition(topic, p))]  # fmt: skip
        return int.from_bytes(found[-1][2] or b"", "big")

    return int(with_log(shop.broker, work))


def test_counts_come_over_with_their_keys_as_streamflow_writes_them(shop: Shop) -> None:
    result = imported(shop, "counts", "--value", "int")
    assert result.exit_code == 0, result.output
    wanted = Counter(key for key, _, _ in shop.orders)
    assert f"{len(wanted)} rows written to 'shop-counts' (3 partitions), read back and found equal" in result.output
    assert table(shop, "shop-counts", serdes.string, serdes.int64) == wanted


def test_a_script_reads_what_came_over_as_a_table(shop: Shop, tmp_path: Path) -> None:
    assert imported(shop, "counts", "--value", "int", "--to", "kept-counts").exit_code == 0
    script = tmp_path / "app.py"
    script.write_text(
        "from streamflow import App\n\n"
        "app = App('after')\n"
        "counts = app.table('kept-counts', key=str, value=int, name='counts')\n"
        "counts.group_by(lambda key, n: ('all', n), key=str, value=int)"
        ".reduce(lambda a, b: a + b, lambda a, b: a - b, name='sum').to_stream().to('sums')\n"
    )
    run = [
        sys.executable,
        "-m",
        "streamflow",
        "run",
        "app.py",
        "--until-idle",
        "--create-topics",
        "--broker",
        shop.broker,
    ]
    ended = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE)
    assert ended.returncode == 0, ended.stderr
    assert last_of(shop, "sums") == ORDERS


def test_records_come_over_without_the_names_of_their_classes_and_deleted_rows_do_not(shop: Shop) -> None:
    result = imported(shop, "last")
    assert result.exit_code == 0, result.output
    wanted: dict[str, Any] = {}
    seen: Counter[str] = Counter()
    for key, user, amount in shop.orders:
        seen[key] += 1
        wanted[key] = {"order": {"user": user, "amount": amount}, "seen": seen[key]}
        if amount == 0:
            del wanted[key]
    deleted = sum(amount == 0 for _, _, amount in shop.orders)
    assert f"{deleted} of them deletions" in result.output
    assert table(shop, "shop-last", serdes.string, serdes.json(dict)) == wanted


def test_bytes_come_over_as_they_are(shop: Shop) -> None:
    result = imported(shop, "raw", "--key", "bytes", "--value", "bytes")
    assert result.exit_code == 0, result.output
    wanted = {key.encode(): str(amount).encode() for key, _, amount in shop.orders}
    assert table(shop, "shop-raw", serdes.raw, serdes.raw) == wanted


def test_windows_come_over_with_keys_of_windows(shop: Shop) -> None:
    result = imported(shop, "minutes", "--key", "windowed:str:60s", "--value", "int")
    assert result.exit_code == 0, result.output
    found = table(shop, "shop-minutes", serdes.windowed(str, "60s"), serdes.int64)
    counted: Counter[str] = Counter()
    for window, count in found.items():
        assert window.start % 60_000 == 0
        counted[window.key] += count
    assert counted == Counter(key for key, _, _ in shop.orders)

    wrong = imported(shop, "minutes", "--key", "windowed:str:5m", "--value", "int", "--to", "other")
    assert wrong.exit_code == 1
    assert "its window lasts 60 s, and 'windowed:str:5m' says otherwise" in said(wrong)


def test_rows_of_one_key_in_several_partitions_are_refused_until_it_is_said_what_they_are(shop: Shop) -> None:
    refused = imported(shop, "by-user", "--value", "int")
    assert refused.exit_code == 1
    assert f"{USERS} keys of 'shop-by-user-changelog' have rows in several partitions" in said(refused)
    assert "--several sum" in said(refused)
    result = imported(shop, "by-user", "--value", "int", "--several", "sum")
    assert result.exit_code == 0, result.output
    wanted: Counter[str] = Counter()
    for _, user, amount in shop.orders:
        wanted[user] += amount
    assert table(shop, "shop-by-user", serdes.string, serdes.int64) == wanted


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["count"], "topic 'shop-count-changelog' does not exist; did you mean 'shop-counts-changelog'?"),
        (["counts", "--key", "int", "--to", "new"], "is it a table with --key int and --value json?"),
        (["raw", "--to", "new"], "is it a table with --key str and --value json?"),
        (["counts", "--to", "shop-orders"], "'shop-orders' is there with 3 partitions, and has or had records in it"),
        (["by-user", "--several", "newest", "--value", "text", "--to", "new"], "'text' is no type"),
    ],
)
def test_what_cannot_be_read_says_why_and_writes_nothing(shop: Shop, arguments: list[str], says: str) -> None:
    result = imported(shop, *arguments)
    assert result.exit_code in (1, 2)
    assert says in said(result)
    assert "new" not in with_log(shop.broker, lambda log: log.topics())
