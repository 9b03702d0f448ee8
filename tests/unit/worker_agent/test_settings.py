"""Flags over environment over file over defaults; each value knows its origin; what is wrong is named."""

from pathlib import Path

import pytest

from spaces_worker_agent.exits import Exit, Leave
from spaces_worker_agent.settings import AgentSettings, SettingsError, resolve, shown
from spaces_worker_agent.tokens import read_token, without_secrets


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")}


def test_each_source_gives_way_to_the_one_above(tmp_path: Path, environ: dict[str, str]) -> None:
    file = tmp_path / "worker.toml"
    file.write_text('space = ["a", "b"]\nslots = 2\ngateway = "https://file"\nlink = "nats"\n')
    environ |= {"SPACES_WORKER_SLOTS": "3", "SPACES_WORKER_GATEWAY": "https://environ"}
    environ["SPACES_WORKER_CONFIG"] = str(file)
    resolved = resolve({"gateway": "https://flag", "slots": None, "space": []}, environ)
    settings = resolved.settings
    assert settings.space == ("a", "b")
    assert (settings.gateway, settings.slots, settings.link) == ("https://flag", 3, "nats")
    assert resolved.origins["gateway"] == "flag --gateway"
    assert resolved.origins["slots"] == "environment SPACES_WORKER_SLOTS"
    assert resolved.origins["space"] == f"file {file}"
    assert resolved.origins["takeover"] == "default"


def test_a_file_in_its_usual_place_is_read(tmp_path: Path, environ: dict[str, str]) -> None:
    place = tmp_path / "config" / "spaces"
    place.mkdir(parents=True)
    (place / "worker.toml").write_text('space = "x"')
    assert resolve({}, environ).settings.space == ("x",)


def test_spaces_are_split_and_said_once(environ: dict[str, str]) -> None:
    environ["SPACES_WORKER_SPACE"] = "a, b,,a"
    assert resolve({}, environ).settings.space == ("a", "b")
    assert resolve({"space": ["c,d", "e"]}, environ).settings.space == ("c", "d", "e")


@pytest.mark.parametrize(
    ("environ_", "words"),
    [
        ({"SPACES_WORKER_SLOTZ": "1"}, "SPACES_WORKER_SLOTZ is not a setting; did you mean slots"),
        ({"SPACES_WORKER_SLOTS": "many"}, "slots \\(from environment SPACES_WORKER_SLOTS\\)"),
        (
            {"SPACES_WORKER_SLOTS": "2", "SPACES_WORKER_SLOTS_PER_SPACE": "3"},
            "slots_per_space .*3 are more than the 2 slots; give --slots as well",
        ),
        ({"SPACES_WORKER_LINK": "tcp"}, "link \\(from environment"),
        ({"SPACES_WORKER_CONFIG": "/no/such.toml"}, "there is no file /no/such.toml"),
    ],
)
def test_a_wrong_variable_is_named(
    environ: dict[str, str], environ_: dict[str, str], words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        resolve({}, environ | environ_)


def test_a_wrong_file_is_named(tmp_path: Path, environ: dict[str, str]) -> None:
    file = tmp_path / "worker.toml"
    file.write_text("slots = ")
    with pytest.raises(SettingsError, match=r"worker.toml cannot be read"):
        resolve({"config": file}, environ)
    file.write_text("slot = 1")
    with pytest.raises(
        SettingsError, match=r"worker.toml: slot is not a setting; did you mean slots"
    ):
        resolve({"config": file}, environ)


def test_secrets_are_not_shown(environ: dict[str, str]) -> None:
    environ["SPACES_WORKER_TOKEN"] = "very-secret"
    resolved = resolve({}, environ)
    assert "very-secret" not in str(shown(resolved)) + repr(resolved)
    assert without_secrets(environ).get("SPACES_WORKER_TOKEN") is None


def test_the_token_is_found(tmp_path: Path) -> None:
    credential = tmp_path / "worker-token"
    credential.write_text("from-systemd\n")
    systemd = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert read_token(AgentSettings(), systemd) == "from-systemd"
    assert read_token(AgentSettings(token="direct"), systemd) == "direct"  # type: ignore[arg-type]  # pydantic wraps it
    named = AgentSettings(token_file=credential, token="direct")  # type: ignore[arg-type]  # pydantic wraps it
    assert read_token(named, {}) == "from-systemd"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ("two words", "one token on one line"),
        ("x" * 600, "one token on one line"),
    ],
)
def test_a_wrong_token_file_is_told(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "token"
    path.write_text(content)
    with pytest.raises(Leave, match=words) as left:
        read_token(AgentSettings(token_file=path), {})
    assert left.value.exit_code is Exit.SETTINGS
    with pytest.raises(Leave, match="cannot be read"):
        read_token(AgentSettings(token_file=tmp_path / "none"), {})
    with pytest.raises(Leave, match="No worker token"):
        read_token(AgentSettings(), {})
