"""A platform with something on every page: people, spaces, requests that ended, failed and wait, keys and tokens."""

from dataclasses import dataclass
from pathlib import Path

import httpx2

from tests.support.platform import Platform
from tests.web.visitor import ADMIN

SCRIPTED = Path(__file__).parents[1] / "support/handlers/scripted.py"
DAY_S = 86_400
WORKER = "furnished"
RESULT = "say # Roses\nsay | a |\nsay |---|\nsay | b |\nfiles"
FAILURE = "say half\nfail no paper"
LIMITS = {"requests_per_minute": 600, "concurrent": 40, "queued": 400, "stored_bytes": 1_000_000}


@dataclass(frozen=True)
class Furnished:
    """What the pages' addresses need."""

    space_id: str
    succeeded: str
    failed: str
    waiting: str


def furnish(platform: Platform) -> Furnished:
    """Starts a worker too, named WORKER, that whoever calls this stops."""
    with httpx2.Client(base_url=platform.gateway_url, trust_env=False, timeout=30) as http:
        password = (platform.folder / "admin-password").read_text().strip()
        form = {"username": ADMIN, "password": password}
        token = http.post("/auth/jwt/login", data=form).raise_for_status().json()["access_token"]
        http.headers["Authorization"] = f"Bearer {token}"

        def post(path: str, **body: object) -> str:
            made = http.post(path, json=body).raise_for_status().json()
            return str(made.get("request_id") or made.get("secret") or made.get("space_id") or "")

        alone = platform.create_space(
            "alone",
            description="Nobody serves it",
            policy={"when_offline": "queue", "queue_timeout_s": DAY_S, "timeout_s": DAY_S},
        )
        platform.create_space("resting", enabled=False)
        space = platform.create_space("poems", inputs=["prompt", "image", "audio", "video", "file"])
        platform.start_worker(WORKER, spaces=["poems"], handler=str(SCRIPTED))
        requests = f"/api/spaces/{space['space_id']}/requests?wait=20"
        invite = post("/api/invites", email="owner@example.org", role="owner")
        post("/api/invites", email="member@example.org", role="member")
        post("/auth/register", email="owner@example.org", password="nine sheep on a hill",
             username="owner", invite=invite)  # fmt: skip
        post("/api/keys", name="nightly batch", scopes=["requests:read"], expires_in_s=90_000)
        post("/api/tenants", name="acme")
        http.patch(f"/api/tenants/{alone['tenant_id']}/quotas", json=LIMITS).raise_for_status()
        return Furnished(
            space_id=space["space_id"],
            succeeded=post(requests, prompt=RESULT, parameters={"seed": 7}),
            failed=post(requests, prompt=FAILURE),
            waiting=post(f"/api/spaces/{alone['space_id']}/requests", prompt="hello"),
        )
