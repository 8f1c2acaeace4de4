"""Sizes that are large for speed, made small for a run, so that few records meet every boundary."""

from __future__ import annotations

import random
from collections.abc import Generator
from contextlib import contextmanager
from types import ModuleType

from streamflow.runtime import recovery, worker
from streamflow.state import store

KNOBS: tuple[tuple[ModuleType, str, tuple[int, ...]], ...] = (
    (worker, "SLICE", (1, 7, 2_000)),
    (worker, "FETCH_BYTES", (1, 400, 4 << 20)),
    (recovery, "RESTORE_BYTES", (1, 400, 4 << 20)),
    (store, "BATCH_ROWS", (1, 3, 20_000)),
)


@contextmanager
def tuned(rng: random.Random) -> Generator[dict[str, int], None, None]:
    """Each size drawn from the seed; as it was afterwards."""
    before = [(module, name, getattr(module, name)) for module, name, _ in KNOBS]
    drawn: dict[str, int] = {}
    for module, name, choices in KNOBS:
        if not hasattr(module, name):
            raise AttributeError(f"{module.__name__} has no {name} any more")
        drawn[name] = rng.choice(choices)
        setattr(module, name, drawn[name])
    try:
        yield drawn
    finally:
        for module, name, value in before:
            setattr(module, name, value)
