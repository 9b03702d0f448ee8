"""Forged, spoilt and outdated access tokens, at every door that takes one."""

import time

from spaces_registry.access_tokens import new_signing_key
from tests.security.attacks.scene import Scene, first_frame, registration
from tests.support.eventually import eventually
from tests.support.forged_tokens import Forger
from tests.support.signing import LIFETIME_S, Signer

# A token that is too long for one is a malformed frame.
_REFUSED = ("unauthenticated", "token_expired", "token_invalid", "token_revoked", "malformed_frame")
# A header too large is refused by the server before anybody reads it.
_STATUSES = (400, 401, 431)
_OLD_DAYS = 32  # past signing and checking: 30 days and one
_LATE_DAYS = 30.5  # signs no more, and is still good for what it signed


async def forged(scene: Scene) -> None:
    """No algorithm, another algorithm, keys and claims that are not ours: with a key that is, where it takes one."""
    forger = await _forger(scene)
    answer = await scene.me(forger.good())
    scene.works("a token made like the good one", answer.status_code == 200, answer.text)
    for name, make in forger.attacks().items():
        await _everywhere(scene, f"jwt, {name}", make())


async def expired(scene: Scene) -> None:
    """A token whose time is over, and one that never began."""
    forger = await _forger(scene)
    now = int(time.time())
    for name, changes in {
        "a minute ago": {"now": now - LIFETIME_S - 60},
        "a year ago": {"now": now - 365 * 86_400},
        "at its beginning": {"exp": now - 60, "iat": now - 61},
        "in 1970": {"exp": 0, "iat": 0},
    }.items():
        await _everywhere(scene, f"jwt, expired {name}", forger.good(**changes))


async def of_an_ended_login(scene: Scene) -> None:
    """A whole token of somebody who signed out, and of somebody who is shut out."""
    user_id, email = await scene.person()
    token, _ = await scene.logged_in(email)
    scene.works("a token of somebody signed in", (await scene.me(token)).status_code == 200)
    bearer = {"Authorization": f"Bearer {token}"}
    (await scene.http.post("/auth/jwt/logout", headers=bearer)).raise_for_status()
    await _everywhere(scene, "jwt, signed out", token)
    token, _ = await scene.logged_in(email)
    path = f"/api/users/{user_id}"
    world = scene.world
    (await world.call(world.admin, "PATCH", path, json={"disabled": True})).raise_for_status()
    scene.refused("jwt, somebody disabled", await scene.me(token))


async def of_a_rotated_key(scene: Scene) -> None:
    """Keys are changed: what the last one signed is good a while longer, what the one before signed no more."""
    login_id, late = await _login(scene)
    old = new_signing_key()
    async with scene.database() as database:
        await database.execute(
            "UPDATE registry.signing_key SET created_at = clock_timestamp() - make_interval(days => 30, hours => 12)"
        )
        await database.execute(
            "INSERT INTO registry.signing_key (kid, private_jwk, created_at)"
            " VALUES ($1, $2, clock_timestamp() - make_interval(days => $3))",
            old.kid,
            old.jwk,
            _OLD_DAYS,
        )
    scene.platform.kill("registry")
    scene.platform.revive("registry")  # keys are changed when a registry starts
    now = int(time.time())
    _, newest = await _login(scene)
    token = newest.token(login_id, now=now)
    # The gateway asks for a key that it does not know, if not more often than each five seconds.
    await eventually(lambda: _is_good(scene, token), timeout_s=10)
    scene.works("jwt, by the new key", newest.kid != late.kid, newest.kid)
    answer = await scene.me(late.token(login_id, now=now))
    scene.works("jwt, by the key before the newest", answer.status_code == 200, answer.text)
    await _everywhere(
        scene, "jwt, by a key out of use", Signer(*_pair(old)).token(login_id, now=now)
    )
    kids = [one["kid"] for one in (await scene.http.get("/.well-known/jwks.json")).json()["keys"]]
    scene.holds(
        "jwt, published keys", old.kid not in kids and set(kids) >= {newest.kid, late.kid}, kids
    )
    secret = {"d", "p", "q", "k"}
    shown = (await scene.http.get("/.well-known/jwks.json")).json()["keys"]
    scene.holds("jwt, published keys are public", not any(secret & set(one) for one in shown))


def _pair(key: object) -> tuple[str, str]:
    return key.kid, key.jwk  # type: ignore[attr-defined]  # a PrivateKey


async def _is_good(scene: Scene, token: str) -> bool:
    return (await scene.me(token)).status_code == 200


async def _everywhere(scene: Scene, case: str, token: str) -> None:
    scene.refused(f"{case}, over HTTP", await scene.me(token), _STATUSES)
    if len(token) > 100_000:
        return  # longer than a header may be is enough; a frame of that size is another campaign's
    url = scene.platform.gateway_url
    auth = {"type": "auth", "token": token}
    scene.told(f"{case}, at the socket", await first_frame(url, "/ws", auth), *_REFUSED)
    frame = registration(token, scene.ours.space_id)
    scene.told(f"{case}, as a worker", await first_frame(url, "/ws/worker", frame), *_REFUSED)


async def _login(scene: Scene) -> tuple[str, Signer]:
    """Somebody's login, and the key that signs now, whole."""
    login = scene.credential("ours: owner").principal
    assert login is not None
    async with scene.database() as database:
        row = await database.fetchrow(
            "SELECT kid, private_jwk FROM registry.signing_key ORDER BY created_at DESC LIMIT 1"
        )
    assert row is not None
    return login.principal_id, Signer(row["kid"], row["private_jwk"])


async def _forger(scene: Scene) -> Forger:
    login_id, signer = await _login(scene)
    return Forger(signer, login_id, int(time.time()))
