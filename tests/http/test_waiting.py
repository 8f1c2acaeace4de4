"""Answers that wait: who writes over one worker reads what came of it from another."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import pytest

from tests.cli.shell import Shell
from tests.http.world import World
from tests.log.support import seeded

APP = """
from streamflow import App

app = App("waits", commit_interval="50ms", topic_partitions=3)
app.table("orders", key=str, value=str, name="orders")
notes = app.stream("notes", key=str, value=str)
notes.group_by_key().count(name="counts")
notes.group_by(lambda note: note, key=str).count(name="by-note")
"""

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The addresses of two workers."""
    shell = Shell(tmp_path_factory.mktemp("waits"))
    shell.write("app.py", APP)
    with shell.started("run", "app.py", "--workers", "2", "--http", "127.0.0.1:0") as running:
        said = running.says("http://", times=2)
        found = sorted({f"http://{piece.split()[0]}" for piece in said.split("http://")[1:]})

        async def ready() -> bool:
            async with aiohttp.ClientSession() as session:
                answers = [await session.get(f"{address}/health/ready") for address in found]
                return all(answer.status == 200 for answer in answers)

        until = time.monotonic() + 30
        while not asyncio.run(ready()):
            assert time.monotonic() < until, running.err
            time.sleep(0.1)
        yield found


def asking(work: Callable[[Ask, Ask], Any]) -> Any:
    async def all_of_it() -> Any:
        async with aiohttp.ClientSession() as session:

            async def post(address: str, target: str, value: str) -> dict[str, Any]:
                headers = {"Content-Type": "text/plain"}
                async with session.post(address + target, data=value, headers=headers) as answer:
                    assert answer.status == 201, await answer.text()
                    return dict(await answer.json())

            async def get(address: str, target: str) -> tuple[int, Any]:
                async with session.get(address + target) as answer:
                    return answer.status, await answer.json()

            return await work(post, get)

    return asyncio.run(all_of_it())


def test_a_read_after_the_offset_of_a_write_sees_it_whichever_workers_are_asked(workers: list[str]) -> None:
    choice = seeded()

    async def work(post: Ask, get: Ask) -> None:
        for n in range(150):
            key = f"k{choice.randrange(20)}"
            place = await post(choice.choice(workers), f"/topics/orders?key={key}", f"order {n}")
            status, row = await get(
                choice.choice(workers), f"/stores/orders/keys/{key}?wait=10s&after={place['offset']}"
            )
            assert (status, row["value"]) == (200, f"order {n}")

    asking(work)


def test_a_question_waits_for_a_row_that_is_not_there_yet(workers: list[str]) -> None:
    async def work(post: Ask, get: Ask) -> None:
        for n, address in enumerate(workers):
            waiting = asyncio.create_task(get(address, f"/stores/by-note/keys/note-{n}?wait=20s"))
            await asyncio.sleep(0)
            await post(workers[0], "/topics/notes?key=k", f"note-{n}")
            assert (await waiting)[1]["value"] == 1

    asking(work)


def test_time_is_up_with_404_for_a_row_and_503_for_a_record(workers: list[str]) -> None:
    async def work(post: Ask, get: Ask) -> None:
        assert (await get(workers[0], "/stores/orders/keys/never?wait=100ms"))[0] == 404
        for address in workers:
            status, told = await get(address, "/stores/orders/keys/k1?wait=100ms&after=1000000")
            assert status == 503
            assert "the record at offset 1000000 of 'orders' partition" in told["error"]

    asking(work)


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("/stores/orders/keys/a?wait=5", "wait"),
        ("/stores/orders/keys/a?wait=1h", "25s is the longest"),
        ("/stores/orders/keys/a?topic=orders", "write after=OFFSET, too"),
        ("/stores/orders/keys/a?after=1&topic=notes", "'notes' comes to 'orders' through another topic"),
        ("/stores/by-note/keys/a?after=1", "what comes to it goes through another topic, or leave after away"),
    ],
)
def test_what_cannot_be_waited_for_is_refused_in_words(workers: list[str], target: str, says: str) -> None:
    async def work(post: Ask, get: Ask) -> None:
        status, told = await get(workers[0], target)
        assert status == 400
        assert says in told["error"], told

    asking(work)


def test_a_wait_is_no_promise_where_the_row_moves_away(words: World) -> None:
    """The store of this world is behind a repartition topic: without an offset it can be waited for."""
    status, _ = words.run(words.get("/stores/words/keys/not-there?wait=50ms"))
    assert status == 404
