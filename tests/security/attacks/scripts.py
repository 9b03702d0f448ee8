"""Scripts stored in every text there is: what comes back is data, a file to save, or a page that runs nothing."""

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx2

from spaces_contracts.client_socket import ToClient
from spaces_contracts.worker_socket import (
    Accepted,
    InferenceChunk,
    InferenceProgress,
    InferenceRequest,
    InferenceResult,
    Registered,
)
from tests.security.attacks.scene import Scene
from tests.security.matrix_world import PASSWORD
from tests.support.wire import client_socket, worker_socket

MARK = "xss7391"
SCRIPTS = (
    f"<script>alert('{MARK}')</script>",
    f"\"><img src=x onerror=alert('{MARK}')>",
    f"</script><svg/onload=alert('{MARK}')>",
    f"javascript:alert('{MARK}')//",
    f"[click](javascript:alert('{MARK}'))",
    f"'-alert('{MARK}')-'",
    f"{{{{constructor.constructor('alert(\"{MARK}\")')()}}}}",
    f"<iframe srcdoc='<script>alert(\"{MARK}\")</script>'>",
    f"<!--><math><mtext></form><a href=\"javascript:'{MARK}'\">",
    f"\u2028<script>/*{MARK}*/</script>",
)
DATA = ("application/json", "application/problem+json", "text/event-stream", "text/plain")
_HTML = b"<!DOCTYPE html><html><script>alert(document.cookie)</script></html>"
_SVG = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'><script>alert(1)</script></svg>"
_XHTML = b"<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'><script>alert(1)</script></html>"
UPLOADS = {
    "an HTML page": ("text/html", _HTML),
    "an HTML page said to be text": ("text/plain", _HTML),
    "an HTML page of no type": ("application/octet-stream", _HTML),
    "a picture that runs": ("image/svg+xml", _SVG),
    "a picture that runs, of no type": ("application/octet-stream", _SVG),
    "XHTML": ("application/xhtml+xml", _XHTML),
    "a script": ("text/javascript", b"alert(1)"),
    "XML with a style": ("application/xml", b"<?xml-stylesheet href='javascript:alert(1)'?><x/>"),
    "a page behind a picture's beginning": ("image/gif", b"GIF89a/*" + _HTML + b"*/=1"),
}  # fmt: skip
_READ = (
    "/api/spaces?limit=200", "/api/spaces/{space}", "/api/spaces/{space}/queue", "/api/spaces/{space}/connections",
    "/api/requests?limit=200", "/api/requests/{request}", "/websockets/status?request_id={request}", "/api/keys",
    "/api/worker-tokens", "/api/users", "/api/invites", "/api/tenants", "/api/audit?limit=200", "/auth/sessions",
    "/api/me", "/api/requests/{request}/events",
)  # fmt: skip


async def stored(scene: Scene) -> None:
    """In names, descriptions, prompts, key and token names, a worker's words and the audit log."""
    for number, script in enumerate(SCRIPTS):
        token, space, request = await _store(scene, number, script)
        for path in _READ:
            for accept in ("text/html,*/*;q=0.8", "application/json"):
                answer = await scene.http.get(
                    path.format(space=space, request=request),
                    headers={"Authorization": f"Bearer {token}", "Accept": accept},
                )
                _is_data(scene, f"xss, {path} with {script}", answer)


async def echoed(scene: Scene) -> None:
    """In addresses and wrong values that an error repeats."""
    for script in SCRIPTS:
        said = quote(script, safe="")
        for path in (f"/{said}", f"/api/spaces/{said}", f"/docs/{said}", f"/?next={said}", f"/files/{said}?sig={said}",
                     f"/api/requests?limit={said}", f"/docs/problems?code={said}", f"/docs?q={said}"):  # fmt: skip
            answer = await scene.http.get(
                path, headers={**scene.world.admin.headers, "Accept": "text/html,*/*;q=0.8"}
            )
            _is_data(scene, f"xss, echoed by {path}", answer)


async def uploaded(scene: Scene) -> None:
    """In files, their names and covers: they are saved and never shown, or shut in where nothing runs."""
    bearer = scene.ours.key.headers
    for what, (media_type, content) in UPLOADS.items():
        for name in ("a.html", SCRIPTS[1].replace("/", ""), 'x";filename="y.html'):
            headers = bearer | {"Content-Type": media_type, "X-File-Name": quote(name, safe="")}
            answer = await scene.http.post("/api/files", content=content, headers=headers)
            if answer.status_code >= 400:
                scene.refused(f"xss, {what}", answer, (400, 415, 422))
                continue
            path = f"/api/files/{answer.json()['file_id']}"
            _is_saved(scene, f"xss, {what}", await scene.http.get(path, headers=bearer))
    form: dict[str, Any] = {"name": f"cover {MARK}", "card_type": "websockets"}
    for media_type in ("image/svg+xml", "text/html"):
        form["name"] += "x"
        answer = await scene.http.post(
            "/admin/space/add",
            data=form,
            files={"cover": ("cover.svg", _SVG, media_type)},
            headers=scene.credential("ours: owner").headers,
        )
        scene.holds(f"xss, a cover of {media_type}", answer.status_code < 500, answer.text)
        if answer.status_code < 400:
            shown = await scene.http.get(f"/api/spaces/{answer.json()['space_id']}", headers=bearer)
            _is_data(scene, f"xss, a space with a cover of {media_type}", shown)


async def _store(scene: Scene, number: int, script: str) -> tuple[str, str, str]:
    """The script in everything that a person and a worker can write; the reader's token, the space, a request."""
    world, http = scene.world, scene.http
    tenant = (await _made(scene, "/api/tenants", name=f"{script[:40]} {number}")) or {
        "tenant_id": scene.ours.tenant_id
    }
    invite = await world.made(
        world.admin, "/api/invites", role="owner", tenant_id=tenant["tenant_id"]
    )
    email = f"{MARK}-{number}@example.org"
    body = {
        "email": email,
        "password": PASSWORD,
        "invite": invite["secret"],
        "username": f"<{MARK}-{number}>",
    }
    (await http.post("/auth/register", json=body)).raise_for_status()
    form = {"username": email, "password": PASSWORD}
    login = await http.post("/auth/jwt/login", data=form, headers={b"User-Agent": script.encode()})
    http.cookies.clear()
    token = str(login.raise_for_status().json()["access_token"])
    owner = {"Authorization": f"Bearer {token}"}
    space_body = {"name": f"{script[:60]}{number}", "description": script}
    made = await http.post("/api/spaces", json=space_body, headers=owner)
    if made.status_code >= 400:  # such a name is refused
        made = await http.post(
            "/api/spaces", json=space_body | {"name": f"x{number}"}, headers=owner
        )
    space = str(made.raise_for_status().json()["space_id"])
    for path, fields in {
        "/api/keys": {"name": script},
        "/api/worker-tokens": {"name": script, "spaces": [space]},
    }.items():
        made = await http.post(path, json=fields, headers=owner)
    if made.status_code >= 400:
        made = await http.post(
            "/api/worker-tokens", json={"name": "x", "spaces": [space]}, headers=owner
        )
    await http.get(
        f"/api/spaces/{quote(script, safe='')}", headers=owner
    )  # refused: is in nobody's log as a page
    request = await _answered(scene, token, space, made.raise_for_status().json()["secret"], script)
    return token, space, request


async def _made(scene: Scene, path: str, **body: Any) -> dict[str, Any] | None:
    answer = await scene.world.call(scene.world.admin, "POST", path, json=body)
    made: dict[str, Any] = answer.json()
    return made if answer.status_code < 400 else None


async def _answered(scene: Scene, token: str, space: str, worker_token: str, script: str) -> str:
    """A request whose prompt, progress, output and error are the script; its id."""
    url = scene.platform.gateway_url
    async with worker_socket(url) as worker, client_socket(url, token) as client:
        await worker.register(worker_token, [space])
        await worker.expect(Registered)
        answer = await scene.http.post(
            f"/api/spaces/{space}/requests",
            json={"prompt": script, "parameters": {script: script}},
            headers={"Authorization": f"Bearer {token}"},
        )
        request_id = str(answer.raise_for_status().json()["request_id"])
        job = await worker.expect(InferenceRequest)
        await client.subscribe(request_id)
        facts: dict[str, Any] = {"request_id": request_id, "attempt": job.attempt}
        await worker.send(Accepted(**facts))
        await worker.send(InferenceProgress(**facts, percent=1, message=script))
        await worker.send(InferenceChunk(**facts, n=1, data=[script]))
        error = {"code": "handler_failed", "message": script}
        result = facts | {"status": "failed", "error": error, "last_n": 1}
        await worker.send(InferenceResult(**result, timestamp=datetime.now(UTC)))
        frame: ToClient = await client.receive()
        while frame.type != "finished":
            frame = await client.receive()
        scene.holds("xss, the end of a request at the socket", MARK in frame.encode())
    return request_id


def _is_data(scene: Scene, case: str, answer: httpx2.Response) -> None:
    media_type = answer.headers.get("content-type", "").partition(";")[0]
    nosniff = answer.headers.get("x-content-type-options") == "nosniff"
    if media_type == "text/html":
        policy = answer.headers.get("content-security-policy", "")
        runs = "unsafe-inline" in policy.partition("script-src")[2].partition(";")[0]
        safe = bool(policy) and not runs and MARK not in answer.text
    else:
        safe = media_type in DATA
    scene.holds(
        case,
        nosniff and safe and answer.status_code < 500,
        f"{answer.status_code} {media_type} {answer.text[:100]}",
    )
    if media_type == "application/json" and answer.status_code < 400:
        json.loads(answer.text)


def _is_saved(scene: Scene, case: str, answer: httpx2.Response) -> None:
    headers = answer.headers
    kept = headers.get("content-disposition", "").startswith("attachment")
    shut_in = headers.get("content-security-policy", "").startswith("sandbox")
    nosniff = headers.get("x-content-type-options") == "nosniff"
    named = "filename=" not in headers.get("content-disposition", "") and "<" not in headers.get(
        "content-disposition", ""
    )
    scene.holds(f"{case} comes back", kept and shut_in and nosniff and named, dict(headers))
