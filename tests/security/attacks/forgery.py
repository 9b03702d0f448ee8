"""Pages of other sites that make a browser call us with its cookies (CSRF)."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx2

from spaces_contracts.permissions import HTTP_RULES, Whose
from tests.security import matrix
from tests.security.attacks.scene import EVIL, Scene
from tests.security.matrix_calls import CALLS
from tests.security.matrix_world import PASSWORD, Credential

# A browser says at least one of the two, and of these pages never anything that is right.
HOSTILE: Mapping[str, dict[str, str]] = {
    "another origin": {"Origin": EVIL, "Sec-Fetch-Site": "cross-site"},
    "another origin, an old browser": {"Origin": EVIL},
    "another site without an origin": {"Sec-Fetch-Site": "cross-site"},
    "a neighbour's page": {"Origin": "https://other.spaces.example", "Sec-Fetch-Site": "same-site"},
    "a neighbour without an origin": {"Sec-Fetch-Site": "same-site"},
    "a sandboxed frame": {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
    "no origin's name": {"Origin": "null"},
    "an unknown site": {"Sec-Fetch-Site": "whatever"},
    "our name, another site": {"Origin": "{own}", "Sec-Fetch-Site": "cross-site"},
    "our name further on": {"Origin": "{own}.evil.example"},
    "our name as a user": {"Origin": "{own}@evil.example"},
    "another port": {"Origin": "http://127.0.0.1:1"},
}
# Takes cookies, by the documents; all other operations must not know them.
WITH_COOKIES = frozenset({
    "log_in", "refresh_login", "log_out", "log_in_with_form", "add_space_with_form", "submit_websocket_request",
    "get_websocket_status",
})  # fmt: skip
_FORM = {"name": "by another site", "card_type": "websockets"}

Send = Callable[[dict[str, str]], Awaitable[httpx2.Response]]


async def from_other_pages(scene: Scene) -> None:
    """Every call that takes a cookie, from every kind of page that may not make it, in every form a page can send."""
    _, email = await scene.person()
    owner = await _owner(scene)
    _, refresh = await scene.logged_in(email)
    session = await scene.session(owner)
    own = str(scene.http.base_url).rstrip("/")
    for page, headers in HOSTILE.items():
        said = {name: value.replace("{own}", own) for name, value in headers.items()}
        for call, send in _calls(scene, email, session, refresh).items():
            answer = await send(said)
            scene.refused(f"csrf, {call} by {page}", answer, (403,))
            scene.holds(
                f"csrf, {call} by {page}, sets no cookie", "set-cookie" not in answer.headers
            )
    answer = await scene.http.post(
        "/auth/jwt/refresh",
        headers={"Cookie": refresh, "Origin": own, "Sec-Fetch-Site": "same-origin"},
    )
    scene.http.cookies.clear()
    scene.works("csrf, our own page refreshes", answer.status_code == 200, answer.text)
    answer = await scene.http.post(
        "/admin/space/add",
        data=_FORM,
        headers={"Cookie": session, "Origin": own, "Sec-Fetch-Site": "same-origin"},
    )
    scene.works("csrf, our own page adds a space", answer.status_code == 200, answer.text)


async def without_headers(scene: Scene) -> None:
    """A call with neither header is a script's, not a page's: cookies are SameSite=Strict, HttpOnly, and of one use."""
    _, email = await scene.person()
    owner = await _owner(scene)
    for name, path, form in (
        ("refresh", "/auth/jwt/login", {"username": email, "password": PASSWORD}),
        ("session", "/login", {"email": owner, "password": PASSWORD}),
    ):
        answer = (await scene.http.post(path, data=form)).raise_for_status()
        scene.http.cookies.clear()
        sent = answer.headers["set-cookie"].lower()
        for attribute in ("httponly", "samesite=strict"):
            scene.holds(f"csrf, the {name} cookie is {attribute}", attribute in sent, sent)
        scene.holds(f"csrf, the {name} cookie is of no domain", "domain=" not in sent, sent)
    session = await scene.session(owner)
    # What a page can send without a preflight, with a type that is none of a form's.
    for media_type in ("text/plain", "application/json", ""):
        headers = {"Cookie": session, "Content-Type": media_type}
        answer = await scene.http.post("/admin/space/add", content=b"name=x", headers=headers)
        scene.refused(f"csrf, a form sent as {media_type!r}", answer, (400, 415, 422))


async def cookies_are_no_credential(scene: Scene) -> None:
    """Every operation with nothing but both cookies: only the kept ones and those of signing in know them."""
    owner = await _owner(scene)
    document = (await scene.http.get("/openapi.json")).raise_for_status().json()
    _, refresh = await scene.logged_in(owner)
    session = await scene.session(owner)
    by_cookie = Credential("cookies")
    for operation in matrix.operations(document):
        rule = HTTP_RULES[operation]
        if operation in WITH_COOKIES or rule.whose in (Whose.ANYBODY, Whose.LINK):
            continue
        if operation in matrix._CONTROLS:
            path = f"/api/connections/{scene.ours.space_id}/{matrix._CONTROLS[operation]}"
            answer = await scene.http.post(path, headers={"Cookie": f"{session}; {refresh}"})
        else:
            call = await CALLS[operation](scene.world, by_cookie, scene.ours)
            options: dict[str, Any] = dict(call.options)
            options["headers"] = options.get("headers", {}) | {"Cookie": f"{session}; {refresh}"}
            answer = await scene.http.request(call.method, call.path, **options)
        scene.http.cookies.clear()
        if operation == "check_worker":  # says in its answer who the caller is not
            known = answer.status_code == 200 and answer.json()["token"]["problem"] is None
            scene.holds("csrf, check_worker by cookies alone", not known, answer.text)
            continue
        scene.refused(f"csrf, {operation} by cookies alone", answer, (401,))


def _calls(scene: Scene, email: str, session: str, refresh: str) -> dict[str, Send]:
    http, space = scene.http, scene.ours.space_id
    login = {"username": email, "password": PASSWORD}
    kept = {"email": email, "password": PASSWORD}

    def post(path: str, cookie: str = "", **body: Any) -> Send:
        async def send(headers: dict[str, str]) -> httpx2.Response:
            given = headers | ({"Cookie": cookie} if cookie else {})
            answer = await http.post(path, headers=given, **body)
            http.cookies.clear()
            return answer

        return send

    return {
        "sign in": post("/auth/jwt/login", data=login),
        "sign in with the form": post("/login", data=kept),
        "refresh": post("/auth/jwt/refresh", refresh),
        "sign out by the session": post("/auth/jwt/logout", session),
        "sign out by the refresh cookie": post("/auth/jwt/logout", refresh),
        "add a space": post("/admin/space/add", session, data=_FORM),
        "add a space in parts": post(
            "/admin/space/add", session, data=_FORM, files={"cover": ("a.txt", b"a", "text/plain")}
        ),
        "submit a form": post(f"/websockets/submit/{space}", session, data={"prompt": "hello"}),
        "submit JSON": post(f"/websockets/submit/{space}", session, json={"prompt": "hello"}),
        "submit JSON as text": post(f"/websockets/submit/{space}", session + "", content=b'{"prompt":"hello"}'),
    }  # fmt: skip


async def _owner(scene: Scene) -> str:
    """The email of our owner, who may add spaces."""
    owner = scene.credential("ours: owner").principal
    assert owner is not None
    users = (await scene.world.call(scene.world.admin, "GET", "/api/users")).json()["users"]
    return next(str(one["email"]) for one in users if one["user_id"] == owner.user_id)
