"""What is resumed is the run that was saved, or the first difference is named."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.runs import Configure, log_lines
from yoloscope.models.errors import CheckpointError, ConfigError
from yoloscope.training.checkpoint.files import read_checkpoint, write_checkpoint
from yoloscope.training.checkpoint.resume import (
    read_run,
    require_same_options,
    require_same_run,
    resume_command,
    write_run,
)
from yoloscope.training.config import TrainingConfig
from yoloscope.training.train import train
from yoloscope.training.trainer import DeviceConfig

pytestmark = pytest.mark.usefixtures("no_export")

SAVED = TrainingConfig.parse({"network_options": {"width": 0.25}, "anchors": [[1, 2], [3, 4]], "ema": {}})
STATE = {"config": SAVED.to_yaml(), "optimizer": {}}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"optimizer": {"name": "sgd"}}, "optimizer.name: 'adamw', got 'sgd'"),
        ({"network_options": {"width": 0.5}}, "network_options.width: 0.25, got 0.5"),
        ({"network_options": {}}, "network_options.width: 0.25, got nothing"),
        ({"ema": None}, "ema: {.*}, got nothing"),
        ({"seed": 5, "batch_size": 8}, "batch_size: 16, got 8"),
        ({"data": {"val": None}}, "data.val: 'val', got nothing"),
        ({"anchors": ((1, 2), (3, 5))}, "anchors: .*, got "),
    ],
)
def test_the_first_key_that_differs_is_named(changes: dict[str, Any], told: str) -> None:
    words = rf"last.ckpt was trained with {told}.*epochs, .* may change"
    with log_lines() as lines, pytest.raises(CheckpointError, match=words):
        require_same_run(STATE, SAVED.replace(epochs=7, **changes), Path("last.ckpt"))
    assert lines == []


def test_an_empty_configuration_is_told_from_that_of_the_run() -> None:
    with pytest.raises(CheckpointError, match=r"trained with network_options\.width: 0\.25, got nothing"):
        require_same_run(STATE, TrainingConfig(), Path("last.ckpt"))


def test_what_changes_no_step_may_differ_and_what_is_meant_to_is_told() -> None:
    harmless = SAVED.replace(data={"workers": 3, "cache_mb": 7}, validation={"patience": 2})
    with log_lines() as lines:
        require_same_run(STATE, SAVED, Path("last.ckpt"))
        require_same_run(STATE, harmless, Path("last.ckpt"))
        assert lines == []
        require_same_run(STATE, SAVED.replace(epochs=7, optimizer={"lr": 0.001}), Path("last.ckpt"))
        require_same_run(STATE, SAVED.replace(schedule={"kind": "constant"}), Path("last.ckpt"))
    assert lines == [
        "resumed with epochs: 7, so far 100",
        "resumed with optimizer.lr: 0.001, so far 0.002",
        "resumed with schedule.kind: 'constant', so far 'cosine'",
    ]


def test_a_configuration_saved_before_a_key_was_there_has_its_default() -> None:
    old = STATE | {"config": "network_options: {width: 0.25}\nanchors: [[1, 2], [3, 4]]\n"}
    with log_lines() as lines:
        require_same_run(old, SAVED, Path("last.ckpt"))
    assert lines == []
    with pytest.raises(CheckpointError, match="network_options"):
        require_same_run(old, SAVED.replace(network_options={"width": 0.5}), Path("last.ckpt"))


def test_weights_alone_cannot_be_resumed() -> None:
    with pytest.raises(CheckpointError, match="to hold configuration and optimizer"):
        require_same_run({"config": SAVED.to_yaml()}, SAVED, Path("last.ckpt"))


def test_another_optimizer_and_fewer_images_are_refused_before_anything_is_written(
    own_shapes: Path, configure: Configure, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    train(configure(), own_shapes, run)
    before = (run / "config.yaml").read_bytes()
    with pytest.raises(CheckpointError, match=r"optimizer\.name: 'adamw', got 'sgd'"):
        train(configure(epochs=2, optimizer={"name": "sgd"}), own_shapes, run, resume=True)
    (own_shapes / "images" / "train" / "5.jpg").unlink()
    with pytest.raises(CheckpointError, match="trained on 6 images, got 5"):
        train(configure(epochs=2), own_shapes, run, resume=True)
    assert (run / "config.yaml").read_bytes() == before


def test_a_checkpoint_from_before_images_were_counted_is_resumed(
    shapes: Path, configure: Configure, tmp_path: Path
) -> None:
    train(configure(), shapes, tmp_path)
    state = read_checkpoint(tmp_path / "last.ckpt")
    assert state.pop("pictures") == 6
    write_checkpoint(state, tmp_path / "last.ckpt")
    assert train(configure(epochs=2), shapes, tmp_path, resume=True).step == 2


def test_the_tensors_of_another_version_are_told_in_one_line(
    shapes: Path, configure: Configure, tmp_path: Path
) -> None:
    train(configure(), shapes, tmp_path)
    state = read_checkpoint(tmp_path / "last.ckpt")
    renamed = {f"former.{key}": value for key, value in state["network"].items()}
    write_checkpoint(state | {"network": renamed}, tmp_path / "last.ckpt")
    with pytest.raises(CheckpointError, match=r"expected the tensors of this network .* Missing key") as told:
        train(configure(epochs=2), shapes, tmp_path, resume=True)
    assert len(str(told.value)) < 300
    assert "\n" not in str(told.value)


def test_a_configuration_is_written_whole_and_where_it_says_something_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("seed: 3  # mine\n")
    write_run(TrainingConfig(seed=3), Path("data"), tmp_path)
    assert path.read_text() == "seed: 3  # mine\n"
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", lambda *_: pytest.fail("killed"))
        with pytest.raises(pytest.fail.Exception):
            write_run(TrainingConfig(seed=4), Path("data"), tmp_path)
    assert path.read_text() == "seed: 3  # mine\n"
    write_run(TrainingConfig(seed=4), Path("data"), tmp_path)
    assert TrainingConfig.load(path).seed == 4


def test_a_run_that_lost_patience_is_finished(shapes: Path, configure: Configure, tmp_path: Path) -> None:
    config = configure(epochs=9, data={"val": "val"}, validation={"patience": 2}, optimizer={"lr": 1e-9})
    ended = train(config, shapes, tmp_path).step
    assert ended == 3
    before = (tmp_path / "last.ckpt").read_bytes()
    with log_lines() as lines:
        again = train(config, shapes, tmp_path, resume=True)
    assert (again.step, again.artifact) == (3, tmp_path / "model.onnx")
    assert "nothing left to train: ended after step 3 by validation.patience 2" in lines
    assert (tmp_path / "last.ckpt").read_bytes() == before
    patient = configure(epochs=5, data={"val": "val"}, validation={"patience": 9}, optimizer={"lr": 1e-9})
    assert train(patient, shapes, tmp_path, resume=True).step == 5


def test_the_log_is_as_far_as_the_checkpoint(
    shapes: Path, configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = tmp_path / "logs" / "csv" / "from_step_0" / "metrics.csv"
    rows: list[int] = []

    def counted(state: dict[str, Any], path: Path) -> None:
        rows.append(len(logged.read_text().splitlines()) - 1 if logged.exists() else 0)
        torch.save(state, path)

    monkeypatch.setattr("yoloscope.training.callbacks.checkpointing.write_checkpoint", counted)
    train(configure(epochs=3), shapes, tmp_path)
    assert rows == [1, 2, 3]


class TestTheFolderOfARun:
    def test_it_knows_its_configuration_and_its_data_even_by_a_name_that_is_no_text(self, tmp_path: Path) -> None:
        data = tmp_path / "\udcff \u7ea2"
        write_run(TrainingConfig(seed=4), data, tmp_path)
        assert read_run(tmp_path) == (TrainingConfig(seed=4), data)

    def test_a_relative_path_of_the_data_is_made_absolute(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        write_run(TrainingConfig(), Path("cells"), tmp_path)
        assert read_run(tmp_path)[1] == tmp_path / "cells"

    def test_a_run_of_before_has_no_data_and_other_folders_are_no_runs(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"--resume: expected a run in .*, got no config\.yaml there"):
            read_run(tmp_path)
        (tmp_path / "config.yaml").write_text("seed: 3\n")
        assert read_run(tmp_path) == (TrainingConfig(seed=3), None)
        (tmp_path / "run.json").write_text("[1]")
        with pytest.raises(ConfigError, match=r"expected .*run\.json to name the data"):
            read_run(tmp_path)


class TestOptionsGivenAgain:
    def test_equal_ones_are_no_conflict_and_all_others_are_named_with_both_values(self) -> None:
        require_same_options(SAVED, SAVED, Path("c.yaml"))
        require_same_options(SAVED, SAVED.replace(epochs=7), Path("c.yaml"), ("epochs",))
        other = SAVED.replace(epochs=7, network="yolov3", data={"workers": 3})
        with pytest.raises(ConfigError) as told:
            require_same_options(SAVED, other, Path("c.yaml"))
        for difference in (
            "network: 'yolov4-tiny' there, 'yolov3' here",
            "epochs: 100 there, 7 here",
            "data.workers: nothing there, 3 here",
        ):
            assert difference in str(told.value)


@pytest.mark.parametrize(
    ("folder", "device", "command"),
    [
        ("runs/x", DeviceConfig(), "yoloscope train --resume runs/x"),
        ("my runs/it's", DeviceConfig(), "yoloscope train --resume 'my runs/it'\"'\"'s'"),
        ("-x", DeviceConfig(), "yoloscope train --resume ./-x"),
        ("x", DeviceConfig(2, accelerator="cpu"), "yoloscope train --resume x --devices 2 --accelerator cpu"),
    ],
)
def test_the_command_that_goes_on_is_quoted_and_names_its_devices(
    folder: str, device: DeviceConfig, command: str
) -> None:
    assert resume_command(Path(folder), device) == command
