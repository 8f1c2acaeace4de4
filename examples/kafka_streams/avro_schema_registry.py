"""Upper-cases one field of Avro records whose schema lives in a schema registry.

``SCHEMA_REGISTRY_URL`` says where; without one the values are bare Avro.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from streamflow import App, serdes


@dataclass
class MyRecord:
    my_string: str


def build(registry: str | None = os.environ.get("SCHEMA_REGISTRY_URL")) -> App:
    app = App("upper-case")
    record = serdes.avro(MyRecord, registry=registry, namespace="io.confluent.developer.avro")
    (
        app.stream("input", key=str, value=record)
        .map_values(lambda found: MyRecord(found.my_string.upper()), value=record)
        .to("output")
    )
    return app


app = build()
