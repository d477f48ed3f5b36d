"""Models by name: official ones made ready, the built-in one, and the fallback to it."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from yoloscope.app.commands import pull as command
from yoloscope.app.hub import (
    ensure_artifact,
    ensure_model,
    official_name,
)
from yoloscope.app.services.model_store import BUILTIN, FIRST_CHOICE, default_model
from yoloscope.app.services.runtime import Runtime
from yoloscope.app.settings import Settings
from yoloscope.models.errors import DownloadError, ModelLoadError, ModelNotFoundError
from yoloscope.models.files import write_bytes
from yoloscope.models.locks import hold_lock
from yoloscope.models.scratch import scratch_folder
from yoloscope.models.zoo.official import OFFICIAL


def test_a_model_that_is_there_is_not_pulled(models_dir: Path) -> None:
    settings = Settings(models_dir=models_dir)
    assert ensure_artifact("tiny", settings) == models_dir / "tiny.onnx"
    assert ensure_artifact(str(models_dir / "tiny.onnx"), settings) == models_dir / "tiny.onnx"


@pytest.mark.parametrize("model", ["nope", "./nope.onnx"])
def test_a_model_that_is_neither_there_nor_official(tmp_path: Path, model: str) -> None:
    with pytest.raises(ModelNotFoundError, match="yolov4-tiny"):
        ensure_artifact(model, Settings(models_dir=tmp_path))


def test_the_model_that_was_probably_meant_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for wrong, meant in (("builtln", "builtin"), ("yolov4tiny", "yolov4-tiny")):
        with pytest.raises(ModelNotFoundError, match=rf"got '{wrong}'; did you mean {meant}\?$"):
            ensure_artifact(wrong, Settings(models_dir=tmp_path / "models"))
    (tmp_path / "mine.onnx").touch()
    with pytest.raises(ModelNotFoundError, match=r"got 'mine'; the file here is named as mine\.onnx$"):
        ensure_artifact("mine", Settings(models_dir=tmp_path / "models"))


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


def test_finding_a_model_needs_no_torch() -> None:
    code = "import sys, yoloscope.app.hub; sys.exit('torch' in sys.modules or 'onnx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class TestPull:
    """``yoloscope pull``, where what it converts is a stand-in."""

    @pytest.fixture(autouse=True)
    def converted(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Path]:
        """The artifacts that were made."""
        made = list[Path]()

        def convert(_official: object, _weights: Path, target: Path) -> str:
            made.append(target)
            write_bytes(target, b"artifact")
            return "agrees"

        monkeypatch.setattr(command, "convert_official", convert)
        monkeypatch.setattr(command, "_obtain", lambda *_: tmp_path / "yolov4-tiny.weights")
        return made

    def test_who_comes_second_takes_what_the_first_one_made(
        self, tmp_path: Path, converted: list[Path], capsys: pytest.CaptureFixture[str]
    ) -> None:
        models = tmp_path / "models"
        models.mkdir()
        with ThreadPoolExecutor(1) as pool:
            with hold_lock(models / ".yolov4-tiny.lock"):
                second = pool.submit(command.pull, "yolov4-tiny", models, None, force=False)
                told = ""
                while "another process pulls yolov4-tiny: waiting" not in told and not second.done():
                    told += capsys.readouterr().err
                write_bytes(models / "yolov4-tiny.onnx", b"of the first")
            second.result(10)
        assert converted == []
        assert f"yolov4-tiny is ready: {models / 'yolov4-tiny.onnx'}" in capsys.readouterr().err
        command.pull("yolov4-tiny", models, None, force=True)
        assert [path.name for path in models.iterdir()] == ["yolov4-tiny.onnx"]
        assert converted == [models / "yolov4-tiny.onnx"]

    def test_what_a_killed_one_left_is_removed(self, tmp_path: Path) -> None:
        child = os.fork()
        if child == 0:
            with scratch_folder(tmp_path) as scratch:
                (scratch / "yolov4-tiny.weights").write_bytes(b"half")
                os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)
        assert list(tmp_path.iterdir()) != []
        command.pull("yolov4-tiny", tmp_path, None, force=False)
        assert [path.name for path in tmp_path.iterdir()] == ["yolov4-tiny.onnx"]


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
