"""Opening a base: whatever cannot be proven a prefix of this changelog is moved aside, and restored from the log.

A base is believed if it opens, holds a meta record of the same application,
store, changelog, partition, format and incarnation, and stands at a position
that the changelog still has. A base whose last commit is old is not believed
unless nothing was appended since: tombstones may have been compacted away, and
deleted rows would come back. Whether its commit id is in the log is the
runtime's question.

A store that another topic kept is no damage but a changed script: that is refused, and nothing touched.

A full disk, missing permissions or a directory that this process holds already
are never a reason to rebuild: they raise. A directory held by *another* process
(a frozen former owner) is left alone and a fresh one is made beside it, named
``<store>~1``; it takes the place of the first once that one's lock is free. Who opens a store must be the only one who
does (`locks.alone`), or must not touch what lies there.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from streamflow.errors import StateError, StoreCorrupt, StoreLocked, StreamflowError
from streamflow.state.budget import Budget
from streamflow.state.contract import Base
from streamflow.state.locks import held_elsewhere, held_here
from streamflow.state.memory import MemoryBase
from streamflow.state.meta import FORMAT, Meta, decode, encode

TRIES = 3


@dataclass(frozen=True)
class Expectation:
    """Whose base it must be and what the log says. Times are milliseconds.

    ``changelog`` None: the store has none, so it begins empty. ``log_start`` and ``log_end`` are the changelog's
    first and next offset; ``incarnation`` or ``log_end`` None: not known, not checked.
    """

    app_id: str
    store: str
    changelog: str | None
    partition: int
    now_ms: int
    incarnation: str | None = None
    log_start: int = 0
    log_end: int | None = None
    delete_retention_ms: int = 86_400_000


def open_base(
    kind: Literal["rocksdb", "memory"],
    path: str | Path,
    expect: Expectation,
    budget: Budget | None = None,
    *,
    alone: bool = True,
) -> tuple[Base, str | None]:
    """The base in the directory ``path``, and why an earlier one was not believed (None: it was, or there was none).

    Not ``alone``: somebody else may be about to open, move or remove what lies there, so it gets a directory of its own.
    Raises `StoreStalled` for a full disk, `StateError` for what else the machine does (permissions, open here).
    """
    if kind == "memory":
        memory = MemoryBase()
        _begin(memory, expect)
        return memory, None
    budget = budget or Budget()
    path = Path(os.path.abspath(path))
    for attempt in range(TRIES):
        place = _settle(path, budget) if alone else _new_beside(path)
        try:
            if expect.changelog is None:
                _remove(place)
            return _open(place, expect, budget)
        except StoreLocked:  # somebody was quicker; its lock shows now
            if attempt == TRIES - 1 or held_here(place):
                raise
    raise AssertionError("one of them returns or raises")


def directory(state_dir: str | Path, app_id: str, task: str, store: str) -> Path:
    """Where a store of a task lies.

    >>> directory(".streamflow/state", "shop", "orders_0", "counts").as_posix()
    '.streamflow/state/shop/orders_0/counts'
    """
    return Path(state_dir) / app_id / task / store


def destroy(path: str | Path) -> None:
    """Remove a store's directory and everything that was moved aside from it; it must not be open here."""
    path = Path(path)
    for found in [path, *_beside(path, "~"), *_beside(path, ".bad-")]:
        _remove(found)


def move_aside(path: str | Path) -> Path:
    """Rename a directory to ``<name>.bad-<n>`` for whoever wants to look; an earlier one of these is removed."""
    path = Path(path)
    earlier = _beside(path, ".bad-")
    aside = path.with_name(f"{path.name}.bad-{_number(earlier[-1]) + 1 if earlier else 1}")
    try:
        os.rename(path, aside)
    except OSError as error:
        raise StateError(f"the store in {path} cannot be moved aside ({error.strerror}); check state_dir") from error
    for old in earlier:
        _remove(old)
    return aside


def disbelief(meta: Meta, expect: Expectation) -> str | None:
    """Why a base with this meta record cannot be used, or None. See the module for the rules.

    >>> expect = Expectation("shop", "counts", "shop-counts-changelog", 0, now_ms=0, log_end=5)
    >>> meta = Meta(app_id="shop", store="counts", changelog="shop-counts-changelog", partition=0, position=9)
    >>> disbelief(meta, expect)
    'it reflects position 9, but its changelog ends at 5 (was the topic created anew?)'
    """
    for what, found, wanted in (
        ("application", meta.app_id, expect.app_id),
        ("store", meta.store, expect.store),
        ("changelog", meta.changelog, expect.changelog),
        ("partition", meta.partition, expect.partition),
    ):
        if found != wanted:
            return f"it belongs to {what} {found!r}, not {wanted!r}"
    if expect.incarnation and meta.incarnation and meta.incarnation != expect.incarnation:
        return f"it is of another life of its changelog ({meta.incarnation}, now {expect.incarnation})"
    if meta.position == 0 and meta.flushing_to is None:
        return None  # it holds nothing yet
    at = f"it reflects position {meta.position}, but its changelog"
    if expect.log_end is not None and meta.position > expect.log_end:
        return f"{at} ends at {expect.log_end} (was the topic created anew?)"
    if meta.position < expect.log_start:
        return f"{at} begins at {expect.log_start}"
    age = expect.now_ms - meta.written_at
    if age > expect.delete_retention_ms // 2 and (meta.flushing_to is not None or meta.position != expect.log_end):
        return f"its last commit is {age // 1000} s old, and tombstones are kept {expect.delete_retention_ms // 1000} s"
    return None


def _open(path: Path, expect: Expectation, budget: Budget) -> tuple[Base, str | None]:
    # Imported here: memory stores and everybody who only declares stores do without RocksDB.
    from streamflow.state.rocksdb import RocksBase

    fresh = not path.exists() or (path.is_dir() and not any(path.iterdir()))
    reason: str | None
    try:
        base = RocksBase(path, budget)
    except StoreCorrupt as error:
        reason = str(error)
    else:
        reason = None if fresh else _checked(base, expect)
        if reason is None:
            if fresh:
                _begin(base, expect)
            return base, None
        base.close()
    move_aside(path)
    base = RocksBase(path, budget)
    _begin(base, expect)
    return base, reason


def _checked(base: Base, expect: Expectation) -> str | None:
    try:
        record = base.meta()
        if record is None:
            return f"the store in {base.path} has no meta record"
        meta = decode(record)
    except StoreCorrupt as error:
        return str(error)
    except StateError as error:
        return f"the store in {base.path}: {error} (format {FORMAT} is expected)"
    own = (meta.app_id, meta.store, meta.partition) == (expect.app_id, expect.store, expect.partition)
    if own and (kept_by := meta.changelog) and expect.changelog not in (None, kept_by):
        # No damage: the script changed. What another topic keeps, this one may never have had.
        base.close()
        raise StreamflowError(
            f"store {meta.store!r} was kept by topic {kept_by!r}, and the script now keeps it by {expect.changelog!r} (was "
            f"optimize= changed?), which need not have its rows; leave that as it was, give the step another name= to begin "
            "it anew beside the old one, or run `streamflow reset` to lose what was kept"
        )
    found = disbelief(meta, expect)
    return None if found is None else f"the store in {base.path} cannot be used: {found}"


def _begin(base: Base, expect: Expectation) -> None:
    """A new base says at once whose it is: one without that is damaged, not new."""
    own = Meta(
        app_id=expect.app_id,
        store=expect.store,
        changelog=expect.changelog or "",
        partition=expect.partition,
        incarnation=expect.incarnation or "",
        written_at=expect.now_ms,
    )
    try:
        base.write((), encode(own))
    except StateError:
        base.close()
        raise


def _settle(path: Path, budget: Budget) -> Path:
    """Which directory to open: ``path``, or one beside it while another process holds that."""
    beside = _beside(path, "~")
    if held_elsewhere(path):
        free = [other for other in beside if not held_elsewhere(other)]
        return free[-1] if free else _new_beside(path)
    if not beside or held_here(path):
        return path
    for other in beside:
        if held_elsewhere(other) or held_here(other):
            continue
        if _position(other, budget) > _position(path, budget):
            _remove(path)
            os.rename(other, path)
        else:
            _remove(other)
    return path


def _new_beside(path: Path) -> Path:
    beside = _beside(path, "~")
    return path.with_name(f"{path.name}~{_number(beside[-1]) + 1 if beside else 1}")


def _position(path: Path, budget: Budget) -> int:
    """How far a base has come; -1 if it cannot tell."""
    from streamflow.state.rocksdb import RocksBase

    if not path.exists():
        return -1
    try:
        base = RocksBase(path, budget)
        try:
            return decode(base.meta() or b"").position
        finally:
            base.close()
    except StateError:
        return -1


def _beside(path: Path, mark: str) -> list[Path]:
    """The siblings ``<name><mark><n>``, by number."""
    name = re.compile(re.escape(path.name + mark) + r"\d+")
    if not path.parent.is_dir():
        return []
    return sorted((other for other in path.parent.iterdir() if name.fullmatch(other.name)), key=_number)


def _number(path: Path) -> int:
    return int(re.split(r"[~-]", path.name)[-1])


def _remove(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except FileNotFoundError:
        if path.exists():  # somebody else removes it as well
            _remove(path)
    except OSError as error:
        raise StateError(f"{path} cannot be removed ({error.strerror}); check state_dir") from error
