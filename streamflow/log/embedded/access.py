"""The asynchronous side of the database: every read and write goes through a runner, and a write wakes the readers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Concatenate, ParamSpec, TypeVar

from streamflow.clock import Clock
from streamflow.log.embedded.control import Change, View
from streamflow.log.embedded.database import Database
from streamflow.log.embedded.runner import Runner, ThreadRunner
from streamflow.log.embedded.watch import Watch

T = TypeVar("T")
P = ParamSpec("P")


@dataclass
class Access:
    """What the parts of one open log share.

    Writes, reads and housekeeping have a runner each, so that a reader waits neither for a sync of the disk nor for
    a compaction; in a simulation all three are the same.
    """

    database: Database
    clock: Clock
    entropy: Callable[[int], bytes]
    writing: Runner
    reading: Runner
    cleaning: Runner
    watch: Watch

    async def read(self, work: Callable[Concatenate[View, P], T], *args: P.args, **_: P.kwargs) -> T:
        """``work(view, ...)`` on one committed state."""
        return await self.reading.call(self.database.read, "read", work, *args)

    async def study(self, work: Callable[Concatenate[View, P], T], *args: P.args, **_: P.kwargs) -> T:
        """As `read`, for long work that nobody waits for."""
        return await self.cleaning.call(self.database.read, "clean", work, *args)

    async def close(self) -> None:
        """Close every connection where it is used, the one that writes last."""
        self.watch.close()
        self.database.refuse()
        self.database.leave("watch")
        await self.reading.call(self.database.leave, "read")
        await self.cleaning.call(self.database.leave, "clean")
        await self.writing.call(self.database.close)

    def abandon(self, threads: Sequence[ThreadRunner]) -> None:
        """The same without waiting for anything, as a kill does."""
        self.watch.close()
        self.database.refuse()
        self.database.leave("watch")
        if not threads:
            self.database.abandon()
            return
        write, read, clean = threads
        read.stop(lambda: self.database.leave("read"))
        clean.stop(lambda: self.database.leave("clean"))

        def last() -> None:
            read.join()
            clean.join()
            self.database.abandon()

        write.stop(last)

    async def write(self, work: Callable[Concatenate[Change, P], T], *args: P.args, **_: P.kwargs) -> T:
        """``work(change, ...)`` as one transaction."""
        try:
            return await self.writing.call(self.database.write, work, *args)
        finally:
            self.watch.touch()
