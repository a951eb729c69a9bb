"""The HTTP API: every route, its action, and who may call it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ringfence.api.access import ACTION, authenticated
from ringfence.api.server import PREFIX, ROUTERS, create_app
from ringfence.settings import Settings
from tools.reference.actions import roles_that_may
from tools.reference.markdown import code, codes, sentence, table
from tools.reference.markdown import page as whole

_INTRO = f"""HTTPS only (TLS 1.3), with the platform's own authority: `RINGFENCE_HOME/platform/ca/ca.pem`. A caller
sends `Authorization: Bearer …` with a session token (`POST {PREFIX}/sessions`) or an API key. Bodies are JSON; a raw
file and a simulator's bundle are sent as they are. The OpenAPI document is at `{PREFIX}/openapi.json`.

An error is a problem document (`application/problem+json`, RFC 9457) with `code`, `title`, `fix`, `field` and `value`:
see [errors](errors.md). Every answer carries `X-Request-Id`, which the server's log names too. Status 202 means that a
job was queued: ask `GET {PREFIX}/jobs/ID` for it.

"Who may" says which roles permit the route's action; rules may still deny it: see [actions](actions.md) and
[policies](policies.md)."""


def page() -> str:
    """Return the reference of the API."""
    document = create_app(SimpleNamespace(settings=Settings(home=Path("/nonexistent")))).openapi()  # type: ignore[arg-type]
    open_routes = set(_open_routes())
    sections: dict[str, list[list[str]]] = {}
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            line = f"{method.upper()} {path}"
            sections.setdefault(route["tags"][0], []).append(_row(line, route, line in open_routes))
    header = ["Request", "What it does", "Takes", "Answers", "Action", "Who may"]
    routes = [f"## {tag.capitalize()}\n\n{table(header, rows)}" for tag, rows in sections.items()]
    return whole("API", _INTRO, *routes, "## Bodies", *_bodies(document))


def _open_routes() -> Iterator[str]:
    for prefix, router in ROUTERS:
        for route in router.routes:
            if authenticated not in set(_calls(route.dependant)):
                yield from (f"{method} {prefix}{route.path}" for method in route.methods)


def _calls(dependant: Any) -> Iterator[Any]:
    yield dependant.call
    for inner in dependant.dependencies:
        yield from _calls(inner)


def _row(line: str, route: dict[str, Any], is_open: bool) -> list[str]:
    action = route.get(ACTION, "")
    roles = codes(roles_that_may(action)) if action else ""
    who = "anyone" if is_open else roles or "anyone who is logged in"
    statuses = [status for status in route["responses"] if status.startswith("2")]
    return [code(line), sentence(route.get("description")), _takes(route), ", ".join(statuses), code(action), who]


def _takes(route: dict[str, Any]) -> str:
    body = route.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    given = [f"{code(parameter['name'])} ({_kind(parameter['schema'])})" for parameter in route.get("parameters", ())
             if parameter["in"] != "path"]
    return ", ".join([*([_link(body)] if body else []), *given])


def _bodies(document: dict[str, Any]) -> Iterator[str]:
    schemas = document["components"]["schemas"]
    for name in sorted(_named(document)):
        schema = schemas[name]
        if "properties" not in schema:
            yield f"### {name}\n\n{sentence(schema.get('description'))} {codes(schema['enum'])}"
            continue
        rows = [[code(field), _kind(value), "required" if field in schema.get("required", ()) else _default(value)]
                for field, value in schema["properties"].items()]
        yield f"### {name}\n\n{sentence(schema.get('description'))}\n\n{table(['Field', 'Takes', 'Default'], rows)}"


def _named(document: dict[str, Any]) -> set[str]:
    """Return the schemas that requests use, and those that they use in turn."""
    wanted = [route["requestBody"] for methods in document["paths"].values() for route in methods.values()
              if "requestBody" in route]
    found: set[str] = set()
    while wanted:
        names = set(_references(wanted.pop())) - found
        found |= names
        wanted += [document["components"]["schemas"][name] for name in names]
    return found


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"].rpartition("/")[2]
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _link(schema: dict[str, Any]) -> str:
    name = schema["$ref"].rpartition("/")[2]
    return f"[{name}](#{name.lower()})"


def _kind(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return _link(schema)
    if "enum" in schema:
        return codes(schema["enum"])
    if "anyOf" in schema:
        return " or ".join(_kind(inner) for inner in schema["anyOf"] if inner != {"type": "null"})
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])}"
    word = {"string": "text", "integer": "whole number", "number": "number"}.get(schema.get("type", ""), "anything")
    limits = [f" {text} {schema[name]:g}" for name, text in (("minimum", "from"), ("maximum", "to")) if name in schema]
    longest = f" of at most {schema['maxLength']} characters" if "maxLength" in schema else ""
    pattern = f" like {code(schema['pattern'])}" if "pattern" in schema else ""
    return "".join([word, *limits, longest, pattern])


def _default(schema: dict[str, Any]) -> str:
    return code(schema["default"]) if schema.get("default") not in (None, "", []) else ""
