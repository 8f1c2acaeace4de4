"""What each operator means, in the plainest Python: all rows in dicts and lists, looked through anew for each record.

Nothing here is taken from the product. A definition's ``take(port, row)`` gives the rows that a row of input ``port``
makes. Rows of a stream are ``(key, value, time)``, changes of a table ``(key, new, old, time)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from streamflow import Windowed

Row = tuple[Any, ...]


class Definition(Protocol):
    """An operator's meaning; it remembers what it has seen."""

    def take(self, port: int, row: Row) -> Iterable[Row]: ...


class Each:
    """Stateless: ``f(key, value, time)`` gives rows."""

    def __init__(self, f: Callable[[Any, Any, int], list[Row]]) -> None:
        self.f = f

    def take(self, port: int, row: Row) -> list[Row]:
        return self.f(*row)


class Once:
    """Deduplicate by value: at most ``within`` apart; later than twice that is dropped."""

    def __init__(self, within: int) -> None:
        self.within, self.now, self.passed = within, -1, dict[int, list[int]]()

    def take(self, port: int, row: Row) -> list[Row]:
        _, value, at = row
        self.now = max(self.now, at)
        if value is None:
            return [row]
        times = self.passed.setdefault(value, [])
        if at + 2 * self.within < self.now or any(abs(at - other) <= self.within for other in times):
            return []
        times.append(at)
        return [row]


# --- tables


class Rows:
    """A table's rows, each with its time."""

    def __init__(self) -> None:
        self.rows: dict[Any, tuple[Any, int]] = {}

    def value(self, key: Any) -> Any:
        return self.rows[key][0] if key in self.rows else None

    def change(self, key: Any, new: Any, at: int) -> Row:
        """Put a row, and say what changed."""
        old = self.value(key)
        self.rows.pop(key, None)
        if new is not None:
            self.rows[key] = new, at
        return key, new, old, at


class Table(Rows):
    """A topic (or stream) as a table: the newest arrival is the row."""

    def take(self, port: int, row: Row) -> list[Row]:
        key, value, at = row
        return [] if key is None else [self.change(key, value, at)]


class TableMap(Rows):
    """``f`` of each row, None where it is not to be there; ``skips`` changes from nothing to nothing."""

    def __init__(self, f: Callable[[Any], Any], *, skips: bool) -> None:
        super().__init__()
        self.f, self.skips = f, skips

    def take(self, port: int, row: Row) -> list[Row]:
        key, new, _, at = row
        made = None if new is None else self.f(new)
        if self.skips and made is None and self.value(key) is None:
            return []
        return [self.change(key, made, at)]


class Fold(Rows):
    """One total a key, of all inputs: ``f(total, value)``, from ``first`` on, or from the first value if that is None."""

    def __init__(self, f: Callable[[Any, Any], Any], first: Any = None) -> None:
        super().__init__()
        self.f, self.first = f, first

    def take(self, port: int, row: Row) -> list[Row]:
        key, value, at = row
        if key is None or value is None:
            return []
        total, then = self.rows.get(key, (self.first, -1))
        return [self.change(key, value if total is None else self.f(total, value), max(at, then))]


class Regroup:
    """The changes of a table under new keys: what is taken from one group, and what is given to one."""

    def __init__(self, f: Callable[[Any, Any], tuple[Any, Any]]) -> None:
        self.f = f

    def take(self, port: int, row: Row) -> list[Row]:
        key, new, old, at = row
        given = None if new is None else self.f(key, new)
        gone = None if old is None else self.f(key, old)
        if given is not None and gone is not None and given[0] == gone[0]:
            return [(given[0], given[1], gone[1], at)]
        taken = [] if gone is None else [(gone[0], None, gone[1], at)]
        return taken + ([] if given is None else [(given[0], given[1], None, at)])


class Total(Rows):
    """What is taken from a group is subtracted before what is given to it is added."""

    def __init__(self, add: Callable[[Any, Any], Any], subtract: Callable[[Any, Any], Any], first: Any = None) -> None:
        super().__init__()
        self.add, self.subtract, self.first = add, subtract, first

    def take(self, port: int, row: Row) -> list[Row]:
        key, new, old, at = row
        total, then = self.rows.get(key, (None, -1))
        if old is not None and total is not None:
            total = self.subtract(total, old)
        if new is not None:
            total = self.first if total is None else total
            total = new if total is None else self.add(total, new)
        return [self.change(key, total, max(at, then))]


class TableJoin(Rows):
    """The rows of two tables of one key: ``f(left, right)``. ``sides`` are the tables themselves, as they are now."""

    sides: list[Rows]

    def __init__(self, f: Callable[[Any, Any], Any], kind: str) -> None:
        super().__init__()
        self.f, self.kind = f, kind

    def take(self, port: int, row: Row) -> list[Row]:
        key, new, old, at = row
        other = self.sides[1 - port]
        if key in other.rows:
            at = max(at, other.rows[key][1])
        alone = self.kind == "outer" or (self.kind == "left" and port == 0)
        if key not in other.rows and (not alone or (new is None and old is None)):
            return []
        left, right = (side.value(key) for side in self.sides)
        there = {"inner": None not in (left, right), "left": left is not None, "outer": (left, right) != (None, None)}
        return [self.change(key, self.f(left, right) if there[self.kind] else None, at)]


class StreamTable:
    """A stream's record (port 0) with the row that the table (port 1) has now."""

    sides: list[Any]

    def __init__(self, f: Callable[[Any, Any], Any], *, left: bool) -> None:
        self.f, self.left = f, left

    def take(self, port: int, row: Row) -> list[Row]:
        if port == 1:
            return []
        key, value, at = row
        found = None if key is None else self.sides[1].value(key)
        if value is None or (found is None and not self.left):
            return []
        return [(key, self.f(value, found), at)]


class StreamStream:
    """Two streams: pairs of one key whose times lie within bounds, and what is alone once nothing can come any more."""

    def __init__(self, f: Callable[[Any, Any], Any], kind: str, before: int, after: int, grace: int) -> None:
        self.f, self.before, self.after, self.grace = f, before, after, grace
        self.alone = kind != "inner", kind == "outer"
        self.patience = after + grace, before + grace
        self.kept: tuple[list[dict[str, Any]], ...] = ([], [])
        self.now = -1

    def take(self, port: int, row: Row) -> list[Row]:
        key, value, at = row
        if value is None or (key is None and not self.alone[port]):
            return []
        if key is None:
            return [(None, self.answer(port, value, None), at)]
        out: list[Row] = []
        if at > self.now:
            self.now = at
            ripe = [(r["at"], -side, r["key"].encode(), n, r) for side in (0, 1) for n, r in enumerate(self.kept[side])]
            for time, side, _, _, r in sorted(ripe, key=lambda each: each[:4]):
                if r["waits"] and time + self.patience[-side] < self.now:
                    r["waits"], r["gone"] = False, True
                    out.append((r["key"], self.answer(-side, r["value"], None), time))
        elif at + max(self.before, self.after) + self.grace < self.now:
            return []
        met = False
        for r in sorted(self.kept[1 - port], key=lambda r: r["at"]):
            left, right = (at, r["at"]) if port == 0 else (r["at"], at)
            if r["key"] == key and not r["gone"] and left - self.before <= right <= left + self.after:
                met, r["waits"] = True, False
                out.append((key, self.answer(port, value, r["value"]), max(at, r["at"])))
        mine = {"key": key, "value": value, "at": at, "waits": self.alone[port] and not met, "gone": False}
        if mine["waits"] and at + self.patience[port] < self.now:
            mine["waits"], mine["gone"] = False, True
            out.append((key, self.answer(port, value, None), at))
        self.kept[port].append(mine)
        return out

    def answer(self, port: int, mine: Any, other: Any) -> Any:
        return self.f(mine, other) if port == 0 else self.f(other, mine)


# --- windows


class Windows(Rows):
    """Totals by window: ``[start, start + size)`` for each multiple of ``advance`` that holds the time."""

    def __init__(self, fold: Fold, size: int, advance: int, grace: int, *, final: bool) -> None:
        super().__init__()
        self.fold, self.size, self.advance, self.grace, self.final = fold, size, advance, grace, final
        self.now, self.said = -1, set[Windowed[str]]()

    def take(self, port: int, row: Row) -> list[Row]:
        key, value, at = row
        if key is None or value is None:
            return []
        self.now = max(self.now, at)
        out: list[Row] = []
        if self.final:
            closed = [w for w in self.fold.rows if w not in self.said and w.end + self.grace <= self.now]
            for window in sorted(closed, key=lambda w: (w.start, w.key.encode())):
                self.said.add(window)
                total, then = self.fold.rows[window]
                out.append((window, total, None, then))
        for start in range(0, at + 1, self.advance):
            if start <= at < start + self.size and start + self.size > self.now - self.grace:
                changes = self.fold.take(0, (Windowed(key, start, start + self.size), value, at))
                out += [] if self.final else changes
        return out


class Sessions(Rows):
    """Records of a key that are at most ``gap`` apart; totals of sessions that meet are merged."""

    def __init__(self, fold: Fold, merge: Callable[[Any, Any], Any], gap: int, grace: int, *, final: bool) -> None:
        super().__init__()
        self.fold, self.merge, self.gap, self.grace, self.final = fold, merge, gap, grace, final
        self.now, self.closed = -1, 0

    def take(self, port: int, row: Row) -> list[Row]:
        key, value, at = row
        if key is None or value is None:
            return []
        out: list[Row] = []
        self.now = max(self.now, at)
        limit = max(0, self.now - self.gap - self.grace)  # what ends before it is closed
        if self.final and limit > self.closed:
            over = [w for w in self.rows if self.closed <= w.end < limit]
            for window in sorted(over, key=lambda w: (w.end, w.key.encode())):
                out.append((window, self.value(window), None, window.end))
            self.closed = limit
        near = [
            w for w in self.rows if w.key == key and w.start - self.gap <= at <= w.end + self.gap and w.end >= limit
        ]
        near.sort(key=lambda w: w.start)
        whole = Windowed(key, min([at, *(w.start for w in near)]), max([at, *(w.end for w in near)]))
        if whole.end < limit:
            return out
        total, changes = self.fold.first, list[Row]()
        for window in near:
            total = self.value(window) if total is None else self.merge(total, self.value(window))
            if window != whole:
                changes.append(self.change(window, None, window.end))
        total = value if total is None else self.fold.f(total, value)
        changes.append(self.change(whole, total, whole.end))
        return out if self.final else out + changes


class Sliding(Rows):
    """Of each key's records, however they came: a window ends with each, and one begins behind each if it holds any.

    What comes near to 1970 shares the window that begins there. Only the rows in the end are defined, not their order.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width, self.seen = width, dict[str, list[tuple[int, int]]]()

    def take(self, port: int, row: Row) -> list[Row]:
        key, value, at = row
        if key is None or value is None:
            return []
        seen = self.seen.setdefault(key, [])
        seen.append((at, value))
        starts = {max(0, time - self.width) for time, _ in seen} | {time + 1 for time, _ in seen}
        out: list[Row] = []
        for start in starts:
            inside = [each for each in seen if start <= each[0] <= start + self.width]
            window = Windowed(key, start, start + self.width)
            if inside and self.value(window) != (total := sum(n for _, n in inside)):
                out.append(self.change(window, total, max(time for time, _ in inside)))
        return out


class Suppress(Rows):
    """Rows wait ``wait`` from when they began (from the end of their window if they have one), and only the last goes on."""

    def __init__(self, wait: int, *, of: str | None = None, most: int | None = None) -> None:
        super().__init__()
        self.wait, self.windows, self.most, self.now = wait, of, most, -1
        self.held: dict[Any, tuple[int, Any, int]] = {}

    def take(self, port: int, row: Row) -> Iterator[Row]:
        key, new, _, at = row
        self.now = max(self.now, at)
        if new is None and self.windows:
            self.held.pop(key, None)
        else:
            # Both ends belong to a session, so it takes records for a millisecond longer.
            begin = at if self.windows is None else key.end + (self.windows == "session")
            self.held[key] = self.held[key][0] if key in self.held else begin, new, at
        for each in sorted(self.held, key=lambda each: (self.held[each][0], self.in_bytes(each))):
            begin, value, then = self.held[each]
            if begin + self.wait <= self.now or (self.most is not None and len(self.held) > self.most):
                del self.held[each]
                yield self.change(each, value, then)

    def in_bytes(self, key: Any) -> bytes:
        """A key as Kafka Streams writes it."""
        if self.windows is None:
            return bytes(key.encode())
        times = [key.end, key.start] if self.windows == "session" else [key.start]
        return bytes(key.key.encode()) + b"".join(time.to_bytes(8) for time in times)


class ForeignKeyJoin(Rows):
    """Each row of the left table (port 0) with the row of the right one that ``on`` of its value names.

    Only the rows in the end are defined, not their order.
    """

    def __init__(self, on: Callable[[Any], Any], f: Callable[[Any, Any], Any], *, left: bool) -> None:
        super().__init__()
        self.on, self.f, self.left, self.sides = on, f, left, (Rows(), Rows())

    def take(self, port: int, row: Row) -> list[Row]:
        key, new, _, at = row
        self.sides[port].change(key, new, at)
        out: list[Row] = []
        for each in self.sides[0].rows.keys() | self.rows.keys():
            mine = self.sides[0].value(each)
            other = None if mine is None else self.sides[1].value(self.on(mine))
            made = None if mine is None or (other is None and not self.left) else self.f(mine, other)
            if made != self.value(each):
                out.append(self.change(each, made, at))
        return out
