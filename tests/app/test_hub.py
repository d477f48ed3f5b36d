"""Finding and fetching official weights."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from yoloscope.app.hub import (
    convert_darknet,
    download,
    ensure_artifact,
    ensure_model,
    find_weights,
    official_name,
)
from yoloscope.app.services.model_store import BUILTIN, FIRST_CHOICE, default_model
from yoloscope.app.services.runtime import Runtime
from yoloscope.app.settings import Settings
from yoloscope.models.errors import ConfigError, DownloadError, ModelLoadError, ModelNotFoundError
from yoloscope.models.zoo.official import OFFICIAL, OfficialWeights

CONTENT = b"weights" * 1000


def published(url: str = "http://nowhere.invalid/tiny.weights", content: bytes = CONTENT) -> OfficialWeights:
    sha256 = hashlib.sha256(content).hexdigest()
    return replace(OFFICIAL["yolov4-tiny"], name="tiny", url=url, size=len(content), sha256=sha256)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/moved/tiny.weights":
            self.send_response(302)
            self.send_header("Location", "/tiny.weights")
            self.end_headers()
            return
        self.send_response(200 if self.path == "/tiny.weights" else 404)
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("path", ["/tiny.weights", "/moved/tiny.weights"])
def test_a_download_is_checked_and_its_progress_told(server: str, tmp_path: Path, path: str) -> None:
    counts: list[int] = []
    found = download(published(server + path), tmp_path / "file", counts.append)
    assert found.read_bytes() == CONTENT
    assert sum(counts) == len(CONTENT)


@pytest.mark.parametrize(
    ("path", "content", "reason"),
    [("/gone.weights", CONTENT, "404"), ("/tiny.weights", b"other", "another file")],
)
def test_a_failed_download_says_what_to_do(server: str, tmp_path: Path, path: str, content: bytes, reason: str) -> None:
    official = published(server + path, content)
    with pytest.raises(DownloadError, match=reason) as caught:
        download(official, tmp_path / "file", lambda _count: None)
    for needed in (official.url, str(official.size), str(official.sha256), official.file_name, "YOLOSCOPE_WEIGHTS"):
        assert needed in str(caught.value)


def test_without_a_network_the_advice_is_given_too(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="Set YOLOSCOPE_WEIGHTS"):
        download(published("http://127.0.0.1:9/tiny.weights"), tmp_path / "file", lambda _count: None)


def test_weights_are_found_by_content_at_any_depth(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert find_weights(published(), tmp_path) is None
    (tmp_path / "tiny.weights").write_bytes(CONTENT[::-1])
    assert find_weights(published(), tmp_path) is None
    (tmp_path / "a" / "b" / "renamed.bin").write_bytes(CONTENT)
    assert find_weights(published(), tmp_path) == tmp_path / "a" / "b" / "renamed.bin"
    (tmp_path / "a" / "tiny.weights").write_bytes(CONTENT)
    assert find_weights(published(), tmp_path) == tmp_path / "a" / "tiny.weights"


def test_without_a_published_sha256_name_and_size_must_fit(tmp_path: Path) -> None:
    official = replace(published(), sha256=None)
    (tmp_path / "other.weights").write_bytes(CONTENT)
    assert find_weights(official, tmp_path) is None
    (tmp_path / "tiny.weights").write_bytes(CONTENT)
    assert find_weights(official, tmp_path) == tmp_path / "tiny.weights"


def test_the_weights_folder_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="YOLOSCOPE_WEIGHTS"):
        find_weights(published(), tmp_path / "nothing")


def test_a_model_that_is_there_is_not_pulled(models_dir: Path) -> None:
    settings = Settings(models_dir=models_dir)
    assert ensure_artifact("tiny", settings) == models_dir / "tiny.onnx"
    assert ensure_artifact(str(models_dir / "tiny.onnx"), settings) == models_dir / "tiny.onnx"


@pytest.mark.parametrize("model", ["nope", "./nope.onnx"])
def test_a_model_that_is_neither_there_nor_official(tmp_path: Path, model: str) -> None:
    with pytest.raises(ModelNotFoundError, match="yolov4-tiny"):
        ensure_artifact(model, Settings(models_dir=tmp_path))


def test_official_models_are_known_by_name(tmp_path: Path) -> None:
    assert official_name("yolov4-tiny", Settings(models_dir=tmp_path)) is OFFICIAL["yolov4-tiny"]


def test_where_no_model_is_named_the_first_choice_is_taken_if_it_is_there(tmp_path: Path) -> None:
    settings = Settings(models_dir=tmp_path)
    assert default_model(settings) == BUILTIN
    (tmp_path / f"{FIRST_CHOICE}.onnx").touch()
    told: list[str] = []
    assert ensure_model(settings, told.append) == tmp_path / f"{FIRST_CHOICE}.onnx"
    assert default_model(settings) == FIRST_CHOICE
    assert default_model(Settings(models_dir=tmp_path, model="mine")) == "mine"
    assert not told


def test_the_built_in_model_is_there_by_name(tmp_path: Path) -> None:
    settings = Settings(models_dir=tmp_path, model=BUILTIN)
    found = ensure_model(settings, lambda _text: None)
    assert found.stat().st_size <= 8_000_000
    assert Runtime(found, "cpu", 1).spec.class_names == ("Platelets", "RBC", "WBC")


def test_a_class_that_stands_twice_is_refused_before_anything_is_converted(tmp_path: Path) -> None:
    names = tmp_path / "my.names"
    names.write_text("cat\ndog\ncat\n")
    with pytest.raises(ConfigError, match=r"expected each class name once in .*my\.names, got cat more than once"):
        convert_darknet(tmp_path / "no.cfg", tmp_path / "no.weights", names, tmp_path / "no.onnx")


class TestFallback:
    """The built-in model takes the place of the first choice after a failed download alone."""

    @pytest.fixture(autouse=True)
    def no_network(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.delenv("YOLOSCOPE_WEIGHTS", raising=False)

    def test_a_failed_download(self, tmp_path: Path) -> None:
        warnings: list[str] = []
        assert ensure_model(Settings(models_dir=tmp_path), warnings.append).name == "builtin.onnx"
        assert warnings == [
            "yolov4-tiny is out of reach; the built-in model takes its place and finds blood cells only"
        ]

    def test_a_wrong_folder_of_weights(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(ModelLoadError, match="could not be made ready"):
            ensure_model(Settings(models_dir=tmp_path, weights=tmp_path / "nowhere"), pytest.fail)
        assert "YOLOSCOPE_WEIGHTS: expected a folder, got" in capfd.readouterr().err

    def test_a_folder_without_the_weights(self, tmp_path: Path) -> None:
        (tmp_path / "weights").mkdir()
        with pytest.raises(DownloadError):
            ensure_model(Settings(models_dir=tmp_path, weights=tmp_path / "weights"), pytest.fail)

    def test_a_models_folder_that_cannot_be_written(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(ModelLoadError, match="could not be made ready"):
            ensure_model(Settings(models_dir=tmp_path / "file" / "models"), pytest.fail)
        assert "yolov4-tiny.onnx" in capfd.readouterr().err

    def test_the_current_folder_runs_no_code(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        for name in ("app", "models", "yoloscope"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "__init__.py").write_text("raise SystemExit('foreign code ran')")
        monkeypatch.chdir(tmp_path)
        with pytest.raises(DownloadError):
            ensure_artifact("yolov4-tiny", Settings(models_dir=tmp_path / "m"))
        assert "foreign" not in capfd.readouterr().err
