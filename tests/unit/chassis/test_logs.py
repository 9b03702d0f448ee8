"""Logs: one event a line, secrets hidden, libraries' logs the same way."""

import json
import logging
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog

from spaces_chassis.logs import configure_logs
from spaces_chassis.settings import LogSettings


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    captured = capsys.readouterr()
    assert captured.out == "", "standard output belongs to commands"
    return [json.loads(line) for line in captured.err.splitlines()]


def test_an_event_is_one_json_object_with_its_facts(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogSettings(log_format="json"), "gateway")
    structlog.get_logger().info("accepted", request_id="r1", items=3)
    (line,) = lines(capsys)
    assert line["event"] == "accepted"
    assert (line["request_id"], line["items"]) == ("r1", 3)
    assert (line["service"], line["level"]) == ("gateway", "info")
    assert str(line["timestamp"]).endswith("Z")


def test_lower_levels_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogSettings(log_format="json", log_level="WARNING"), "gateway")
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    assert [line["event"] for line in lines(capsys)] == ["loud"]


def test_secrets_never_reach_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogSettings(log_format="json"), "gateway")
    structlog.get_logger().info("login", token="hunter2", password="hunter2", user="ann")
    (line,) = lines(capsys)
    assert "hunter2" not in json.dumps(line)
    assert line["user"] == "ann"


def test_a_librarys_log_looks_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # left by a server before
    configure_logs(LogSettings(log_format="json"), "gateway")
    logging.getLogger("uvicorn.error").warning("port %d", 80)
    (line,) = lines(capsys)
    assert (line["event"], line["level"], line["service"]) == ("port 80", "warning", "gateway")


@pytest.mark.parametrize(("level", "told"), [("INFO", 0), ("DEBUG", 1)])
def test_the_http_server_tells_of_no_socket_unless_asked_to(
    capsys: pytest.CaptureFixture[str], level: Literal["INFO", "DEBUG"], told: int
) -> None:
    configure_logs(LogSettings(log_format="json", log_level=level), "gateway")
    logging.getLogger("uvicorn.error").info("connection open")
    assert len(lines(capsys)) == told


def test_an_errors_traceback_is_in_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogSettings(log_format="json"), "gateway")
    try:
        raise LookupError("nothing there")
    except LookupError:
        structlog.get_logger().exception("failed")
    (line,) = lines(capsys)
    assert "LookupError: nothing there" in str(line["exception"])


def test_what_is_bound_to_the_context_is_in_every_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogSettings(log_format="json"), "gateway")
    with structlog.contextvars.bound_contextvars(request_id="r9"):
        structlog.get_logger().info("inside")
    (line,) = lines(capsys)
    assert line["request_id"] == "r9"


def test_people_get_text(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogSettings(log_format="human"), "gateway")
    structlog.get_logger().info("accepted", request_id="r1")
    text = capsys.readouterr().err
    assert "accepted" in text
    assert "request_id=r1" in text
    assert "\x1b[" not in text, "no colours when it is no terminal"
