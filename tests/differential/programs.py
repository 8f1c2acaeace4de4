"""Programs made up at random: what can follow what, how it is declared, and what it means.

A program is a list of steps, each with a word, its parents (by number) and some small numbers. Streams (``S``) and
tables (``T``) have words for keys and numbers for values; tables of windows (``W``) come from time windows, ``V`` from sessions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from streamflow import App, custom_windows, hopping, session, sliding, tumbling, until_time_limit, until_window_closes
from tests.differential import definitions as plain
from tests.differential.definitions import Definition, Each, Fold


class Step(NamedTuple):
    """One step of a program: its word, the numbers of its parents, and three small numbers to choose by."""

    word: str
    parents: tuple[int, ...]
    chance: tuple[int, int, int]


class Word(NamedTuple):
    """What there is to know of a word.

    ``takes`` and ``gives`` are kinds. ``meanings`` make its definitions, one behind the other; between them, and before
    those of the ports in ``gathers`` if the key changed, lies a repartition topic. ``loose``: only its rows in the end
    are defined. ``rekeys`` is of streams.
    """

    takes: str
    gives: str
    declare: Callable[..., Any]
    meanings: Callable[..., list[Definition]]
    gathers: tuple[int, ...] = ()
    lets_null_through: tuple[int, ...] = ()
    always: bool = False
    rekeys: bool = False
    loose: bool = False


# --- functions of users, the same for both


def n(value: int | None) -> int:
    return 0 if value is None else value


def mix(total: int | None, value: int | None) -> int:
    """Tells in which order things came."""
    return (n(total) * 3 + n(value)) % 1009


def mix_or_none(total: int, value: int) -> int | None:
    """Sometimes there is no total any more."""
    return mix(total, value) if mix(total, value) % 5 else None


def meet(left: int | None, right: int | None) -> int:
    return n(left) * 100 + n(right) + (left is None) + 2 * (right is None)


def add(a: int, b: int) -> int:
    return a + b


def less(a: int, b: int) -> int:
    return a - b


def key_of(value: int | None) -> str:
    return "xyz"[n(value) % 3]


def new_key(key: str | None, value: int | None) -> str | None:
    return None if n(value) % 7 == 6 else key_of(value)


def flat(key: Any) -> str:
    return f"{key.key}@{key.start}-{key.end}"


WORDS: dict[str, Word] = {}


def word(name: str, takes: str, gives: str, **how: Any) -> Callable[[Any], None]:
    """``declare(name, chance, *parents)`` and ``mean(chance)`` of a word, as the two methods of a class."""

    def keep(cls: Any) -> None:
        WORDS[name] = Word(takes, gives, cls.declare, cls.mean, **how)

    return keep


def simple(name: str, declare: Any, f: Any, *, rekeys: bool = False) -> None:
    """A stateless word of streams."""
    WORDS[name] = Word("S", "S", lambda _, c, s: declare(s, *c), lambda *c: [Each(f(*c))], rekeys=rekeys)


simple(
    "filter", lambda s, a, b, c: s.filter(lambda v: n(v) % 3 != a % 3),
    lambda a, b, c: lambda k, v, t: [(k, v, t)] if n(v) % 3 != a % 3 else [],
)  # fmt: skip
simple(
    "filter_not", lambda s, a, b, c: s.filter_not(lambda k, v: k is None or k < "b"),
    lambda a, b, c: lambda k, v, t: [] if k is None or k < "b" else [(k, v, t)],
)  # fmt: skip
simple(
    "map_values", lambda s, a, b, c: s.map_values(lambda v: None if v == a else n(v) + b, value=int),
    lambda a, b, c: lambda k, v, t: [(k, None if v == a else n(v) + b, t)],
)  # fmt: skip
simple(
    "flat_map_values", lambda s, a, b, c: s.flat_map_values(lambda v: [n(v), a][: b % 3], value=int),
    lambda a, b, c: lambda k, v, t: [(k, each, t) for each in [n(v), a][: b % 3]],
)  # fmt: skip
simple(
    "flat_map", lambda s, a, b, c: s.flat_map(lambda k, v: [(k, v), (key_of(v), a)], key=str, value=int),
    lambda a, b, c: lambda k, v, t: [(k, v, t), (key_of(v), a, t)], rekeys=True,
)  # fmt: skip
simple(
    "map", lambda s, a, b, c: s.map(lambda k, v: (key_of(v), n(v) + a), key=str, value=int),
    lambda a, b, c: lambda k, v, t: [(key_of(v), n(v) + a, t)], rekeys=True,
)  # fmt: skip
simple(
    "select_key", lambda s, a, b, c: s.select_key(new_key, key=str),
    lambda a, b, c: lambda k, v, t: [(new_key(k, v), v, t)], rekeys=True,
)  # fmt: skip
simple("peek", lambda s, a, b, c: s.peek(lambda v: None), lambda a, b, c: lambda k, v, t: [(k, v, t)])
simple(
    "branch", lambda s, a, b, c: s.split({"even": lambda v: n(v) % 2 == 0}, default="rest")["even" if a % 2 else "rest"],
    lambda a, b, c: lambda k, v, t: [(k, v, t)] if (n(v) % 2 == 0) == (a % 2 == 1) else [],
)  # fmt: skip


@word("merge", "SS", "S")
class _:
    declare = staticmethod(lambda name, c, one, other: one.merge(other))
    mean = staticmethod(lambda *c: [Each(lambda k, v, t: [(k, v, t)])])


@word("repartition", "S", "S", always=True)
class _:
    declare = staticmethod(lambda name, c, s: s.filter(lambda k, v: k is not None).repartition(name=name))
    mean = staticmethod(
        lambda *c: [Each(lambda k, v, t: [] if k is None else [(k, v, t)]), Each(lambda k, v, t: [(k, v, t)])]
    )


@word("deduplicate", "S", "S", gathers=(0,), lets_null_through=(0,))
class _:
    declare = staticmethod(lambda name, c, s: s.deduplicate(by=lambda v: v, within=f"{c[0] + 1}ms", name=name))
    mean = staticmethod(lambda *c: [plain.Once(c[0] + 1)])


@word("to_table", "S", "T", gathers=(0,))
class _:
    declare = staticmethod(lambda name, c, s: s.to_table(name=name))
    mean = staticmethod(lambda *c: [plain.Table()])


# --- aggregations


@word("count", "S", "T", gathers=(0,))
class _:
    declare = staticmethod(lambda name, c, s: s.group_by_key().count(name=name))
    mean = staticmethod(lambda *c: [Fold(lambda total, _: total + 1, 0)])


@word("reduce", "S", "T", gathers=(0,))
class _:
    declare = staticmethod(lambda name, c, s: s.group_by_key().reduce(mix, name=name))
    mean = staticmethod(lambda *c: [Fold(mix)])


@word("aggregate", "S", "T", gathers=(0,))
class _:
    declare = staticmethod(lambda name, c, s: s.group_by_key().aggregate(lambda: 1, mix_or_none, value=int, name=name))
    mean = staticmethod(lambda *c: [Fold(mix_or_none, 1)])


@word("group_by", "S", "T", always=True)
class _:
    declare = staticmethod(lambda name, c, s: s.group_by(new_key, key=str).reduce(mix, name=name))
    mean = staticmethod(
        lambda *c: [
            Each(lambda k, v, t: [] if new_key(k, v) is None else [(new_key(k, v), v, t)]),
            Fold(mix),
        ]
    )


class Both(Fold):
    """A cogroup: each port has its function, the totals are one table."""

    def take(self, port: int, row: plain.Row) -> list[plain.Row]:
        self.f = mix if port == 0 else (lambda total, value: (total - value) % 1009)
        return super().take(port, row)


@word("cogroup", "SS", "T", gathers=(0, 1))
class _:
    @staticmethod
    def declare(name: str, c: Any, one: Any, other: Any) -> Any:
        both = one.group_by_key().cogroup(mix).cogroup(other.group_by_key(), lambda total, v: (total - v) % 1009)
        return both.aggregate(lambda: 7, value=int, name=name)

    mean = staticmethod(lambda *c: [Both(mix, 7)])


def _windowed(kind: str, c: tuple[int, int, int]) -> tuple[Any, int, int, int]:
    """A window, its size, advance and grace."""
    size, grace = 10 * (c[0] + 1), 7 * c[2]
    advance = size if kind != "hopping" else max(1, size // (c[1] + 1))
    if kind == "custom":
        window: Any = custom_windows(
            lambda at: [(at // size * size, at // size * size + size)], size=f"{size}ms", grace=f"{grace}ms"
        )
    elif kind == "hopping":
        window = hopping(f"{size}ms", f"{advance}ms", grace=f"{grace}ms")
    else:
        window = tumbling(f"{size}ms", grace=f"{grace}ms")
    return window, size, advance, grace


def _windows(kind: str, *, final: bool) -> None:
    emit: Any = "on_close" if final else "on_update"

    @word(f"{kind}_final" if final else kind, "S", "W", gathers=(0,))
    class _:
        @staticmethod
        def declare(name: str, c: Any, s: Any) -> Any:
            return s.group_by_key().windowed_by(_windowed(kind, c)[0]).reduce(mix, name=name, emit=emit)

        @staticmethod
        def mean(*c: int) -> list[Definition]:
            _, size, advance, grace = _windowed(kind, c)  # type: ignore[arg-type]
            return [plain.Windows(Fold(mix), size, advance, grace, final=final)]


def _sessions(*, final: bool) -> None:
    emit: Any = "on_close" if final else "on_update"

    @word("session_final" if final else "session", "S", "V", gathers=(0,))
    class _:
        @staticmethod
        def declare(name: str, c: Any, s: Any) -> Any:
            windows = s.group_by_key().windowed_by(session(f"{5 * c[0] + 1}ms", grace=f"{7 * c[1]}ms"))
            return windows.aggregate(lambda: 1, mix, merge=mix, value=int, name=name, emit=emit)

        mean = staticmethod(lambda *c: [plain.Sessions(Fold(mix, 1), mix, 5 * c[0] + 1, 7 * c[1], final=final)])


for _final in (False, True):
    for _kind in ("tumbling", "hopping", "custom"):
        _windows(_kind, final=_final)
    _sessions(final=_final)


@word("sliding", "S", "W", gathers=(0,), loose=True)
class _:
    @staticmethod
    def declare(name: str, c: Any, s: Any) -> Any:
        return s.group_by_key().windowed_by(sliding(f"{10 * c[0] + 1}ms", grace="1d")).reduce(add, name=name)

    mean = staticmethod(lambda *c: [plain.Sliding(10 * c[0] + 1)])


# --- tables


@word("table_filter", "T", "T")
class _:
    declare = staticmethod(lambda name, c, t: t.filter(lambda v: v % 3 != c[0] % 3, name=name))
    mean = staticmethod(lambda *c: [plain.TableMap(lambda v: v if v % 3 != c[0] % 3 else None, skips=True)])


@word("table_map_values", "T", "T")
class _:
    declare = staticmethod(lambda name, c, t: t.map_values(lambda v: v * 2 + c[0], value=int, name=name))
    mean = staticmethod(lambda *c: [plain.TableMap(lambda v: v * 2 + c[0], skips=False)])


@word("view_filter", "T", "T", loose=True)
class _:
    declare = staticmethod(lambda name, c, t: t.filter_not(lambda v: v % 3 == c[0] % 3))
    mean = staticmethod(lambda *c: [plain.TableMap(lambda v: v if v % 3 != c[0] % 3 else None, skips=False)])


@word("regroup_sum", "T", "T", always=True)
class _:
    @staticmethod
    def declare(name: str, c: Any, t: Any) -> Any:
        return t.group_by(lambda k, v: (key_of(v), v), key=str, value=int).reduce(add, less, name=name)

    mean = staticmethod(lambda *c: [plain.Regroup(lambda k, v: (key_of(v), v)), plain.Total(add, less)])


@word("regroup_count", "T", "T", always=True)
class _:
    declare = staticmethod(lambda name, c, t: t.group_by(lambda k, v: (k[0], v), key=str, value=int).count(name=name))
    mean = staticmethod(
        lambda *c: [
            plain.Regroup(lambda k, v: (k[0], v)),
            plain.Total(lambda total, _: total + 1, lambda total, _: total - 1, 0),
        ]
    )


@word("suppress", "T", "T")
class _:
    @staticmethod
    def declare(name: str, c: Any, t: Any) -> Any:
        return t.suppress(until_time_limit(f"{10 * c[0]}ms"), max_records=c[1] or None, name=name)

    mean = staticmethod(lambda *c: [plain.Suppress(10 * c[0], most=c[1] or None)])


@word("to_stream", "T", "S")
class _:
    declare = staticmethod(lambda name, c, t: t.to_stream())
    mean = staticmethod(lambda *c: [_Said()])


class _Said:
    def take(self, port: int, row: plain.Row) -> list[plain.Row]:
        key, new, _, at = row
        return [(key, new, at)]


class _Flat:
    def take(self, port: int, row: plain.Row) -> list[plain.Row]:
        key, new, _, at = row
        return [(flat(key), new, at)]


for _kind in "WV":
    WORDS[f"to_stream_{_kind}"] = Word(
        _kind, "S", lambda name, c, t: t.to_stream(lambda k, v: flat(k), key=str), lambda *c: [_Flat()], rekeys=True
    )
    WORDS[f"window_map_{_kind}"] = Word(
        _kind, _kind, lambda name, c, t: t.map_values(lambda v: v + c[0], value=int, name=name),
        lambda *c: [plain.TableMap(lambda v: v + c[0], skips=False)],
    )  # fmt: skip


for _name, _join in (("inner", "join"), ("left", "left_join"), ("outer", "outer_join")):
    WORDS[f"table_{_name}"] = Word(
        "TT", "T", lambda name, c, a, b, join=_join: getattr(a, join)(b, meet, value=int, name=name),
        lambda *c, kind=_name: [plain.TableJoin(meet, kind)],
    )  # fmt: skip
    WORDS[f"stream_{_name}"] = Word(
        "SS", "S",
        lambda name, c, a, b, join=_join: getattr(a, join)(
            b, meet, within=(f"{10 * c[0]}ms", f"{15 * c[1]}ms"), grace=f"{7 * c[2]}ms", value=int, name=name
        ),
        lambda *c, kind=_name: [plain.StreamStream(meet, kind, 10 * c[0], 15 * c[1], 7 * c[2])],
        gathers=(0, 1),
        lets_null_through={"inner": (), "left": (0,), "outer": (0, 1)}[_name],
    )  # fmt: skip
    if _name != "outer":
        WORDS[f"stream_table_{_name}"] = Word(
            "ST", "S", lambda name, c, s, t, join=_join: getattr(s, join)(t, meet, value=int, name=name),
            lambda *c, kind=_name: [plain.StreamTable(meet, left=kind == "left")],
            gathers=(0,), lets_null_through=(0,) if _name == "left" else (),
        )  # fmt: skip
        WORDS[f"foreign_{_name}"] = Word(
            "TT", "T", lambda name, c, a, b, join=_join: getattr(a, join)(b, meet, on=key_of, value=int, name=name),
            lambda *c, kind=_name: [
                plain.ForeignKeyJoin(key_of, meet, left=kind == "left"),
                plain.TableMap(lambda v: v, skips=False),  # its answers come through a topic, after all else
            ],
            loose=True,
        )  # fmt: skip


@word("suppress_windows", "W", "W")
class _:
    declare = staticmethod(lambda name, c, t: t.suppress(until_window_closes(), name=name))
    mean = staticmethod(lambda *c: [plain.Suppress(c[0], of="time")])


@word("suppress_sessions", "V", "V")
class _:
    declare = staticmethod(lambda name, c, t: t.suppress(until_window_closes(), name=name))
    mean = staticmethod(lambda *c: [plain.Suppress(c[0], of="session")])


def declare(program: list[Step], **settings: Any) -> App:
    """The program in streamflow's words; the result of step ``n`` goes to the topic ``out<n>``."""
    app = App("random", **settings)
    nodes: list[Any] = []
    for number, step in enumerate(program):
        name = f"n{number}"
        if step.word == "stream":
            node: Any = app.stream(name, key=str, value=int)
        elif step.word == "table":
            node = app.table(name, key=str, value=int, name=f"{name}-rows")
        else:
            node = WORDS[step.word].declare(name, step.chance, *(nodes[parent] for parent in step.parents))
        nodes.append(node)
        if step.word not in ("stream", "table"):
            (node.to_stream() if hasattr(node, "to_stream") else node).to(f"out{number}")
    return app
