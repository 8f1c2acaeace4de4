"""A log that fails when told to: a thin layer in front of a real one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamflow.errors import LogUnavailable

ASKED = ("topics", "fetch", "offsets", "committed", "delete_records", "commit", "commit_id")
OF_MEMBERS = ("join", "changed", "claim", "release", "confirm")


class Failing:
    """Fails the calls that `fails(name)` says, counts them, and passes everything else on."""

    def __init__(self, real: Any, fails: Callable[[str], BaseException | None], names: tuple[str, ...]) -> None:
        self._real = real
        self._fails = fails
        self._names = names

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name not in self._names:
            return found

        async def call(*args: Any, **options: Any) -> Any:
            if (error := self._fails(name)) is not None:
                raise error
            return await found(*args, **options)

        return call


class FailingLog(Failing):
    """A log whose every call may fail, those of its sessions and memberships too."""

    def __init__(self, real: Any, fails: Callable[[str], BaseException | None]) -> None:
        super().__init__(real, fails, ASKED)

    def membership(self, group: str) -> Any:
        return Failing(self._real.membership(group), self._fails, OF_MEMBERS)

    def session(self, group: str, task: str) -> Any:
        real, fails = self._real.session(group, task), self._fails
        init = real.init

        async def failing() -> None:
            if (error := fails("init")) is not None:
                raise error
            await init()

        real.init = failing
        return real


class EveryNth:
    """Every ``n``-th call of the names fails, the first ``at_first`` ones too; ``happened`` says how often."""

    def __init__(self, names: tuple[str, ...], n: int, at_first: int = 0) -> None:
        self.names = names
        self.n = n
        self.at_first = at_first
        self.calls = 0
        self.happened = 0

    def __call__(self, name: str) -> BaseException | None:
        if name not in self.names:
            return None
        self.calls += 1
        if self.calls > self.at_first and self.calls % self.n:
            return None
        self.happened += 1
        return LogUnavailable(f"a fault of the test at {name}")
