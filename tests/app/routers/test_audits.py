"""The routes of audits: uploads of every kind, answers, and what is refused."""

import io
import json
import os
import signal
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.app.audits import MODEL, NO_CLASSES, NO_LABELS, UNKNOWN_CLASS, write_judge, yolo_files, yolo_zip, zip_of
from tests.app.client import Client
from tests.app.services.audits.test_archive import HOSTILE
from yoloscope.app.main import create_app
from yoloscope.app.services.audits.service import WorkerSupervisor
from yoloscope.app.settings import Settings
from yoloscope.models.errors import ArchiveError, MediaTypeError, RequestTooLargeError, YoloscopeError
from yoloscope.models.scratch import UNFINISHED

ZIP = {"content-type": "application/zip"}
PATH = "/v1/audits"
IMAGES = 40
REFUSALS: dict[type[YoloscopeError], int] = {MediaTypeError: 415, RequestTooLargeError: 413, ArchiveError: 422}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("audited")
    write_judge(folder / "models")
    return Settings(
        models_dir=folder / "models",
        model=MODEL,
        provider="cpu",
        threads=1,
        audits_dir=folder / "audits",
        max_body_bytes=1000,
        max_audit_bytes=200_000,
        max_open_audits=3,
        audit_lease_s=1,
    )


@pytest.fixture(scope="module")
def client(settings: Settings) -> Iterator[Client]:
    with Client(create_app(settings)) as running:
        yield running


@pytest.fixture(scope="module")
def done(client: Client) -> dict[str, Any]:
    """A job that two worker processes did beside the service: the first one was killed at work."""
    response = client.post(PATH, files={"data": ("blood cells.zip", yolo_zip(IMAGES))}, data={"floor": "0.01"})
    assert response.status_code == 202, response.text
    url = response.headers["location"]
    deadline = time.monotonic() + 90
    worker: WorkerSupervisor = client.app.state.services.audits().worker
    killed = None
    while (job := client.get(url).json())["state"] in ("queued", "running"):
        assert time.monotonic() < deadline, job
        if killed is None and worker.pid and job["done"]:
            killed = worker.pid
            assert os.getpriority(os.PRIO_PROCESS, killed) == 19
            os.kill(killed, signal.SIGKILL)
        time.sleep(0.01)
    assert worker.pid
    assert killed not in (None, worker.pid)
    found: dict[str, Any] = job
    return found


@pytest.fixture
def idle(client: Client, done: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """The service without a worker, so that jobs stay queued; they are deleted at the end."""
    monkeypatch.setattr(WorkerSupervisor, "_look", lambda _self: None)
    client.app.state.services.audits().worker.stop_worker(20)
    yield client
    for job in client.get(PATH).json()["audits"]:
        if job["id"] != done["id"]:
            assert client.request("DELETE", job["status_url"]).status_code == 204


def problem(response: httpx.Response, status: int) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    detail = response.json()["detail"]
    assert isinstance(detail, str)
    return detail


def test_a_job_is_done_beside_the_service(done: dict[str, Any]) -> None:
    assert (done["state"], done["phase"], done["done"], done["total"]) == ("done", "report", IMAGES, IMAGES)
    assert (done["name"], done["model"], done["floor"], done["errors"]) == ("blood_cells", MODEL, 0.01, [])


def test_reports_and_findings_of_a_job(client: Client, done: dict[str, Any]) -> None:
    url = done["status_url"]
    report = client.get(f"{url}/report.json").json()
    assert (report["model"], report["data"], report["num_images"]) == (MODEL, "blood_cells", IMAGES)
    findings: list[Any] = []
    cursor: str | None = ""
    while cursor is not None:
        page = client.get(f"{url}/findings", params={"limit": 7, **({"cursor": cursor} if cursor else {})}).json()
        findings, cursor = findings + page["findings"], page["cursor"]
    assert findings == report["findings"]
    assert len(findings) > 7
    kind = findings[0]["kind"]
    chosen = client.get(f"{url}/findings", params={"kind": kind, "class_name": "cat", "limit": 1000}).json()["findings"]
    assert chosen == [one for one in findings if one["kind"] == kind and one["class_name"] == "cat"]
    table = client.get(f"{url}/report.csv")
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    page_of_report = client.get(f"{url}/report.html")
    assert page_of_report.headers["content-type"] == "text/html; charset=utf-8"
    assert page_of_report.text.startswith("<!doctype html>")
    assert problem(client.get(f"{url}/report.xml"), 422)


def test_a_form_and_a_raw_body_are_taken_with_options_in_either_place(idle: Client) -> None:
    data = zip_of(yolo_files(2, "train/"))
    options = {"split": "train", "floor": "0.2", "prevalence": "missing=.1,class=.02"}
    form = idle.post(PATH, files={"data": ("a/b/cells.v2.zip", data)}, data=options)
    raw = idle.post(PATH, content=data, headers=ZIP, params=options)
    for response, name in ((form, "cells.v2"), (raw, "data")):
        job = response.json()
        assert response.status_code == 202
        assert response.headers["location"] == job["status_url"] == f"{PATH}/{job['id']}"
        assert (job["state"], job["name"], job["split"], job["floor"]) == ("queued", name, "train", 0.2)
        assert job["prevalence"] == {"missing": 0.1, "class": 0.02}
        assert idle.get(job["status_url"]).json() == job
        assert "has no report" in problem(idle.get(f"{job['status_url']}/report.json"), 409)


def test_the_same_key_gives_the_same_job(idle: Client) -> None:
    headers = {**ZIP, "Idempotency-Key": "a1"}
    first = idle.post(PATH, content=yolo_zip(2), headers=headers)
    assert idle.post(PATH, content=yolo_zip(2), headers=headers).json()["id"] == first.json()["id"]
    detail = problem(idle.post(PATH, content=yolo_zip(3), headers=headers), 422)
    assert detail == "expected the same zip and options as before under this Idempotency-Key, got others"


def test_a_full_queue_says_when_to_come_back(idle: Client) -> None:
    for _ in range(3):
        assert idle.post(PATH, content=yolo_zip(1), headers=ZIP).status_code == 202
    response = idle.post(PATH, content=yolo_zip(1), headers=ZIP)
    assert problem(response, 503) == "expected fewer than 3 audits queued or running, got 3; retry later"
    assert int(response.headers["retry-after"]) > 0


def test_jobs_are_listed_canceled_and_deleted(idle: Client, done: dict[str, Any]) -> None:
    urls = [idle.post(PATH, content=yolo_zip(1), headers=ZIP).json()["status_url"] for _ in range(2)]
    first = idle.get(PATH, params={"limit": 2}).json()
    assert [job["status_url"] for job in first["audits"]] == urls[::-1]
    last = idle.get(PATH, params={"limit": 2, "cursor": first["cursor"]}).json()
    assert ([job["id"] for job in last["audits"]], last["cursor"]) == ([done["id"]], None)
    assert idle.post(f"{urls[0]}/cancel").json()["state"] == "cancelled"
    assert [job["status_url"] for job in idle.get(PATH, params={"state": "cancelled"}).json()["audits"]] == urls[:1]
    assert "got one that is done" in problem(idle.post(f"{done['status_url']}/cancel"), 409)
    assert idle.request("DELETE", urls[1]).status_code == 204
    for path in ("", "/findings", "/report.json"):
        assert "or it was deleted" in problem(idle.get(urls[1] + path), 404)
    assert problem(idle.request("DELETE", urls[1]), 404)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ({"content": b"x", "headers": {"content-type": "text/plain"}}, 415, "expected multipart/form-data or"),
        ({"content": yolo_zip(1)}, 415, "got ''"),
        ({"content": b"\xff\xd8\xff\xe0", "headers": ZIP}, 415, "begins with b'\\xff\\xd8"),
        ({"content": b"", "headers": ZIP}, 415, "expected a zip"),
        ({"content": yolo_zip(1)[:-9], "headers": ZIP}, 422, "cut off"),
        ({"content": zip_of([*yolo_files(1), ("../x", b"")]), "headers": ZIP}, 422, "leads out"),
        ({"content": NO_CLASSES, "headers": ZIP}, 422, "the labels, such as data/labels/a.txt, need class names"),
        ({"content": NO_LABELS, "headers": ZIP}, 422, "expected at least 1 labels to audit in data, got 0"),
        ({"content": UNKNOWN_CLASS, "headers": ZIP}, 422, "got one without zebra"),
        ({"content": yolo_zip(1), "headers": ZIP, "params": {"split": "val"}}, 422, "val"),
        ({"content": bytes(200_001), "headers": ZIP}, 413, "at most 200000 bytes"),
        ({"files": {"data": ("a.zip", b"nonsense")}}, 415, "expected a zip"),
        ({"files": {"image": ("a.zip", yolo_zip(1))}}, 422, "one file part named data"),
        ({"files": {"data": ("a.zip", yolo_zip(1))}, "data": {"model": "absent"}}, 404, "absent"),
        ({"files": {"data": ("a.zip", yolo_zip(1))}, "data": {"floor": "2"}}, 422, "/floor"),
        ({"files": {"data": ("a.zip", yolo_zip(1))}, "data": {"prevalence": "some=.1"}}, 422, "expected KIND=SHARE"),
        ({"files": {"data": ("a.zip", yolo_zip(1))}, "data": {"prevalence": "class=1"}}, 422, "0.0001 to 0.9"),
        ({"files": {"data": ("a.zip", yolo_zip(1))}, "data": {"folds": "5"}}, 422, "/folds"),
        ({"content": yolo_zip(1), "headers": {**ZIP, "Idempotency-Key": "a b"}}, 422, "Idempotency-Key"),
    ],
)
def test_what_cannot_be_audited_is_refused_and_leaves_nothing(
    idle: Client, settings: Settings, arguments: dict[str, Any], status: int, message: str
) -> None:
    assert message in problem(idle.post(PATH, **arguments), status)
    assert len(idle.get(PATH).json()["audits"]) == 1
    assert {path.name.partition(".")[0] for path in settings.audits_dir.iterdir()} <= {"audits"}


def test_a_hundred_hostile_zips_are_refused_in_words_and_leave_nothing(idle: Client, settings: Settings) -> None:
    few_for_this_service = {"too many files", "a list of files that is too long"}
    sent = [case for case in HOSTILE if case[0] not in few_for_this_service]
    assert len(sent) >= 100
    for name, data, error, _ in sent:
        response = idle.post(PATH, content=data, headers=ZIP)
        over = {413} if len(data) > settings.max_audit_bytes else set()
        assert response.status_code in over | {REFUSALS[error]}, (name, response.text)
        assert problem(response, response.status_code).startswith("expected "), name
    assert len(idle.get(PATH).json()["audits"]) == 1
    assert {path.name.partition(".")[0] for path in settings.audits_dir.iterdir()} <= {"audits"}


def decisions_of(client: Client, job: dict[str, Any]) -> bytes:
    """Decisions that delete the first label of the job's first image."""
    report = client.get(f"{job['status_url']}/report.json").json()
    box = {"x1": 16.0, "y1": 14.4, "x2": 35.2, "y2": 33.6}
    label = {"image": "images/000.png", "kind": "spurious", "label_index": 0, "class_name": "cat", "box": box}
    finding = {**report["findings"][0], **label, "suggestion": None}
    document = {key: report[key] for key in ("model", "version", "data", "split")}
    return json.dumps({**document, "decisions": [{"decision": "accept", "finding": finding}]}).encode()


def test_decisions_become_a_corrected_zip(client: Client, done: dict[str, Any], settings: Settings) -> None:
    files = {"data": ("blood cells.zip", yolo_zip(3)), "decisions": ("decisions.json", decisions_of(client, done))}
    whole = client.post(f"{PATH}/corrected", files=files)
    labels = client.post(f"{PATH}/corrected", files=files, data={"content": "labels", "new_classes": "add"})
    for response, name in ((whole, "blood_cells-corrected.zip"), (labels, "blood_cells-labels.zip")):
        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == "application/zip"
        assert response.headers["content-disposition"] == f'attachment; filename="{name}"'
        assert response.headers["yoloscope-changes"] == "0 added, 0 relabeled, 0 moved, 1 deleted"
    before, after = dict(yolo_files(3)), files_of(whole.content)
    assert after == {**before, "labels/000.txt": b""}
    assert files_of(labels.content) == {"labels/000.txt": b""}
    assert not (settings.audits_dir / UNFINISHED).exists()


def files_of(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        (
            {"files": {"data": ("a.zip", yolo_zip(1))}},
            422,
            "one file part named data and one file part named decisions",
        ),
        ({"files": {"data": ("a.zip", b"nonsense"), "decisions": b"{}"}}, 415, "expected a zip"),
        (
            {"files": {"data": ("a.zip", yolo_zip(1)), "decisions": b"{"}},
            422,
            "expected the JSON of an audit's decisions",
        ),
        ({"data": {"content": "some"}}, 422, "/content"),
        ({"data": {"split": "val"}}, 422, "/split"),
        ({"files": None, "content": yolo_zip(1), "headers": ZIP}, 415, "expected multipart/form-data"),
        ({"files": None, "content": bytes(200_001), "headers": ZIP}, 413, "at most 200000 bytes"),
    ],
)
def test_what_cannot_be_corrected_is_refused(
    client: Client, done: dict[str, Any], change: dict[str, Any], status: int, message: str
) -> None:
    arguments = {"files": {"data": ("a.zip", yolo_zip(1)), "decisions": decisions_of(client, done)}, **change}
    assert message in problem(client.post(f"{PATH}/corrected", **arguments), status)


@pytest.mark.parametrize("path", ["/xyz", "/" + "a" * 50, "/ABC"])
def test_an_id_that_is_none_is_refused(client: Client, path: str) -> None:
    assert problem(client.get(PATH + path), 422)


def test_a_service_whose_folder_cannot_be_written_says_so_and_detects(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    settings = Settings(model="builtin", provider="cpu", threads=1, audits_dir=tmp_path / "file" / "audits")
    with Client(create_app(settings)) as client:
        assert "YOLOSCOPE_AUDITS_DIR" in problem(client.get(PATH), 503)
        assert client.get("/health/ready").status_code == 200
