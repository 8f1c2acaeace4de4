"""The protocol holds in every variant, and the checks catch every known mistake."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from .mutants import IMMUNE, MUTANTS
from .world import VARIANTS, run

SEEDS = int(os.environ.get("STREAMFLOW_MODEL_SEEDS", "2000"))
ENOUGH_TO_CATCH = 3000
FAULTS = ("kills", "zombies", "hangs", "moves", "power cuts", "Timeout", "FencedError")
KAFKA_FAULTS = (*FAULTS, "expired", "late requests", "Retry", "Refused")


@pytest.mark.parametrize("name", VARIANTS)
def test_no_schedule_violates_the_protocol(name: str) -> None:
    """`python -m tests.model --seed N NAME` shows one of the seeds that fail here."""
    faults: Counter[str] = Counter()
    violated: dict[int, list[str]] = {}
    for seed in range(SEEDS):
        world = run(seed, VARIANTS[name])
        faults.update(world.stats)
        if world.violations:
            violated[seed] = world.violations
    print(f"{name}: seeds 0 to {SEEDS - 1}, {dict(faults)}")

    assert not violated, f"{name}: {len(violated)} of {SEEDS} seeds, first {next(iter(violated.items()))}"
    for fault in FAULTS if name.startswith("embedded") else KAFKA_FAULTS:
        assert faults[fault], f"{fault} never happened"
    assert not VARIANTS[name].old_leaders or faults["old leaders"]
    for event in ("new producer ids", "settled ends") if name.endswith("v2") else ():
        assert faults[event], f"{event}: none"


@pytest.mark.parametrize("name", MUTANTS)
def test_the_mistake_is_caught(name: str) -> None:
    caught = next((seed for seed in range(ENOUGH_TO_CATCH) if run(seed, MUTANTS[name].variant).violations), None)
    print(f"{name}: caught by seed {caught}")

    assert caught is not None, f"{name} survived {ENOUGH_TO_CATCH} seeds of {MUTANTS[name].of}"


@pytest.mark.parametrize("name", IMMUNE)
def test_a_lying_offset_fetch_does_not_hurt_the_recommended_variant(name: str) -> None:
    violated = [seed for seed in range(300) if run(seed, IMMUNE[name].variant).violations]

    assert not violated


def test_the_same_seed_is_the_same_run() -> None:
    for name, variant in VARIANTS.items():
        first, second = run(7, variant), run(7, variant)

        assert first.stats == second.stats, name
        assert first.now == second.now, name
