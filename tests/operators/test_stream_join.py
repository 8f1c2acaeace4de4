"""Joins of two streams: who meets whom, when, and who comes out alone."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow import App, TopologyError
from streamflow.plan import plan
from streamflow.testing import OutputTopic, TopologyTestDriver

Row = tuple[Any, Any, int]


class Joined:
    """A join of the topics ``left`` and ``right``, and a driver that runs it."""

    def __init__(
        self, word: str, *, within: Any = "100ms", grace: str = "0ms", value: Any = str, **driven: Any
    ) -> None:
        self.app = App("joined", **driven.pop("app", {}))
        left = self.app.stream("left", key=str, value=value)
        right = self.app.stream("right", key=str, value=value)
        join: Any = getattr(left, word)
        join(right, driven.pop("joiner", _pair), within=within, grace=grace, value=str, name="joined").to("out")
        self.driver = TopologyTestDriver(self.app, **driven)
        self.output: OutputTopic[str, str] = self.driver.output_topic("out")

    def left(self, key: str | None, value: Any, at: int, headers: Any = ()) -> list[Row]:
        self.driver.input_topic("left").pipe(key, value, timestamp=at, headers=headers)
        return self.rows()

    def right(self, key: str | None, value: Any, at: int, headers: Any = ()) -> list[Row]:
        self.driver.input_topic("right").pipe(key, value, timestamp=at, headers=headers)
        return self.rows()

    def rows(self) -> list[Row]:
        return [(r.key, r.value, r.timestamp) for r in self.output.read_records()]

    def crash(self) -> None:
        self.driver.crash()


def _pair(left: Any, right: Any) -> str:
    return f"{left}+{right}"


@pytest.fixture(params=["memory", "rocksdb"])
def stores(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_each_pair_within_the_window_comes_out_once_in_the_order_of_time_with_the_later_time(stores: Any) -> None:
    join = Joined("join", stores=stores)
    assert join.left("k", "late", 50) == join.left("k", "early", 0) == join.left("other", "x", 50) == []

    assert join.right("k", "r", 100) == [("k", "early+r", 100), ("k", "late+r", 100)]
    assert join.right("k", "r", 151) == []
    assert join.left("k", "l", 120) == [("k", "l+r", 120), ("k", "l+r", 151)]


def test_records_of_one_key_and_time_are_all_kept_in_the_order_in_which_they_came(stores: Any) -> None:
    join = Joined("join", stores=stores)
    join.left("k", "b", 5), join.left("k", "a", 5), join.left("k", "b", 5)

    assert join.right("k", "r", 5) == [("k", "b+r", 5), ("k", "a+r", 5), ("k", "b+r", 5)]


@pytest.mark.parametrize(
    ("within", "first", "last"),
    [
        (("10ms", "20ms"), 90, 120),
        (("0ms", "20ms"), 100, 120),
        (("10ms", "0ms"), 90, 100),
        (("0ms", "0ms"), 100, 100),
        (("-5ms", "20ms"), 105, 120),
        (("30ms", "-20ms"), 70, 80),
        (("-20ms", "20ms"), 120, 120),
    ],
)
def test_how_far_before_and_after_is_inclusive_and_may_be_negative(within: Any, first: int, last: int) -> None:
    join = Joined("join", within=within, grace="1h")
    join.left("k", "l", 100)

    met = [at for at in range(60, 140) if join.right("k", "r", at)]

    assert met == list(range(first, last + 1))


@pytest.mark.parametrize("word", ["join", "left_join", "outer_join"])
def test_null_values_are_dropped_and_counted(word: str) -> None:
    join = Joined(word)
    assert join.left("k", None, 0) == join.right("k", None, 0) == join.left(None, None, 0) == []
    assert join.driver.dropped_records == 3
    assert join.right("k", "r", 500) == []


@pytest.mark.parametrize(("word", "alone"), [("join", ""), ("left_join", "left"), ("outer_join", "left right")])
def test_a_record_without_a_key_comes_out_at_once_where_unmatched_ones_do(word: str, alone: str) -> None:
    join = Joined(word)
    assert join.left(None, "l", 7) == ([(None, "l+None", 7)] if "left" in alone else [])
    assert join.right(None, "r", 8) == ([(None, "None+r", 8)] if "right" in alone else [])
    assert join.driver.dropped_records == 2 - len(alone.split())


@pytest.mark.parametrize("word", ["join", "left_join", "outer_join"])
def test_a_record_is_late_when_its_window_and_grace_lie_before_the_time_of_both_streams(word: str) -> None:
    join = Joined(word, grace="50ms")
    join.left("k", "l", 850), join.right("other", "now", 1000)
    join.rows()

    assert join.right("k", "r", 850) == [("k", "l+r", 850)]
    assert join.right("k", "r", 849) == [] and join.left("k", "l", 849) == []
    assert join.driver.dropped_records == 2


@pytest.mark.parametrize("first", ["left", "right"])
def test_a_row_is_met_as_long_as_a_record_that_is_not_late_may_meet_it(first: str, stores: Any) -> None:
    join = Joined("join", grace="50ms", stores=stores)
    early, late = (join.left, join.right) if first == "left" else (join.right, join.left)
    early("k", "a", 750), early("k", "b", 749), early("other", "now", 1000)

    assert late("k", "c", 850) == [("k", "a+c" if first == "left" else "c+a", 850)]


def test_an_unmatched_row_waits_for_window_and_grace_then_comes_out_once(stores: Any) -> None:
    join = Joined("left_join", grace="50ms", stores=stores)
    join.left("k", "l", 0)

    assert join.right("other", "now", 150) == []
    assert join.left("other", "now", 151) == [("k", "l+None", 0), ("other", "now+now", 151)]
    assert join.left("other", "later", 9000) == []


def test_an_out_of_order_row_within_grace_waits_too_and_may_still_meet(stores: Any) -> None:
    join = Joined("left_join", grace="100ms", stores=stores)
    join.right("other", "now", 1000)

    assert join.left("k", "l", 850) == []
    assert join.right("k", "r", 900) == [("k", "l+r", 900)]
    assert join.left("other", "end", 5000) == []


def test_a_row_that_came_out_unmatched_meets_nobody_any_more(stores: Any) -> None:
    join = Joined("left_join", stores=stores)
    join.left("k", "l", 1000)
    assert join.right("other", "now", 1150) == [("k", "l+None", 1000)]

    assert join.right("k", "r", 1100) == []  # not late itself: left ones up to 1200 may still come
    assert join.left("k", "m", 1120) == [("k", "m+r", 1120)]


def test_unmatched_rows_come_out_by_time_then_right_before_left_then_by_key_whatever_has_come_since() -> None:
    join = Joined("outer_join")
    join.left("b", "l2", 5), join.right("c", "r", 5), join.left("a", "l1", 5), join.right("d", "r", 4)
    join.left("b", "l3", 5)

    assert join.right("z", "now", 10**12) == [
        ("d", "None+r", 4),
        ("c", "None+r", 5),
        ("a", "l1+None", 5),
        ("b", "l2+None", 5),
        ("b", "l3+None", 5),
    ]


def test_no_unmatched_row_is_lost_when_time_jumps_and_the_worker_crashes(stores: Any) -> None:
    join = Joined("outer_join", stores=stores)
    join.left("k", "l", 1), join.crash()
    join.right("m", "r", 2), join.crash()

    assert join.left("z", "now", 10**12) == [("k", "l+None", 1), ("m", "None+r", 2)]
    join.crash()
    assert join.left("z", "now", 2 * 10**12) == [("z", "now+None", 10**12)]


def test_the_time_of_the_join_outlives_a_crash() -> None:
    join = Joined("join")
    join.left("k", "l", 1000), join.crash()

    assert join.right("k", "r", 899) == []
    assert join.driver.dropped_records == 1


def test_stores_that_are_lost_come_back_from_their_changelogs() -> None:
    join = Joined("outer_join", grace="1h")
    join.left("k", "l", 1000), join.left("j", "alone", 1000), join.right("i", "alone", 1000), join.right("h", "r", 1000)
    join.left("h", "met", 1000)
    join.rows()
    join.driver._bases.clear()
    join.crash()

    assert join.right("k", "r", 1000) == [("k", "l+r", 1000)]
    assert join.left("z", "end", 10**10) == [("i", "None+alone", 1000), ("j", "alone+None", 1000)]


def test_what_was_not_committed_is_not_remembered_after_a_crash() -> None:
    join = Joined("left_join", commit="manual")
    join.left("k", "l", 0)
    join.driver.commit()
    join.left("k", "lost?", 1)
    join.crash()
    join.driver.commit()
    assert join.right("k", "r", 2) == []
    join.driver.commit()

    assert join.rows() == [("k", "l+r", 2), ("k", "lost?+r", 2)]  # each once: the record was read again


def test_headers_are_the_left_records_whoever_comes_last() -> None:
    join = Joined("outer_join")
    ours, theirs = [("whose", b"left")], [("whose", b"right")]
    join.driver.input_topic("left").pipe("k", "l", 0, headers=ours)
    join.driver.input_topic("right").pipe("k", "r", 1, headers=theirs)
    join.driver.input_topic("left").pipe("k", "m", 2)
    join.driver.input_topic("right").pipe("j", "r", 3, headers=theirs)
    join.driver.input_topic("left").pipe("i", "l", 3, headers=ours)
    join.driver.input_topic("left").pipe("z", "end", 10_000, headers=[("whose", b"z")])

    assert [(r.value, r.headers) for r in join.output.read_records()] == [
        ("l+r", (("whose", b"left"),)),
        ("m+r", ()),
        ("None+r", (("whose", b"right"),)),
        ("l+None", (("whose", b"left"),)),
    ]


def test_headers_outlive_a_restart() -> None:
    join = Joined("left_join")
    join.driver.input_topic("left").pipe("k", "l", 0, headers=[("a", b"1"), ("b", b"")])
    join.driver._bases.clear()
    join.crash()
    join.driver.input_topic("right").pipe("k", "r", 1)

    assert [r.headers for r in join.output.read_records()] == [(("a", b"1"), ("b", b""))]


def test_values_that_can_change_in_place_are_kept_as_they_were() -> None:
    def changing(left: dict[str, int], right: dict[str, int]) -> str:
        left["n"] += 1
        return f"{left['n']}{right['n']}"

    join = Joined("join", value=dict[str, int], joiner=changing)
    join.left("k", {"n": 1}, 0)

    assert join.right("k", {"n": 5}, 0) + join.right("k", {"n": 6}, 0) == [("k", "25", 0), ("k", "26", 0)]


def test_a_record_that_fails_in_the_joiner_leaves_nothing_behind_where_failures_are_skipped() -> None:
    def picky(left: str | None, right: str | None) -> str:
        if right == "bad":
            raise ValueError(right)
        return f"{left}+{right}"

    join = Joined("outer_join", within=("0ms", "10s"), joiner=picky, app={"on_process_error": "skip"})
    join.left("k", "l", 0), join.right("j", "r", 10)

    assert join.right("k", "bad", 5000) == [], "what came out before it failed is taken back"
    assert join.left("k", "m", 60) == [("j", "None+r", 10)], "it was kept, or has moved time"
    assert join.right("k", "r", 61) == [("k", "l+r", 61), ("k", "m+r", 61)]
    assert join.left("z", "end", 10**6) == []


@pytest.mark.parametrize("partitions", [1, 4])
def test_streams_that_change_their_keys_meet_behind_repartition_topics(partitions: int) -> None:
    app = App("rekeyed")
    left = app.stream("left", key=str, value=str).select_key(lambda v: v[0], key=str)
    right = app.stream("right", key=str, value=str).select_key(lambda v: v[0], key=str)
    left.join(right, _pair, within="1s", value=str, name="both").to("out")
    with TopologyTestDriver(app, partitions=partitions) as driver:
        for n, letter in enumerate("abcdefgh"):
            driver.input_topic("left").pipe(str(n), letter, timestamp=n)
            driver.input_topic("right").pipe(str(n + 1), letter, timestamp=n)

        found = driver.output_topic("out").read_key_values()
        assert sorted(found) == [(letter, f"{letter}+{letter}") for letter in "abcdefgh"]
        assert {t for t in driver.produced_topics if t.endswith("-repartition")} == {
            "rekeyed-both-left-repartition",
            "rekeyed-both-right-repartition",
        }


def test_a_stream_joined_with_itself_meets_itself() -> None:
    app = App("self")
    stream = app.stream("in", key=str, value=str)
    stream.outer_join(stream, _pair, within="10ms", value=str).to("out")
    with TopologyTestDriver(app) as driver:
        driver.input_topic("in").pipe_many([("k", "a", 0), ("k", "b", 5), ("z", "end", 1000)])

        assert driver.output_topic("out").read_key_values() == [
            ("k", "a+a"), ("k", "b+a"), ("k", "a+b"), ("k", "b+b"), ("z", "end+end"),
        ]  # fmt: skip


def test_stable_names_say_whose_store_it_is() -> None:
    app = App("names")
    left, right = app.stream("orders", key=str, value=str), app.stream("payments", key=str, value=str)
    left.left_join(right, _pair, within="1m", value=str).to("out")
    left.join(right, _pair, within="1m", value=str, name="paid", store="kept").to("out2")

    assert list(app.topology.stores) == [
        "orders-left-join-left", "orders-left-join-right", "orders-left-join-unmatched", "kept-left", "kept-right",
    ]  # fmt: skip
    assert app.topology.unnamed_stateful == ("orders-left-join",)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({}, "step 'join' joins two streams, and must know how far apart two records may lie: add within="),
        ({"within": ("10ms", "-11ms")}, "10 ms before and -11 ms after there is no time at all"),
        ({"within": "-1ms"}, "there is no time at all"),
        ({"within": ("1ms",)}, "write a duration or \\(before, after\\)"),
        ({"within": "1s", "grace": "-1s"}, "a grace of -1000 ms is negative"),
    ],
)
def test_bad_bounds_are_refused_when_the_graph_is_built(how: Any, message: str) -> None:
    app = App("wrong")
    left: Any = app.stream("left", key=str, value=str)
    with pytest.raises(TopologyError, match=message):
        left.join(app.stream("right", key=str, value=str), _pair, value=str, **how)


def test_topics_whose_keys_must_meet_need_equal_partition_counts() -> None:
    join = Joined("join")
    with pytest.raises(TopologyError, match=r"left.*right|right.*left"):
        plan(join.app.topology, "joined", {"left": 3, "right": 4, "out": 1})


def test_keys_of_two_types_and_values_of_no_type_are_refused() -> None:
    app = App("wrong")
    left: Any = app.stream("left", key=str, value=str)
    with pytest.raises(TopologyError, match="keyed by string with a stream keyed by int64"):
        left.join(app.stream("ints", key=int, value=str), _pair, within="1s")
    unknown = app.stream("right", key=str, value=str).map_values(lambda v: v)
    with pytest.raises(TopologyError, match="values must be kept, but their type is not known"):
        left.join(unknown, _pair, within="1s")


def test_words_for_streams_are_refused_for_tables_and_the_other_way_round() -> None:
    app = App("wrong")
    left: Any = app.stream("left", key=str, value=str)
    table = app.table("table", key=str, value=str)
    with pytest.raises(TopologyError, match="takes no within="):
        left.join(table, _pair, within="1s", value=str)
    with pytest.raises(TopologyError, match="has no outer join with a table"):
        left.outer_join(table, _pair, within="1s", value=str)
    with pytest.raises(TopologyError, match="not str"):
        left.join("right", _pair, within="1s", value=str)
    with pytest.raises(TopologyError, match="two apps"):
        left.join(App("other").stream("right", key=str, value=str), _pair, within="1s", value=str)
