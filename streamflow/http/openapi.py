"""`/openapi.json`: the table of routes as an OpenAPI 3.1 document.

Source: OpenAPI Specification 3.1.0.
"""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import Any

from streamflow.http.routes import ERROR, ROUTES, Parameter, Route

_MEANINGS = {
    400: "a parameter or a key that cannot be read; the sentence says what was expected",
    404: "no such store, or no row with this key",
    409: "several partitions hold a row with this key, because a partitioner of the application placed it",
    503: "not to be had just now: a task is being restored or moves to another worker; ask again after Retry-After",
}


def document(app_id: str, address: str) -> dict[str, Any]:
    """The interface of one application, as it is served at ``address``."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"{app_id}: state and health",
            "version": version("streamflow"),
            "description": "Committed state of a streamflow application. Any worker answers for all of them.",
        },
        "servers": [{"url": address}],
        "paths": {route.path: {"get": _operation(route)} for route in ROUTES},
        "components": {"schemas": {"Error": ERROR}},
    }


def _operation(route: Route) -> dict[str, Any]:
    named = re.findall(r"{(\w+)}", route.path)
    content = {media: {"schema": _schema(route, media)} for media in route.media}
    return {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": [_in_path(name) for name in named] + [_in_query(each) for each in route.parameters],
        "responses": {"200": {"description": route.summary, "content": content}}
        | {str(status): _error(status) for status in route.answers},
    }


def _schema(route: Route, media: str) -> dict[str, Any]:
    return route.schema if media == "application/json" else {"type": "string"}


def _error(status: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "description": _MEANINGS[status],
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    if status == 503:
        found["headers"] = {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}}
    return found


def _in_path(name: str) -> dict[str, Any]:
    meaning = "a store's name" if name == "store" else "a key as text; a slash in it is %2F"
    return {"name": name, "in": "path", "required": True, "description": meaning, "schema": {"type": "string"}}


def _in_query(parameter: Parameter) -> dict[str, Any]:
    kinds: dict[str, dict[str, Any]] = {
        "integer": {"type": "integer", "minimum": parameter.least, "maximum": parameter.most},
        "choice": {"enum": list(parameter.choices)},
        "flag": {"enum": ["0", "1"]},
    }
    schema = dict(kinds.get(parameter.kind, {"type": "string"}))
    if parameter.default not in (None, False):
        schema["default"] = parameter.default
    return {"name": parameter.name, "in": "query", "description": parameter.meaning, "schema": schema}
