"""docs/worker.md is true: its handlers run, its commands and its TOML are understood, its unit is valid."""

import asyncio
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from spaces_worker_agent import OutputFile, Request
from spaces_worker_agent.handler_target import is_async
from spaces_worker_agent.settings import AgentSettings, resolve

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/worker.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


class Folder:
    """A channel that has a directory only."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def progress(self, percent: float | None, message: str | None) -> None: ...

    def fetch(self, index: int) -> Path:
        raise NotImplementedError

    def work_dir(self) -> Path:
        return self.place


def test_the_handlers_run(tmp_path: Path) -> None:
    function, model, files, batched = blocks("python")
    names: dict[str, Any] = {}
    exec(function, names)
    assert names["handler"](Request(payload={"prompt": "hi"})) == {"text": "HI"}
    exec(model, names)
    loaded = names["Model"]()
    loaded.load()
    assert list(loaded.handle(Request())) == ["one ", "two ", "three"]
    exec(files, names)
    request = Request(payload={"prompt": "hi"}, channel=Folder(tmp_path))
    (given,) = names["handler"](request)["files"]
    assert isinstance(given, OutputFile)
    assert given.path.read_text() == "HI"
    assert not is_async(names["handler"])
    exec(batched, names)
    assert asyncio.run(streamed(names["Model"]())) == ["one ", "two "]


async def streamed(model: Any) -> list[str]:
    """What the async model yields."""
    assert is_async(model.handle)
    await model.load()
    return [word async for word in model.handle(Request(payload={"prompt": "one two"}))]


COMMANDS = [
    line
    for block in blocks("sh")
    for line in block.splitlines()
    if line.startswith("spaces-worker")
]


@pytest.mark.parametrize("line", COMMANDS)
def test_the_commands_are_understood(line: str) -> None:
    words = shlex.split(line)
    assert words[1] in ("run", "mock", "doctor", "config")
    flags = [word[2:].replace("-", "_") for word in words if word.startswith("--")]
    assert set(flags) <= set(AgentSettings.model_fields)


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 4


def test_the_toml_is_understood(tmp_path: Path) -> None:
    (text,) = blocks("toml")
    file = tmp_path / "worker.toml"
    file.write_text(text)
    settings = resolve({"config": file}, {"HOME": str(tmp_path)}).settings
    assert settings.slots == tomllib.loads(text)["slots"]


def test_every_flag_that_is_named_exists() -> None:
    named = set(re.findall(r"`--([a-z-]+)", PAGE))
    named.discard("help")
    assert {name.replace("-", "_") for name in named} <= set(AgentSettings.model_fields)


def test_the_unit_is_valid(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    unit = (ROOT / "deploy/systemd/spaces-worker.service").read_text()
    copy = tmp_path / "spaces-worker.service"
    copy.write_text(unit.replace("/opt/spaces/bin/spaces-worker", "/bin/true"))
    said = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True)
    assert (said.returncode, said.stderr) == (0, "")
