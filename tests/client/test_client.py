"""The client of the workers, in both forms, against real workers that come and go."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from streamflow.client import AsyncClient, Client, ClientError, NoAnswer
from tests.cli.shell import Running, Shell, until
from tests.log.support import seeded

APP = """
from dataclasses import dataclass
from streamflow import App, session, tumbling

@dataclass
class Order:
    n: int
    item: str

app = App("shop", commit_interval="50ms", topic_partitions=4)
orders = app.stream("orders", key=str, value=Order)
orders.to_table(name="newest")
grouped = orders.group_by_key()
grouped.windowed_by(tumbling("1m", grace="1d")).count(name="per-minute")
grouped.windowed_by(session("30s", grace="1d")).count(name="visits")
app.table("blobs", key=bytes, value=bytes, name="blobs")
app.table("numbers", key=int, value=float, name="numbers")
app.table("prices", key=str, value=int, history="1h", name="prices")
"""


@dataclass
class Order:
    n: int
    item: str


@dataclass
class Shop:
    running: Running
    urls: list[str]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    shell = Shell(tmp_path_factory.mktemp("shop"))
    shell.write("app.py", APP)
    with shell.started("run", "app.py", "--workers", "2", "--http", "127.0.0.1:0") as running:
        said = running.says("http://", times=2)
        yield Shop(running, sorted({f"http://{piece.split()[0]}" for piece in said.split("http://")[1:]}))


def test_what_was_written_is_read_as_objects_of_ones_own(shop: Shop) -> None:
    client = Client(shop.urls)
    newest = client.store("newest", key=str, value=Order)
    for n in range(20):
        place = client.write("orders", "ann", Order(n, "tea"), timestamp=1_000 + n)
        assert newest.get("ann", wait="10s", after=place) == Order(n, "tea")
    entry = newest.entry("ann")
    assert entry is not None and (entry.key, entry.timestamp) == ("ann", 1_019)
    assert newest.get("nobody") is None
    assert client.store("newest", key=str).get("ann") == {"n": 19, "item": "tea"}


def test_all_rows_and_ranges_come_in_the_order_of_their_keys_over_all_workers(shop: Shop) -> None:
    client = Client(shop.urls[1])
    places = [client.write("numbers", n, n / 4) for n in range(50)]
    numbers = client.store("numbers", key=int, value=float)
    assert [numbers.get(n, wait="10s", after=place) for n, place in enumerate(places)] == [n / 4 for n in range(50)]
    assert [(e.key, e.value) for e in numbers.entries(page=7)] == [(n, n / 4) for n in range(50)]
    assert [e.key for e in numbers.entries(first=10, last=12)] == [10, 11, 12]


def test_bytes_are_bytes_whatever_they_are(shop: Shop) -> None:
    client, key, value = Client(shop.urls), b"a/\x00\xff", b"\xfe\x00plain"
    blobs = client.store("blobs", key=bytes, value=bytes)
    assert blobs.get(key, wait="10s", after=client.write("blobs", key, value)) == value
    text = client.write("blobs", b"text", b"only letters")
    assert blobs.get(b"text", wait="10s", after=text) == b"only letters"
    assert sorted((e.key, e.value) for e in blobs.entries()) == [(key, value), (b"text", b"only letters")]
    assert [e.key for e in blobs.entries(prefix=b"a/")] == [key]


def test_windows_sessions_and_history(shop: Shop) -> None:
    client = Client(shop.urls)
    for at in (60_000, 61_000, 130_000):
        place = client.write("orders", "bob", Order(at, "salt"), timestamp=at)
    client.store("newest", key=str).get("bob", wait="10s", after=place)
    minutes = client.store("per-minute", key=str, value=int).windows("bob")
    assert [(w.start, w.end, w.value) for w in minutes] == [(60_000, 120_000, 2), (120_000, 180_000, 1)]
    assert [w.start for w in client.store("per-minute", key=str).windows("bob", first=100_000)] == [120_000]
    visits = client.store("visits", key=str, value=int).sessions("bob")
    assert [(w.start, w.end, w.value) for w in visits] == [(60_000, 61_000, 2), (130_000, 130_000, 1)]
    for at, price in ((1_000, 5), (2_000, 7)):
        place = client.write("prices", "tea", price, timestamp=at)
    prices = client.store("prices", key=str, value=int)
    assert prices.get("tea", wait="10s", after=place) == 7
    assert prices.get("tea", as_of=1_500) == 5


def test_an_event_with_an_id_is_written_once(shop: Shop) -> None:
    client = Client(shop.urls)
    first = client.write("blobs", b"once", b"1", id="order-77")
    assert client.write("blobs", b"once", b"1", id="order-77") == first


def test_the_same_with_coroutines(shop: Shop) -> None:
    async def work() -> None:
        async with AsyncClient(shop.urls) as client:
            newest = client.store("newest", key=str, value=Order)

            async def one(n: int) -> None:
                place = await client.write("orders", f"c{n}", Order(n, "tea"), timestamp=5)
                assert await newest.get(f"c{n}", wait="10s", after=place) == Order(n, "tea")

            await asyncio.gather(*map(one, range(40)))
            found = [entry.key async for entry in newest.entries(prefix="c", page=9)]
            assert found == sorted(f"c{n}" for n in range(40))
            assert [w.value for w in await client.store("visits", key=str, value=int).sessions("c7")] == [1]

    asyncio.run(work())


def test_mistakes_are_told_in_the_workers_words(shop: Shop) -> None:
    client = Client(shop.urls, timeout=1.0)
    with pytest.raises(ClientError, match="no store is called 'newst'; known are"):
        client.store("newst", key=str).get("a")
    with pytest.raises(ClientError, match="per-minute/windows"):
        client.store("per-minute", key=str).get("a")
    with pytest.raises(ClientError, match="Order"):
        client.write("orders", "a", {"n": "no number"})
    with pytest.raises(NoAnswer, match="not committed yet"):
        client.store("newest", key=str).get("a", after=10**9)


def test_nobody_there_is_no_answer_after_the_time_out() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(NoAnswer, match="refused"):
            Client(f"http://127.0.0.1:{taken.getsockname()[1]}", timeout=0.3).store("any", key=str).get("a")


def test_answers_stay_right_while_a_worker_is_killed(shop: Shop) -> None:
    """The last of this module: one of the workers dies and comes back at another time."""
    choice = seeded()
    client = Client(shop.urls, timeout=30.0)
    newest = client.store("newest", key=str, value=Order)
    children = shop.running.children()
    for n in range(60):
        if n == 20:
            os.kill(choice.choice(children), signal.SIGKILL)
        key = f"k{choice.randrange(6)}"
        place = client.write("orders", key, Order(n, "late"), timestamp=10)
        assert newest.get(key, wait="20s", after=place) == Order(n, "late")
    until(lambda: shop.running.children() != children, lambda: shop.running.err)
