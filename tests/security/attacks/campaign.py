"""Acceptance 7 as a campaign: forged and replayed credentials, fixation, CSRF, SQL and scripts."""

from collections.abc import Awaitable, Callable, Mapping

from tests.security.attacks import forgery, injection, scripts, sessions, tokens
from tests.security.attacks.scene import Scene, built, opened
from tests.security.campaign import Campaign
from tests.support.platform import Platform

Attack = Callable[[Scene], Awaitable[None]]
ATTACKS: Mapping[str, Attack] = {
    "jwt forged": tokens.forged,
    "jwt expired": tokens.expired,
    "jwt of an ended login": tokens.of_an_ended_login,
    "jwt of a rotated key": tokens.of_a_rotated_key,
    "ticket replay": sessions.ticket_replay,
    "ticket elsewhere": sessions.ticket_elsewhere,
    "session fixation": sessions.fixation,
    "refresh reuse": sessions.refresh_reuse,
    "csrf from other pages": forgery.from_other_pages,
    "csrf without headers": forgery.without_headers,
    "csrf by cookies alone": forgery.cookies_are_no_credential,
    "sql injection": injection.sql,
    "stored xss": scripts.stored,
    "echoed xss": scripts.echoed,
    "uploaded xss": scripts.uploaded,
}


async def run(platform: Platform) -> Campaign:
    """All of it."""
    found = Campaign("attacks")
    async with opened(await built(platform)) as world:
        scene = Scene(platform, world, found)
        for name, attack in ATTACKS.items():
            try:
                await attack(scene)
            except Exception as error:  # the others are tried all the same
                found.errors.append(f"{name}: {error!r}")
    return found
