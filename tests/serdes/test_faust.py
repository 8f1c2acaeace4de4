"""Records of Faust's as values: written and read as Faust does it."""

from __future__ import annotations

import faust
import pytest

from streamflow import App, serdes
from streamflow.errors import SerdeError, TopologyError
from streamflow.serdes import serde_of
from streamflow.testing import TopologyTestDriver


class Item(faust.Record):
    name: str
    count: int = 1


class Basket(faust.Record, serializer="json"):
    user: str
    items: list[Item]


BASKET = Basket("ann", [Item("tea"), Item("salt", 2)])


def test_what_streamflow_writes_faust_reads_and_the_other_way_round() -> None:
    serde = serde_of(Basket)
    data = serde.serialize(BASKET)
    assert data == BASKET.dumps()
    assert Basket.loads(data) == BASKET
    assert serde.deserialize(BASKET.dumps()) == BASKET


def test_a_class_that_has_moved_is_the_one_asked_for() -> None:
    data = b'{"name": "tea", "count": 4, "__faust": {"ns": "some.where.else.Item"}}'
    assert serdes.faust(Item).deserialize(data) == Item("tea", 4)


@pytest.mark.parametrize("data", [b"[1", b"{}", b'"text"', b"", b"\xff", b"null", b"[]"])
def test_other_bytes_are_refused_with_what_was_found(data: bytes) -> None:
    with pytest.raises(SerdeError, match=r"expected faust\(.*Basket\), found"):
        serde_of(Basket).deserialize(data)


def test_another_value_cannot_be_written_and_another_class_is_refused() -> None:
    with pytest.raises(SerdeError, match="expected faust"):
        serde_of(Basket).serialize({"user": "ann"})  # type: ignore[arg-type]
    with pytest.raises(TopologyError, match=r"made from faust\.Record"):
        serdes.faust(dict)


def test_records_go_through_a_topology() -> None:
    app = App("app")
    baskets = app.stream("baskets", key=str, value=Basket)
    items = baskets.flat_map_values(lambda basket: basket.items, value=Item)
    items.group_by(lambda item: item.name, key=str).aggregate(
        lambda: 0, lambda total, item: total + item.count, value=int, name="sold"
    )
    with TopologyTestDriver(app, partitions=2) as driver:
        for _ in range(3):
            driver.input_topic("baskets").pipe("k", BASKET)
        assert dict(driver.store("sold").all()) == {"tea": 3, "salt": 6}
