"""SQL in every string that an HTTP operation takes: in paths, queries, headers, forms and JSON.

Nothing may fail, wait, or show what is another tenant's.
"""

import copy
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import httpx2

from tests.security import matrix
from tests.security.attacks.scene import Scene
from tests.security.matrix_calls import CALLS, Call
from tests.security.matrix_world import Credential

# Each waits so long where it is taken for SQL; an honest answer never does.
SLEEP_S = 6
_SLOW_S = 4.0
PAYLOADS = (
    f"'; SELECT pg_sleep({SLEEP_S}); --",
    f"' || pg_sleep({SLEEP_S}) || '",
    "' OR '1'='1",
    "' UNION SELECT secret_sha256 FROM registry.principal --",
    f"1) OR pg_sleep({SLEEP_S}) IS NOT NULL --",
    f"$$; SELECT pg_sleep({SLEEP_S}); $$",
    f"', (SELECT pg_sleep({SLEEP_S})::text)) --",
    "'; DROP TABLE registry.space CASCADE; --",
    "x'; UPDATE registry.person SET role = 'admin'; --",
    "%' OR name LIKE '%",
    "\\'; SELECT 1; --",
    "\" OR \"\"=\"",
    "admin'/**/--",
    "' AND 1=CAST((SELECT version()) AS int) --",
    "{\"$ne\": null}",
    "$1",
    "%s%n",
    "'",
    "0x27204f5220",
    "\u02bc OR 1=1",
)  # fmt: skip
# Parameters of an operation that ends only with its request, or that answers when somebody works.
_NOT_TRIED = frozenset({"wait"})


async def sql(scene: Scene, payloads: int | None = None) -> None:
    """As a tenant's owner and as the admin; `payloads` for a small form."""
    document = (await scene.http.get("/openapi.json")).raise_for_status().json()
    before = await _counted(scene)
    who = (scene.credential("ours: owner"), scene.world.admin)
    tried = 0
    # Beforehand: wrong names and passwords shut the people out who would make them.
    calls = {
        operation["operationId"]: await _call(scene, path, operation["operationId"])
        for path, _, operation in _operations(document)
    }
    for path, method, operation in _operations(document):
        call = calls[operation["operationId"]]
        for place in _places(document, path, operation):
            for number in range(payloads or len(PAYLOADS)):
                tried += 1
                # A small form takes other payloads for each place.
                payload = PAYLOADS[(number + (tried if payloads else 0)) % len(PAYLOADS)]
                caller = who[tried % len(who)]
                await _try(
                    scene,
                    Probe(operation["operationId"], method, path, place, payload),
                    call,
                    caller,
                )
    after = await _counted(scene)
    scene.holds(
        "sql, nothing is gone and nobody became another", after == before, f"{before} {after}"
    )


Place = tuple[str, ...]  # "path", "query", "header" or "json" or "form", then a name or a way


class Probe:
    """One string in one place of one operation."""

    def __init__(self, operation: str, method: str, path: str, place: Place, payload: str) -> None:
        self.case = f"sql, {operation}, {' '.join(place)}: {payload}"
        self.method = method
        self.path = path
        self.place = place
        self.payload = payload

    def request(self, call: Call) -> tuple[str, dict[str, Any]]:
        """The address and the options of the call."""
        where, *names = self.place
        options = copy.deepcopy(call.options)
        path = call.path
        if where == "path":
            path = self._in_path(path, names[0])
        elif where == "query":
            bare, _, query = path.partition("?")
            path = f"{bare}?{query}&" if query else f"{bare}?"
            path += urlencode({**(options.pop("params", None) or {}), names[0]: self.payload})
        elif where == "header":
            options["headers"] = options.get("headers", {}) | {names[0]: self.payload.encode()}
        elif where == "json":
            options.pop("content", None)
            options["json"] = _with(options.get("json", {}), names, self.payload)
        else:
            options.pop("json", None)
            options["data"] = (options.get("data") or {}) | {names[0]: self.payload}
        return path, options

    def _in_path(self, real: str, name: str) -> str:
        bare, _, query = real.partition("?")
        parts = bare.split("/")
        at = self.path.split("/").index("{" + name + "}")
        parts[at] = quote(self.payload, safe="")
        return "/".join(parts) + (f"?{query}" if query else "")


async def _call(scene: Scene, path: str, operation: str) -> Call:
    if operation in matrix._CONTROLS:
        return Call("POST", path.replace("{connection_id}", "x"))
    call = await CALLS[operation](scene.world, scene.ours.key, scene.ours)
    if operation == "change_password":  # of somebody whom nobody needs afterwards
        call.who = (await scene.world.person(scene.ours, "member"))[1]
    return call


async def _try(scene: Scene, probe: Probe, call: Call, who: Credential) -> None:
    path, options = probe.request(call)
    scene.found.attempts += 1
    began = time.monotonic()
    try:
        answer = await scene.world.call(call.who or who, probe.method, path, **options)
    except (httpx2.InvalidURL, httpx2.LocalProtocolError):
        return  # cannot be sent at all
    finally:
        scene.http.cookies.clear()
    took = time.monotonic() - began
    if answer.status_code >= 500:
        scene.found.errors.append(f"{probe.case}: {answer.status_code} {answer.text[:200]}")
    if took > _SLOW_S:
        scene.found.wrongly_allowed.append(f"{probe.case}: answered after {took:.1f} s")
    if leaks := matrix._leaks(scene.world, who, answer):
        scene.found.wrongly_allowed.append(f"{probe.case}: shows {leaks} of another tenant")
    for word in ("PostgreSQL", "syntax error", "asyncpg", "pg_catalog"):
        if word in answer.text and word not in probe.payload:
            scene.found.wrongly_allowed.append(f"{probe.case}: tells of {word!r}")


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def _places(
    document: Mapping[str, Any], path: str, operation: Mapping[str, Any]
) -> Iterator[Place]:
    """Where this operation takes strings."""
    for parameter in operation.get("parameters", ()):
        schema = _resolved(document, parameter.get("schema", {}))
        if (
            parameter["in"] != "cookie"
            and parameter["name"] not in _NOT_TRIED
            and _may_be_text(document, schema)
        ):
            yield parameter["in"], parameter["name"]
    content = operation.get("requestBody", {}).get("content", {})
    for media_type, body in content.items():
        kind = {"application/json": "json", "application/x-www-form-urlencoded": "form"}.get(
            media_type
        )
        if kind is not None:
            for way in _strings(document, body.get("schema", {}), 0):
                if kind == "json" or len(way) == 1:
                    yield (kind, *way)


def _strings(document: Mapping[str, Any], schema: Mapping[str, Any], depth: int) -> Iterator[Place]:
    for name, inner in _resolved(document, schema).get("properties", {}).items():
        if _may_be_text(document, inner):
            yield (name,)
        for part in (inner, *inner.get("anyOf", ())):
            if depth < 3:
                for way in _strings(document, part, depth + 1):
                    yield (name, *way)


def _may_be_text(document: Mapping[str, Any], schema: Mapping[str, Any]) -> bool:
    schema = _resolved(document, schema)
    kinds = schema.get("type", ())
    if "string" in ([kinds] if isinstance(kinds, str) else kinds) or not schema:
        return True
    if "items" in schema:
        return _may_be_text(document, schema["items"])
    return any(
        _may_be_text(document, one) for one in (*schema.get("anyOf", ()), *schema.get("oneOf", ()))
    )


def _resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def _with(body: Any, way: list[str], payload: str) -> dict[str, Any]:
    changed = dict(body) if isinstance(body, dict) else {}
    name, *rest = way
    if rest:
        changed[name] = _with(changed.get(name, {}), rest, payload)
    else:
        changed[name] = [payload] if isinstance(changed.get(name), list) else payload
    return changed


async def _counted(scene: Scene) -> str:
    """What must be the same afterwards, whatever honest things the calls made."""
    async with scene.database() as database:
        admins = await database.fetchval(
            "SELECT count(*) FROM registry.person WHERE role = 'admin'"
        )
        theirs = await database.fetchval(
            "SELECT string_agg(s::text, '|' ORDER BY space_id) FROM registry.space s WHERE tenant_id = $1",
            scene.theirs.tenant_id,
        )
        people = await database.fetchval(
            "SELECT string_agg(user_id || role || email || (disabled_at IS NULL), '|' ORDER BY user_id)"
            " FROM registry.person WHERE tenant_id = $1",
            scene.theirs.tenant_id,
        )
        tables = await database.fetchval(
            "SELECT count(*) FROM pg_tables WHERE schemaname IN ('registry', 'scheduler')"
        )
    return json.dumps([admins, theirs, people, tables], default=str)
