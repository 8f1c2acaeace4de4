"""Pages of a store, over all partitions and both workers, are one sorted listing."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.query import Span
from streamflow.state.memory import MemoryBase
from streamflow.state.meta import Meta
from streamflow.state.spec import StoreSpec
from streamflow.state.store import Store
from tests.http.world import World, framed, raw

SEED = 7
WORDS = sorted({f"{n % 37:02}/{n * 7919 % 3001}".encode() for n in range(3_000)})


@pytest.fixture(scope="module")
def filled(world: World) -> World:
    """Words in RocksDB and in the layer above it, numbers in memory."""
    rng = random.Random(SEED)
    shuffled = rng.sample(WORDS, len(WORDS))
    world.run(world.keep("words", [(key, b"old", 1) for key in shuffled]))
    for member in world.members:
        for _, task, _ in member.worker.roster.running():
            for store in task.stores.values():
                store.flush(0)
    world.run(world.keep("words", [(key, b"new", 2) for key in shuffled[::2]]))
    world.run(world.keep("numbers", [((n - 50).to_bytes(8, "big", signed=True), b"", 1) for n in range(100)]))
    return world


def pages(world: World, target: str) -> list[dict[str, Any]]:
    """All entries, asking the two workers in turn."""
    entries: list[dict[str, Any]] = []
    cursor: str | None = ""
    turn = 0
    while cursor is not None:
        more = f"&cursor={cursor}" if cursor else ""
        status, answer = world.run(world.get(target + more, turn % 2))
        assert status == 200, answer
        entries.extend(answer["entries"])
        cursor, turn = answer["cursor"], turn + 1
    return entries


@pytest.mark.parametrize("limit", [100, 997, 3_000, 10_000])
def test_pages_put_together_are_the_sorted_rows(filled: World, limit: int) -> None:
    entries = pages(filled, f"/stores/words/keys?limit={limit}")
    assert [entry["key"].encode() for entry in entries] == WORDS
    newest = {entry["key"]: (entry["value"], entry["timestamp"]) for entry in entries}
    assert {value[-3:] for value, _ in newest.values()} == {"old", "new"}
    assert all(time == (2 if value.endswith("new") else 1) for value, time in newest.values())


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("prefix=05/", [word for word in WORDS if word.startswith(b"05/")]),
        ("from=05/&to=06/2", [word for word in WORDS if b"05/" <= word <= b"06/2"]),
        ("from=05/1&to=30&prefix=05/2", [word for word in WORDS if word.startswith(b"05/2")]),
        (f"from={WORDS[10].decode()}&to={WORDS[10].decode()}", [WORDS[10]]),
        ("prefix=zz", []),
        ("from=36/&prefix=0", []),
    ],
)
def test_bounds_are_both_included_and_a_prefix_is_of_the_key(filled: World, query: str, expected: list[bytes]) -> None:
    entries = pages(filled, f"/stores/words/keys?limit=50&{query}")
    assert [entry["key"].encode() for entry in entries] == expected


def test_numbers_come_in_the_order_of_their_bytes(filled: World) -> None:
    entries = pages(filled, "/stores/numbers/keys?limit=7")
    assert [entry["key"] for entry in entries] == [*range(50), *range(-50, 0)]
    entries = pages(filled, "/stores/numbers/keys?limit=7&from=3&to=5")
    assert [entry["key"] for entry in entries] == [3, 4, 5]


def test_bounds_the_wrong_way_round_are_refused_not_answered_with_nothing(filled: World) -> None:
    status, answer = filled.run(filled.get("/stores/numbers/keys?from=-5&to=5"))
    assert status == 400
    assert "negative numbers come after" in answer["error"]


def test_rows_of_one_key_in_two_partitions_are_both_told_whatever_the_page(world: World) -> None:
    rows = [(b"k%d" % n, b"%d" % p, 1) for n in range(5) for p in range(4)]
    world.run(world.keep("spread", rows))
    for limit in (1, 2, 3, 20):
        entries = pages(world, f"/stores/spread/keys?limit={limit}&prefix=k")
        assert [entry["value"] for entry in entries] == [framed(key, value).decode() for key, value, _ in rows]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    keys=st.sets(st.tuples(st.binary(max_size=3), st.integers(0, 3))),
    low=st.binary(max_size=2),
    high=st.none() | st.binary(max_size=2),
    prefix=st.binary(max_size=2),
)
def test_the_bounds_of_a_span_leave_out_nothing_that_it_means(
    keys: set[tuple[bytes, int]], low: bytes, high: bytes | None, prefix: bytes
) -> None:
    def means(key: bytes) -> bool:
        return low <= key and (high is None or key <= high) and key.startswith(prefix)

    told: list[tuple[bytes, int]] = []
    behind: tuple[bytes, int] | None = None
    while True:
        rest = []
        for key, partition in sorted(keys):
            least, most = Span(low, high, prefix, 1, behind).bounds(partition)
            if least <= key and (most is None or key < most):
                rest.append((key, partition))
        if not rest:
            break
        told.append(rest[0])
        behind = rest[0]
    assert told == [(key, partition) for key, partition in sorted(keys) if means(key)]


_key = st.binary(max_size=2)
_change = st.tuples(_key, st.none() | st.binary(max_size=2))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    commits=st.lists(st.lists(_change, max_size=8), max_size=4),
    flushed=st.integers(0, 4),
    low=_key,
    high=st.none() | _key,
    rows=st.integers(1, 4),
)
def test_pages_of_a_store_are_its_committed_rows_whatever_layer_they_lie_in(
    commits: list[list[tuple[bytes, bytes | None]]], flushed: int, low: bytes, high: bytes | None, rows: int
) -> None:
    store = Store(StoreSpec("s", "key_value", raw, raw), MemoryBase())
    handle = store.handle(key_raw=True, value_raw=True)
    expected: dict[bytes, bytes | None] = {}
    for number, changes in enumerate(commits):
        for key, value in changes:
            handle.put_pair(key, value, number)
            expected[key] = value
        store.commit(Meta(app_id="x", store="s", changelog="c", partition=0, position=number + 1))
        if number < flushed:
            store.flush(0)
    handle.put_pair(low, b"uncommitted", 9)
    view = store.view(key_raw=True, value_raw=True)
    found: list[tuple[bytes, bytes]] = []
    following: bytes | None = low
    while following is not None and (high is None or following < high):
        page, following = view.page(following, high, rows)
        assert len(page) <= rows
        found.extend((key, value) for key, (value, _) in page)
    inside = {key: value for key, value in expected.items() if low <= key and (high is None or key < high)}
    assert found == sorted((key, value) for key, value in inside.items() if value is not None)
