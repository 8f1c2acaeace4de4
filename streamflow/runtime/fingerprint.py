"""What the stores of a task keep, in words, beside their data: a script that cannot read old state is refused.

The text of every store (`SubTopology.fingerprints`) stands as one JSON object in each meta record, in the base and
in the changelog. Stores are compared one by one, so a store that came or went is no change, nor is a step without one.
"""

from __future__ import annotations

import msgspec

from streamflow.errors import StreamflowError
from streamflow.plan import SubTopology
from streamflow.state.meta import Meta


def written(sub: SubTopology) -> str:
    """The fingerprints of a sub-topology as a meta record has them.

    >>> read('{"counts":"key_value str -> int64"}')
    {'counts': 'key_value str -> int64'}
    """
    return msgspec.json.encode(dict(sorted(sub.fingerprints.items()))).decode()


def read(text: str) -> dict[str, str]:
    """The inverse; nothing where there is none."""
    try:
        return msgspec.json.decode(text, type=dict[str, str])
    except msgspec.DecodeError:
        return {}


def refuse_change(sub: SubTopology, meta: Meta | None) -> None:
    """Raise `StreamflowError` when a store of ``sub`` was written as something else than the script says now."""
    if meta is None or not meta.fingerprint:
        return
    was = read(meta.fingerprint)
    for store, now in sub.fingerprints.items():
        before = was.get(store, now)
        if before != now:
            raise StreamflowError(
                f"the state of step {_step(sub, store)!r} (store {store!r}) was written as [{before}], and the script "
                f"now says [{now}]; give the step another name= to begin it anew beside the old one, or run "
                "`streamflow reset` to lose what was kept"
            )


def _step(sub: SubTopology, store: str) -> str:
    """The step that keeps a store: the first that is connected to it and keeps a table, else the first at all."""
    near = [step for step in sub.steps if store in getattr(step.meaning, "stores", ())]
    return next((step.name for step in near if step.table), near[0].name if near else store)
