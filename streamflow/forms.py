"""Which keys and values are decoded, and which stay the bytes they came as.

Settled once per task, before anything runs. Steps that pass a key (or a value)
on unchanged form a *run*, and a whole run has one form: raw if it starts only
at sources, nobody in it looks, and every source, sink and store it touches
writes the same bytes for the same thing (equal names of serdes); decoded
otherwise. So a value that nobody reads is never decoded, and a record that only
moves is copied as it is.

A windowed key is its inner key's bytes and the window's start. Its run is raw
when the inner key's run is raw and nobody looks. The other way round nothing
follows: out of raw inner keys a windowed step can make decoded windowed ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from streamflow.operators.contract import Effect
from streamflow.serdes import Serde
from streamflow.state.spec import StoreSpec
from streamflow.topology import Sink, Source, Step

End = tuple[str, str, str]
"""One end of a step: its name, ``key`` or ``value``, ``in`` or ``out``."""


@dataclass(frozen=True)
class Form:
    """How keys and values come into a step and go out of it.

    ``decode_key`` gives the user's object of an input key, ``encode_key`` its bytes as the step's store writes them.
    """

    key_raw: bool
    value_raw: bool
    key_out_raw: bool
    value_out_raw: bool
    decode_key: Callable[[Any], Any]
    encode_key: Callable[[Any], Any]


@dataclass
class _Run:
    """What is known of one run: ``serdes`` by what tells their bytes (`_tells`), None for a windowed step's own."""

    decoded: bool = False
    serdes: dict[object, Serde[Any] | None] = field(default_factory=dict[object, Serde[Any] | None])

    @property
    def raw(self) -> bool:
        return not self.decoded and len(self.serdes) == 1

    def learn(self, serde: Serde[Any]) -> None:
        if not serde.any_form:
            self.serdes[_tells(serde)] = serde


def settle(steps: Iterable[Step], stores: Iterable[StoreSpec]) -> dict[str, Form]:
    """The form of every step."""
    steps, specs = tuple(steps), {spec.name: spec for spec in stores}
    ends = _Ends()
    known = {step.name for step in steps}
    for step in steps:
        for parent in () if isinstance(step.meaning, Source) else step.parents:
            if parent in known:
                ends.join((parent, "key", "out"), (step.name, "key", "in"))
                ends.join((parent, "value", "out"), (step.name, "value", "in"))
        if not isinstance(step.meaning, Source | Sink):
            for part, effect in (("key", step.meaning.key_effect), ("value", step.meaning.value_effect)):
                if effect is Effect.SAME:
                    ends.join((step.name, part, "in"), (step.name, part, "out"))
    for step in steps:
        _learn(step, specs, ends)
    _settle_windowed(steps, ends)
    return {step.name: _form(step, specs, ends) for step in steps}


class _Ends:
    """Ends of steps, joined into runs (union-find)."""

    def __init__(self) -> None:
        self._joined: dict[End, End] = {}
        self._runs: dict[End, _Run] = {}

    def find(self, end: End) -> End:
        while (above := self._joined.get(end, end)) != end:
            end = above
        return end

    def join(self, a: End, b: End) -> None:
        if (a := self.find(a)) != (b := self.find(b)):
            self._joined[b] = a

    def run(self, step: str, part: str, side: str) -> _Run:
        """The run an end lies in. Join first, then ask."""
        return self._runs.setdefault(self.find((step, part, side)), _Run())


def _learn(step: Step, specs: Mapping[str, StoreSpec], ends: _Ends) -> None:
    """Note what one step says about the runs it touches."""
    meaning, name = step.meaning, step.name
    if isinstance(meaning, Source | Sink):
        side = "out" if isinstance(meaning, Source) else "in"
        key, value = ends.run(name, "key", side), ends.run(name, "value", side)
        key.learn(meaning.key)
        value.learn(meaning.value)
        if isinstance(meaning, Sink) and (callable(meaning.topic) or meaning.partitioner or meaning.headers):
            key.decoded = value.decoded = True
        return
    ends.run(name, "key", "in").decoded |= meaning.reads_key
    ends.run(name, "value", "in").decoded |= meaning.reads_value
    ends.run(name, "key", "out").decoded |= meaning.key_effect is Effect.NEW
    ends.run(name, "value", "out").decoded |= meaning.value_effect is Effect.NEW
    for spec in (specs[store] for store in meaning.stores):
        ends.run(name, "key", "in").learn(spec.key)
        ends.run(name, "value", "out").learn(spec.value)


def _settle_windowed(steps: Iterable[Step], ends: _Ends) -> None:
    """Windowed runs, until nothing changes: a key may be windowed more than once."""
    windowed = [
        (ends.run(step.name, "key", "in"), ends.run(step.name, "key", "out"))
        for step in steps
        if not isinstance(step.meaning, Source | Sink) and step.meaning.key_effect is Effect.WINDOWED
    ]
    changed = True
    while changed:
        changed = False
        for inner, outer in windowed:
            before = outer.decoded, len(outer.serdes)
            if inner.raw:
                outer.serdes.setdefault(f"windowed({next(iter(inner.serdes))})", None)
            else:
                outer.decoded = True
            changed |= before != (outer.decoded, len(outer.serdes))


def _tells(serde: Serde[Any]) -> object:
    """What is equal for serdes that write the same bytes: the name; of one without a name, its function."""
    return serde.serialize if "custom" in serde.name else serde.name


def _form(step: Step, specs: Mapping[str, StoreSpec], ends: _Ends) -> Form:
    name, stores = step.name, () if isinstance(step.meaning, Source | Sink) else step.meaning.stores
    key = ends.run(name, "key", "in")
    (serde,) = key.serdes.values() if key.raw else (None,)
    return Form(
        key_raw=key.raw,
        value_raw=ends.run(name, "value", "in").raw,
        key_out_raw=ends.run(name, "key", "out").raw,
        value_out_raw=ends.run(name, "value", "out").raw,
        decode_key=_itself if serde is None else serde.deserialize,
        encode_key=_itself if key.raw or not stores else specs[stores[0]].key.serialize,
    )


def _itself(key: Any) -> Any:
    return key
