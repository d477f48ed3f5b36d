"""Settings from environment variables and arguments."""

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT
from yoloscope.app.settings import Settings, load_settings, misspelled
from yoloscope.models.errors import ConfigError


def test_settings_come_from_the_environment_and_arguments_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YOLOSCOPE_PORT", "9000")
    monkeypatch.setenv("YOLOSCOPE_PROVIDER", "cpu")
    assert load_settings().port == 9000
    assert load_settings(port=9001, provider=None).port == 9001
    assert load_settings(port=9001, provider=None).provider == "cpu"


@pytest.mark.parametrize(
    ("name", "value"), [("PORT", "70000"), ("PROVIDER", "gpu"), ("MAX_PIXELS", "1e12"), ("THREADS", "0")]
)
def test_wrong_settings_name_the_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"YOLOSCOPE_{name}", value)
    with pytest.raises(ConfigError, match=f"YOLOSCOPE_{name}: .*{value}"):
        load_settings()


def test_the_cache_folder_follows_the_standard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert load_settings().models_dir == Path("/somewhere/yoloscope/models")


def test_the_data_folder_and_its_database_follow_the_standard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/somewhere")
    settings = load_settings()
    assert settings.audits_dir == Path("/somewhere/yoloscope/audits")
    assert settings.audits_url == "sqlite:////somewhere/yoloscope/audits/audits.sqlite"
    assert load_settings(database_url="postgresql://host/name").audits_url == "postgresql://host/name"


def documented_defaults() -> dict[str, str]:
    """Return the variables of the table in docs/service.md with their defaults as written there."""
    rows = re.findall(r"^\| `YOLOSCOPE_(\w+)` \| ([^|]*)\|", (ROOT / "docs" / "service.md").read_text(), re.MULTILINE)
    return {name.lower(): default.strip() for name, default in rows}


def test_every_setting_is_documented_in_order() -> None:
    assert list(documented_defaults()) == list(Settings.model_fields)


@pytest.mark.parametrize("name", sorted(set(Settings.model_fields) - {"models_dir", "audits_dir", "model", "threads"}))
def test_documented_defaults_are_the_defaults(name: str) -> None:
    default = Settings.model_fields[name].default
    written = documented_defaults()[name].strip("`")
    assert written == (f"{default:g}" if isinstance(default, float) else str("" if default is None else default))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("threads", "two", "a whole number, got 'two'"),
        ("shutdown_grace_s", "2.5", "a whole number, got '2.5'"),
        ("max_images", "0", "a number greater than or equal to 1, got '0'"),
        ("supervise", "maybe", "true or false, got 'maybe'"),
        ("drain_s", "inf", "a finite number, got 'inf'"),
        ("keep_s", "nan", "a finite number, got 'nan'"),
        ("host", "", "an address (0.0.0.0: all), got ''"),
        ("log_level", "loud", "'critical', 'error', 'warning', 'info' or 'debug', got 'loud'"),
        ("label_studio_url", "localhost:8080", "an address as http://127.0.0.1:8080, got 'localhost:8080'"),
    ],
)
def test_wrong_settings_say_what_was_expected(name: str, value: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name}: expected {re.escape(expected)}$"):
        load_settings(**{name: value})


@pytest.mark.parametrize("origin", ["example.com", "https://example.com/", "https://Example.com", "https://a, b"])
def test_an_origin_that_no_browser_sends_is_refused(origin: str) -> None:
    with pytest.raises(ConfigError, match=r"cors_origins: expected origins as https://example\.com"):
        load_settings(cors_origins=origin)


def test_origins_are_separated_by_commas() -> None:
    assert load_settings(cors_origins="https://a.org, http://b:80,").cors_origin_list == [
        "https://a.org",
        "http://b:80",
    ]
    assert load_settings(cors_origins="*").cors_origin_list == ["*"]


def test_a_key_in_the_place_of_its_digest_is_not_written_into_the_log() -> None:
    with pytest.raises(ConfigError, match="expected the SHA-256 of each key") as error:
        load_settings(api_keys="a-secret-key")
    assert "a-secret-key" not in str(error.value)


def test_a_misspelled_variable_is_noticed() -> None:
    """The first one leaves a service open that was to be closed."""
    wrong = {"YOLOSCOPE_API_KEY": "YOLOSCOPE_API_KEYS", "YOLOSCOPE_PRECISON": "YOLOSCOPE_PRECISION"}
    links = ["SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT_80_TCP", "PORT_80_TCP_ADDR", "HEAD_SVC_PORT"]
    others = {"YOLOSCOPE_HOST": "::", "YOLO_PORT": "1", **{f"YOLOSCOPE_{link}": "10.0.0.1" for link in links}}
    assert dict(misspelled({**dict.fromkeys(wrong, "x"), **others})) == wrong
    assert dict(misspelled({"YOLOSCOPE_API_KEY": "x", "YOLOSCOPE_API_KEYS": "y"})) == {}


def test_the_level_of_the_log_may_be_in_capitals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YOLOSCOPE_LOG_LEVEL", "WARNING")
    assert load_settings().log_level == "warning"


@pytest.mark.parametrize("address", ["tcp://10.96.0.1:80", "udp://[fd00::1]:80"])
def test_a_service_of_kubernetes_beside_this_one_does_not_set_the_port(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("YOLOSCOPE_PORT", address)
    assert load_settings().port == 8000


@pytest.mark.parametrize("prefix", ["yolo", "/yolo/", "/", "/a b", "/a?b"])
def test_a_prefix_begins_with_a_slash_and_ends_without(prefix: str) -> None:
    with pytest.raises(ConfigError, match="root_path"):
        load_settings(root_path=prefix)
