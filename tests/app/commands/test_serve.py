"""yoloscope serve: what it prints."""

import pytest

from yoloscope.app.commands.serve import reachable_url


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
