"""The lines of the log, request ids, and the headers that every answer has."""

import logging
import re

import pytest

from tests.app.client import Client
from yoloscope.app.main import create_app
from yoloscope.app.request_log import RateLimited, WithRequestId, log_config
from yoloscope.app.settings import Settings


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(r.levelname, r.getMessage()) for r in caplog.records if r.name == "yoloscope.app.request_log"]


def test_a_request_id_comes_back_and_a_bad_one_is_replaced(client: Client) -> None:
    for given in ("abc-1.2:3/x", "A" * 128):
        assert client.get("/health/live", headers={"x-request-id": given}).headers["x-request-id"] == given
    for bad in ("", "a b", "A" * 129, "<script>", "\x1b[31m"):
        answered = client.get("/health/live", headers={"x-request-id": bad}).headers["x-request-id"]
        assert re.fullmatch("[0-9a-f]{32}", answered), bad


def test_types_are_not_to_be_guessed(client: Client) -> None:
    for path in ("/health/live", "/v1/models", "/docs", "/nowhere"):
        assert client.get(path).headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("GET", "/nowhere", 404, "GET /nowhere: Nothing matches the given URI"),
        ("DELETE", "/v1/models", 405, "DELETE /v1/models: Specified method is invalid for this resource"),
        ("POST", "/v1/detect?format=xml", 422, "/format: Input should be 'native', 'coco' or 'yolo', got 'xml'"),
        ("POST", "/v1/detect?model=broken", 503, "got 'broken': its file is not an ONNX model"),
    ],
)
def test_every_refusal_is_logged_with_its_reason(
    client: Client, caplog: pytest.LogCaptureFixture, method: str, path: str, status: int, reason: str
) -> None:
    client.request(method, path, content=b"x")
    (level, line), *others = lines(caplog)
    assert not others
    assert level == "WARNING"
    assert re.match(rf'127\.0\.0\.1 "{method} {re.escape(path.partition("?")[0])}" {status} \d+ ms ', line)
    assert reason in line


def test_a_good_answer_has_one_line_without_a_reason(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "yoloscope"):
        client.get("/v1/models")
    ((level, line),) = lines(caplog)
    assert level == "INFO"
    assert re.fullmatch(r'127\.0\.0\.1 "GET /v1/models" 200 \d+ ms', line)


def test_a_client_cannot_write_lines_of_its_own(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    client.get("/v1/models/a%0AWARNING%20forged")
    ((_, line),) = lines(caplog)
    assert "\n" not in line
    assert "/v1/models/a%0AWARNING%20forged" in line


def record(text: str, created: float, name: str = "uvicorn.error") -> logging.LogRecord:
    made = logging.LogRecord(name, logging.ERROR, "", 0, text, (), None)
    made.created = created
    return made


def test_lines_of_one_text_are_few_in_a_second_and_the_others_are_counted() -> None:
    limit = RateLimited(per_second=10)
    passed = [limit.filter(record("no descriptor", 100.0 + i / 1000)) for i in range(500)]
    assert passed == [True] * 10 + [False] * 490
    assert limit.filter(record("another", 100.5))
    assert all(limit.filter(record("x", 100.5, "yoloscope.app.request_log")) for _ in range(50))
    following = record("no descriptor", 101.0)
    assert limit.filter(following)
    assert following.getMessage() == "no descriptor (490 more like this were left out)"


def test_a_line_has_time_level_and_request() -> None:
    line = log_config("info")["formatters"]["line"]["format"]
    made = record("it failed", 0.0)
    assert WithRequestId().filter(made)
    text = logging.Formatter(line).format(made)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ERROR \[-\] it failed", text)


def test_pages_of_other_origins_are_let_in_by_a_setting_alone(client: Client, settings: Settings) -> None:
    ask = {"origin": "https://labels.example", "access-control-request-method": "POST"}
    assert "access-control-allow-origin" not in client.get("/health/live", headers=ask).headers
    allowed = settings.model_copy(update={"cors_origins": "https://labels.example, https://other.example"})
    with Client(create_app(allowed)) as open_client:
        asked = open_client.request("OPTIONS", "/v1/detect", headers=ask)
        assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (200, "https://labels.example")
        refused = open_client.post("/v1/detect", content=b"x", headers={"origin": "https://labels.example"})
        assert refused.headers["access-control-allow-origin"] == "https://labels.example"
        for method in ("PUT", "DELETE"):
            wanted = ask | {"access-control-request-method": method}
            assert open_client.request("OPTIONS", "/v1/detect", headers=wanted).status_code == 200
        stranger = open_client.get("/health/live", headers={"origin": "https://stranger.example"})
        assert "access-control-allow-origin" not in stranger.headers


def test_a_prefix_of_a_proxy_is_known(settings: Settings) -> None:
    with Client(create_app(settings.model_copy(update={"root_path": "/yolo"}))) as behind:
        assert behind.get("/openapi.json").json()["servers"] == [{"url": "/yolo"}]
        for path in ("/v1/models", "/yolo/v1/models"):
            assert behind.get(path).json()["default"] == "tiny"
