"""50 spellings of an Origin at the browser socket: 0 may be let in that should not be."""

import asyncio
import base64
import json
import os
from urllib.parse import urlsplit

from tests.security.campaign import Campaign

LISTED = "https://app.example.org"
# Given to the gateway: SPACES_GATEWAY_ALLOWED_ORIGINS.
ENVIRON = {"SPACES_GATEWAY_ALLOWED_ORIGINS": LISTED}


def hostile(host: str) -> list[list[str]]:
    """Origin headers of pages, and of nobody, that may not open the socket. `host` is the gateway's own."""
    port = host.rpartition(":")[2]
    one = [
        "null", "", " ", "*", "https://evil.test", "http://app.example.org", "https://app.example.org:8443",
        "https://app.example.org.evil.test", "https://evil.test/app.example.org", "https://evilapp.example.org",
        "https://sub.app.example.org", "https://example.org", "https://app.example.orgevil.test",
        "https://app.example.org@evil.test", "https://user@app.example.org", "https://app.example.org/",
        "https://app.example.org/path", "https://app.example.org?x", "https://app.example.org#x",
        "https://app.example.org:443", "https://APP.example.org", "HTTPS://app.example.org",
        "https://app.example.org ; https://evil.test", "https://app.example.org,https://evil.test",
        "https://app.example.org https://evil.test", "https://app.example.org.", "https://app.example.org:",
        "https://app%2eexample.org", "https://app.example.org%00.evil.test", "https://app.example.org\\.evil.test",
        "app.example.org", "//app.example.org", "wss://app.example.org", "ws://" + host, "file://", "about:blank",
        "data:text/html,x", "blob:https://app.example.org", "chrome-extension://app.example.org", "javascript:1",
        f"http://{host}.evil.test", f"http://evil.test:{port}", f"http://localhost:{port}", f"http://{host}/",
        f"http://x@{host}", f"http://{host}#", "http://127.0.0.1", "http://127.0.0.1:1", f"http://127.1:{port}",
        f"http://2130706433:{port}", f"http://0.0.0.0:{port}", f"http://[::1]:{port}", f"ftp://{host}",
        "https://*.example.org", "https://xn--app-example-org.test", "https://\u0430pp.example.org",
    ]  # fmt: skip
    several = [[LISTED, "https://evil.test"], ["https://evil.test", LISTED], [LISTED, LISTED]]
    return [[text] for text in one] + several


def honest(host: str) -> list[list[str]]:
    """Of pages that may, and of programs, which send none."""
    return [[LISTED], [f"http://{host}"], [f"https://{host}"], []]


async def run(url: str, most: int | None = None) -> Campaign:
    """Opens `/ws` of a gateway that was started with ENVIRON; `most` for a small form."""
    found = Campaign("origins")
    host = urlsplit(url).netloc
    tries = hostile(host)
    for origins in tries[:: 1 if most is None else max(1, len(tries) // most)]:
        found.attempts += 1
        code = await _first_code(host, origins)
        if code == "unauthenticated":
            found.wrongly_allowed.append(repr(origins))
        elif code != "origin_not_allowed" and not code.startswith("HTTP/1.1 4"):
            found.errors.append(f"{origins!r}: {code}")
    for origins in honest(host):
        found.attempts += 1
        code = await _first_code(host, origins)
        if code != "unauthenticated":
            found.wrongly_refused.append(f"{origins!r}: {code}")
    return found


async def _first_code(host: str, origins: list[str]) -> str:
    """The code of the first frame that the gateway sends to a visitor with a key that is none."""
    name, _, port = host.rpartition(":")
    reader, writer = await asyncio.open_connection(name, int(port))
    try:
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            "GET /ws HTTP/1.1",
            f"Host: {host}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Protocol: spaces.v1.json",
            *(f"Origin: {origin}" for origin in origins),
        ]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        async with asyncio.timeout(10):
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 101 " not in head.splitlines()[0]:
                return head.splitlines()[0].decode()
            writer.write(_masked(b'{"type":"auth","token":"nobody"}'))
            return str(json.loads(await _frame(reader)).get("code"))
    except (OSError, EOFError, TimeoutError, ValueError) as error:
        return repr(error)
    finally:
        writer.close()


def _masked(text: bytes) -> bytes:
    return bytes((0x81, 0x80 | len(text), 0, 0, 0, 0)) + text  # a mask of zeros changes nothing


async def _frame(reader: asyncio.StreamReader) -> bytes:
    _, length = await reader.readexactly(2)
    if length == 126:
        length = int.from_bytes(await reader.readexactly(2), "big")
    return await reader.readexactly(length)
