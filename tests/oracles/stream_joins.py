"""The oracle's joins of two streams, and what streamflow answers where the reference has a defect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamflow import App, KStream, serdes
from tests.oracles.otherwise import Otherwise, Rows

KEY_TYPES: dict[str, Any] = {"string": str, "int": serdes.int32, "long": serdes.int64}


def build(app: App, topology: dict[str, Any]) -> None:
    key, sep = KEY_TYPES[topology["key_type"]], topology.get("joiner_sep", "+")
    left: KStream[Any, str] = app.stream("left", key=key, value=str)
    right: KStream[Any, str] = left if topology.get("self") else app.stream("right", key=key, value=str)
    if topology.get("repartition_before"):
        left, right = (side.map(lambda k, v: (k, v), key=key, value=str) for side in (left, right))
    if topology.get("explicit_repartition"):
        left, right = left.repartition(name="left"), right.repartition(name="right")

    def joiner(one: str | None, other: str | None) -> str:
        return f"{_text(one)}{sep}{_text(other)}"

    within = f"{topology['before_ms']}ms", f"{topology['after_ms']}ms"

    def meet(stream: KStream[Any, str]) -> KStream[Any, str]:
        join: Callable[..., KStream[Any, str]] = getattr(stream, _WORDS[topology["join"]])
        return join(right, joiner, within=within, grace=f"{topology['grace_ms']}ms", value=str)

    meeting = meet(left)
    (meet(meeting) if topology.get("twice") else meeting).to("output")


LATE = "3: late records are not dropped (KAFKA-16123)"
TWICE = "2: a row comes out unmatched, and again when it is matched (KAFKA-19536)"


def _nothing(*ranges: range) -> dict[int, Rows]:
    return {step: [] for steps in ranges for step in steps}


DECIDED_OTHERWISE = {
    # Late: ts + 100 + 0 lies before 1104 for 899 to 903, and before 2104 for 1899 to 1903.
    "KStreamKStreamJoinTest.testWindowing": Otherwise(LATE, _nothing(range(28, 48), range(72, 92)), dropped=40),
    # Late: ts + 100 + 0 lies before 1003 for 899 to 902.
    "KStreamKStreamJoinTest.testAsymmetricWindowingBefore": Otherwise(LATE, _nothing(range(4, 20)), dropped=16),
    # Late: 315 + 100 + 10 lies before 1001.
    "KStreamKStreamLeftJoinTest.testLeftJoinDuplicates": Otherwise(LATE, dropped=1),
    # Late: everything behind 1405.
    "KStreamKStreamLeftJoinTest.testWindowing": Otherwise(LATE, _nothing(range(31, 52)), dropped=21),
    "KStreamKStreamOuterJoinTest.testWindowing": Otherwise(LATE, _nothing(range(31, 52)), dropped=21),
    # A0, A1 and A2 have come out already, each when its window (which ends at its own time) was over; A3 has not.
    "KStreamKStreamLeftJoinTest.testLeftJoinedRecordsWithZeroAfterAreEmitted": Otherwise(
        TWICE,
        _nothing(range(4, 7), range(8, 11), range(12, 15), range(16, 19), range(20, 23)),
        dropped=0,
    ),
}
"""Case id -> what is answered instead."""


def _text(value: str | None) -> str:
    return "null" if value is None else value


_WORDS = {"inner": "join", "left": "left_join", "outer": "outer_join"}
