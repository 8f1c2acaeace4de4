"""Avro, Protobuf and JSON Schema under a real registry: framing, subjects, evolution, refusals, a registry that is away."""

from __future__ import annotations

import datetime
import enum
import json
import socket
import urllib.request
import uuid
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypedDict

import msgspec
import pytest

from examples.kafka_streams import avro_schema_registry, avro_to_protobuf
from streamflow import App, TopologyError, serdes
from streamflow.errors import SerdeError
from streamflow.serdes import RegistryUnavailable, SchemaRegistry, for_topic
from streamflow.testing import TopologyTestDriver

from .messages import Item, Nested, Order


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


@dataclass
class Place:
    city: str
    at: datetime.datetime


@dataclass
class Parcel:
    id: uuid.UUID
    to: Place
    size: Size
    weight: float
    tags: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    back_to: Place | None = None
    sealed: bool = True


def parcel() -> Parcel:
    place = Place("Oslo", datetime.datetime(2024, 2, 29, 12, 30, 1, 5, tzinfo=datetime.UTC))
    return Parcel(uuid.UUID(int=7), place, Size.LARGE, 1.5, ["a"], {"x": 2}, place, False)


def asked(url: str, path: str) -> Any:
    with urllib.request.urlopen(url + path) as answer:
        return json.load(answer)


def topics(url: str) -> list[str]:
    return list(asked(url, "/subjects"))


class Tuple(NamedTuple):
    a: int
    b: str | None = None


class Dictionary(TypedDict):
    a: int


class Struct(msgspec.Struct):
    a: int
    b: bytes = b""


@pytest.mark.parametrize(
    ("of", "value"),
    [
        (Parcel, parcel()),
        (Tuple, Tuple(1, "x")),
        (Dictionary, {"a": 1}),
        (Struct, Struct(1, b"\x00\xff")),
        (list[int], [1, 2]),
        (str, "text"),
    ],
    ids=["dataclass", "NamedTuple", "TypedDict", "Struct", "list", "str"],
)
def test_avro_gives_a_value_of_any_type_back(registry_url: str, of: Any, value: Any) -> None:
    for registry in (None, registry_url):
        serde = for_topic(serdes.avro(of, registry=registry), f"back-{of}".replace("'", ""), "value")
        assert serde.deserialize(serde.serialize(value)) == value


def test_a_value_stands_behind_a_zero_and_the_id_that_its_subject_has(registry_url: str) -> None:
    serde = for_topic(serdes.avro(Place, registry=registry_url, namespace="com.shop"), "framed", "value")

    data = serde.serialize(Place("Oslo", datetime.datetime.now(datetime.UTC)))

    newest = asked(registry_url, "/subjects/framed-value/versions/latest")
    assert data is not None and data[0] == 0 and int.from_bytes(data[1:5], "big") == newest["id"]
    assert json.loads(newest["schema"])["namespace"] == "com.shop"


@pytest.mark.parametrize(
    ("naming", "subject"),
    [
        ("topic", "named-key"),
        ("record", "com.shop.Place"),
        ("topic_record", "named-com.shop.Place"),
        (lambda topic, role, record: f"mine.{topic}.{role}.{record}", "mine.named.key.com.shop.Place"),
    ],
)
def test_a_schema_stands_under_the_subject_that_was_chosen(registry_url: str, naming: Any, subject: str) -> None:
    registry = SchemaRegistry(registry_url, subject=naming)
    serde = for_topic(serdes.avro(Place, registry=registry, namespace="com.shop"), "named", "key")

    serde.serialize(Place("Oslo", datetime.datetime.now(datetime.UTC)))

    assert subject in topics(registry_url)


def test_old_values_are_read_with_the_defaults_of_new_fields_and_without_the_fields_that_went(
    registry_url: str,
) -> None:
    @dataclass
    class Customer:
        name: str
        age: int

    old = for_topic(serdes.avro(Customer, registry=SchemaRegistry(registry_url)), "evolving", "value")
    written = old.serialize(Customer("Ada", 36))

    @dataclass
    class Customer:  # type: ignore[no-redef]
        name: str
        region: str | None = None
        points: int = 5

    new = for_topic(serdes.avro(Customer, registry=SchemaRegistry(registry_url)), "evolving", "value")

    assert new.deserialize(written) == Customer("Ada", None, 5)


def test_a_schema_that_cannot_read_the_old_one_is_refused_before_anything_runs(registry_url: str) -> None:
    request = urllib.request.Request(
        f"{registry_url}/config/strict-value",
        method="PUT",
        data=b'{"compatibility":"BACKWARD"}',
        headers={"Content-Type": "application/json"},
    )
    text = {"type": "record", "name": "R", "fields": [{"name": "x", "type": "string"}]}
    number = {"type": "record", "name": "R", "fields": [{"name": "x", "type": "long"}]}
    for_topic(serdes.avro(text, registry=registry_url), "strict", "value").serialize({"x": "a"})
    urllib.request.urlopen(request).close()
    serde = for_topic(serdes.avro(number, registry=SchemaRegistry(registry_url)), "strict", "value")

    with pytest.raises(SerdeError, match=r"(?s)refused strict-value with 409: .*ncompatible"):
        assert serde.ready is not None
        serde.ready()


def test_without_auto_register_only_schemas_that_are_there_are_written(registry_url: str) -> None:
    careful = SchemaRegistry(registry_url, auto_register=False)
    serde = for_topic(serdes.avro(Place, registry=careful), "owned", "value")
    place = Place("Oslo", datetime.datetime.now(datetime.UTC))
    with pytest.raises(SerdeError, match=r"refused owned-value with 404"):
        serde.serialize(place)

    for_topic(serdes.avro(Place, registry=SchemaRegistry(registry_url)), "owned", "value").serialize(place)

    assert serde.deserialize(serde.serialize(place)) == place


def test_json_schema_is_registered_and_values_are_checked_by_their_type(registry_url: str) -> None:
    serde = for_topic(serdes.json_schema(Parcel, registry=registry_url), "parcels-json", "value")

    data = serde.serialize(parcel())

    assert serde.deserialize(data) == parcel()
    newest = asked(registry_url, "/subjects/parcels-json-value/versions/latest")
    assert newest["schemaType"] == "JSON"
    assert json.loads(newest["schema"])["properties"].keys() >= {"id", "to", "weight"}
    with pytest.raises(SerdeError, match="weight"):
        serde.deserialize((data or b"").replace(b"1.5", b'"1"'))


def test_protobuf_messages_come_back_with_their_imports_registered(registry_url: str) -> None:
    serde = for_topic(serdes.protobuf(Order, registry=registry_url), "orders-proto", "value")
    order = Order(id=7, items=[Item(name="tea", count=2)])

    data = serde.serialize(order)

    assert data is not None and data[5] == 0  # the first message of its file
    assert serde.deserialize(data) == order
    assert "items.proto" in topics(registry_url)


def test_a_message_within_a_message_is_told_by_its_indexes(registry_url: str) -> None:
    serde = for_topic(serdes.protobuf(Nested, registry=registry_url), "nested-proto", "value")

    data = serde.serialize(Nested(text="x"))

    assert data is not None and data[5:8] == bytes([4, 2, 0])  # two indexes: the second message, its first
    assert serde.deserialize(data) == Nested(text="x")


@pytest.mark.parametrize("stores", ["memory", "rocksdb"])
def test_a_topology_reads_counts_and_writes_under_a_registry(registry_url: str, stores: Any) -> None:
    app = App(f"registered-{stores}")
    places = app.stream(f"places-{stores}", key=str, value=serdes.avro(Place, registry=registry_url))
    newest = places.group_by(lambda place: place.city, key=serdes.avro(str, registry=registry_url)).reduce(
        lambda one, other: max(one, other, key=lambda place: place.at), name="newest"
    )
    newest.to_stream().to(f"newest-{stores}")
    early, late = (Place("Oslo", datetime.datetime(2024, 1, day, tzinfo=datetime.UTC)) for day in (1, 2))

    with TopologyTestDriver(app, partitions=2, stores=stores) as driver:
        driver.input_topic(f"places-{stores}").pipe_many([("a", late, 1), ("b", early, 2)])
        driver.crash()
        found = driver.output_topic(f"newest-{stores}").read_key_values()
        assert driver.store("newest").get("Oslo") == late

    assert found == [("Oslo", late), ("Oslo", late)]
    subjects = topics(registry_url)
    assert {f"newest-{stores}-value", f"newest-{stores}-key", f"places-{stores}-value"} <= set(subjects)


def test_what_goes_to_a_computed_topic_stands_under_that_topics_subject(registry_url: str) -> None:
    app = App("fanned")
    places = app.stream("fan-in", key=str, value=serdes.avro(Place, registry=registry_url))
    places.to(lambda key, place, context: f"fan-{place.city}")
    oslo = Place("Oslo", datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC))

    with TopologyTestDriver(app) as driver:
        driver.input_topic("fan-in").pipe("a", oslo)

    assert "fan-Oslo-value" in topics(registry_url)


def test_a_registry_that_is_away_is_no_fault_of_the_record() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://user:secret@127.0.0.1:{nobody.getsockname()[1]}"
        app = App("away", on_process_error="skip", on_deserialize_error="skip")
        app.stream("away-in", key=str, value=str).map_values(
            lambda value: Place(value, datetime.datetime.now(datetime.UTC)), value=serdes.avro(Place, registry=url)
        ).to("away-out")

        with TopologyTestDriver(app) as driver, pytest.raises(RegistryUnavailable) as told:
            driver.input_topic("away-in").pipe("a", "x")

    assert "secret" not in str(told.value) and "cannot be reached" in str(told.value)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\x01\x00\x00\x00\x01x", "was it written without a registry"),
        (b"\x00\x00", "was it written without a registry"),
        (b"\x00\x7f\xff\xff\xffx", "refused id 2147483647 with 404"),
    ],
)
def test_bytes_that_no_registry_framed_are_refused_in_words(registry_url: str, data: bytes, says: str) -> None:
    with pytest.raises(SerdeError, match=says):
        serdes.avro(Place, registry=registry_url).deserialize(data)


def test_a_type_that_avro_has_no_form_for_is_named_when_it_is_declared() -> None:
    @dataclass
    class Strange:
        took: datetime.timedelta

    with pytest.raises(TopologyError, match=r"Strange has no Avro schema: Avro has no form for TimeDelta"):
        serdes.avro(Strange)
    with pytest.raises(TopologyError, match="this is no Avro schema"):
        serdes.avro({"type": "recrod"})
    with pytest.raises(TopologyError, match="generated message class"):
        serdes.protobuf(Place)


def test_a_value_that_does_not_fit_its_schema_is_shown() -> None:
    with pytest.raises(SerdeError, match=r"expected avro\(Place\), got int 3"):
        serdes.avro(Place).serialize(3)  # pyright: ignore[reportArgumentType]
    with pytest.raises(SerdeError, match=r"expected avro\(Place\)"):
        serdes.avro(Place).deserialize(b"\xff")


def test_the_examples_read_and_write_through_a_registry(registry_url: str) -> None:
    with TopologyTestDriver(avro_schema_registry.build(registry_url)) as driver:
        driver.input_topic("input").pipe("1", avro_schema_registry.MyRecord("foo"))
        assert driver.output_topic("output").read_key_values() == [("1", avro_schema_registry.MyRecord("FOO"))]
    with TopologyTestDriver(avro_to_protobuf.build(registry_url)) as driver:
        driver.input_topic("avro-movies").pipe(None, avro_to_protobuf.Movie(1, "Die Hard", 1988))
        ((_, movie),) = driver.output_topic("proto-movies").read_key_values()
        assert (movie.movie_id, movie.title, movie.release_year) == (1, "Die Hard", 1988)
    assert {"input-value", "output-value", "avro-movies-value", "proto-movies-value"} <= set(topics(registry_url))
