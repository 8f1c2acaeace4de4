"""Sums login time per user in a store; a stream-time timer reports the user with the largest sum, a wall-clock
timer sets all sums to zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from streamflow import App, serdes
from streamflow.processor import KeyValueStore, Processor, ProcessorContext, Record

TIMES = "logintime-store"


@dataclass
class Login:
    logInTime: int
    userId: str
    appId: str


class MaxLoginTime(Processor[str, Login, str, int]):
    def init(self, context: ProcessorContext[str, int]) -> None:
        self.context = context
        self.times: Any = context.store(TIMES)
        context.schedule("5s", "stream_time", self.tell)
        context.schedule("20s", "wall_clock", self.begin_anew)

    def process(self, record: Record[str, Login]) -> None:
        before: int | None = self.times.put_if_absent(record.key, record.value.logInTime)
        if before is not None:
            self.times.put(record.key, before + record.value.logInTime)

    def tell(self, timestamp: int) -> None:
        rows: list[tuple[str, int]] = list(self.times.all())
        if rows:
            user, time = max(rows, key=lambda row: row[1])
            at = datetime.fromtimestamp(timestamp / 1000, UTC)
            self.context.forward(Record(f"{user} @{at:%a %b %d %H:%M:%S} UTC {at:%Y}", time, timestamp))

    def begin_anew(self, timestamp: int) -> None:
        for user, _ in list(self.times.all()):
            self.times.put(user, 0)


def build() -> App:
    app = App("punctuation")
    app.add_store(KeyValueStore(TIMES, key=str, value=serdes.int32, kind="memory"))
    logins = app.stream("punctuation-input", key=str, value=Login)
    told = logins.process(MaxLoginTime, stores=[TIMES], key=str, value=serdes.int32, name="max-login-time-transformer")
    told.to("punctuation-output")
    return app


app = build()
