"""Tickets, cookies and refresh secrets used again, by others, or planted beforehand."""

import asyncio

import httpx2

from spaces_contracts.access import PrincipalKind
from spaces_contracts.keys import new_key
from tests.security.attacks.scene import EVIL, Scene, cookie_of, first_frame, registration
from tests.security.matrix_world import PASSWORD

_RACERS = 20


async def ticket_replay(scene: Scene) -> None:
    """A ticket opens one socket, once, for half a minute, and nothing else."""
    url = scene.platform.gateway_url
    used = await _ticket(scene)
    first = await first_frame(url, "/ws", _auth(used))
    scene.works("a ticket", first["type"] == "ready", first)
    for number in range(3):
        again = await first_frame(url, "/ws", _auth(used))
        scene.told(f"a used ticket, time {number}", again, "ticket_invalid", "unauthenticated")
    raced = await _ticket(scene)
    answers = await asyncio.gather(*[first_frame(url, "/ws", _auth(raced)) for _ in range(_RACERS)])
    let_in = sum(answer["type"] == "ready" for answer in answers)
    scene.holds("a ticket used by twenty at once", let_in <= 1, f"{let_in} were let in")
    scene.works("a ticket used by twenty at once", let_in == 1, answers[0])
    late = await _ticket(scene)
    async with scene.database() as database:
        await database.execute(
            "UPDATE registry.ticket SET expires_at = clock_timestamp() - interval '1 second'"
        )
    scene.told("an old ticket", await first_frame(url, "/ws", _auth(late)), "ticket_invalid")
    revoked = await scene.world.key_of(scene.world.admin, tenant_id=scene.ours.tenant_id)
    bearer = {"Authorization": f"Bearer {revoked['secret']}"}
    orphan = (await scene.http.post("/api/ws-ticket", headers=bearer)).json()["ticket"]
    path = f"/api/keys/{revoked['credential']['principal']['principal_id']}"
    (await scene.world.call(scene.world.admin, "DELETE", path)).raise_for_status()
    answer = await first_frame(url, "/ws", _auth(orphan))
    scene.told("a ticket of a revoked key", answer, "ticket_invalid")


async def ticket_elsewhere(scene: Scene) -> None:
    """A stolen ticket is no use to a page of another site, in an address, as a key, or to a worker."""
    url = scene.platform.gateway_url
    ticket = await _ticket(scene)
    for origin in (EVIL, "null", url.replace("http://", "http://x."), url + ".evil.example"):
        answer = await first_frame(url, "/ws", _auth(ticket), origin=origin)
        scene.told(f"a ticket from the page {origin}", answer, "origin_not_allowed")
    for query in (f"?ticket={ticket}", f"?token={ticket}", f"?access_token={ticket}"):
        answer = await first_frame(
            url, "/ws" + query, {"type": "subscribe", "request_id": "x" * 26}
        )
        scene.told("a ticket in the address", answer, "unauthenticated", "malformed_frame")
    scene.refused("a ticket as a bearer", await scene.me(ticket))
    cookies = {"Cookie": f"spaces_session={ticket}; spaces_refresh={ticket}"}
    form = {"name": "by a ticket", "card_type": "websockets"}
    scene.refused(
        "a ticket as a session",
        await scene.http.post("/admin/space/add", data=form, headers=cookies),
    )
    scene.refused(
        "a ticket as a refresh secret", await scene.http.post("/auth/jwt/refresh", headers=cookies)
    )
    frame = registration(ticket, scene.ours.space_id)
    answer = await first_frame(url, "/ws/worker", frame)
    scene.told("a ticket of a client as a worker", answer, "token_invalid", "unauthenticated")
    answer = await first_frame(url, "/ws", _auth(ticket), origin=url)
    scene.works("the ticket after all that, from our own page", answer["type"] == "ready", answer)


async def fixation(scene: Scene) -> None:
    """A cookie that was there before the login is not the one after it, and is nobody's."""
    _, email = await scene.person()
    _, attacker = await scene.person()
    status = f"/websockets/status?request_id={scene.ours.request_id}"
    planted = {
        "one that is nobody's": f"spaces_session={new_key(PrincipalKind.USER)}",
        "one of the attacker's": await scene.session(attacker),
        "a short one": "spaces_session=fixed",
        "one over TLS": f"__Host-spaces_session={new_key(PrincipalKind.USER)}",
    }
    for name, cookie in planted.items():
        after = await scene.session(email, Cookie=cookie)
        scene.holds(f"fixation, {name}", after.partition("=")[2] != cookie.partition("=")[2], after)
        used = {"Cookie": cookie.removeprefix("__Host-")}
        answer = await scene.http.get(status, headers=used)
        if name != "one of the attacker's":
            scene.refused(f"fixation, {name}, used afterwards", answer)
        both = {"Cookie": f"{cookie}; {after}"}
        if cookie.startswith("spaces_session"):
            answer = await scene.http.get(status, headers=both)
            scene.refused(f"fixation, {name} beside the true one", answer)
    refresh = {"Cookie": f"spaces_refresh={new_key(PrincipalKind.USER)}"}
    form = {"username": email, "password": PASSWORD}
    answer = await scene.http.post("/auth/jwt/login", data=form, headers=refresh)
    scene.http.cookies.clear()
    scene.holds("fixation, a refresh cookie", cookie_of(answer) != refresh["Cookie"])
    scene.refused("fixation, the planted refresh cookie", await _refresh(scene, refresh["Cookie"]))
    await _in_other_places(scene, email)


async def _in_other_places(scene: Scene, email: str) -> None:
    """A secret is taken from the cookie and from nowhere else."""
    secret = new_key(PrincipalKind.USER)
    form = {"email": email, "password": PASSWORD, "spaces_session": secret, "secret": secret}
    answer = await scene.http.post(f"/login?spaces_session={secret}", data=form)
    scene.http.cookies.clear()
    scene.holds(
        "fixation, a secret in form and address", secret not in answer.headers["set-cookie"]
    )
    before, after = await scene.session(email), await scene.session(email)
    scene.holds("fixation, two logins", before != after)


async def refresh_reuse(scene: Scene) -> None:
    """A refresh cookie that comes a second time ends the login: all that came of it is worth nothing."""
    _, email = await scene.person()
    token, stolen = await scene.logged_in(email)
    answer = await _refresh(scene, stolen)
    scene.works("a refresh", answer.status_code == 200, answer.text)
    newer, fresh = answer.json()["access_token"], cookie_of(answer)
    async with scene.database() as database:
        # Two tabs of one browser may refresh at the same moment: that is over.
        await database.execute(
            "UPDATE registry.spent_secret SET spent_at = spent_at - interval '1 minute'"
        )
    scene.refused("a refresh cookie used twice", await _refresh(scene, stolen))
    scene.refused("the cookie that had come of it", await _refresh(scene, fresh))
    for name, one in {"the first token": token, "the token that came of it": newer}.items():
        scene.refused(f"{name}, after its refresh cookie was used twice", await scene.me(one))
    _, left = await scene.logged_in(email)
    (await scene.http.post("/auth/jwt/logout", headers={"Cookie": left})).raise_for_status()
    scene.refused("a refresh cookie after signing out", await _refresh(scene, left))


async def _refresh(scene: Scene, cookie: str) -> httpx2.Response:
    answer = await scene.http.post("/auth/jwt/refresh", headers={"Cookie": cookie})
    scene.http.cookies.clear()
    return answer


async def _ticket(scene: Scene) -> str:
    answer = await scene.world.call(scene.ours.key, "POST", "/api/ws-ticket")
    return str(answer.raise_for_status().json()["ticket"])


def _auth(ticket: str) -> dict[str, str]:
    return {"type": "auth", "ticket": ticket}
