"""API keys: who is let in, where none is needed, and how many requests of one key run at once."""

import base64
from collections.abc import Iterator
from hashlib import sha256

import pytest
from pydantic import ValidationError

from tests.app.client import Client
from tests.app.test_request_metrics import sample
from yoloscope.app.main import create_app
from yoloscope.app.settings import Settings

KEY, OTHER = "key-of-one", "key-of-another"
BASIC = base64.b64encode(f"anyone:{KEY}".encode()).decode()


@pytest.fixture(scope="module")
def keyed(settings: Settings) -> Settings:
    digests = ", ".join(sha256(key.encode()).hexdigest() for key in (KEY, OTHER))
    return settings.model_copy(update={"api_keys": digests, "max_requests_per_key": 1})


@pytest.fixture(scope="module")
def client(keyed: Settings) -> Iterator[Client]:
    with Client(create_app(keyed)) as client:
        yield client


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {KEY}"},
        {"authorization": f"bearer {OTHER}"},
        {"authorization": f"Basic {BASIC}"},
        {"x-api-key": OTHER},
    ],
)
def test_a_known_key_is_let_in(client: Client, headers: dict[str, str]) -> None:
    assert client.get("/v1/models", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": f"Bearer {KEY}x"},
        {"authorization": "Bearer "},
        {"authorization": KEY},
        {"authorization": "Basic %%%"},
        {"x-api-key": sha256(KEY.encode()).hexdigest()},
        {"x-api-key": "ü".encode("latin-1").decode("latin-1")},
    ],
)
@pytest.mark.parametrize("path", ["/v1/models", "/metrics", "/nowhere", "/v2/models/tiny", "/docsx"])
def test_others_are_refused(client: Client, headers: dict[str, str], path: str) -> None:
    answer = client.get(path, headers=[(name.encode(), value.encode("latin-1")) for name, value in headers.items()])
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    if path.startswith("/v2"):
        assert list(answer.json()) == ["error"]
    else:
        assert answer.json()["type"] == "urn:yoloscope:problem:unauthorized"


@pytest.mark.parametrize(
    "path", ["/health/live", "/health/ready", "/v2/health/ready", "/openapi.json", "/docs", "/", "/page/main.js"]
)
def test_health_and_the_description_need_no_key(client: Client, path: str) -> None:
    assert client.get(path).status_code == 200


def test_a_prefix_opens_nothing_else(keyed: Settings) -> None:
    with Client(create_app(keyed.model_copy(update={"root_path": "/yolo"}))) as client:
        assert client.get("/yolo/health/live").status_code == 200
        assert client.get("/yolo/v1/models").status_code == 401
        assert client.get("/v1/models").status_code == 401


def test_one_request_of_a_key_at_once(client: Client) -> None:
    headers = {"x-api-key": KEY}
    with client.app.state.api_keys.hold(KEY):
        refused = client.get("/v1/models", headers=headers)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert refused.json()["type"] == "urn:yoloscope:problem:too-many-requests"
        assert client.get("/v1/models", headers={"x-api-key": OTHER}).status_code == 200
    assert client.get("/v1/models", headers=headers).status_code == 200


def test_refusals_are_counted(keyed: Settings) -> None:
    with Client(create_app(keyed)) as client:
        client.get("/v1/models")
        client.http.headers["x-api-key"] = KEY
        assert sample(client, "yoloscope_rejected_total", reason="auth") == 1


def test_the_description_names_the_ways_to_send_a_key(client: Client, settings: Settings) -> None:
    document = client.get("/openapi.json").json()
    assert document["security"] == [{"bearer": []}, {"key": []}]
    assert document["components"]["securitySchemes"]["key"]["name"] == "X-API-Key"
    assert "security" not in create_app(settings).openapi()


@pytest.mark.parametrize("text", ["secret", "0" * 63, "0" * 64 + ";" + "0" * 64])
def test_keys_themselves_are_no_setting(text: str) -> None:
    with pytest.raises(ValidationError, match="api_keys"):
        Settings(api_keys=text)


def test_a_kept_image_belongs_to_the_key_that_sent_it(client: Client, gray_png: bytes) -> None:
    mine, others = {"x-api-key": KEY}, {"x-api-key": OTHER}
    labels = ("labels", ("a.txt", b""))
    sent = client.post("/v1/score?keep=true", files=[("image", ("a.png", gray_png)), labels], headers=mine)
    image_id = sent.json()["results"][0]["image_id"]
    again = [
        client.post(f"/v1/score?image_id={image_id}", files=[labels], headers=headers) for headers in (mine, others)
    ]
    assert [answer.status_code for answer in again] == [200, 404]
