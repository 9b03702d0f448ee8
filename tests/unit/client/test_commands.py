"""The pure parts of the command line: arguments, wording, exit codes, secrets, percentiles."""

import shlex
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from spaces_client import (
    AsyncSpaces,
    ConfigError,
    NotFinished,
    Refused,
    RequestFailed,
    SpacesError,
    Unreachable,
)
from spaces_client.commands import wording
from spaces_client.commands.arguments import UsageError, parse_parameters, read_prompt
from spaces_client.commands.exits import Exit, exit_of_error
from spaces_client.commands.rehearse import Tried, percentile, summary
from spaces_client.commands.secret_files import token_path, write_secret
from spaces_client.commands.spaces import worker_command, worker_ref
from spaces_client.models import Request
from spaces_contracts.client_socket import (
    ChunkFrame,
    FinishedFrame,
    ProgressFrame,
    SpaceFrame,
    StatusFrame,
)
from spaces_contracts.identifiers import new_id
from spaces_contracts.requests import RequestState
from spaces_contracts.spaces import Space

RID, SID = new_id(), new_id()


def request(state: RequestState, **fields: Any) -> Request:
    return Request(request_id=RID, space_id=SID, state=state, **fields)


def test_parameters_are_json_where_they_can_be() -> None:
    pairs = ["temperature=0.7", "name=Anna", "stop=[1, 2]", "text=a=b", "empty="]
    assert parse_parameters(pairs, '{"name": "Bert", "kept": true}') == {
        "temperature": 0.7,
        "name": "Anna",
        "stop": [1, 2],
        "text": "a=b",
        "empty": "",
        "kept": True,
    }


@pytest.mark.parametrize(
    ("pairs", "document"), [(["x"], None), (["=x"], None), ([], "{"), ([], "[1]")]
)
def test_parameters_that_are_none_are_refused(pairs: list[str], document: str | None) -> None:
    with pytest.raises(UsageError):
        parse_parameters(pairs, document)


def test_a_prompt_comes_from_one_place(tmp_path: Path) -> None:
    file = tmp_path / "prompt"
    file.write_text("from a file")
    assert read_prompt("given", None) == "given"
    assert read_prompt(None, file) == "from a file"
    assert read_prompt(None, None) is None
    with pytest.raises(UsageError):
        read_prompt("given", file)
    with pytest.raises(UsageError):
        read_prompt(None, tmp_path / "missing")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("no_url", "x"), Exit.CONFIG),
        (UsageError("x", "y"), Exit.USAGE),
        (Unreachable("x", sent=False), Exit.UNREACHABLE),
        (Refused("unauthenticated"), Exit.NOT_ALLOWED),
        (Refused("forbidden"), Exit.NOT_ALLOWED),
        (Refused("space_not_found"), Exit.NOT_FOUND),
        (Refused("empty_prompt"), Exit.REFUSED),
        (Refused("space_disabled"), Exit.REFUSED),
        (Refused("worker_not_connected"), Exit.NOT_NOW),
        (Refused("queue_full"), Exit.NOT_NOW),
        (RequestFailed(request(RequestState.FAILED)), Exit.FAILED),
        (RequestFailed(request(RequestState.CANCELLED)), Exit.CANCELLED),
        (RequestFailed(request(RequestState.EXPIRED)), Exit.EXPIRED),
        (NotFinished(RID, 1), Exit.NOT_FINISHED),
    ],
)
def test_errors_have_their_exit_codes(error: SpacesError, code: Exit) -> None:
    assert exit_of_error(error) is code


def test_events_read_as_one_line() -> None:
    queued = StatusFrame(
        request_id=RID,
        space_id=SID,
        state=RequestState.QUEUED,
        position=3,
        queue_size=7,
        eta_s=12.34,
    )
    assert wording.of_event(queued) == "queued, place 3 of 7, starts in about 12.3 s"
    running = queued.model_copy(update={"state": RequestState.RUNNING, "attempt": 2})
    assert wording.of_event(running) == "running, attempt 2"
    progress = ProgressFrame(request_id=RID, attempt=1, percent=25, message="reading")
    assert wording.of_event(progress) == "25 % reading"
    end = FinishedFrame(
        request_id=RID, space_id=SID, state=RequestState.SUCCEEDED, queue_ms=20, run_ms=61_000
    )
    assert wording.of_event(end) == "succeeded (queued 20 ms, ran 1 min 01 s)"
    chunk = ChunkFrame(request_id=RID, attempt=1, n=1, data=["a", "b"])
    assert wording.of_event(chunk) is None
    assert wording.text_of(chunk) == "ab"
    assert wording.text_of(chunk.model_copy(update={"data": [1]})) is None
    space = SpaceFrame(space_id=SID, connected=False, queue_size=0)
    assert wording.of_space(space) == "not connected, queue size 0"


def test_outputs_show_as_text_where_they_are_text() -> None:
    assert wording.of_output({"text": "hello"}) == "hello"
    assert wording.of_output("hello") == "hello"
    assert wording.of_output({"text": "a", "score": 1}) == '{\n  "text": "a",\n  "score": 1\n}'


def test_a_secret_goes_into_a_new_file_of_its_owner(tmp_path: Path) -> None:
    path = write_secret(tmp_path / "new" / "key", "s3cret")
    assert path.read_text() == "s3cret\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    with pytest.raises(SpacesError) as caught:
        write_secret(path, "other")
    assert caught.value.code == "secret_not_written"
    assert path.read_text() == "s3cret\n"


def test_token_files_are_named_by_space_and_never_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    first = write_secret(token_path("My space / ../x"), "1")
    assert first.name == "My-space-..-x.token"
    assert first.parent == tmp_path / "spaces" / "tokens"
    assert token_path("My space / ../x").name == "My-space-..-x-2.token"


def test_the_worker_command_is_complete_and_survives_a_shell(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    spaces = AsyncSpaces("http://h", "key", ca_file=authority)
    command = worker_command(spaces, "my space", Path("/a b"), "run", "handler.py")
    assert shlex.split(shlex.join(command)) == [
        *("spaces-worker", "run", "handler.py", "--space", "my space"),
        *("--gateway", "http://h", "--token-file", "/a b", "--ca-file", str(authority)),
    ]


@pytest.mark.parametrize("name", ["plain", "two words", "a,b", "-x"])
def test_a_worker_calls_a_space_by_a_name_that_its_command_understands(name: str) -> None:
    now = datetime.now(UTC)
    space = Space(
        space_id=SID,
        tenant_id=RID,
        tenant_name="t",
        name=name,
        created_at=now,
        updated_at=now,
    )
    assert worker_ref(space) == (name if name in ("plain", "two words") else SID)


def test_percentiles_are_values_that_were_measured() -> None:
    assert percentile([3, 1, 2], 0.5) == 2
    assert percentile([3, 1, 2], 0.95) == 3
    assert percentile([3], 0.0) == 3
    assert percentile([], 0.5) is None


def test_a_rehearsal_counts_what_did_not_succeed() -> None:
    good = request(RequestState.SUCCEEDED, queue_ms=10, run_ms=90)
    bad = request(RequestState.FAILED)
    rows = summary([Tried(100, good), Tried(5, bad), Tried(1, None, Refused("queue_full"))])
    assert rows[0] == ("total", "1", "100 ms", "100 ms", "100 ms")
    assert rows[-1][:2] == ("not succeeded", "2")
