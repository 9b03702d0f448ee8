"""Settings from the environment: own name, shared name, file; a wrong name is an error."""

from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field, SecretStr

from spaces_chassis.settings import (
    BusSettings,
    DatabaseSettings,
    HttpSettings,
    LogSettings,
    Settings,
    SettingsError,
)


class GateSettings(Settings, BusSettings, DatabaseSettings, LogSettings, HttpSettings):
    """A service with everything."""

    service: ClassVar[str] = "gate-keeper"

    admin_key: SecretStr | None = Field(default=None, description="the first key")
    origins: tuple[str, ...] = Field(default=(), description="allowed origins")
    frame_limit: int = Field(default=1024, gt=0, description="bytes in a frame")
    name: str = "anonymous"


class NeedySettings(Settings):
    service: ClassVar[str] = "needy"

    token: SecretStr


def test_defaults_hold_when_nothing_is_set() -> None:
    settings = GateSettings.from_env({})
    assert settings.nats_url == "nats://127.0.0.1:4222"
    assert settings.postgres_pool == 8
    assert settings.port == 0
    assert settings.origins == ()


def test_the_own_name_wins_over_the_shared_name() -> None:
    environ = {"SPACES_NATS_URL": "nats://shared:1", "SPACES_GATE_KEEPER_NATS_URL": "nats://own:2"}
    assert GateSettings.from_env(environ).nats_url == "nats://own:2"
    del environ["SPACES_GATE_KEEPER_NATS_URL"]
    assert GateSettings.from_env(environ).nats_url == "nats://shared:1"


def test_values_are_read_by_type() -> None:
    settings = GateSettings.from_env(
        {
            "SPACES_GATE_KEEPER_FRAME_LIMIT": "2048",
            "SPACES_GATE_KEEPER_ORIGINS": "https://a.example, https://b.example,",
            "SPACES_GATE_KEEPER_ADMIN_KEY": "k-1",
            "SPACES_NATS_CA_FILE": "/etc/ca.pem",
        }
    )
    assert settings.frame_limit == 2048
    assert settings.origins == ("https://a.example", "https://b.example")
    assert settings.admin_key is not None
    assert settings.admin_key.get_secret_value() == "k-1"
    assert settings.nats_ca_file == Path("/etc/ca.pem")


def test_a_value_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("secret-1\n")
    settings = GateSettings.from_env({"SPACES_NATS_PASSWORD_FILE": str(file)})
    assert settings.nats_password == SecretStr("secret-1")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"SPACES_NATS_PASSWORD_FILE.*No such file"):
        GateSettings.from_env({"SPACES_NATS_PASSWORD_FILE": str(tmp_path / "none")})


def test_a_value_and_its_file_together_are_refused() -> None:
    environ = {"SPACES_NATS_PASSWORD": "a", "SPACES_NATS_PASSWORD_FILE": "/b"}
    with pytest.raises(SettingsError, match="both set"):
        GateSettings.from_env(environ)


def test_an_empty_value_counts_as_not_set() -> None:
    assert GateSettings.from_env({"SPACES_NATS_USER": ""}).nats_user is None


def test_an_unknown_name_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(SettingsError) as caught:
        GateSettings.from_env({"SPACES_GATE_KEEPER_FRAME_LIMITS": "1"})
    assert "SPACES_GATE_KEEPER_FRAME_LIMITS is not a setting" in str(caught.value)
    assert str(caught.value).endswith("SPACES_GATE_KEEPER_FRAME_LIMIT")


def test_another_services_variables_are_left_alone() -> None:
    GateSettings.from_env({"SPACES_REGISTRY_ANYTHING": "1", "PATH": "/bin"})


@pytest.mark.parametrize(
    ("environ", "text"),
    [
        ({"SPACES_GATE_KEEPER_FRAME_LIMIT": "many"}, "SPACES_GATE_KEEPER_FRAME_LIMIT: .*integer"),
        ({"SPACES_PORT": "70000"}, "SPACES_PORT: .*65535"),
        ({"SPACES_LOG_LEVEL": "LOUD"}, "SPACES_LOG_LEVEL: .*'DEBUG'"),
    ],
)
def test_a_bad_value_is_an_error_that_names_its_variable(
    environ: dict[str, str], text: str
) -> None:
    with pytest.raises(SettingsError, match=text):
        GateSettings.from_env(environ)


def test_a_bad_secret_is_not_repeated_in_the_error() -> None:
    with pytest.raises(SettingsError) as caught:
        GateSettings.from_env({"SPACES_POSTGRES_POOL": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_what_is_required_and_missing_is_named() -> None:
    with pytest.raises(SettingsError, match="SPACES_NEEDY_TOKEN: Field required"):
        NeedySettings.from_env({})


def test_secrets_are_not_shown_when_settings_are_printed() -> None:
    settings = GateSettings.from_env(
        {"SPACES_NATS_PASSWORD": "hunter2", "SPACES_POSTGRES_URL": "postgresql://u:hunter2@h/d"}
    )
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in settings.model_dump_json()


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        GateSettings.from_env({}).port = 1


def test_all_variables_can_be_listed_for_the_documentation() -> None:
    variables = {variable.name: variable for variable in GateSettings.variables()}
    limit = variables["SPACES_GATE_KEEPER_FRAME_LIMIT"]
    assert (limit.shared, limit.type, limit.default) == ("SPACES_FRAME_LIMIT", "int", "1024")
    assert limit.help == "bytes in a frame"
    assert variables["SPACES_GATE_KEEPER_ORIGINS"].type == "comma separated"
    assert variables["SPACES_GATE_KEEPER_LOG_FORMAT"].type == "json | human | auto"
    key = variables["SPACES_GATE_KEEPER_ADMIN_KEY"]
    assert key.secret
    assert key.type == "secret"
    assert key.default == ""
    assert "127.0.0.1" not in variables["SPACES_GATE_KEEPER_POSTGRES_URL"].default
    assert NeedySettings.variables()[0].default == "required"
