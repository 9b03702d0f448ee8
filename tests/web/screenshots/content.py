"""What the demo is given before its pictures are taken: people, requests of theirs, and a space that nobody serves."""

import io
import wave
from typing import Any, Self

import httpx2

ADMIN = "admin@spaces.internal"
PEOPLE = {"owner@example.org": "owner", "member@example.org": "member"}
PASSWORD = "nine sheep on a hill"
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 Safari/604.1"
DAY_S = 86_400
# The models share the machine with everything else on it.
WAIT_S = 60
DEFAULT_TENANT = "default0000000000000000000"
LIMITS = {
    "requests_per_minute": 120,
    "concurrent": 40,
    "queued": 500,
    "stored_bytes": 5_000_000_000,
}
PROMPTS = (
    "Once upon a time there was a lighthouse keeper who",
    "The three primary colours are",
    "Dear team, the results of this quarter",
)


class Person:
    """Somebody who is signed in, over HTTP."""

    def __init__(self, url: str, email: str, password: str, device: str = "") -> None:
        self._http = httpx2.Client(
            base_url=url,
            trust_env=False,
            timeout=WAIT_S + 30,
            headers={"User-Agent": device or "curl/8"},
        )
        form = {"username": email, "password": password}
        made = self._http.post("/auth/jwt/login", data=form).raise_for_status().json()
        self._http.headers["Authorization"] = f"Bearer {made['access_token']}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        """Sends JSON, and reads it."""
        answer = self._http.post(path, json=body)
        if answer.is_error:
            raise RuntimeError(f"{path}: {answer.text}")
        found: dict[str, Any] = answer.json() if answer.content else {}
        return found

    def patch(self, path: str, **body: Any) -> None:
        """Changes something."""
        self._http.patch(path, json=body).raise_for_status()

    def ask(self, space: str, **body: Any) -> str:
        """Submits a request, and waits until it has ended."""
        made = self.post(f"/api/spaces/{space}/requests?wait={WAIT_S}", **body)
        return str(made["request_id"])

    def send_file(self, space: str, name: str, content: bytes, media_type: str) -> str:
        """Submits a file, and waits until the request has ended."""
        answer = self._http.post(
            f"/api/spaces/{space}/requests",
            params={"wait": WAIT_S},
            files={"files": (name, content, media_type)},
        )
        return str(answer.raise_for_status().json()["request_id"])


def furnish(url: str, password: str) -> None:
    """Once, on a demo that was just started."""
    with Person(url, ADMIN, password, PHONE) as admin:
        _people(url, admin)
        admin.post("/api/tenants", name="acme")
        admin.patch(f"/api/tenants/{DEFAULT_TENANT}/quotas", **LIMITS)
        admin.post("/api/keys", name="nightly batch", scopes=["requests:read", "requests:write"],
                   expires_in_s=90 * DAY_S)  # fmt: skip
        admin.post("/api/keys", name="notebook")
        away = admin.post(
            "/api/spaces",
            name="video-to-text",
            description="Describes a film; its worker is switched off",
            inputs=["prompt", "video"],
            policy={"when_offline": "queue", "queue_timeout_s": DAY_S, "timeout_s": DAY_S},
        )
        admin.post(f"/api/spaces/{away['space_id']}/requests", prompt="What happens in minute two?")
    for email in PEOPLE:
        with Person(url, email, PASSWORD) as person:
            for prompt in PROMPTS:
                person.ask("prompt-to-text", prompt=prompt, parameters={"max_tokens": 12})
            person.send_file("audio-to-text", "interview.wav", _wrong_recording(), "audio/x-wav")
            waits = person.post(f"/api/spaces/{away['space_id']}/requests", prompt="Who speaks?")
    with Person(url, "owner@example.org", PASSWORD) as owner:
        owner.post(f"/api/requests/{waits['request_id']}/cancel")


def calm(url: str, password: str) -> None:
    """Cancels what still waits or runs, so that workers can leave at once."""
    with Person(url, ADMIN, password) as admin:
        admin.post("/api/requests/cancel")


def _people(url: str, admin: Person) -> None:
    for email, name in PEOPLE.items():
        invite = admin.post(
            "/api/invites", email=email, role="owner" if name == "owner" else "member"
        )
        with httpx2.Client(base_url=url, trust_env=False) as http:
            body = {"email": email, "username": name, "password": PASSWORD,
                    "invite": invite["secret"]}  # fmt: skip
            http.post("/auth/register", json=body).raise_for_status()
    admin.post("/api/invites", email="guest@example.org", role="member")


def _wrong_recording() -> bytes:
    """A tenth of a second in stereo: the model says what it wants instead."""
    written = io.BytesIO()
    with wave.open(written, "wb") as recording:
        recording.setnchannels(2)
        recording.setsampwidth(2)
        recording.setframerate(44_100)
        recording.writeframes(b"\0\0\0\0" * 4_410)
    return written.getvalue()
