"""The watch over the logs sees what is secret, by its form or because a test was given it, and nothing else."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from nkeys import encode_seed

from spaces_contracts.access import PrincipalKind
from spaces_contracts.identifiers import new_id
from spaces_contracts.keys import new_join_token, new_key
from tests.support.log_secrets import LogSecrets, require_no_secrets
from tests.support.signing import Signer

ROOT = Path(__file__).parents[3]
SECRETS: dict[str, Callable[[], str]] = {
    "an API key": lambda: new_key(PrincipalKind.API_KEY),
    "a worker token": lambda: f"token={new_key(PrincipalKind.WORKER_TOKEN)}&x=y",
    "an admin key": lambda: f'"{new_key(PrincipalKind.ADMIN)}"',
    "a session's cookie": lambda: f"Cookie: spaces_session={new_key(PrincipalKind.USER)};",
    "a join token": new_join_token,
    "an access token": lambda: f"Bearer {Signer().token(new_id())}",
    "a link's signature": lambda: f"GET /files/x?exp=1&sig={'Ab-_' * 11} HTTP/1.1",
    "a database's password": lambda: "postgresql://spaces_registry:p0123456789abcdef@127.0.0.1/x",
    "a broker's seed": lambda: encode_seed(b"x" * 32, prefix=0).decode(),
    "a signing key": lambda: '{"crv":"Ed25519","d": "' + "A" * 43 + '"}',
    "a TLS key": lambda: "-----BEGIN EC " + "PRIVATE KEY-----",
    "a password's hash": lambda: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA",
}
HARMLESS = (
    "sent an access token to /api/me in 3 ms",
    "key spk_3xK9aQ... was revoked",
    f"a mistyped key {new_key(PrincipalKind.API_KEY)[:-1]}",
    "postgresql://spaces_registry:***@127.0.0.1/x",
    f"request {new_id()} of space {new_id()} is queued",
    f"sha256={'0' * 64}",
    "http://127.0.0.1:8080/files/x?exp=1&sig=***",
)  # fmt: skip


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_known_by_its_form(name: str) -> None:
    assert LogSecrets().found_in(f"10:00 info said\n10:01 info hello {SECRETS[name]()}\n") != []


@pytest.mark.parametrize("line", HARMLESS)
def test_what_is_no_secret_is_left_alone(line: str) -> None:
    assert LogSecrets().found_in(line) == []


def given(body: dict[str, str], **headers: str) -> httpx2.Response:
    return httpx2.Client(
        transport=httpx2.MockTransport(lambda _: httpx2.Response(200, json=body, headers=headers))
    ).post("http://gateway.test/api/ws-ticket")


@pytest.mark.parametrize("name", ["ticket", "secret", "access_token"])
def test_what_an_answer_gives_is_a_secret_from_then_on(name: str) -> None:
    watch, secret = LogSecrets(), f"Zm9v{new_id()}-_x"
    assert watch.found_in(f"ticket {secret}") == []
    watch.hear_answer(given({name: secret}))
    assert watch.found_in(f"ticket {secret} was used") != []
    assert watch.found_in(f"ticket={secret}.") != []


def test_cookies_and_passwords_are_secrets() -> None:
    watch = LogSecrets()
    watch.hear_answer(given({}, **{"set-cookie": "spaces_refresh=abcdefghijklmnop; HttpOnly"}))
    form = {"username": "ada@example.org", "password": "twelve oxen in a field"}
    watch.hear_question(httpx2.Request("POST", "http://x.test/auth/jwt/login", data=form))
    body = {"email": "ada@example.org", "password": "thirteen hens in a barn"}
    watch.hear_question(httpx2.Request("POST", "http://x.test/auth/register", json=body))
    assert watch.found_in("refreshed abcdefghijklmnop") != []
    assert watch.found_in("no login with twelve oxen in a field") != []
    assert watch.found_in("registered with 'thirteen hens in a barn'") != []
    assert watch.found_in("registered ada@example.org") == []


def test_a_log_with_what_is_in_a_secret_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "nats-gateway").write_text("p0123456789abcdef0123\n")
    log = tmp_path / "gateway.log"
    log.write_text("connected as gateway\n")
    require_no_secrets(tmp_path, tmp_path / "secrets")
    log.write_text("connecting with p0123456789abcdef0123\n")
    with pytest.raises(AssertionError, match=r"gateway\.log holds secrets"):
        require_no_secrets(tmp_path, tmp_path / "secrets")
    log.unlink()  # the watch over this very suite would find it


LOGGING = """
import subprocess, sys, structlog
from spaces_contracts.access import PrincipalKind
from spaces_contracts.keys import new_key

KEY = new_key(PrincipalKind.API_KEY)

def run(code):
    pipe = subprocess.PIPE
    subprocess.Popen([sys.executable, "-c", code], stdout=pipe, stderr=pipe).communicate()

def test_quiet():
    print("hello")
    run(f"print({KEY!r})")  # its output, which is no log

def test_printed():
    print(KEY)

def test_logged():
    structlog.get_logger().info("made", key=KEY)

def test_process():
    run(f"import sys; sys.stderr.write({KEY!r})")

def test_file(tmp_path):
    (tmp_path / "service.log").write_text(KEY)
"""


def test_a_suite_that_logs_a_secret_fails(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(LOGGING)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "tests.support.log_secrets", "-c", "/dev/null",
         "--rootdir", str(tmp_path), "--basetemp", str(tmp_path / "temporary"), str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    shutil.rmtree(tmp_path / "temporary")
    said = done.stdout
    for name in ("printed", "logged", "process"):
        # With CI set pytest adds the reason to each name.
        assert re.search(rf"^FAILED .*::test_{name}( - .*)?$", said, re.MULTILINE), (
            said + done.stderr
        )
    for name in ("quiet", "file"):
        assert re.search(rf"^PASSED .*::test_{name}$", said, re.MULTILINE), said + done.stderr
    assert "service.log holds secrets" in said
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    alone = [*done.args[:-1], f"{tmp_path}/test_it.py::test_file"]
    again = subprocess.run(alone, cwd=ROOT, capture_output=True, text=True, check=False)
    shutil.rmtree(tmp_path / "temporary")
    assert again.returncode == pytest.ExitCode.TESTS_FAILED, "a log in a file is enough"
