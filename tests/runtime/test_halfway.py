"""A write-down that a crash cuts off in the middle, and a store without a changelog."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import pytest

from streamflow.clock import SystemClock
from streamflow.errors import StoreStalled
from streamflow.log.contract import Committed
from streamflow.plan import SubTopology
from streamflow.runtime.commit import Ledger, Round, prepare, settle
from streamflow.runtime.task import Rules, Task
from streamflow.serdes import serde_of
from streamflow.state import store as store_module
from streamflow.state.memory import MemoryBase
from streamflow.state.meta import Meta, decode
from streamflow.state.spec import StoreSpec
from streamflow.state.store import Store

TEXT = serde_of(str)


class Logged(NamedTuple):
    key: bytes
    value: bytes
    timestamp: int


class Stops(MemoryBase):
    """Takes a number of writes and no more."""

    left = 1 << 30

    def write(self, *args: Any, **options: Any) -> None:
        if not self.left:
            raise StoreStalled("the disk is full")
        self.left -= 1
        super().write(*args, **options)


def told(base: MemoryBase) -> Meta:
    record = base.meta()
    assert record is not None
    return decode(record)


def test_a_base_that_a_crash_left_half_written_says_so_until_a_restore_has_passed_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(store_module, "BATCH_ROWS", 2)
    base = Stops()
    spec = StoreSpec("names", "key_value", TEXT, TEXT)
    store = Store(spec, base)
    names = store.handle(key_raw=False, value_raw=False)
    for n in range(8):
        names.put(f"k{n}", "new", 1)
    store.commit(Meta(app_id="a", changelog="c", partition=0, position=9, commit_seq=5, commit_id=b"five"))
    base.left = 1
    with pytest.raises(StoreStalled):
        store.flush(1)

    half = told(base)
    # Rows of the fifth commit may be there: whether the log still knows it is what decides.
    assert (half.position, half.flushing_to, half.commit_seq, half.commit_id) == (0, 9, 5, b"five")

    base.left = 1 << 30
    again = Store(spec, base)
    for upto in range(2, 10, 2):
        again.restore([Logged(b"k%d" % n, struct.pack(">q", 1), 1) for n in range(upto - 2, upto)], upto)
        at = told(base)
        assert at.flushing_to == 9 and at.position <= upto
    again.restore([], 9)
    again.flush(1)
    assert (told(base).position, told(base).flushing_to) == (9, None)


def test_a_store_without_changelog_moves_on_with_its_tasks_commits() -> None:
    spec = StoreSpec("scratch", "key_value", TEXT, TEXT, logged=False)
    sub = SubTopology(0, "s", (), {}, (spec,), {}, {}, 1, "")
    store = Store(spec, MemoryBase())
    task = Task(sub, 0, {}, {"scratch": store}, Rules(), SystemClock(), {})
    ledger = Ledger(session=None, meta=None, keeper=None, incarnations={}, committed={})  # type: ignore[arg-type]
    store.handle(key_raw=False, value_raw=False).put("a", "1", 1)
    prepared = prepare(task, ledger, SystemClock())
    assert isinstance(prepared, Round)
    settle(prepared, Committed({}))
    assert store.handle(key_raw=False, value_raw=False).get("a") == "1"  # type: ignore[union-attr]
    assert not store.dirty
    assert prepare(task, ledger, SystemClock()) is None


def test_a_task_that_was_dropped_has_nothing_to_commit() -> None:
    sub = SubTopology(0, "s", (), {}, (), {}, {}, 1, "")
    task = Task(sub, 0, {"out": 1}, {}, Rules(), SystemClock(), {})
    ledger = Ledger(session=None, meta=None, keeper=None, incarnations={}, committed={})  # type: ignore[arg-type]
    task.outlet("out").lists[0].append((b"k", b"v", 1, []))
    assert prepare(task, ledger, SystemClock()) is not None
    task.forget()
    task.outlet("out").lists[0].append((b"k", b"v", 1, []))
    assert prepare(task, ledger, SystemClock()) is None
