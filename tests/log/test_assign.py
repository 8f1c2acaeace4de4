"""Assignment: all tasks, balanced, sticky, and the same for whoever computes it."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from streamflow.log.assign import MemberState, assign

NAMES = st.integers(0, 30).map("t_{}".format)
TASKS = st.sets(NAMES)
WEIGHTED = st.dictionaries(NAMES, st.integers(1, 9))
SUBS = st.dictionaries(st.sampled_from("uvwx"), st.tuples(st.integers(1, 9), st.integers(1, 5)))
"""Sub-topology -> its partitions and the weight of a task."""
MEMBERS = st.lists(st.integers(0, 9).map("m_{}".format), min_size=1, max_size=8, unique=True)


@st.composite
def states(draw: st.DrawFn, ids: list[str], tasks: set[str]) -> list[MemberState]:
    """Members that hold some of the tasks, each task held once, and have state of others."""
    held = draw(st.dictionaries(st.sampled_from(sorted(tasks)), st.sampled_from(ids)) if tasks else st.just({}))
    state = st.dictionaries(st.sampled_from(sorted(tasks)), st.integers(0, 5)) if tasks else st.just({})
    return [MemberState(id, frozenset(t for t, m in held.items() if m == id), draw(state)) for id in ids]


def partitions_of(subs: dict[str, tuple[int, int]]) -> dict[str, int]:
    return {f"{sub}_{p}": weight for sub, (count, weight) in subs.items() for p in range(count)}


def kind(task: str) -> str:
    return task.rpartition("_")[0]


def loads(tasks: dict[str, int], members: list[MemberState], given_: dict[str, str]) -> dict[str, int]:
    found = dict.fromkeys((member.id for member in members), 0)
    for task, id in given_.items():
        found[id] += tasks[task]
    return found


@given(st.data(), TASKS, MEMBERS)
def test_equal_tasks_are_all_assigned_and_counts_differ_by_one_at_most(
    data: st.DataObject, names: set[str], ids: list[str]
) -> None:
    tasks = dict.fromkeys(names, 1)
    members = data.draw(states(ids, names))

    found = assign(tasks, members)

    assert found.keys() == tasks.keys()
    counts = loads(tasks, members, found).values()
    assert max(counts) - min(counts) <= 1


@given(st.data(), SUBS, MEMBERS)
def test_the_partitions_of_each_sub_topology_are_spread_evenly(
    data: st.DataObject, subs: dict[str, tuple[int, int]], ids: list[str]
) -> None:
    tasks = partitions_of(subs)
    found = assign(tasks, data.draw(states(ids, set(tasks))))

    assert found.keys() == tasks.keys()
    for sub in subs:
        counts = [sum(found[task] == id for task in tasks if kind(task) == sub) for id in ids]
        assert max(counts) - min(counts) <= 1


@given(st.data(), SUBS, MEMBERS)
def test_no_move_that_keeps_sub_topologies_even_would_balance_weights_better(
    data: st.DataObject, subs: dict[str, tuple[int, int]], ids: list[str]
) -> None:
    tasks = partitions_of(subs)
    members = data.draw(states(ids, set(tasks)))
    found = assign(tasks, members)
    load = loads(tasks, members, found)
    has = Counter((id, kind(task)) for task, id in found.items())
    for task, id in found.items():
        for other in load:
            if has[other, kind(task)] < has[id, kind(task)]:
                assert load[id] - load[other] <= tasks[task]


@given(st.data(), SUBS, MEMBERS)
def test_what_is_assigned_stays_when_nothing_changes_whatever_the_sub_topologies(
    data: st.DataObject, subs: dict[str, tuple[int, int]], ids: list[str]
) -> None:
    tasks = partitions_of(subs)
    first = assign(tasks, data.draw(states(ids, set(tasks))))
    again = [MemberState(id, frozenset(task for task, at in first.items() if at == id)) for id in ids]

    assert assign(tasks, again) == first


def test_a_light_and_a_heavy_sub_topology_are_each_shared_by_two() -> None:
    tasks = partitions_of({"light": (4, 1), "heavy": (4, 2)})
    alone = assign(tasks, [MemberState("a")])
    found = assign(tasks, [MemberState("a", frozenset(alone)), MemberState("b")])
    assert Counter((id, kind(task)) for task, id in found.items()) == {
        (id, sub): 2 for id in "ab" for sub in ("light", "heavy")
    }


@given(st.data(), WEIGHTED, MEMBERS)
def test_everybody_computes_the_same(data: st.DataObject, tasks: dict[str, int], ids: list[str]) -> None:
    members = data.draw(states(ids, set(tasks)))
    shuffled = data.draw(st.permutations(members))
    again = dict(data.draw(st.permutations(sorted(tasks.items()))))

    assert assign(tasks, members) == assign(again, shuffled)


@given(st.data(), WEIGHTED, MEMBERS)
def test_what_is_assigned_stays_when_nothing_changes(
    data: st.DataObject, tasks: dict[str, int], ids: list[str]
) -> None:
    first = assign(tasks, data.draw(states(ids, set(tasks))))
    again = [MemberState(id, frozenset(task for task, at in first.items() if at == id)) for id in ids]

    assert assign(tasks, again) == first


@given(st.data(), TASKS, MEMBERS)
def test_when_a_member_goes_only_its_tasks_move(data: st.DataObject, names: set[str], ids: list[str]) -> None:
    tasks = dict.fromkeys(names, 1)
    first = assign(tasks, [MemberState(id) for id in ids])
    rest = [MemberState(id, frozenset(t for t, at in first.items() if at == id)) for id in ids[1:]]

    second = assign(tasks, rest)

    assert all(second[task] == id for task, id in first.items() if id != ids[0] and rest)


@given(TASKS, MEMBERS)
def test_when_a_member_comes_no_more_move_than_it_gets(names: set[str], ids: list[str]) -> None:
    tasks = dict.fromkeys(names, 1)
    first = assign(tasks, [MemberState(id) for id in ids])
    held = [MemberState(id, frozenset(t for t, at in first.items() if at == id)) for id in ids]

    second = assign(tasks, [*held, MemberState("new")])

    moved = {task for task in tasks if second[task] != first[task]}
    assert {second[task] for task in moved} <= {"new"}
    assert len(moved) == Counter(second.values())["new"]


@given(st.data(), WEIGHTED, MEMBERS)
def test_a_task_goes_only_to_who_can_run_it(data: st.DataObject, tasks: dict[str, int], ids: list[str]) -> None:
    some = st.sets(st.sampled_from(sorted(tasks))) if tasks else st.just(set[str]())
    members = [MemberState(id, tasks=frozenset(data.draw(some))) for id in ids]
    known = frozenset[str]().union(*(member.tasks or frozenset() for member in members))

    found = assign(tasks, members)

    assert found.keys() == known
    assert all(
        member.tasks is not None and t in member.tasks
        for t, id in found.items()
        for member in members
        if member.id == id
    )


def test_the_freshest_state_wins_where_loads_allow() -> None:
    members = [MemberState("a", state={"t": 5}), MemberState("b", state={"t": 9}), MemberState("c")]
    assert assign({"t": 1}, members) == {"t": "b"}


def test_a_member_that_comes_back_gets_the_tasks_it_has_state_of() -> None:
    tasks = {f"t_{n}": 1 for n in range(6)}
    alone = MemberState("a", frozenset(tasks), dict.fromkeys(tasks, 3))
    back = MemberState("b", state={"t_1": 7, "t_3": 7, "t_4": 7})
    found = assign(tasks, [alone, back])
    assert {task for task, id in found.items() if id == "b"} == {"t_1", "t_3", "t_4"}


def test_nobody_gets_nothing() -> None:
    assert assign({"t": 1}, []) == {}
    assert assign({}, [MemberState("a")]) == {}
