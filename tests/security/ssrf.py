"""60 addresses that lead where no client may send a worker: 0 may be fetched.

Each stands in a request as a picture's address, for an agent that serves an upstream and fetches addresses. The network
is a recorder: a connection that the guard lets through is one too many. Names resolve as an attacker would have them.
"""

from collections.abc import Sequence
from typing import Any

import httpcore2
import httpx2

from spaces_chassis.guarded_http import guarded_client
from spaces_worker_agent.sdk import Request
from spaces_worker_agent.upstream import URL, URLS, Model, UpstreamError
from tests.security.campaign import Campaign

INSIDE = {
    "rebind.attacker.test": ["127.0.0.1"],
    "metadata.attacker.test": ["169.254.169.254"],
    "mixed.attacker.test": ["93.184.216.34", "10.0.0.1"],
    "six.attacker.test": ["::1"],
    "mapped.attacker.test": ["::ffff:127.0.0.1"],
    "nat64.attacker.test": ["64:ff9b::7f00:1"],
    "zone.attacker.test": ["fe80::1%eth0"],
    "metadata.google.internal": ["169.254.169.254"],
    "kubernetes.default.svc": ["10.96.0.1"],
    "127.0.0.1.nip.test": ["127.0.0.1"],
    "localtest.test": ["127.0.0.1"],
    "multicast.attacker.test": ["224.0.0.251"],
}
# The second answer is another one: whoever asks twice is caught.
TURNING = {"turning.attacker.test": [["127.0.0.1"], ["93.184.216.34"]]}
OUTSIDE = {"pictures.example.org": ["93.184.216.34"], "v6.example.org": ["2606:2800:220:1::1"]}

HOSTILE = [
    "http://127.0.0.1/", "http://127.0.0.1:8080/api/me", "https://127.0.0.1:4222/", "http://127.1/",
    "http://127.0.1/", "http://2130706433/", "http://0x7f000001/", "http://0x7f.0.0.1/", "http://0177.0.0.1/",
    "http://017700000001/", "http://127.0.0.1./", "http://0/", "http://0.0.0.0/", "http://[::]/",
    "http://[::1]/", "http://[0:0:0:0:0:0:0:1]/", "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/",
    "http://[::127.0.0.1]/", "http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/", "http://localhost/",
    "http://LOCALHOST:8222/", "http://localhost./", "http://ip6-localhost/", "http://gateway/",
    "http://10.0.0.1/", "http://10.255.255.255:5432/", "http://172.16.0.1/", "http://172.31.255.1/",
    "http://192.168.0.1/", "http://100.64.0.1/", "http://169.254.169.254/latest/meta-data/iam/",
    "http://[fd00:ec2::254]/latest/", "http://100.100.100.200/latest/meta-data/", "http://168.63.129.16/",
    "http://169.254.170.2/v2/credentials", "http://2852039166/", "http://0xa9fea9fe/",
    "http://[fe80::1]/", "http://[fc00::1]/", "http://224.0.0.1/", "http://255.255.255.255/",
    "http://198.18.0.1/", "http://192.0.0.192/opc/v2/", "http://①②⑦.⓪.⓪.①/", "http://user@127.0.0.1/",
    "http://pictures.example.org@127.0.0.1/", "http://127.0.0.1\\@pictures.example.org/",
    "http://127.0.0.1#@pictures.example.org/", "http://127.0.0.1%2f@pictures.example.org/",
    "file:///etc/passwd", "gopher://127.0.0.1:6379/_INFO", "ftp://127.0.0.1/", "dict://127.0.0.1:11211/",
    "//127.0.0.1/", "/etc/passwd", "http:127.0.0.1/", "http:///127.0.0.1/", " http://127.0.0.1/",
    "http://127.0.0.1:80\r\nHost: x/", "unix:///var/run/docker.sock", "http+unix://%2Fvar%2Frun%2Fdocker.sock/",
    *(f"http://{name}/" for name in (*INSIDE, *TURNING)),
]  # fmt: skip
HONEST = [f"https://{name}/a.png" for name in OUTSIDE] + ["http://93.184.216.34:8080/a.png"]


class _Recorder(httpcore2.AsyncNetworkBackend):
    """A network where nobody answers, and every attempt is noted."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def connect_tcp(self, host: str, port: int, *_: Any, **__: Any) -> Any:
        self.asked.append(f"{host}:{port}")
        raise httpcore2.ConnectError("nobody answers")

    async def connect_unix_socket(self, path: str, *_: Any, **__: Any) -> Any:
        self.asked.append(path)
        raise httpcore2.ConnectError("nobody answers")


async def run(most: int | None = None) -> Campaign:
    """Tries each address; `most` for a small form."""
    found = Campaign("ssrf")
    network = _Recorder()
    turning = {name: list(answers) for name, answers in TURNING.items()}

    async def resolve(host: str, _port: int) -> Sequence[str]:
        if host in turning:
            return turning[host].pop(0)
        known = INSIDE | OUTSIDE
        return known.get(
            host.rstrip("."), [host] if host[:1].isdigit() or ":" in host else ["127.0.0.1"]
        )

    model = Model({URL: "http://127.0.0.1:9/v1", "SPACES_UPSTREAM_MODEL": "m", URLS: "fetch"})
    model._strangers = strangers = guarded_client(resolve=resolve, network=network)
    every = 1 if most is None else max(1, len(HOSTILE) // most)
    for url in HOSTILE[::every]:
        found.attempts += 1
        await _try(model, url, found)
        if network.asked:
            found.wrongly_allowed.append(f"{url!r} -> {network.asked}")
            network.asked.clear()
    for url in HONEST:
        found.attempts += 1
        await _try(model, url, found)
        if not network.asked:
            found.wrongly_refused.append(url)
        network.asked.clear()
    await strangers.aclose()
    return found


async def _try(model: Model, url: str, found: Campaign) -> None:
    part = {"type": "image_url", "image_url": {"url": url}}
    message = {"role": "user", "content": [part]}
    request = Request(payload={"messages": [message], "parameters": {"stream": False}})
    try:
        await model.handle(request)
    except UpstreamError:
        return
    except (httpx2.HTTPError, ValueError, OSError, LookupError) as error:
        found.errors.append(f"{url!r}: {error!r}")
        return
    found.wrongly_allowed.append(f"{url!r} was answered")
