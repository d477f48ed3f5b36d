"""The page at /: its files, their headers and their weight."""

import re
from pathlib import Path

import pytest

from tests.app.client import Client
from tests.conftest import ROOT
from yoloscope.app.main import create_app
from yoloscope.app.settings import Settings

WEB = ROOT / "app" / "web"
FILES = sorted(path.relative_to(WEB).as_posix() for path in WEB.rglob("*.*"))
ADDRESSES = {name: "/" if name == "index.html" else f"/page/{name}" for name in FILES}
KINDS = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".jpg": "image/jpeg",
}


@pytest.mark.parametrize("name", ADDRESSES)
def test_a_file_is_served_as_it_is_under_a_strict_policy(client: Client, name: str) -> None:
    answer = client.get(ADDRESSES[name])
    assert answer.status_code == 200
    assert answer.content == (WEB / name).read_bytes()
    assert answer.headers["content-type"].split(";")[0] == KINDS[Path(name).suffix]
    assert answer.headers["x-content-type-options"] == "nosniff"
    policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert answer.headers["permissions-policy"].startswith("camera=(self),")
    assert "unsafe" not in answer.headers["content-security-policy"]


def test_a_file_that_a_browser_holds_is_not_sent_again(client: Client) -> None:
    tag = client.get("/").headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        answer = client.get("/", headers={"if-none-match": known})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    assert client.get("/", headers={"if-none-match": '"other"'}).status_code == 200


def test_the_page_is_served_behind_a_prefix(settings: Settings) -> None:
    with Client(create_app(settings.model_copy(update={"root_path": "/yolo"}))) as client:
        assert client.get("/yolo/page/main.js").content == (WEB / "main.js").read_bytes()


def test_an_unknown_file_is_not_found(client: Client) -> None:
    assert client.get("/page/nothing.js").status_code == 404
    assert client.get("/page/../main.py").status_code == 404


def test_the_page_weighs_under_250_kb_and_names_no_host() -> None:
    assert sum((WEB / name).stat().st_size for name in FILES) < 250_000
    for name in FILES:
        if not name.endswith(".jpg"):
            named = set(re.findall(r"https?://[^\s\"']+", (WEB / name).read_text()))
            assert named <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1998/Math/MathML"}, name


def test_foreign_text_is_never_parsed_as_markup() -> None:
    for name in FILES:
        if name.endswith(".js"):
            text = (WEB / name).read_text()
            assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", text), name
