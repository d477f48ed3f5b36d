"""``yoloscope audit``: options that do not go together, calibration, and folds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.app.commands.audited import PLACE, add_image, audited_spec, write_data, write_model, yolo_line
from tests.app.commands.conftest import Run
from tests.app.constant_artifact import write_constant_artifact
from tests.app.scoring import YOLO_HEADS, make_spec
from tests.training.diagnostics.painted import calibration_by_hand
from tests.training.runs import quick_config
from yoloscope.app.services.model_store import BUILTIN, artifact_path
from yoloscope.models.errors import ConfigError, DatasetError, PresetError, SpecError
from yoloscope.models.files import sha256
from yoloscope.training import folds
from yoloscope.training.config import TrainingConfig
from yoloscope.training.data.splits import Splits
from yoloscope.training.diagnostics import run as run_module
from yoloscope.training.diagnostics.calibrate import TILED_VIEWS
from yoloscope.training.diagnostics.calibration import AuditCalibration
from yoloscope.training.export.artifact import read_artifact
from yoloscope.training.train import TrainResult


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_data(tmp_path / "data")


class TestOptions:
    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ((), "--data: expected a data set, got none"),
            (("--data", "d", "--folds", "2"), "expected --folds and --config together"),
            (("--data", "d", "--config", "digits"), "expected --folds and --config together"),
            (("--data", "d", "--folds", "2", "--config", "digits"), "--output: expected a folder"),
            (
                ("--data", "d", "--folds", "2", "--config", "digits", "--output", "o", "-m", "tiny"),
                "--model: expected none beside --folds",
            ),
            (("--data", "d", "--calibrate", "--output", "o", "-m", "tiny"), "expected a model alone"),
            (("--data", "d", "--calibrate", "-m", "builtin"), "--calibrate: expected --model .* got builtin"),
            (("--data", "d", "--calibrate"), "--calibrate: expected --model .* got none"),
            (("--data", "d", "--prevalence", "missing"), "--prevalence: expected KIND=SHARE"),
            (("--data", "d", "--prevalence", "lost=.1"), "--prevalence: expected KIND=SHARE with a kind of missing"),
            (("--data", "d", "--prevalence", "class=0"), r"expected a share of 0\.0001 to 0\.9, got 'class=0'"),
            (("--data", "d", "--prevalence", "class=nan"), r"expected a share of 0\.0001 to 0\.9"),
            (("--data", "d", "--prevalence", "class=1"), r"expected a share of 0\.0001 to 0\.9"),
        ],
    )
    def test_what_does_not_go_together(self, words: tuple[str, ...], message: str, run: Run) -> None:
        """Before the data set is opened: there is none."""
        with pytest.raises(ConfigError, match=message):
            run("audit", *words)

    @pytest.mark.parametrize("calibration", [calibration_by_hand().model_dump(mode="json"), None])
    def test_a_model_without_a_loss_is_an_error_before_any_work(
        self,
        calibration: dict[str, Any] | None,
        run: Run,
        data: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        heads = tuple(head.model_copy(update={"kind": "gaussian_yolo"}) for head in YOLO_HEADS)
        spec = make_spec("g", heads, "v3", calibration=calibration)
        arrays = [np.zeros(spec.head_shape(i, 1), np.float32) for i in range(2)]
        path = write_constant_artifact(tmp_path / "g.onnx", spec, arrays)
        monkeypatch.setattr("yoloscope.training.diagnostics.audit.detect_views", None)
        monkeypatch.setattr(run_module, "detect_views", None)
        with pytest.raises(PresetError, match="gaussian_yolo heads have no loss"):
            run("audit", "--data", data, "-m", path)
        with pytest.raises(PresetError, match="gaussian_yolo heads have no loss"):
            run("audit", "--data", data, "-m", path, "--calibrate")

    def test_a_calibration_of_another_number_of_classes(self, run: Run, data: Path, tmp_path: Path) -> None:
        spec = audited_spec("two", calibration=calibration_by_hand(2).model_dump(mode="json"))
        with pytest.raises(SpecError, match="expected a calibration of 3 classes, got 2"):
            run("audit", "--data", data, "-m", write_model(tmp_path / "two.onnx", spec))


class TestCalibrating:
    @pytest.fixture
    def bare(self, tmp_path: Path) -> Path:
        return write_model(tmp_path / "bare.onnx", audited_spec("bare", calibration=None))

    @pytest.fixture
    def many(self, tmp_path: Path) -> Path:
        folder = tmp_path / "many"
        for number in range(20):
            add_image(folder, f"{number}", yolo_line(PLACE, 1) + yolo_line((44, 2, 62, 14), 2))
        (folder / "classes.txt").write_text("cat\ndog\ntraffic light\n")
        return folder

    def test_a_model_without_calibration_is_fitted_to_the_data_and_a_note_says_so(
        self, run: Run, many: Path, bare: Path
    ) -> None:
        document = json.loads(run("audit", "--data", many, "-m", bare, "--json").stdout)
        assert any("fitted to the 40 labels of 20 of these images" in note for note in document["notes"])
        assert all(0 <= one["probability"] <= 1 for one in document["findings"])

    def test_too_few_labels_to_fit(self, run: Run, data: Path, bare: Path) -> None:
        with pytest.raises(DatasetError, match="expected at least 30 labels to calibrate"):
            run("audit", "--data", data, "-m", bare)

    def test_it_is_written_into_the_model_and_used(self, run: Run, many: Path, tmp_path: Path) -> None:
        path = write_model(tmp_path / "own.onnx", audited_spec("own", calibration=None))
        before = read_artifact(path)[1]
        result = run("audit", "--data", many, "-m", path, "--calibrate", "--prevalence", "missing=.2")
        assert result.exit_code == 0
        assert "calibrated on 40 labels of 20 images" in result.stderr
        spec = read_artifact(path)[1]
        assert spec.model_copy(update={"calibration": None}) == before
        calibration = AuditCalibration.of_spec(spec)
        assert calibration is not None
        assert (calibration.data, calibration.labels) == ("many", 40)
        assert calibration.channels["missing"].prevalence == 0.2
        assert sorted(each.name for each in tmp_path.iterdir()) == ["many", "own.onnx"]
        document = json.loads(run("audit", "--data", many, "-m", path, "--json").stdout)
        assert document["prevalence"]["missing"] == 0.2
        assert not any("fitted" in note for note in document["notes"])

    def test_tiles_have_a_calibration_of_their_own(self, run: Run, many: Path, tmp_path: Path) -> None:
        path = write_model(tmp_path / "own.onnx", audited_spec("own"))
        tiled = json.loads(run("audit", "--data", many, "-m", path, "--tiles", "--json").stdout)
        assert any("no calibration for tiles of its own" in note for note in tiled["notes"])
        assert run("audit", "--data", many, "-m", path, "--tiles", "--calibrate").exit_code == 0
        calibration = AuditCalibration.of_spec(read_artifact(path)[1])
        assert calibration is not None
        assert calibration.views == TILED_VIEWS
        for more in ((), ("--tiles",)):
            document = json.loads(run("audit", "--data", many, "-m", path, "--json", *more).stdout)
            assert document["findings"] == tiled["findings"]
            assert not any("of its own" in note for note in document["notes"])

    def test_the_built_in_model_stays_as_it_is(self, run: Run, many: Path, tmp_path: Path) -> None:
        packaged = artifact_path(BUILTIN, tmp_path)
        before = sha256(packaged)
        with pytest.raises(ConfigError):
            run("audit", "--data", many, "-m", "builtin", "--calibrate")
        assert sha256(packaged) == before


@pytest.mark.parametrize("teachers", [1, ["old.ckpt"]])
def test_folds_judge_every_image_by_a_network_that_has_not_seen_it(
    teachers: int | list[str], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trainer writes the network that sees one dog; each part is half of the images."""
    folder, output, trained = tmp_path / "many", tmp_path / "audit", []
    for number in range(20):
        add_image(folder, f"{number}", yolo_line(PLACE, 1) + yolo_line((44, 2, 62, 14), 2))
    (folder / "classes.txt").write_text("cat\ndog\ntraffic light\n")
    (tmp_path / "quick.yaml").write_text(quick_config(distill={"teachers": teachers}).to_yaml())

    def train(config: TrainingConfig, data: Path, place: Path, *, splits: Splits, **_: object) -> TrainResult:
        assert config.data.val is None
        assert data == folder
        trained.append(len(splits.train.images))
        place.mkdir(parents=True)
        artifact = write_model(place / "model.onnx", audited_spec(place.name))
        return TrainResult(1, None, place / "last.ckpt", None, artifact, None)

    monkeypatch.setattr(folds, "train", train)
    command = (
        "audit",
        "--data",
        folder,
        "--folds",
        2,
        "--config",
        tmp_path / "quick.yaml",
        "--output",
        output,
        "--json",
    )
    result = run(*command)
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    seen, words = (False, "was trained without it.") if teachers == 1 else (None, "learned from old.ckpt, which may")
    assert (document["model"], document["seen_by_model"], document["num_images"]) == ("2 folds", seen, 20)
    assert words in document["notes"][0]
    assert any("not known whether" in note for note in document["notes"]) == (seen is None)
    assert all(0 <= one["probability"] <= 1 for one in document["findings"])
    assert sorted(each.name for each in (output / "folds").iterdir()) == ["fold-1", "fold-2", "folds.json"]
    (output / "images.jsonl").unlink()
    assert run(*command).stdout == result.stdout
    assert trained == [10, 10]
