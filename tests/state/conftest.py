"""What the tests of stores share: serdes of three kinds, and stores over each base."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from streamflow.errors import StoreStalled
from streamflow.serdes import Serde
from streamflow.state.budget import Budget
from streamflow.state.contract import Base
from streamflow.state.memory import MemoryBase
from streamflow.state.meta import Meta, decode
from streamflow.state.open import Expectation, open_base
from streamflow.state.spec import StoreSpec
from streamflow.state.store import Store


class Serdes(NamedTuple):
    raw: Serde[Any]
    text: Serde[Any]
    int64: Serde[Any]
    json: Serde[Any]


class Logged(NamedTuple):
    """A record as it comes out of a changelog."""

    key: bytes | None
    value: bytes | None
    timestamp: int


def _optional(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else f(value)


@pytest.fixture
def serdes() -> Serdes:
    int64 = struct.Struct(">q")
    return Serdes(
        raw=Serde(lambda v: v, lambda b: b, "bytes", immutable=True),
        text=Serde(_optional(str.encode), _optional(bytes.decode), "str", immutable=True),
        int64=Serde(_optional(int64.pack), _optional(lambda b: int64.unpack(b)[0]), "int64", immutable=True),
        json=Serde(_optional(lambda v: json.dumps(v).encode()), _optional(json.loads), "json", immutable=False),
    )


@pytest.fixture
def expect() -> Callable[..., Expectation]:
    def make(**changes: Any) -> Expectation:
        said: dict[str, Any] = {
            "app_id": "shop",
            "store": "counts",
            "changelog": "shop-counts-changelog",
            "partition": 0,
            "now_ms": 1_000,
        }
        return Expectation(**{**said, **changes})

    return make


@pytest.fixture
def meta() -> Callable[..., Meta]:
    def make(position: int, **changes: Any) -> Meta:
        said: dict[str, Any] = {
            "app_id": "shop",
            "store": "counts",
            "changelog": "shop-counts-changelog",
            "partition": 0,
            "position": position,
            "commit_seq": position,
            "written_at": 1_000,
            "inputs": {"orders": {0: position}},
        }
        return Meta(**{**said, **changes})

    return make


class Recording(MemoryBase):
    """Remembers every batch, and refuses the ones it is told to."""

    def __init__(self, refuse: Sequence[int] = ()) -> None:
        super().__init__()
        self.batches: list[tuple[int, Meta, list[Any]]] = []
        self.refuse = set(refuse)
        self.calls = 0

    def write(
        self,
        items: Iterable[tuple[bytes, bytes | None]],
        meta: bytes,
        expired: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        self.calls += 1
        if self.calls in self.refuse:
            raise StoreStalled("the disk is full")
        items = list(items)
        super().write(items, meta, expired)
        self.batches.append((len(items), decode(meta), list(expired)))


@pytest.fixture
def recording() -> type[Recording]:
    return Recording


@pytest.fixture
def logged() -> type[Logged]:
    return Logged


@pytest.fixture(params=["memory", "rocksdb"])
def base(request: pytest.FixtureRequest, tmp_path: Path, expect: Callable[..., Expectation]) -> Iterator[Base]:
    found, reason = open_base(request.param, tmp_path / "counts", expect(), Budget(8 * 1024 * 1024))
    assert reason is None
    yield found
    found.close()


@pytest.fixture
def key_value(base: Base, serdes: Serdes) -> Callable[..., Store]:
    """A key-value store over each base; ``base=`` for another one, the rest are the fields of its spec."""

    def make(*, undo: list[Any] | None = None, over: Base | None = None, **spec: Any) -> Store:
        said: dict[str, Any] = {"key": serdes.text, "value": serdes.text, **spec}
        return Store(StoreSpec("counts", "key_value", **said), over or base, undo=undo)

    return make


@pytest.fixture
def window(base: Base, serdes: Serdes) -> Callable[..., Store]:
    """A window store over each base, windows of 10 ms kept for 30 unless the fields of its spec say otherwise."""

    def make(*, undo: list[Any] | None = None, over: Base | None = None, **spec: Any) -> Store:
        said: dict[str, Any] = {"key": serdes.text, "value": serdes.text, "window_ms": 10, "retention_ms": 30, **spec}
        return Store(StoreSpec("counts", "window", **said), over or base, undo=undo)

    return make


@pytest.fixture
def versioned(base: Base, serdes: Serdes) -> Callable[..., Store]:
    """A versioned store over each base, with a history of 30 ms unless the fields of its spec say otherwise."""

    def make(*, undo: list[Any] | None = None, over: Base | None = None, **spec: Any) -> Store:
        said: dict[str, Any] = {"key": serdes.text, "value": serdes.text, "retention_ms": 30, **spec}
        return Store(StoreSpec("counts", "versioned", **said), over or base, undo=undo)

    return make


@pytest.fixture
def session(base: Base, serdes: Serdes) -> Callable[..., Store]:
    """A session store over each base, sessions kept for 30 ms unless the fields of its spec say otherwise."""

    def make(*, undo: list[Any] | None = None, over: Base | None = None, **spec: Any) -> Store:
        said: dict[str, Any] = {"key": serdes.text, "value": serdes.text, "retention_ms": 30, **spec}
        return Store(StoreSpec("visits", "session", **said), over or base, undo=undo)

    return make
