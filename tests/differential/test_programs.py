"""Programs made up at random do, record by record, what the plain definitions of their steps say.

500 of them here; ``make programs`` runs 50,000, or another number: ``make programs PROGRAMS=1000``.
"""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, assume, example, given, note, settings
from hypothesis import strategies as st

from streamflow.testing import TopologyTestDriver
from tests.differential.plainly import Plainly
from tests.differential.programs import WORDS, Step, declare

CASES = int(os.environ.get("STREAMFLOW_PROGRAMS", "500"))
KEYS = ["a", "b", "x", "y", "a\x00"]
PLAIN = (0, 0, 0)
LOOSE_CHILDREN = ("table_map_values", "table_filter", "table_inner", "table_left", "table_outer", "window_map_W")


@st.composite
def programs(draw: st.DrawFn) -> list[Step]:
    """Up to four topics and six steps, each of which takes what is there."""
    tables = draw(st.integers(0, 2))
    program = [Step("stream", (), (0, 0, 0))] * draw(st.integers(0 if tables else 1, 2))
    program += [Step("table", (), (0, 0, 0))] * tables
    kinds = ["S" if step.word == "stream" else "T" for step in program]
    loose = [False] * len(program)
    for _ in range(draw(st.integers(1, 6))):
        can = [name for name, word in WORDS.items() if _fits(name, word.takes, kinds, loose)]
        name = draw(st.sampled_from(can))
        word = WORDS[name]
        parents = tuple(
            draw(st.sampled_from([n for n, k in enumerate(kinds) if k == kind and _may(name, loose[n])]))
            for kind in word.takes
        )
        chance = draw(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)))
        program.append(Step(name, parents, chance))
        kinds.append(word.gives)
        loose.append(word.loose or any(loose[parent] for parent in parents))
    return program


def _may(name: str, loose: bool) -> bool:
    return not loose or name in LOOSE_CHILDREN


def _fits(name: str, takes: str, kinds: list[str], loose: list[bool]) -> bool:
    return all(any(k == kind and _may(name, loose[n]) for n, k in enumerate(kinds)) for kind in takes)


inputs = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.one_of(st.sampled_from(KEYS), st.sampled_from([*KEYS, None])),
        st.one_of(st.integers(0, 20), st.sampled_from([None, 3, -1])),
        st.one_of(st.integers(0, 60), st.integers(0, 300)),
        st.sampled_from(["", "", "", "", "", "crash"]),
    ),
    max_size=25,
)


@settings(
    max_examples=CASES,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@example(  # a row goes from both sides of a join, from one of them later
    [Step("table", (), PLAIN), Step("foreign_inner", (0, 0), PLAIN), Step("table_inner", (0, 1), PLAIN)],
    [(0, "a", 0, 0, ""), (0, "y", 1, 0, ""), (0, "y", None, 0, "")],
    "memory",
    "none",
)
@given(programs(), inputs, st.sampled_from(["memory", "memory", "memory", "rocksdb"]), st.sampled_from(["none", "all"]))
def test_a_program_does_what_its_definitions_say(
    program: list[Step], records: list[Any], stores: Any, optimize: str
) -> None:
    note("\n".join(f"{number}: {step}" for number, step in enumerate(program)))
    defined = Plainly(program)
    topics = [number for number, step in enumerate(program) if step.word in ("stream", "table")]
    with TopologyTestDriver(declare(program, optimize=optimize), stores=stores) as driver:
        used = {number for number in topics if f"n{number}" in driver.plan.partitions}
        for topic, key, value, at, then in records:
            number = topics[topic % len(topics)]
            if number not in used:
                continue
            defined.pipe(number, (key, value, at))
            driver.input_topic(f"n{number}").pipe(key, value, at)
            if then:
                driver.crash()
        assume(not (defined.crowded and optimize == "all" and _shares_topics(program, driver)))
        for number, step in enumerate(program):
            if number in topics:
                continue
            found = [(r.key, r.value, r.timestamp) for r in driver.output_topic(f"out{number}").read_records()]
            wanted = defined.said(number)
            if _loose(program, step):
                assert _rows(found) == _rows(wanted), f"step {number}, {step}"
            else:
                assert found == wanted, f"step {number}, {step}"


def _shares_topics(program: list[Step], driver: TopologyTestDriver) -> bool:
    """Whether steps that would have repartition topics of their own share one."""

    def repartitions(driver: TopologyTestDriver) -> int:
        return sum(topic.endswith("-repartition") for topic in driver.plan.partitions)

    with TopologyTestDriver(declare(program, optimize="none"), stores="memory") as apart:
        return repartitions(driver) < repartitions(apart)


def _loose(program: list[Step], step: Step) -> bool:
    if step.word in ("stream", "table"):
        return False
    return WORDS[step.word].loose or any(_loose(program, program[parent]) for parent in step.parents)


def _rows(said: list[Any]) -> dict[Any, Any]:
    """What is there in the end."""
    return {key: value for key, value in {key: value for key, value, _ in said}.items() if value is not None}
