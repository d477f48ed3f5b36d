"""A run with teachers: they are trained first or named, and the student learns from their mean."""

import io
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor

from tests.training.runs import Configure, log_lines, signalled_at
from tests.training.test_train_learning import rows
from tests.training.test_train_resume import Signal, same
from yoloscope.models.errors import CheckpointError, ConfigError, NonFiniteLossError
from yoloscope.training.callbacks import ProgressBar
from yoloscope.training.checkpoint.files import read_checkpoint, write_checkpoint
from yoloscope.training.checkpoint.network import load_checkpoint_network
from yoloscope.training.config import TrainingConfig
from yoloscope.training.teachers import Teachers
from yoloscope.training.train import train
from yoloscope.training.trainer import DeviceConfig

pytestmark = pytest.mark.usefixtures("no_export")


def network_of(folder: Path) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = read_checkpoint(folder / "last.ckpt")["network"]
    return weights


def taught(configure: Configure, teachers: int | list[str] = 2, **changes: Any) -> TrainingConfig:
    changes = {"epochs": 2, "batch_size": 4, "data": {"val": "val"}} | changes
    return configure(distill={"teachers": teachers}, **changes)


def test_a_number_of_teachers_is_trained_first(shapes: Path, configure: Configure, tmp_path: Path) -> None:
    with log_lines() as told:
        train(taught(configure, seed=3), shapes, tmp_path / "run")
    for number in (0, 1):
        alone = tmp_path / f"alone-{number}"
        train(configure(epochs=2, batch_size=4, data={"val": "val"}, seed=3 + number), shapes, alone)
        assert same(network_of(tmp_path / "run" / "teachers" / str(number)), network_of(alone))
    assert not same(network_of(tmp_path / "run"), network_of(tmp_path / "alone-0"))
    epochs = [line.partition("  ")[0] for line in told if "epoch" in line]
    teachers = [f"teacher {number}/2: epoch {epoch}/2" for number in (1, 2) for epoch in (1, 2)]
    assert epochs == [*teachers, "epoch 1/2", "epoch 2/2"]
    assert sum("  teachers " in line for line in told) == 2


def test_named_teachers_are_those_that_a_number_trains(shapes: Path, configure: Configure, tmp_path: Path) -> None:
    train(taught(configure), shapes, tmp_path / "run")
    names = [str(tmp_path / "run" / "teachers" / "0"), str(tmp_path / "run" / "teachers" / "1" / "best.ckpt")]
    train(taught(configure, names), shapes, tmp_path / "named")
    assert same(network_of(tmp_path / "named"), network_of(tmp_path / "run"))
    assert not (tmp_path / "named" / "teachers").exists()


def test_a_share_of_one_leaves_the_labels_out(own_shapes: Path, configure: Configure, tmp_path: Path) -> None:
    def student(share: float, folder: Path) -> dict[str, Tensor]:
        distill = {"teachers": [str(tmp_path / "teacher")], "share": share}
        train(configure(epochs=2, distill=distill), own_shapes, folder)
        return network_of(folder)

    train(configure(epochs=2, seed=1), own_shapes, tmp_path / "teacher")
    before = {share: student(share, tmp_path / f"before-{share}") for share in (0.5, 1.0)}
    for labels in (own_shapes / "labels" / "train").glob("*.txt"):
        labels.write_text("0 0.5 0.5 0.9 0.9\n")
    assert same(before[1.0], student(1.0, tmp_path / "after-1"))
    assert not same(before[0.5], student(0.5, tmp_path / "after-half"))
    assert not same(before[1.0], before[0.5])


@pytest.mark.parametrize("change", [{"share": 0.9}, {"box_weight": 0.0}], ids=str)
def test_every_key_reaches_its_effect(
    change: dict[str, float], shapes: Path, configure: Configure, tmp_path: Path
) -> None:
    train(configure(), shapes, tmp_path / "teacher")
    teachers = {"teachers": [str(tmp_path / "teacher")]}
    for name, distill in (("plain", teachers), ("changed", teachers | change)):
        train(configure(distill=distill), shapes, tmp_path / name)
    assert not same(network_of(tmp_path / "plain"), network_of(tmp_path / "changed"))


def test_a_student_gets_nearer_to_its_teacher_than_labels_bring_it(
    shapes: Path, configure: Configure, tmp_path: Path
) -> None:
    def last_cost(name: str, share: float) -> float:
        distill = {"teachers": [str(tmp_path / "teacher")], "share": share}
        train(configure(seed=1, distill=distill, **quick), shapes, tmp_path / name)
        return [row["distill"] for row in rows(tmp_path / name) if "distill" in row][-1]

    quick = {"epochs": 30, "optimizer": {"lr": 0.01}, "average": None}
    train(configure(**quick), shapes, tmp_path / "teacher")
    assert last_cost("student", share=1.0) < 0.8 * last_cost("by labels", share=1e-9)


def test_terms_are_logged_and_add_up(shapes: Path, configure: Configure, tmp_path: Path) -> None:
    config = taught(configure, 1, accumulate=2)
    assert config.distill is not None
    train(config.replace(distill=config.distill.model_dump() | {"share": 0.3}), shapes, tmp_path)
    logged = [row for row in rows(tmp_path) if "distill" in row]
    assert len(logged) == 4
    for row in logged:
        terms = ("box", "objectness", "classification")
        assert row["distill"] == pytest.approx(sum(row[f"distill/{term}"] for term in terms), rel=1e-5)
        assert row["distill"] == pytest.approx(row["distill/stride_32"] + row["distill/stride_16"], rel=1e-5)
        assert row["objective"] == pytest.approx(0.7 * row["loss"] + 0.3 * row["distill"], rel=1e-5)
        for term in terms:
            by_scale = row[f"distill/stride_32/{term}"] + row[f"distill/stride_16/{term}"]
            assert row[f"distill/{term}"] == pytest.approx(by_scale, rel=1e-5)
    assert not any("distill" in row for row in rows(tmp_path / "teachers" / "0"))


def test_teachers_answer_with_the_mean_of_raw_heads(shapes: Path, configure: Configure, tmp_path: Path) -> None:
    for seed in (0, 1):
        train(configure(epochs=2, seed=seed), shapes, tmp_path / str(seed))
    paths = [tmp_path / "0", tmp_path / "1"]
    networks = [load_checkpoint_network(path) for path in paths]
    images = torch.rand(2, 3, 64, 96)
    teachers = Teachers.load(paths, networks[0].spec, channels_last=True)
    for index, head in enumerate(teachers(images)):
        mean = (networks[0](images)[index] + networks[1](images)[index]) / 2
        assert torch.allclose(head, mean, rtol=1e-3, atol=1e-4)
        assert not head.requires_grad


def test_a_run_stopped_in_a_teacher_goes_on_there(shapes: Path, configure: Configure, tmp_path: Path) -> None:
    config = taught(configure)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(config, shapes, whole)
    with signalled_at("teacher 2/2: epoch 1/2"):
        stopped = train(config, shapes, parts)
    assert (stopped.signal, stopped.step) == (signal.SIGTERM, 3)
    assert (stopped.checkpoint, stopped.artifact) == (parts / "teachers" / "1" / "last.ckpt", None)
    assert TrainingConfig.load(parts / "config.yaml") == config
    with log_lines() as told:
        resumed = train(config, shapes, parts, resume=True)
    assert (resumed.signal, resumed.checkpoint) == (None, parts / "last.ckpt")
    assert "nothing left to train" in told[0]
    assert [line.partition("  ")[0] for line in told[1:]] == ["teacher 2/2: epoch 2/2", "epoch 1/2", "epoch 2/2"]
    assert same(network_of(parts), network_of(whole))
    assert same(network_of(parts / "teachers" / "1"), network_of(whole / "teachers" / "1"))


def test_a_student_resumes_bit_for_bit(shapes: Path, configure: Configure, tmp_path: Path) -> None:
    config = taught(configure)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(config, shapes, whole)
    stopped = train(config, shapes, parts, extra_callbacks=(Signal(signal.SIGTERM, 1),))
    assert (stopped.step, stopped.checkpoint) == (2, parts / "last.ckpt")
    with log_lines() as told:
        train(config, shapes, parts, resume=True)
    assert not any(line.startswith("teacher") for line in told)
    assert same(network_of(parts), network_of(whole))


def test_a_run_with_teachers_is_not_overwritten(shapes: Path, configure: Configure, tmp_path: Path) -> None:
    with signalled_at("teacher 1/2: epoch 1/2"):
        train(taught(configure), shapes, tmp_path)
    assert not (tmp_path / "last.ckpt").exists()
    with pytest.raises(
        ConfigError, match=r"holds a run already: continue it with yoloscope train --resume .* or choose"
    ):
        train(taught(configure), shapes, tmp_path)


def test_fitted_anchors_are_the_same_for_all(shapes: Path, configure: Configure, tmp_path: Path) -> None:
    train(taught(configure, anchors="fitted", epochs=1), shapes, tmp_path)
    folders = [tmp_path, tmp_path / "teachers" / "0", tmp_path / "teachers" / "1"]
    assert len({load_checkpoint_network(folder).spec.anchors_px for folder in folders}) == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"input_size": [96, 64]}, "input_width: expected that of the run, 64, got 96"),
        ({"freebies": {"grid_sensitivity": False}}, "heads[0].scale_xy: expected that of the run, 1.05, got 1.0"),
        ({"network_options": {"width": 0.125, "third_head": True}}, "anchors_px: expected that of the run, "),
    ],
    ids=str,
)
def test_teachers_of_other_heads_are_refused(
    change: dict[str, Any], told: str, shapes: Path, configure: Configure, tmp_path: Path
) -> None:
    train(configure(**change), shapes, tmp_path / "teacher")
    with pytest.raises(ConfigError) as error:
        train(taught(configure, [str(tmp_path / "teacher")]), shapes, tmp_path / "run")
    assert str(error.value).startswith(f"distill.teachers: {tmp_path / 'teacher'}: {told}")
    assert not (tmp_path / "run").exists()


def test_a_state_is_resumed_with_the_teachers_it_had_wherever_they_are(
    shapes: Path, configure: Configure, tmp_path: Path
) -> None:
    for seed in (0, 1):
        train(configure(seed=seed), shapes, tmp_path / str(seed))
    run = tmp_path / "run"
    train(taught(configure, [str(tmp_path / "0")]), shapes, run, extra_callbacks=(Signal(signal.SIGTERM, 1),))
    with pytest.raises(CheckpointError, match="was taught by networks of other weights than"):
        train(taught(configure, [str(tmp_path / "1")]), shapes, run, resume=True)
    (tmp_path / "0").rename(tmp_path / "moved")
    resumed = train(taught(configure, [str(tmp_path / "moved")]), shapes, run, resume=True)
    assert resumed.step == 4


def test_a_finished_run_no_longer_needs_its_teachers(shapes: Path, configure: Configure, tmp_path: Path) -> None:
    train(taught(configure), shapes, tmp_path)
    shutil.rmtree(tmp_path / "teachers")
    assert train(taught(configure), shapes, tmp_path, resume=True).artifact == tmp_path / "model.onnx"


def test_a_folder_of_other_teachers_is_no_run(shapes: Path, configure: Configure, tmp_path: Path) -> None:
    train(configure(), shapes, tmp_path / "teachers" / "0")
    train(taught(configure, [str(tmp_path / "teachers" / "0")]), shapes, tmp_path)
    assert (tmp_path / "last.ckpt").is_file()


def test_a_teacher_whose_weights_are_not_finite_is_named(shapes: Path, configure: Configure, tmp_path: Path) -> None:
    train(configure(ema=None), shapes, tmp_path / "teacher")
    path = tmp_path / "teacher" / "last.ckpt"
    state = read_checkpoint(path)
    key = next(key for key in state["network"] if key.endswith("conv.weight"))
    state["network"][key][0] = torch.nan
    write_checkpoint(state, path)
    with pytest.raises(CheckpointError, match=f"expected finite weights in .*teacher, got others in {key}"):
        train(taught(configure, [str(tmp_path / "teacher")]), shapes, tmp_path / "run")


def test_a_teacher_that_diverges_names_the_configuration_of_the_run(
    shapes: Path, configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*_: object, **__: object) -> None:
        raise NonFiniteLossError("image 0")

    with monkeypatch.context() as patch:
        patch.setattr("yoloscope.training.module.compute_loss", diverge)
        with pytest.raises(NonFiniteLossError, match="no checkpoint was written before; lower"):
            train(taught(configure), shapes, tmp_path)
    with signalled_at("teacher 2/2: epoch 1/2"):
        train(taught(configure), shapes, tmp_path / "run")
    monkeypatch.setattr("yoloscope.training.module.compute_loss", diverge)
    with pytest.raises(NonFiniteLossError) as error:
        train(taught(configure), shapes, tmp_path / "run", resume=True)
    last, config = tmp_path / "run" / "teachers" / "1" / "last.ckpt", tmp_path / "run" / "config.yaml"
    assert str(error.value).startswith(f"image 0; {last} holds step 3")
    assert str(error.value).endswith(f"lower optimizer.lr in {config}, then: yoloscope train --resume {config.parent}")


def test_one_bar_shows_one_run_after_the_other(
    shapes: Path, configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120, height=30)
    monkeypatch.setattr("yoloscope.training.train.ProgressBar", lambda: ProgressBar(console))
    train(taught(configure), shapes, tmp_path, progress_bar=True)
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())
    assert shown.count("4/4") >= 3
    assert all(line.count("/4") <= 1 for line in re.split(r"[\r\n]", shown))


def test_a_teacher_that_is_gone_is_named(shapes: Path, configure: Configure, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"expected a checkpoint at .*gone"):
        train(taught(configure, [str(tmp_path / "gone")]), shapes, tmp_path / "run")
    train(taught(configure), shapes, tmp_path / "run", extra_callbacks=(Signal(signal.SIGTERM, 1),))
    shutil.rmtree(tmp_path / "run" / "teachers" / "1")
    with pytest.raises(CheckpointError, match=r"expected a checkpoint at .*teachers/1"):
        train(taught(configure), shapes, tmp_path / "run", resume=True)


def test_a_network_without_anchors_has_no_teachers(shapes: Path, configure: Configure, tmp_path: Path) -> None:
    config = taught(configure, network="yolov1-tiny").replace(network_options={})
    with pytest.raises(ConfigError, match="distill: expected heads with anchors"):
        train(config, shapes, tmp_path / "run")


def test_several_processes_need_teachers_that_are_there(shapes: Path, configure: Configure, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected checkpoints for 2 processes, got a number, 2: train the teachers"):
        train(taught(configure), shapes, tmp_path / "run", machine=DeviceConfig(devices=2, accelerator="cpu"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("teachers", [0, -1, [], "three", "runs/a", [3], [""], True, "3", None, 1.5])
def test_what_is_no_teacher(teachers: object, configure: Configure) -> None:
    told = r"distill\.teachers: .*expected a number of at least 1, or a list of checkpoints or folders of runs, got"
    with pytest.raises(ConfigError, match=told):
        configure(distill={"teachers": teachers})


def test_a_configuration_with_teachers_comes_back(configure: Configure, tmp_path: Path) -> None:
    for teachers in (3, ["runs/a", "b.ckpt"]):
        config = taught(configure, teachers)
        (tmp_path / "config.yaml").write_text(config.to_yaml())
        assert TrainingConfig.load(tmp_path / "config.yaml") == config
