"""Kafka Streams' own answers to 1,918 operations on stores, for the kinds that are here.

``STREAMFLOW_SHARED`` is the folder that holds ``oracles/``; it lies beside the repository if not said.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streamflow.record import Windowed
from streamflow.state.meta import Meta
from streamflow.state.store import Store

SHARED = Path(os.environ.get("STREAMFLOW_SHARED", Path(__file__).parents[3] / "shared"))
FILE = SHARED / "oracles" / "state_stores.json"
CASES = json.loads(FILE.read_text())["cases"] if FILE.exists() else []


def _cases(kind: str) -> list[Any]:
    found = [pytest.param(case, id=case["id"]) for case in CASES if case["store"] == kind]
    return found or [pytest.param(None, marks=pytest.mark.skip(reason=f"no oracles: {FILE} is not there"))]


PACE = ("never", "commit", "flush")
"""What happens after every third step: nothing, a commit, a commit and a flush."""


def _pause(store: Store, pace: str, step: int, meta: Callable[..., Meta]) -> None:
    if pace != "never" and step % 3 == 0:
        store.commit(meta(step + 1))
        if pace == "flush":
            store.flush(0)


@pytest.mark.parametrize("pace", PACE)
@pytest.mark.parametrize("case", _cases("key_value"))
def test_a_key_value_store_answers_as_kafka_streams_does(
    case: Any, pace: str, key_value: Callable[..., Store], meta: Callable[..., Meta]
) -> None:
    store = key_value()
    handle: Any = store.handle(key_raw=False, value_raw=False)
    words: dict[str, Callable[..., Any]] = {
        "put": handle.put,
        "put_if_absent": handle.put_if_absent,
        "delete": handle.delete,
        "get": handle.get,
        "range": handle.range,
        "reverse_range": lambda low, high: handle.range(low, high, reverse=True),
        "prefix_scan": handle.prefix,
        "all": handle.all,
    }
    for number, ((word, *arguments), *wanted) in enumerate(case["steps"]):
        answer = words[word](*arguments)
        if wanted:
            assert _plain(answer) == wanted[0], (case["id"], number, word, arguments)
        _pause(store, pace, number, meta)


@pytest.mark.parametrize("pace", PACE)
@pytest.mark.parametrize("case", _cases("window"))
def test_a_window_store_answers_as_kafka_streams_does(
    case: Any, pace: str, window: Callable[..., Store], meta: Callable[..., Meta]
) -> None:
    store = window(
        window_ms=case["window_size_ms"], retention_ms=case["retention_ms"], duplicates=case["retain_duplicates"]
    )
    handle: Any = store.handle(key_raw=False, value_raw=False)
    words: dict[str, Callable[..., Any]] = {
        "put": handle.put,
        "fetch_one": handle.fetch,
        "fetch": handle.fetch,
        "backward_fetch": lambda key, first, last: handle.fetch(key, first, last, reverse=True),
        "fetch_range": handle.fetch_range,
        "fetch_all": handle.fetch_all,
    }
    for number, ((word, *arguments), *wanted) in enumerate(case["steps"]):
        answer = words[word](*arguments)
        if wanted:
            assert _plain(answer) == wanted[0], (case["id"], number, word, arguments)
        _pause(store, pace, number, meta)


@pytest.mark.parametrize("pace", PACE)
@pytest.mark.parametrize("case", _cases("session"))
def test_a_session_store_answers_as_kafka_streams_does(
    case: Any, pace: str, session: Callable[..., Store], meta: Callable[..., Meta]
) -> None:
    store = session(retention_ms=case["retention_ms"])
    handle: Any = store.handle(key_raw=False, value_raw=False)
    words: dict[str, Callable[..., Any]] = {
        "put": lambda key, start, end, value: handle.put(Windowed(key, start, end), value) and None,
        "find": handle.find,
        "find_range": handle.find_range,
        "fetch": handle.fetch,
        "fetch_session": handle.fetch_session,
    }
    for number, ((word, *arguments), *wanted) in enumerate(case["steps"]):
        answer = words[word](*arguments)
        if wanted:
            assert _plain(answer) == wanted[0], (case["id"], number, word, arguments)
        if word == "find":
            key, earliest_end, latest_start = arguments
            around = [
                [[key, start, end], value]
                for start, end, value, _ in handle.around(key.encode(), earliest_end, latest_start)
            ]
            assert around == wanted[0], (case["id"], number, word, arguments)
        _pause(store, pace, number, meta)


def _plain(answer: Any) -> Any:
    """An answer as JSON has it: scans as lists, windowed keys as ``[key, start, end]``."""
    if answer is None or isinstance(answer, str):
        return answer
    return [[list(key) if isinstance(key, tuple) else key, value] for key, value in answer]


@pytest.mark.parametrize("pace", PACE)
@pytest.mark.parametrize("case", _cases("versioned_key_value"))
def test_a_versioned_store_answers_as_kafka_streams_does(
    case: Any, pace: str, versioned: Callable[..., Store], meta: Callable[..., Meta]
) -> None:
    store = versioned(retention_ms=case["history_retention_ms"])
    handle: Any = store.handle(key_raw=False, value_raw=False)
    words: dict[str, Callable[..., Any]] = {
        "put": handle.put,
        "delete": handle.delete,
        "get": handle.get,
        "get_as_of": handle.get,
    }
    for number, ((word, *arguments), *wanted) in enumerate(case["steps"]):
        answer = words[word](*arguments)
        if isinstance(answer, tuple):
            # The reference loses the end of what is valid no more on its way through its layers; ours tells it.
            value, timestamp, valid_to = answer
            assert valid_to is None or valid_to > timestamp
            answer = [value, timestamp, None]
        assert answer == wanted[0], (case["id"], number, word, arguments)
        _pause(store, pace, number, meta)
