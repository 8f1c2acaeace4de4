"""`/openapi.json` is a whole document, and the answers are what it says."""

from __future__ import annotations

import re
from typing import Any

import pytest

from streamflow.http.openapi import document
from streamflow.http.routes import ROUTES
from tests.http.world import World

DOCUMENT = document("asked", "http://127.0.0.1:1")
TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "null": type(None),
}  # fmt: skip


def wrong(schema: dict[str, Any], value: Any, at: str = "$") -> list[str]:
    """Where a value is not what its schema says; the words of JSON Schema that the document uses."""
    if "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    found: list[str] = []
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(isinstance(value, TYPES[kind]) and not isinstance(value, bool) for kind in kinds):
        found.append(f"{at} is {value!r}, not {kinds}")
    if "const" in schema and value != schema["const"]:
        found.append(f"{at} is not {schema['const']}")
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{at} is none of {schema['enum']}")
    if isinstance(value, int) and value < schema.get("minimum", value):
        found.append(f"{at} is {value}")
    if isinstance(value, dict) and "properties" in schema:
        found.extend(f"{at} has no {name}" for name in schema.get("required", []) if name not in value)
        found.extend(f"{at} has {name}, which nobody mentioned" for name in value if name not in schema["properties"])
        for name, inner in schema["properties"].items():
            if name in value:
                found.extend(wrong(inner, value[name], f"{at}.{name}"))
    if isinstance(value, list) and "items" in schema:
        found.extend(error for n, each in enumerate(value) for error in wrong(schema["items"], each, f"{at}[{n}]"))
    return found


def every(node: Any, key: str) -> list[Any]:
    """All values under a key, however deep."""
    if isinstance(node, dict):
        return ([node[key]] if key in node else []) + [each for inner in node.values() for each in every(inner, key)]
    return [each for inner in node for each in every(inner, key)] if isinstance(node, list) else []


def test_it_has_what_openapi_3_1_asks_for() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    assert {"title", "version"} <= set(DOCUMENT["info"])
    assert list(DOCUMENT["paths"]) == list(dict.fromkeys(route.path for route in ROUTES))
    names = every(DOCUMENT["paths"], "operationId")
    assert len(names) == len(set(names)) == len(ROUTES)
    for reference in every(DOCUMENT, "$ref"):
        assert reference.rpartition("/")[2] in DOCUMENT["components"]["schemas"]
    for path, operation in ((path, each) for path, item in DOCUMENT["paths"].items() for each in item.values()):
        declared = [(each["name"], each["in"]) for each in operation["parameters"]]
        assert len(declared) == len(set(declared))
        assert [name for name, where in declared if where == "path"] == re.findall(r"{(\w+)}", path)
        assert all(each["required"] for each in operation["parameters"] if each["in"] == "path")
        assert all("schema" in each for each in operation["parameters"])
        assert "200" in operation["responses"]
        for status, response in operation["responses"].items():
            assert {"description"} <= set(response)
            assert ("content" in response) == (status not in ("304", "307")), "these have no body"


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/stores", "/stores"),
        ("/stores/blobs/keys/%FF", "/stores/{store}/keys/{key}"),
        ("/stores/words/keys/none", "/stores/{store}/keys/{key}"),
        ("/stores/words/keys/%FF", "/stores/{store}/keys/{key}"),
        ("/stores/blobs/keys?limit=2", "/stores/{store}/keys"),
        ("/stores/clicks/windows/a", "/stores/{store}/windows/{key}"),
        ("/tasks", "/tasks"),
        ("/tasks?all=1", "/tasks"),
        ("/tasks?all=2", "/tasks"),
        ("/health/live", "/health/live"),
        ("/health/ready", "/health/ready"),
    ],
)
def test_an_answer_is_what_the_document_says(world: World, target: str, path: str) -> None:
    world.run(world.keep("blobs", [(b"\xff", b"\xff", 1), (b"a", b"b", 1)]))
    world.run(world.keep("clicks", [(b"a", b"", 1)]))
    status, answer = world.run(world.get(target))
    responses = DOCUMENT["paths"][path]["get"]["responses"]
    assert str(status) in responses
    assert wrong(responses[str(status)]["content"]["application/json"]["schema"], answer) == []


def test_a_task_that_is_restored_is_told_as_the_document_says() -> None:
    from streamflow.http.status import task
    from streamflow.runtime.recovery import Place, Progress
    from streamflow.runtime.roster import Held
    from tests.http.world import make_plan

    sub = make_plan("words").subtopologies[1]
    place = Place(sub, 0, session=None)  # type: ignore[arg-type]
    place.progress = Progress(total=100, left=40, started=10.0)
    schema = DOCUMENT["paths"]["/tasks"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    told = task(Held(place), now=13.0)
    assert wrong(schema["properties"]["tasks"]["items"], told) == []
    assert told["restore"] == {"store_records": 100, "remaining": 40, "records_per_second": 20.0, "seconds_left": 2.0}


def test_a_validator_of_openapi_finds_nothing_wrong() -> None:
    from openapi_spec_validator import OpenAPIV31SpecValidator

    assert [error.message for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []


def test_every_route_of_the_table_is_answered_and_documented(world: World) -> None:
    _, served = world.run(world.get("/openapi.json"))
    documented = {(path, method) for path, operations in served["paths"].items() for method in operations}
    assert documented == {(route.path, route.method.lower()) for route in ROUTES}
    assert set(world.members[0].server._answers._routes) == {route.name for route in ROUTES}
