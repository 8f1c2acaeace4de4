"""The last hour in memory, and the settings: told by any worker, and never a secret."""

from __future__ import annotations

from streamflow.http.history import KEPT, STEP_MS, History
from streamflow.http.settings import HIDDEN, told
from streamflow.settings import Settings
from tests.http.world import World


def choose(context: object, error: Exception) -> str:
    return "skip"


def test_an_hour_is_kept_and_no_more() -> None:
    history = History()
    for n in range(KEPT + 10):
        history.note(n * STEP_MS + 3, float(n), n, n)
    assert len(history.points) == KEPT
    assert history.points[-1] == ((KEPT + 9) * STEP_MS, 1.0, KEPT + 9)
    assert [point[0] for point in history.since((KEPT + 8) * STEP_MS)] == [(KEPT + 8) * STEP_MS, (KEPT + 9) * STEP_MS]


def test_a_clock_that_stands_still_adds_no_point() -> None:
    history = History()
    history.note(5_000, 1.0, 1, 0)
    history.note(5_000, 1.0, 2, 0)
    assert not history.points


def test_any_worker_tells_the_hour_of_all_added_up(world: World) -> None:
    histories = [member.server._answers.history for member in world.members]
    for history, rate in zip(histories, (3.0, 4.5), strict=True):
        history.points.appendleft((STEP_MS, rate, 2))
    status, answer = world.run(world.get(f"/history?all=1&since={STEP_MS}", 1))
    assert (status, answer["step_ms"], answer["unreachable"]) == (200, STEP_MS, [])
    assert answer["points"][0] == {"time": STEP_MS, "rate": 7.5, "lag": 4}
    _, mine = world.run(world.get(f"/history?since={STEP_MS}", 1))
    assert mine["points"][0] == {"time": STEP_MS, "rate": 4.5, "lag": 2}


def test_a_point_is_noted_while_a_worker_runs(world: World) -> None:
    history = world.members[0].server._answers.history
    known = history.points[-1] if history.points else None
    world.run(world.until(lambda: bool(history.points) and history.points[-1] != known))


def test_no_secret_is_among_the_settings() -> None:
    given = Settings(broker="kafka://ann:hunter2@host:9092?ca=x", on_process_error=choose)
    entries = {each["name"]: each for each in told(given, http_token="hunter2hunter2hunter2")}
    assert "hunter2" not in repr(entries)
    assert entries["broker"]["value"].startswith("kafka://ann:***@host:9092")
    assert entries["http_token"] == {"name": "http_token", "value": HIDDEN, "default": False}
    assert entries["on_process_error"]["value"] == "tests.http.test_history.choose()"
    assert entries["commit_interval"] == {"name": "commit_interval", "value": "100 ms", "default": True}
    assert entries["max_future"] == {"name": "max_future", "value": None, "default": True}
