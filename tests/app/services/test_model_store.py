"""Models by name, and files that change while they are served."""

import errno
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event
from time import monotonic, sleep
from typing import Any

import pytest

from tests.app.artifact import tiny_spec, write_tiny_artifact
from tests.app.client import Client
from yoloscope.app.main import create_app
from yoloscope.app.services import model_store
from yoloscope.app.services.model_store import ModelStore, artifact_path, reason
from yoloscope.app.services.runtime import Runtime
from yoloscope.app.settings import Settings
from yoloscope.models.errors import ModelLoadError, ModelNotFoundError, ProviderError


def test_names_and_paths(tmp_path: Path) -> None:
    assert artifact_path("a", tmp_path) == tmp_path / "a.onnx"
    assert artifact_path("a.b-c", tmp_path) == tmp_path / "a.b-c.onnx"
    assert artifact_path("./x/a.onnx", tmp_path) == Path("x/a.onnx")
    assert artifact_path("a.onnx", tmp_path) == Path("a.onnx")


def test_the_default_may_be_a_path_and_comes_first(models_dir: Path, tmp_path: Path) -> None:
    mine = write_tiny_artifact(tmp_path / "mine.onnx")
    store = ModelStore(models_dir, str(mine), "cpu", 1)
    assert store.default == "mine"
    assert store.names() == ["mine", "broken", "builtin", "other", "tiny"]
    assert store.get().path == mine
    assert store.get("mine") is store.get()


@pytest.mark.parametrize("name", ["nope", "../models/tiny", "tiny.onnx", ".tiny", "", "a b", "tiny\n"])
def test_only_listed_names_are_served(models_dir: Path, name: str) -> None:
    store = ModelStore(models_dir, "other", "cpu", 1)
    if name:
        with pytest.raises(ModelNotFoundError, match="expected one of the models other"):
            store.get(name)
    else:
        assert store.get(name).path.stem == "other"


def test_a_model_is_loaded_once(models_dir: Path) -> None:
    store = ModelStore(models_dir, "tiny", "cpu", 1)
    assert store.loaded("tiny") is None
    with ThreadPoolExecutor(8) as pool:
        runtimes = set(pool.map(lambda _: store.get("tiny"), range(16)))
    assert len(runtimes) == 1


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """A store that looks at the file at every call, with one model of its own."""
    write_tiny_artifact(tmp_path / "mine.onnx")
    return ModelStore(tmp_path, "mine", "cpu", 1, check_interval_s=0.0)


def replace(path: Path, content: bytes) -> None:
    """Put another file in the place of one, as imports do."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.replace(path)


def renamed(path: Path) -> bytes:
    """Return an artifact that differs from that of ``path`` in the name of its spec."""
    other = write_tiny_artifact(path.parent / "aside" / "renamed.onnx")
    return other.read_bytes()


def wait_for(done: "Future[Runtime]", store: ModelStore, name: str) -> None:
    """Wait until a model serves the runtime of a load that is under way."""
    runtime, end = done.result(10), monotonic() + 10
    while store.loaded(name) is not runtime and monotonic() < end:
        sleep(0.01)
    assert store.loaded(name) is runtime


class Gate:
    """A runtime whose load waits until it is let through."""

    def __init__(self) -> None:
        self.open = Event()
        self.started: list[str] = []

    def __call__(self, path: Path, *_: object) -> Runtime:
        self.started.append(path.stem)
        assert self.open.wait(10)
        return Runtime(path, "cpu", 1)


def reloaded(store: ModelStore, name: str, before: Runtime) -> Runtime:
    end = monotonic() + 10
    while (runtime := store.get(name)) is before and monotonic() < end:
        sleep(0.01)
    return runtime


def test_a_replaced_file_is_loaded_while_the_old_one_serves(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    before = store.get("mine")
    gate = Gate()
    monkeypatch.setattr(model_store, "Runtime", gate)
    replace(before.path, renamed(before.path))
    assert [store.get("mine") for _ in range(5)] == [before] * 5
    assert gate.started == ["mine"]
    gate.open.set()
    after = reloaded(store, "mine", before)
    assert (before.spec, after.spec) == (tiny_spec("mine"), tiny_spec("renamed"))
    assert after.version != before.version
    assert store.get("mine") is after


def test_loading_one_model_holds_up_no_other(
    store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny_artifact(tmp_path / "slow.onnx")
    write_tiny_artifact(tmp_path / "quick.onnx")
    gate = Gate()
    monkeypatch.setattr(model_store, "Runtime", gate)
    slow = store.find("slow")
    assert not slow.done()
    monkeypatch.setattr(model_store, "Runtime", Runtime)
    assert store.get("quick").path.stem == "quick"
    assert store.find("slow") is slow
    gate.open.set()
    wait_for(slow, store, "slow")


def test_a_store_is_busy_until_all_of_a_model_is_open(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    release = Event()
    monkeypatch.setattr(Runtime, "open_half", lambda _: release.wait(10))
    found = [store.busy]
    store.get()
    found.append(store.busy)
    release.set()
    end = monotonic() + 10
    while store.busy and monotonic() < end:
        sleep(0.01)
    assert [*found, store.busy] == [False, True, False]


def test_a_file_that_is_written_anew_in_place_is_noticed(store: ModelStore) -> None:
    before = store.get("mine")
    before.path.write_bytes(renamed(before.path))
    assert reloaded(store, "mine", before).spec == tiny_spec("renamed")


def test_a_file_is_looked_at_once_in_an_interval(tmp_path: Path) -> None:
    path = write_tiny_artifact(tmp_path / "mine.onnx")
    store = ModelStore(tmp_path, "mine", "cpu", 1, check_interval_s=3600)
    before = store.get()
    path.unlink()
    assert store.get() is before
    assert store.fresh("mine") is before


def test_a_deleted_model_is_gone_and_comes_back(store: ModelStore) -> None:
    before = store.get("mine")
    content = before.path.read_bytes()
    before.path.unlink()
    with pytest.raises(ModelNotFoundError, match=r"^expected one of the models builtin, got 'mine'$"):
        store.get("mine")
    assert store.loaded("mine") is None
    assert store.names() == ["builtin"]
    replace(before.path, content)
    assert store.get("mine").sha256 == before.sha256


def test_a_disk_that_fails_for_a_moment_takes_no_model_away(
    store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = store.get("mine")
    write_tiny_artifact(tmp_path / "other.onnx")
    stat = Path.stat

    def fail(path: Path, **options: Any) -> Any:
        if path.suffix == ".onnx":
            raise OSError(errno.EIO, "Input/output error")
        return stat(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", fail)
        assert store.get("mine") is before
        assert store.names() == ["builtin"]
        assert store.has("mine")
        with pytest.raises(ModelNotFoundError):
            store.get("other")
    assert store.get("mine") is before
    assert store.get("other").path.stem == "other"


def test_a_broken_file_is_tried_once_until_it_changes(
    store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "late.onnx"
    path.write_bytes(b"<html>")
    tried: list[Path] = []

    def counted(where: Path, *_: object) -> Runtime:
        tried.append(where)
        return Runtime(where, "cpu", 1)

    monkeypatch.setattr(model_store, "Runtime", counted)
    for _ in range(3):
        with pytest.raises(ModelLoadError):
            store.get("late")
    assert tried == [path]
    assert len(caplog.records) == 1
    assert str(path) in caplog.text
    assert store.problem("late") == "its file is not an ONNX model"
    replace(path, renamed(path))
    assert store.get("late").spec == tiny_spec("renamed")
    assert store.problem("late") is None


def test_a_broken_replacement_leaves_the_old_model_serving(store: ModelStore, caplog: pytest.LogCaptureFixture) -> None:
    before = store.get("mine")
    replace(before.path, before.path.read_bytes()[:1000])
    assert store.get("mine") is before
    end = monotonic() + 10
    while store.problem("mine") is None and monotonic() < end:
        sleep(0.01)
    assert store.problem("mine") == "its file is not an ONNX model"
    assert store.get("mine") is before
    assert f"version {before.version} goes on serving" in caplog.text


def test_reasons_are_words_without_paths(store: ModelStore, tmp_path: Path) -> None:
    write_tiny_artifact(tmp_path / "unread.onnx", metadata="{")
    with pytest.raises(ModelLoadError):
        store.get("unread")
    assert store.problem("unread") == "the detector spec in its file is not readable"
    assert reason(ProviderError("/a/path")) == "the execution provider that was asked for is not at work"
    assert reason(PermissionError(13, "no", "/a/path")) == "its file cannot be read"
    assert reason(RuntimeError("[ONNXRuntimeError] : 1 /a/path")) == "it fails when it is run"


def eventually(client: Client, path: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Ask until the answer is as wanted, which takes the second between two looks at a file."""
    end = monotonic() + 20
    while not wanted(answer := client.get(path).json()) and monotonic() < end:
        sleep(0.05)
    found: dict[str, Any] = answer
    return found


def test_the_service_follows_its_folder(
    settings: Settings, models_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("tiny", "other", "broken"):
        shutil.copy(models_dir / f"{name}.onnx", tmp_path / f"{name}.onnx")
    with Client(create_app(settings.model_copy(update={"models_dir": tmp_path}))) as client:
        refused = [client.post("/v1/detect?model=broken", content=b"x") for _ in range(2)]
        for response in refused:
            assert response.status_code == 503
            assert response.json()["title"] == "The model cannot be served"
            assert response.json()["detail"] == (
                "expected a model that can be served, got 'broken': its file is not an ONNX model"
            )
            assert "retry-after" not in response.headers
        assert str(tmp_path / "broken.onnx") in caplog.text
        listed = {entry["name"]: entry for entry in client.get("/v1/models").json()["models"]}
        assert listed["broken"]["problem"] == "its file is not an ONNX model"
        assert (listed["tiny"].get("problem"), listed["other"].get("problem")) == (None, None)

        version = client.get("/v1/models/other").json()["version"]
        replace(tmp_path / "other.onnx", renamed(tmp_path / "other.onnx"))
        after = eventually(client, "/v1/models/other", lambda answer: answer["version"] != version)
        assert after["spec"]["name"] == "renamed"

        (tmp_path / "tiny.onnx").unlink()
        gone = eventually(client, "/v1/models/tiny", lambda answer: answer.get("status") == 404)
        assert gone["detail"] == "expected one of the models broken, builtin, other, got 'tiny'"
        assert client.get("/health/ready").json()["detail"] == "the file of the default model 'tiny' is not there"
        assert client.post("/v1/detect", content=b"x").status_code == 404
