"""Settings from environment variables and arguments."""

from pathlib import Path

import pytest

from yoloscope.app.settings import load_settings
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
