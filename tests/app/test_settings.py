"""Settings from environment variables and arguments."""

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT
from yoloscope.app.settings import Settings, load_settings
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


@pytest.mark.parametrize("prefix", ["yolo", "/yolo/", "/", "/a b", "/a?b"])
def test_a_prefix_begins_with_a_slash_and_ends_without(prefix: str) -> None:
    with pytest.raises(ConfigError, match="root_path"):
        load_settings(root_path=prefix)
