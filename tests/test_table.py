"""A table has a store only when somebody needs its rows, and tells old values only when somebody asks."""

from __future__ import annotations

from typing import Any

import pytest

from streamflow import App, KTable, TopologyError


def users() -> tuple[App, KTable[str, str]]:
    app = App("app")
    return app, app.table("users", key=str, value=str)


def telling(app: App) -> set[str]:
    return {step.name for step in app.topology.steps.values() if step.sends_old}


def regrouped(table: KTable[str, str]) -> KTable[Any, Any]:
    return table.group_by(lambda k, v: (v, k), key=str, value=str).count(name="groups")


def test_a_table_that_only_passes_changes_on_has_no_store() -> None:
    app, table = users()
    table.filter(bool).map_values(str.upper, value=str).to_stream().to("out")
    assert app.topology.stores == {}
    assert table.store is None


@pytest.mark.parametrize("how", [{"name": "people"}, {"store": "people"}])
def test_a_named_table_is_kept(how: dict[str, str]) -> None:
    app = App("app")
    table = app.table("users", key=str, value=str, **how)  # type: ignore[call-overload]
    assert table.store == "people"
    assert list(app.topology.stores) == ["people"]


def test_a_join_makes_its_table_keep_rows() -> None:
    app, table = users()
    app.stream("lines", key=str, value=str).join(table, lambda a, b: a, value=str)
    assert table.store == "users-table"
    assert app.topology.stores["users-table"].value.name == "string"


def test_a_join_with_a_derived_table_keeps_that_one() -> None:
    app, table = users()
    adults = table.filter(bool)
    app.stream("lines", key=str, value=str).join(adults, lambda a, b: a, value=str)
    assert (table.store, adults.store) == (None, "users-filter")
    assert app.topology.unnamed_stateful == ("users-filter",)


def test_regrouping_makes_the_nearest_table_keep_rows_and_all_between_tell_old_values() -> None:
    app, table = users()
    regrouped(table.filter(bool).map_values(str.upper, value=str))
    assert list(app.topology.stores) == ["users-table", "groups"]
    assert telling(app) == {"users-table", "users-filter", "users-map-values"}


def test_regrouping_below_a_kept_table_asks_no_further_up() -> None:
    app, table = users()
    regrouped(table.filter(bool, name="kept").map_values(str.upper, value=str))
    assert list(app.topology.stores) == ["kept", "groups"]
    assert telling(app) == {"kept", "kept-map-values"}


def test_a_filter_below_kept_rows_knows_what_had_passed() -> None:
    app = App("app")
    app.table("users", key=str, value=str, name="users").filter(bool).to_stream().to("out")
    assert telling(app) == {"users", "users-filter"}


def test_a_filter_with_a_store_asks_nobody() -> None:
    app = App("app")
    app.table("users", key=str, value=str, name="users").filter(bool, name="kept").to_stream().to("out")
    assert telling(app) == set()


def test_a_table_whose_value_type_is_unknown_cannot_be_kept() -> None:
    _, table = users()
    with pytest.raises(TopologyError, match="step 'mine': its values must be kept in the store 'mine', but their type"):
        table.map_values(lambda v: v, name="mine")


def test_a_stream_made_a_table_is_kept_when_named() -> None:
    app = App("app")
    table = app.stream("lines", key=str, value=str).select_key(str.lower, key=str).to_table(name="latest")
    assert table.store == "latest"
    assert list(app.topology.repartitions) == ["latest"]


def test_a_regrouped_table_sends_changes_and_counting_only_their_presence() -> None:
    app, table = users()
    group = table.group_by(lambda k, v: (v, k), key=str, value=str)
    group.count(name="counts")
    group.reduce(lambda a, b: a + b, lambda a, b: a, name="joined")
    values = {
        name: step.meaning.value.name for name, step in app.topology.steps.items() if hasattr(step.meaning, "value")
    }
    assert values["counts-repartition-sink"] == "change(presence)"
    assert values["joined-repartition-sink"] == "change(string)"


def test_a_filter_where_nobody_keeps_rows_does_without_old_values() -> None:
    app, table = users()
    table.filter(bool).to_stream().to("out")
    assert telling(app) == set()
