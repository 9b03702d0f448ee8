"""Headers that tell browsers what they must not do with our answers."""

import base64
import hashlib
from urllib.parse import quote

from spaces_gateway.settings import GatewaySettings

HSTS_S = 365 * 24 * 3600
# Nothing here needs the features of a device.
_PERMISSIONS = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"


def on_every_answer(settings: GatewaySettings) -> list[tuple[str, str]]:
    """What the server adds to each answer; few and short, for they are in the hot ones too."""
    headers = [("x-content-type-options", "nosniff")]
    if settings.tls_cert is not None or (settings.public_url or "").startswith("https://"):
        headers.append(("strict-transport-security", f"max-age={HSTS_S}"))
    return headers


def page_headers(style: str = "") -> dict[str, str]:
    """For a page of ours: no scripts, no frames, no forms, and only this one style in it."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    styles = f"style-src 'sha256-{digest}'; " if style else ""
    return {
        "content-security-policy": f"default-src 'none'; {styles}base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "permissions-policy": _PERMISSIONS,
        "cross-origin-opener-policy": "same-origin",
    }


def application_headers() -> dict[str, str]:
    """For the web application: scripts, styles and calls of this origin only; results as pictures, sound and film."""
    return page_headers() | {
        "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' blob: data:; media-src 'self' blob:; font-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'",
        # Its own address is what its calls are checked by; other sites are told nothing.
        "referrer-policy": "same-origin",
    }


def download_headers(name: str) -> dict[str, str]:
    """For a file that somebody uploaded: it is saved, whatever its type, and never runs as a page of this origin."""
    return {
        "content-disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
        "content-security-policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
        "x-frame-options": "DENY",
        # The address may hold a signature.
        "referrer-policy": "no-referrer",
    }
