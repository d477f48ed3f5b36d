"""yoloscope serve: what it prints."""

import sys

import pytest
from typer.testing import CliRunner

from yoloscope.app.cli import build
from yoloscope.app.commands.serve import reachable_url
from yoloscope.models.errors import ConfigError


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::1", "http://[::1]:8000"),
        ("::", "http://[::1]:8000"),
        ("fe80::1%eth0", "http://[fe80::1%eth0]:8000"),
        ("gpu-box", "http://gpu-box:8000"),
    ],
)
def test_the_printed_address_can_be_called(host: str, url: str) -> None:
    assert reachable_url(host, 8000) == url


def test_serving_on_ray_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "yoloscope.app.ray_serve", raising=False)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(ConfigError, match=r"serve --ray needs ray: pip install 'yoloscope\[ray\]'"):
        CliRunner().invoke(build(["serve"]), ["serve", "--ray"], catch_exceptions=False)
