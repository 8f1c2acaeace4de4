"""Reads raw bytes and skips records that do not decode, doubling the numbers of the others."""

from __future__ import annotations

import struct
from typing import Any

from streamflow import App


def build() -> App:
    def doubled(key: bytes | None, value: bytes) -> list[tuple[Any, int]]:
        try:
            return [(None if key is None else key.decode(), 2 * struct.unpack(">q", value)[0])]
        except (UnicodeDecodeError, struct.error):
            return []

    app = App("corrupted")
    app.stream("inputTopic").flat_map(doubled, key=str, value=int).to("outputTopic")
    return app


app = build()
