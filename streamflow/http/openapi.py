"""`/openapi.json`: the table of routes as an OpenAPI 3.1 document.

Source: OpenAPI Specification 3.1.0.
"""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import Any

from streamflow.http.routes import ERROR, ROUTES, Parameter, Route

_MEANINGS = {
    304: "what If-None-Match names is still so",
    307: "Location has the worker that holds the answer",
    401: "the worker has a token, and the request does not",
    400: "a parameter or a key that cannot be read; the sentence says what was expected",
    403: "not allowed: a topic that takes no events, a Host that is not this machine, or a page of another site",
    404: "no such store or topic, or no row with this key",
    409: "several partitions hold a row with this key, placed by a partitioner; or somebody else replays letters, too",
    411: "the length of the body is not said",
    413: "the body is too large",
    415: "a content type that is not read here",
    414: "the address is too long",
    431: "the headers are too long",
    503: "not to be had just now: a task is being restored or moves to another worker; ask again after Retry-After",
}

EVERYWHERE = (400, 401, 403, 414, 431, 503)
"""What any request may get, whatever it asks."""


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
        "paths": _paths(),
        "components": {
            "schemas": {"Error": ERROR},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "where there is one"}},
        },
        "security": [{}, {"token": []}],
    }


def _paths() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for route in ROUTES:
        found.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return found


def _operation(route: Route) -> dict[str, Any]:
    named = re.findall(r"{(\w+)}", route.path)
    content = {media: {"schema": _schema(route, media)} for media in route.media}
    told = {str(status): {"description": route.summary, "content": content} for status in {200, route.success}}
    operation = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": [
            *map(_in_path, named),
            *map(_in_query, route.parameters),
            *(_in_header(name, meaning) for name, meaning in route.headers),
        ],
        "responses": told | {str(status): _error(status) for status in sorted({*EVERYWHERE, *route.answers})},
    }
    if route.body is not None:
        kinds: dict[str, dict[str, Any]] = {"application/json": route.body, "text/plain": {"type": "string"}}
        takes = {media: {"schema": kinds.get(media, {})} for media in route.takes}
        operation["requestBody"] = {"required": True, "content": takes}
    return operation


def _in_header(name: str, meaning: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": meaning, "schema": {"type": "string"}}


def _schema(route: Route, media: str) -> dict[str, Any]:
    return route.schema if media == "application/json" else {"type": "string"}


def _error(status: int) -> dict[str, Any]:
    found: dict[str, Any] = {"description": _MEANINGS[status]}
    if status == 307:
        found["headers"] = {"Location": {"schema": {"type": "string"}}}
    if status in (304, 307):
        return found
    found["content"] = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    if status == 503:
        found["headers"] = {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}}
    return found


def _in_path(name: str) -> dict[str, Any]:
    meanings = {"store": "a store's name", "topic": "a topic's name"}
    meaning = meanings.get(name, "a key as text; a slash in it is %2F")
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
