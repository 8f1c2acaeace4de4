"""What the members of a group tell each other through Kafka's coordinator, and how their leader shares out the tasks.

    told   member -> leader    in JoinGroup: what it can run, has on disk, holds, and was meant to have
    given  leader -> member    in SyncGroup: what it should have, and what of that nobody else holds

The broker passes both on and reads neither. Pure: no clock, no connection. A member holds on to a task that moves
away from it until it has closed it; it then joins again without it, and that generation gives it free to its next
owner. So a task that does not move is not touched, and nobody stops for a rebalance.

Format: version byte, then deflated MessagePack arrays. Fields are only ever added at the end, with a default; a change
that older members cannot live with wants another `PROTOCOL`, which the coordinator does not mix with this one.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec

from streamflow.log.assign import MemberState
from streamflow.log.standby import WARM, share

PROTOCOL = "streamflow-1"
PROTOCOL_TYPE = "streamflow"  # not "consumer": the broker lets offsets of topics expire that such a group does not name

_VERSION = b"\x01"


class Told(msgspec.Struct, array_like=True, frozen=True):
    """What a member tells.

    ``tasks`` is what it can run, with weights; ``state`` the position of what lies on its disk; ``holds`` what it
    claimed and did not let go. ``meant`` is what it was to have in ``generation``, the last one it knows: the memory
    of the group, for leaders come and go. ``overdue`` are tasks whose holder had its time to let go. ``wanted`` is how
    many standbys the tasks with state are to have, ``home`` where this member's state lies, ``warm`` which of those
    it ``follows`` are warm.
    """

    id: str
    address: str = ""
    tasks: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    state: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    holds: list[str] = msgspec.field(default_factory=list[str])
    meant: list[str] = msgspec.field(default_factory=list[str])
    generation: int = -1
    overdue: list[str] = msgspec.field(default_factory=list[str])
    wanted: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    home: str = ""
    warm: list[str] = msgspec.field(default_factory=list[str])
    follows: list[str] = msgspec.field(default_factory=list[str])


class Given(msgspec.Struct, array_like=True, frozen=True):
    """What a member is given.

    ``free`` is the part of ``tasks`` that no other member holds; ``holds`` is that and what it still has to let go of;
    ``passed`` what it took too long to let go of. ``moving`` says that some task of the group waits to change hands,
    so that another generation is near. ``standbys`` are to be followed; the ``warming`` of them come to this member as
    soon as it says that they are warm. ``belongs`` is what it is to have in the end, to be told again next time.
    """

    tasks: list[str] = msgspec.field(default_factory=list[str])
    free: list[str] = msgspec.field(default_factory=list[str])
    holds: list[str] = msgspec.field(default_factory=list[str])
    passed: list[str] = msgspec.field(default_factory=list[str])
    moving: bool = False
    standbys: list[str] = msgspec.field(default_factory=list[str])
    warming: list[str] = msgspec.field(default_factory=list[str])
    belongs: list[str] = msgspec.field(default_factory=list[str])


_Kind = TypeVar("_Kind", Told, Given)


def encode(data: Told | Given) -> bytes:
    """As it goes over the wire."""
    return _VERSION + zlib.compress(msgspec.msgpack.encode(data), 1)


def decode(data: bytes, kind: type[_Kind]) -> _Kind:
    """Raises `ValueError` for what is of no streamflow this one knows."""
    if data[:1] != _VERSION:
        raise ValueError(f"format {data[:1].hex() or 'empty'}, known is {_VERSION.hex()}")
    try:
        return msgspec.msgpack.decode(zlib.decompress(data[1:]), type=kind)
    except (zlib.error, msgspec.DecodeError) as error:
        raise ValueError(str(error)) from error


def share_out(members: Mapping[str, Told]) -> dict[str, Given]:
    """What each member is given, by the coordinator's name of it.

    >>> share_out({"m": Told("m", tasks={"t_0": 1}), "n": Told("n", tasks={"t_0": 1}, holds=["t_0"])})["n"].free
    ['t_0']
    """
    tasks = _greatest(told.tasks for told in members.values())
    holders = _by_task({name: told.holds for name, told in members.items()})
    one_holder = {task: min(names) for task, names in holders.items()}
    last = _last_target(members)
    # Sticky to the last target, not to the holders: a move that is under way goes on instead of turning back.
    stays = {task: last.get(task) or one_holder.get(task, "") for task in tasks}
    states = [_state(name, told, stays) for name, told in members.items()]
    shares = share(tasks, states, one_holder, _greatest(told.wanted for told in members.values()))
    target = shares.runs
    overdue = {task for name, told in members.items() for task in told.overdue if target.get(task) == name}
    had = {task for task, to in target.items() if task in overdue or to in holders.get(task, ())}
    awaited = {task for task in target if task in holders and task not in had}
    given: dict[str, Given] = {}
    for name, told in members.items():
        mine = sorted(task for task, to in target.items() if to == name)
        free = [task for task in mine if task not in awaited]
        passed = sorted(task for task in told.holds if task in had and target[task] != name)
        given[name] = Given(
            tasks=mine,
            free=free,
            holds=sorted((set(free) | set(told.holds)) - set(passed)),
            passed=passed,
            moving=bool(awaited),
            standbys=sorted(shares.copies_of(name)),
            warming=sorted(shares.warming(name)),
            belongs=sorted(task for task, to in shares.home.items() if to == name),
        )
    return given


def _greatest(tables: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The greatest number that any member told for each task."""
    found: dict[str, int] = {}
    for table in tables:
        for task, number in table.items():
            found[task] = max(number, found.get(task, 0))
    return found


def _last_target(members: Mapping[str, Told]) -> dict[str, str]:
    """Who was to have each task, by the newest generation that any member remembers of it."""
    last: dict[str, str] = {}
    for name, told in sorted(members.items(), key=lambda member: (member[1].generation, member[0])):
        last.update(dict.fromkeys(told.meant, name))
    return last


def _by_task(tasks: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, its in tasks.items():
        for task in its:
            found.setdefault(task, set()).add(name)
    return found


def _state(name: str, told: Told, stays: Mapping[str, str]) -> MemberState:
    return MemberState(
        name,
        holds=frozenset(task for task, at in stays.items() if at == name),
        state=told.state | dict.fromkeys(told.warm, WARM),
        tasks=frozenset(told.tasks),
        warm=frozenset(told.warm),
        follows=frozenset(told.follows),
        home=told.home,
    )
