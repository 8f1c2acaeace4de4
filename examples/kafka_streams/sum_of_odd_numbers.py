"""Running sum of the odd numbers."""

from __future__ import annotations

from streamflow import App, serdes


def build() -> App:
    app = App("odd")
    odd = app.stream("numbers-topic", key=serdes.int32, value=serdes.int32).filter(lambda n: n % 2 != 0)
    total = odd.select_key(lambda n: 1, key=serdes.int32).group_by_key().reduce(lambda a, b: a + b, name="sum")
    total.to_stream().to("sum-of-odd-numbers-topic")
    return app


app = build()
