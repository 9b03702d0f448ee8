"""Where settings come from, and what is said when they are wrong."""

from pathlib import Path

import pytest

from spaces_client.config import load_endpoint
from spaces_client.endpoint import Endpoint
from spaces_client.errors import ConfigError


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(tmp_path)}


def write_config(tmp_path: Path, text: str) -> None:
    (tmp_path / "spaces").mkdir()
    (tmp_path / "spaces" / "config.toml").write_text(text)


def test_an_argument_beats_the_environment_and_that_the_file(
    tmp_path: Path, home: dict[str, str]
) -> None:
    write_config(tmp_path, 'url = "http://file"\napi_key = "of-file"\ntimeout_s = 5')
    assert load_endpoint(environ=home) == Endpoint("http://file", "of-file", None, 5.0)
    env = home | {"SPACES_URL": "http://env", "SPACES_API_KEY": "of-env", "SPACES_TIMEOUT_S": "7"}
    assert load_endpoint(environ=env) == Endpoint("http://env", "of-env", None, 7.0)
    given = load_endpoint(url="http://arg", api_key="of-arg", timeout_s=9, environ=env)
    assert given == Endpoint("http://arg", "of-arg", None, 9.0)


def test_a_key_file_is_read_and_beats_a_key_in_the_config(
    tmp_path: Path, home: dict[str, str]
) -> None:
    write_config(tmp_path, 'api_key = "of-file"')
    key_file = tmp_path / "key"
    key_file.write_text("secret\n")
    env = home | {"SPACES_URL": "http://x", "SPACES_API_KEY_FILE": str(key_file)}
    assert load_endpoint(environ=env).api_key == "secret"


def test_a_key_is_never_shown() -> None:
    assert "secret" not in repr(Endpoint("http://x", "secret"))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "no_url"),
        ("url = ", "config_invalid"),
        ('urk = "x"', "config_invalid"),
        ('url = "http://x"\ntimeout_s = -1', "timeout_invalid"),
        ('url = "http://x"\napi_key_file = "/nowhere/key"', "api_key_file_invalid"),
    ],
)
def test_wrong_settings_say_what_to_do(
    tmp_path: Path, home: dict[str, str], text: str, code: str
) -> None:
    write_config(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_endpoint(environ=home)
    assert caught.value.code == code
    assert caught.value.what_to_do


def test_an_unknown_setting_is_told_its_likely_name(tmp_path: Path, home: dict[str, str]) -> None:
    write_config(tmp_path, 'api_keyfile = "x"')
    with pytest.raises(ConfigError) as caught:
        load_endpoint(environ=home)
    assert "api_key_file" in caught.value.what_to_do


@pytest.mark.parametrize(
    ("url", "http", "ws"),
    [
        ("http://h:8080", "http://h:8080", "ws://h:8080/ws"),
        ("https://h/", "https://h", "wss://h/ws"),
        ("wss://h/ws", "https://h", "wss://h/ws"),
        ("https://h/below/", "https://h/below", "wss://h/below/ws"),
    ],
)
def test_one_address_gives_both_addresses(url: str, http: str, ws: str) -> None:
    endpoint = Endpoint(url)
    assert (endpoint.http_url, endpoint.socket_url) == (http, ws)


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://h", "http://", "h"])
def test_something_else_than_an_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _ = Endpoint(url).http_url
    assert caught.value.code == "url_invalid"


def test_an_authority_file_that_is_none_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "ca.pem"
    wrong.write_text("not a certificate")
    for path in (wrong, tmp_path / "missing.pem"):
        with pytest.raises(ConfigError) as caught:
            _ = Endpoint("https://h", ca_file=path).tls
        assert caught.value.code == "ca_file_invalid"
