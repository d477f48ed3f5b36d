"""``yoloscope audit``: reports, interruptions, options that do not go together, and calibration."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.app.commands.conftest import Run
from tests.app.constant_artifact import write_constant_artifact
from tests.app.scoring import YOLO_HEADS, make_spec, quiet_heads
from tests.training.diagnostics.painted import calibration_by_hand
from tests.training.runs import quick_config
from yoloscope.app.services.model_store import BUILTIN, artifact_path
from yoloscope.models.errors import ConfigError, DatasetError, PresetError, SpecError
from yoloscope.models.files import sha256
from yoloscope.models.spec import DetectorSpec
from yoloscope.training import folds
from yoloscope.training.config import TrainingConfig
from yoloscope.training.data.splits import Splits
from yoloscope.training.diagnostics import run as run_module
from yoloscope.training.diagnostics.calibration import AuditCalibration
from yoloscope.training.diagnostics.findings import AuditReport
from yoloscope.training.export.onnx import read_artifact
from yoloscope.training.train import TrainResult

KEYS = ["image", "kind", "label_index", "class_name", "box", "suggestion", "probability", "gain", "reason"]
PLACE = (8.0, 20.0, 40.0, 60.0)
"""Box of the one sure detection (a dog) on the network input of 64x64 px: coarse cell (1, 2), anchor 32x40."""


def _spec(name: str, **fields: Any) -> DetectorSpec:
    fields.setdefault("calibration", calibration_by_hand().model_dump(mode="json"))
    return make_spec(name, YOLO_HEADS, fields.pop("preset", "v4"), **fields)


def _write(path: Path, spec: DetectorSpec) -> Path:
    """A model that sees one dog, wherever it looks."""
    heads = quiet_heads(spec)
    heads[1].reshape(1, 2, -1, 4, 4)[0, 0, [4, 6], 2, 1] = 6.0
    return write_constant_artifact(path, spec, heads)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audited")
    _write(folder / "sure.onnx", _spec("sure"))
    _write(folder / "bare.onnx", _spec("bare", calibration=None))
    _write(folder / "other.onnx", _spec("other", calibration=None, class_names=("cat", "dog", "bird")))
    return folder


def _yolo(box: tuple[float, float, float, float], class_id: int, side: int = 64) -> str:
    x1, y1, x2, y2 = (value / side for value in box)
    return f"{class_id} {(x1 + x2) / 2} {(y1 + y2) / 2} {x2 - x1} {y2 - y1}\n"


def _add(data: Path, name: str, lines: str, size: tuple[int, int] = (64, 64)) -> Path:
    for part in ("images", "labels"):
        (data / part).mkdir(parents=True, exist_ok=True)
    path = data / "images" / f"{name}.png"
    Image.new("RGB", size, (51, 51, 51)).save(path)
    (data / "labels" / f"{name}.txt").write_text(lines)
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A dog that is labeled, one that is not, one labeled cat after a label without area, and a label on nothing."""
    folder = tmp_path / "data"
    _add(folder, "good", _yolo(PLACE, 1))
    _add(folder, "missing", "")
    _add(folder, "class", "2 .5 .5 0 .5\n" + _yolo(PLACE, 0))
    _add(folder, "spurious", _yolo(PLACE, 1) + _yolo((44, 2, 62, 14), 2))
    (folder / "classes.txt").write_text("cat\ndog\ntraffic light\n")
    return folder


def _findings(document: dict[str, Any], image: str, kind: str) -> list[dict[str, Any]]:
    return [one for one in document["findings"] if one["image"] == f"images/{image}.png" and one["kind"] == kind]


class TestReport:
    def test_the_json_is_the_contract(self, run: Run, data: Path, models: Path) -> None:
        result = run("audit", "--data", data, "-m", models / "sure.onnx", "--json")
        assert result.exit_code == 0
        document = json.loads(result.stdout)
        assert {"model", "data", "findings"} <= set(document)
        assert (document["model"], document["data"]) == ("sure", "data")
        probabilities = [one["probability"] for one in document["findings"]]
        assert probabilities == sorted(probabilities, reverse=True)
        assert min(probabilities) >= 0.05
        for one in document["findings"]:
            assert list(one) == KEYS
            assert set(one["box"]) == {"x1", "y1", "x2", "y2"}
            assert math.isfinite(one["gain"])
        (missing,) = [one for one in _findings(document, "missing", "missing") if abs(one["box"]["x1"] - 8) < 0.1]
        assert (missing["label_index"], missing["class_name"]) == (None, "dog")
        assert missing["suggestion"] == {"class_name": "dog", "box": missing["box"]}
        assert list(missing["box"].values()) == pytest.approx(PLACE, abs=1e-3)

    def test_labels_count_from_0_unusable_ones_included(self, run: Run, data: Path, models: Path) -> None:
        document = json.loads(run("audit", "--data", data, "-m", models / "sure.onnx", "--json").stdout)
        (wrong,) = _findings(document, "class", "class")
        assert (wrong["label_index"], wrong["class_name"], wrong["suggestion"]["class_name"]) == (1, "cat", "dog")
        assert wrong["suggestion"]["box"] == wrong["box"]
        flags = [(flag["image"], flag["kind"], flag["label_index"]) for flag in document["flags"]]
        assert ("images/class.png", "degenerate", 0) in flags
        (spurious,) = [one for one in _findings(document, "spurious", "spurious") if one["label_index"] == 1]
        assert (spurious["class_name"], spurious["suggestion"]) == ("traffic light", None)
        assert spurious["probability"] > 0.99

    def test_a_lower_floor_lists_more(self, run: Run, data: Path, models: Path) -> None:
        model = models / "sure.onnx"
        lists = [
            json.loads(run("audit", "--data", data, "-m", model, "--json", "--floor", floor).stdout)["findings"]
            for floor in (0, 0.05, 0.9)
        ]
        assert len(lists[0]) > len(lists[1]) > len(lists[2]) > 0
        assert lists[1] == [one for one in lists[0] if one["probability"] >= 0.05]

    def test_a_stated_prevalence_moves_its_kind_alone(self, run: Run, data: Path, models: Path) -> None:
        command = ("audit", "--data", data, "-m", models / "sure.onnx", "--json", "--floor", 0)
        before, after = (json.loads(run(*command, *more).stdout) for more in ((), ("--prevalence", "missing=.1")))
        assert after["prevalence"] == before["prevalence"] | {"missing": 0.1}
        for old in before["findings"]:
            (new,) = [
                one
                for one in after["findings"]
                if all(one[key] == old[key] for key in ("image", "kind", "label_index", "class_name", "box"))
            ]
            p = old["probability"]
            expected = p / 9 / (p / 9 + 1 - p) if old["kind"] == "missing" else p
            assert new["probability"] == pytest.approx(expected, rel=1e-9)

    def test_boxes_are_pixels_of_the_image_as_seen(self, run: Run, tmp_path: Path, models: Path) -> None:
        """128x32 px, stretched; and 32x128 px that are turned by their EXIF tag."""
        folder = tmp_path / "sizes"
        _add(folder, "wide", "", (128, 32))
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new("RGB", (32, 128)).save(folder / "images" / "turned.png", exif=exif)
        (folder / "labels" / "turned.txt").write_text("")
        (folder / "classes.txt").write_text("cat\ndog\ntraffic light\n")
        document = json.loads(run("audit", "--data", folder, "-m", models / "sure.onnx", "--json").stdout)
        for name in ("wide", "turned"):
            found = max(_findings(document, name, "missing"), key=lambda one: one["probability"])
            assert list(found["box"].values()) == pytest.approx((16, 10, 80, 30), abs=1e-3)

    def test_classes_go_by_name(self, run: Run, data: Path, models: Path) -> None:
        """The data set has them in another order."""
        (data / "classes.txt").write_text("traffic light\ncat\ndog\n")
        _add(data, "good", _yolo(PLACE, 2))
        _add(data, "class", _yolo(PLACE, 1))
        (data / "labels" / "spurious.txt").write_text(_yolo(PLACE, 2))
        document = json.loads(run("audit", "--data", data, "-m", models / "sure.onnx", "--json").stdout)
        (wrong,) = _findings(document, "class", "class")
        assert (wrong["class_name"], wrong["suggestion"]["class_name"]) == ("cat", "dog")
        assert _findings(document, "good", "class") == []

    def test_a_class_that_the_model_does_not_have_is_named(self, run: Run, data: Path, models: Path) -> None:
        with pytest.raises(DatasetError, match=r"expected a model that knows the classes of .*without traffic light"):
            run("audit", "--data", data, "-m", models / "other.onnx")

    def test_an_image_that_cannot_be_read_is_named_and_the_exit_status_says_so(
        self, run: Run, data: Path, models: Path
    ) -> None:
        path = data / "images" / "good.png"
        path.write_bytes(path.read_bytes()[:60])
        result = run("audit", "--data", data, "-m", models / "sure.onnx", "--json")
        assert result.exit_code == 1
        assert "1 images could not be read" in result.stderr
        document = json.loads(result.stdout)
        assert any("good.png" in skipped["location"] for skipped in document["skipped"])
        assert _findings(document, "missing", "missing")

    def test_tables_fit_80_columns(self, run: Run, data: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLUMNS", "80")
        output = run("audit", "--data", data, "-m", models / "sure.onnx").stdout
        rows = [line for line in output.splitlines() if line[:1] in "│┃┏┡└├" and line]
        assert rows
        assert max(map(len, rows)) <= 80
        assert "…" not in output
        assert "images/missing.png" in "".join(output.replace("│", " ").split())


class TestOutput:
    def _audit(self, run: Run, data: Path, models: Path, output: Path, *more: object) -> dict[str, bytes]:
        assert run("audit", "--data", data, "-m", models / "sure.onnx", "--output", output, *more).exit_code == 0
        return {name: (output / name).read_bytes() for name in ("report.json", "report.csv", "report.html")}

    @pytest.fixture
    def many(self, data: Path) -> Path:
        for number in range(30):
            _add(data, f"more{number:02}", _yolo(PLACE, number % 3))
        return data

    @pytest.mark.parametrize("kept", [0, 21])
    def test_an_audit_that_was_cut_off_anywhere_goes_on_to_the_same_bytes(
        self, kept: int, run: Run, many: Path, models: Path, tmp_path: Path
    ) -> None:
        whole = self._audit(run, many, models, tmp_path / "whole")
        lines = (tmp_path / "whole" / "images.jsonl").read_text().splitlines(keepends=True)
        assert len(lines) == 1 + 34
        cut = tmp_path / "cut"
        cut.mkdir()
        (cut / "images.jsonl").write_text("".join(lines[: 1 + kept]) + lines[1 + kept][:40])
        assert self._audit(run, many, models, cut) == whole
        assert (cut / "images.jsonl").read_text().count("\n") == 35

    def test_a_failure_between_chunks_keeps_what_is_done(
        self, run: Run, many: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = self._audit(run, many, models, tmp_path / "whole")
        add = run_module.AuditLog.add

        def fail(log: run_module.AuditLog, audits: Any) -> None:
            add(log, audits)
            raise KeyboardInterrupt

        command = ("audit", "--data", many, "-m", models / "sure.onnx", "--output", tmp_path / "cut")
        with monkeypatch.context() as patch:
            patch.setattr(run_module.AuditLog, "add", fail)
            assert run(*command).exit_code == 130
        assert (tmp_path / "cut" / "images.jsonl").read_text().count("\n") == 1 + run_module.CHUNK
        assert not (tmp_path / "cut" / "report.json").exists()
        assert self._audit(run, many, models, tmp_path / "cut") == whole

    def test_what_is_done_is_not_judged_again(
        self, run: Run, data: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = self._audit(run, data, models, tmp_path / "a")
        monkeypatch.setattr("yoloscope.training.diagnostics.audit.detect_views", None)
        assert self._audit(run, data, models, tmp_path / "a") == whole

    @pytest.mark.parametrize(
        "more", [("--floor", 0.2), ("--prevalence", "class=.2"), ("-m", "bare"), ("labels",), ("images",)]
    )
    def test_another_model_setting_or_data_set_is_refused(
        self, more: tuple[object, ...], run: Run, data: Path, models: Path, tmp_path: Path
    ) -> None:
        self._audit(run, data, models, tmp_path / "a")
        model = models / "sure.onnx"
        if more == ("labels",):
            (data / "labels" / "good.txt").write_text(_yolo(PLACE, 0))
            more = ()
        elif more == ("images",):
            _add(data, "new", "")
            more = ()
        elif more[0] == "-m":
            model, more = _write(tmp_path / "else.onnx", _spec("else")), ()
        with pytest.raises(ConfigError, match="belongs to an audit of another model, data set or setting"):
            run("audit", "--data", data, "-m", model, "--output", tmp_path / "a", *more)

    def test_the_report_is_read_back(self, run: Run, data: Path, models: Path, tmp_path: Path) -> None:
        text = self._audit(run, data, models, tmp_path / "a")["report.json"].decode()
        report = AuditReport.from_json(text)
        assert (report.num_images, report.num_labels) == (4, 5)
        assert report.seen_by_model is None
        assert any("not known whether the model was trained on these images" in note for note in report.notes)
        assert report.to_json() == text


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
        spec = _spec("two", calibration=calibration_by_hand(2).model_dump(mode="json"))
        with pytest.raises(SpecError, match="expected a calibration of 3 classes, got 2"):
            run("audit", "--data", data, "-m", _write(tmp_path / "two.onnx", spec))


class TestCalibrating:
    @pytest.fixture
    def many(self, tmp_path: Path) -> Path:
        folder = tmp_path / "many"
        for number in range(20):
            _add(folder, f"{number}", _yolo(PLACE, 1) + _yolo((44, 2, 62, 14), 2))
        (folder / "classes.txt").write_text("cat\ndog\ntraffic light\n")
        return folder

    def test_a_model_without_calibration_is_fitted_to_the_data_and_a_note_says_so(
        self, run: Run, many: Path, models: Path
    ) -> None:
        document = json.loads(run("audit", "--data", many, "-m", models / "bare.onnx", "--json").stdout)
        assert any("fitted to the 40 labels of 20 of these images" in note for note in document["notes"])
        assert all(0 <= one["probability"] <= 1 for one in document["findings"])

    def test_too_few_labels_to_fit(self, run: Run, data: Path, models: Path) -> None:
        with pytest.raises(DatasetError, match="expected at least 30 labels to calibrate"):
            run("audit", "--data", data, "-m", models / "bare.onnx")

    def test_it_is_written_into_the_model_and_used(self, run: Run, many: Path, tmp_path: Path) -> None:
        path = _write(tmp_path / "own.onnx", _spec("own", calibration=None))
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

    def test_the_built_in_model_stays_as_it_is(self, run: Run, many: Path, tmp_path: Path) -> None:
        packaged = artifact_path(BUILTIN, tmp_path)
        before = sha256(packaged)
        with pytest.raises(ConfigError):
            run("audit", "--data", many, "-m", "builtin", "--calibrate")
        assert sha256(packaged) == before


def test_folds_judge_every_image_by_a_network_that_has_not_seen_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trainer writes the network that sees one dog; each part is half of the images."""
    folder, output, trained = tmp_path / "many", tmp_path / "audit", []
    for number in range(20):
        _add(folder, f"{number}", _yolo(PLACE, 1) + _yolo((44, 2, 62, 14), 2))
    (folder / "classes.txt").write_text("cat\ndog\ntraffic light\n")
    (tmp_path / "quick.yaml").write_text(quick_config().to_yaml())

    def train(config: TrainingConfig, data: Path, place: Path, *, splits: Splits, **_: object) -> TrainResult:
        assert config.data.val is None
        assert data == folder
        trained.append(len(splits.train.images))
        place.mkdir(parents=True)
        artifact = _write(place / "model.onnx", _spec(place.name))
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
    assert (document["model"], document["seen_by_model"], document["num_images"]) == ("2 folds", False, 20)
    assert any("judged by one of 2 models" in note for note in document["notes"])
    assert all(0 <= one["probability"] <= 1 for one in document["findings"])
    assert sorted(each.name for each in (output / "folds").iterdir()) == ["fold-1", "fold-2", "folds.json"]
    (output / "images.jsonl").unlink()
    assert run(*command).stdout == result.stdout
    assert trained == [10, 10]
