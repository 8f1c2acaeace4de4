"""The checkers notice what they are there for."""

from __future__ import annotations

from .checkers import (
    Gap,
    Seen,
    Windowing,
    differs,
    fold,
    pass_through,
    running_count,
    sessions,
    table_join,
    unique_ids,
    window_counts,
)

IN = [Seen("a", 1), Seen("b", 2), Seen("a", 3)]


def test_pass_through_tells_lost_doubled_and_reordered_apart() -> None:
    assert pass_through(IN, [IN[1], IN[0], IN[2]]) == []  # order between keys is nobody's promise
    assert pass_through(IN, IN[:2]) == ["pass-through: lost 3"]
    assert pass_through(IN, [*IN, IN[1]]) == ["pass-through: too often 2"]
    assert pass_through(IN, IN[::-1]) == ["pass-through: out of order"]


def test_a_running_count_has_no_gap_no_repetition_and_the_right_end() -> None:
    assert running_count(IN, [Seen("a", 1), Seen("b", 1), Seen("a", 2)]) == []
    assert running_count(IN, [Seen("a", 1), Seen("b", 1), Seen("a", 1)])
    assert running_count(IN, [Seen("a", 1), Seen("a", 2)]) == ["running count: wrong at the end for 'b'"]
    assert running_count(IN, [Seen("a", 1), Seen("b", 1), Seen("a", 2), Seen("a", 3)])


def test_an_id_belongs_to_one_value_and_a_value_has_one_id() -> None:
    assert unique_ids("ab", [("a", 1), ("b", 2), ("a", 1)]) == []
    assert unique_ids("ab", [("a", 1), ("b", 1)])
    assert unique_ids("ab", [("a", 1), ("a", 2), ("b", 3)])
    assert unique_ids("ab", [("a", 1)]) == ["ids: no id for 'b'"]


def test_a_window_counts_while_its_end_lies_after_time_less_grace() -> None:
    records = [Seen("a", 0, time) for time in (1, 12, 8, 17, 9)]

    assert window_counts(records, Windowing(size=10, grace=5)) == [
        ("a", 0, 1),
        ("a", 10, 1),
        ("a", 0, 2),  # 12 - 5 < 10: still open
        ("a", 10, 2),
    ]


def test_sessions_meet_in_a_record_between_them_unless_one_is_closed() -> None:
    records = [Seen("a", 0, 0), Seen("a", 1, 16), Seen("a", 2, 10), Seen("b", 3, 100)]

    assert sessions(records[:3], Gap(gap=10, grace=9)) == (
        [(("a", 0, 0), 1), (("a", 16, 16), 1), (("a", 0, 0), None), (("a", 16, 16), None), (("a", 0, 16), 3)],
        [],
    )
    said, final = sessions(records, Gap(gap=10, grace=5))
    assert said[2:] == [(("a", 16, 16), None), (("a", 10, 16), 2), (("b", 100, 100), 1)]
    assert final == [(("a", 0, 0), 1), (("a", 10, 16), 2)]


def test_a_join_asks_the_table_and_keeps_the_streams_time() -> None:
    joined = table_join([Seen("a", 1, 7), Seen("b", 2, 8)], {"a": 5}, lambda value, row: (value, row))

    assert joined == [Seen("a", (1, 5), 7), Seen("b", (2, None), 8)]


def test_a_fold_keeps_the_last_value_and_forgets_the_deleted() -> None:
    assert fold([("a", 1), ("b", 2), ("a", 3), ("b", None)]) == {"a": 3}
    assert fold([("a", None)], {"a": 1, "c": 4}) == {"c": 4}


def test_the_first_difference_is_named() -> None:
    assert differs("x", [1, 2], [1, 2]) == []
    assert differs("x", [1, 2], [1, 3]) == ["x: number 1 is 2, not 3"]
    assert differs("x", [1], [1, 3]) == ["x: 1 instead of 2"]
    assert differs("x", {"a": 1}, {"a": 2}) == ["x: 'a' is 1, not 2"]
