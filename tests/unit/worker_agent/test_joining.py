"""A machine exchanges its join token once, whatever dies meanwhile."""

import json
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from spaces_contracts.access import PrincipalKind
from spaces_contracts.keys import kind_of, new_join_token, sha256_of
from spaces_contracts.problems import Code
from spaces_worker_agent.backoff import Backoff
from spaces_worker_agent.exits import FINAL, Exit, Leave
from spaces_worker_agent.joining import FILE, joined
from spaces_worker_agent.settings import AgentSettings
from spaces_worker_agent.tokens import read_join_token, without_secrets

ORIGIN = "http://gateway.test"
Answer = Callable[[httpx2.Request], httpx2.Response]


class Gateway:
    """Answers as the test says, in turn; the last answer stays."""

    def __init__(self, *answers: Answer | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, str]] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(json.loads(request.content))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer(request)


def granted(_request: httpx2.Request) -> httpx2.Response:
    return httpx2.Response(201, json={})


def problem(status: int, code: Code) -> Answer:
    return lambda _request: httpx2.Response(status, json={"code": code.value, "detail": "no"})


async def join(gateway: Gateway, folder: Path, join_token: str) -> str:
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(gateway)) as client:
        backoff = Backoff(chance=lambda: 0.0)
        return await joined(client, ORIGIN, join_token, folder, backoff)


async def test_the_worker_token_is_made_here_and_kept_for_nobody_else(tmp_path: Path) -> None:
    gateway, join_token = Gateway(granted), new_join_token()
    token = await join(gateway, tmp_path, join_token)
    assert kind_of(token) is PrincipalKind.WORKER_TOKEN
    assert gateway.asked == [
        {
            "join_token": join_token,
            "worker_token_sha256": sha256_of(token),
            "worker_token_prefix": token[:10],
        }
    ]
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    assert join_token not in (tmp_path / FILE).read_text()


async def test_a_restarted_agent_goes_on_with_what_it_has(tmp_path: Path) -> None:
    gateway, join_token = Gateway(granted), new_join_token()
    token = await join(gateway, tmp_path, join_token)
    assert await join(gateway, tmp_path, join_token) == token
    assert len(gateway.asked) == 1


async def test_an_exchange_whose_answer_was_lost_is_asked_for_again_as_it_was(
    tmp_path: Path,
) -> None:
    gateway, join_token = Gateway(RuntimeError("killed")), new_join_token()
    with pytest.raises(RuntimeError):
        await join(gateway, tmp_path, join_token)
    gateway.answers = [granted]
    await join(gateway, tmp_path, join_token)
    assert gateway.asked[0] == gateway.asked[1]


async def test_a_gateway_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    gateway = Gateway(
        httpx2.ConnectError("refused"),
        lambda _request: httpx2.Response(502, text="<html>"),
        problem(503, Code.UNAVAILABLE),
        granted,
    )
    assert await join(gateway, tmp_path, new_join_token())
    assert len(gateway.asked) == 4
    assert len({one["worker_token_sha256"] for one in gateway.asked}) == 1


@pytest.mark.parametrize(
    ("status", "code"), [(409, Code.JOIN_TOKEN_USED), (403, Code.JOIN_TOKEN_INVALID)]
)
async def test_a_join_token_that_is_no_good_ends_the_agent_for_a_person_to_act(
    tmp_path: Path, status: int, code: Code
) -> None:
    with pytest.raises(Leave) as left:
        await join(Gateway(problem(status, code)), tmp_path, new_join_token())
    assert left.value.exit_code is Exit.JOIN_TOKEN
    assert Exit.JOIN_TOKEN in FINAL
    assert code.value in str(left.value)


async def test_what_is_no_gateway_is_told(tmp_path: Path) -> None:
    with pytest.raises(Leave) as left:
        await join(Gateway(lambda _request: httpx2.Response(404)), tmp_path, new_join_token())
    assert left.value.exit_code is Exit.NOT_A_GATEWAY


async def test_a_new_join_token_is_for_a_new_worker_token(tmp_path: Path) -> None:
    gateway = Gateway(granted)
    first = await join(gateway, tmp_path, new_join_token())
    assert await join(gateway, tmp_path, new_join_token()) != first


async def test_a_damaged_file_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{")
    assert await join(Gateway(granted), tmp_path, new_join_token())


def test_the_join_token_is_a_file_or_a_variable_and_not_beside_a_worker_token(
    tmp_path: Path,
) -> None:
    path = tmp_path / "join"
    path.write_text("spj_x\n")
    assert read_join_token(AgentSettings()) is None
    assert read_join_token(AgentSettings(join_token_file=path)) == "spj_x"
    assert read_join_token(AgentSettings(join_token="spj_y")) == "spj_y"  # type: ignore[arg-type]  # pydantic wraps it
    with pytest.raises(Leave, match="not both"):
        read_join_token(AgentSettings(join_token_file=path, token_file=path))


def test_handlers_do_not_see_it() -> None:
    environ = {"SPACES_WORKER_JOIN_TOKEN": "spj_x", "SPACES_WORKER_TOKEN": "spw_x", "HOME": "/"}
    assert without_secrets(environ) == {"HOME": "/"}
