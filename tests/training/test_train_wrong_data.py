"""Wrong data ends or goes on as the message says, with nothing lost."""

import errno
import os
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import pytest
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from tests.training.runs import Configure, log_lines
from yoloscope.models.errors import CheckpointError, ConfigError, DatasetError, NonFiniteLossError, OutputError
from yoloscope.training.checkpoint.files import read_checkpoint
from yoloscope.training.module import TrainingModule
from yoloscope.training.train import train

pytestmark = pytest.mark.usefixtures("no_export")


class At(lightning.Callback):
    """Does something before one step."""

    def __init__(self, step: int, action: Any) -> None:
        self.step, self.action = step, action

    def on_train_batch_start(self, *arguments: Any) -> None:
        if arguments[-1] == self.step:
            self.action(arguments[1])


def cut_off(path: Path) -> None:
    """Leave the header of an image and lose half of its content."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_an_empty_folder(configure: Configure, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(DatasetError, match="got an empty folder"):
        train(configure(), tmp_path / "data", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_missing_images(own_shapes: Path, configure: Configure, tmp_path: Path) -> None:
    listed = own_shapes / "train.txt"
    listed.write_text("images/train/0.jpg\nimages/train/99.jpg\n")
    (own_shapes / "data.yaml").write_text("train: train.txt\nnames: [square, disc]\n")
    with pytest.raises(DatasetError, match=r"cannot be used: .*99\.jpg: expected an image, got no file"):
        train(configure(), own_shapes, tmp_path / "run")
    with log_lines() as told:
        result = train(configure(data={"on_bad_image": "skip"}), own_shapes, tmp_path / "run")
    assert result.step == 1
    assert any("99.jpg" in line for line in told)


def test_a_corrupt_image_stops_with_everything_saved(own_shapes: Path, configure: Configure, tmp_path: Path) -> None:
    bad = own_shapes / "images" / "train" / "3.jpg"
    config = configure(epochs=3, batch_size=2)
    breaking = At(3, lambda _module: cut_off(bad))
    with pytest.raises(DatasetError, match=r"3\.jpg, got: .*; set data\.on_bad_image to skip"):
        train(config, own_shapes, tmp_path / "run", extra_callbacks=(breaking,))
    done = read_checkpoint(tmp_path / "run" / "last.ckpt")["progress"]["step"]
    assert 3 <= done < 9


def test_a_corrupt_image_is_skipped_where_that_is_wanted(
    own_shapes: Path, configure: Configure, tmp_path: Path
) -> None:
    cut_off(own_shapes / "images" / "train" / "3.jpg")
    config = configure(epochs=2, batch_size=2, data={"on_bad_image": "skip", "workers": 1})
    with log_lines() as told:
        result = train(config, own_shapes, tmp_path / "run")
    assert result.step == 6
    assert sum(line.startswith("skipped: ") and "3.jpg" in line for line in told) == 2


@pytest.mark.parametrize("policy", ["stop", "skip"])
def test_images_of_which_none_can_be_read_end_in_one_line(
    policy: str, own_shapes: Path, configure: Configure, tmp_path: Path
) -> None:
    for path in (own_shapes / "images" / "train").iterdir():
        cut_off(path)
    with pytest.raises(DatasetError, match="none that can be read: expected a whole image") as caught:
        train(configure(data={"on_bad_image": policy, "workers": 1}), own_shapes, tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_labels_of_another_format(own_shapes: Path, configure: Configure, tmp_path: Path) -> None:
    (own_shapes / "labels" / "train" / "2.txt").write_text("<annotation><object/></annotation>\n")
    with pytest.raises(DatasetError, match=r"cannot be used: .*2\.txt.*; set data\.on_bad_image to skip"):
        train(configure(), own_shapes, tmp_path / "run")


def test_bad_labels_are_named_before_the_first_step(own_shapes: Path, configure: Configure, tmp_path: Path) -> None:
    (own_shapes / "labels" / "train" / "2.txt").write_text("0 0.5 0.5 0.2 0.2\n0 0.5 0.5 0.2 0.2\n1 0.4 0.4 0 0.1\n")
    with log_lines() as told:
        train(configure(), own_shapes, tmp_path / "run")
    checks = [line for line in told if line.startswith("label check: ")]
    assert {kind for line in checks for kind in ("identical", "degenerate") if f": {kind}: " in line} == {
        "identical",
        "degenerate",
    }
    assert told.index(checks[-1]) < told.index(next(line for line in told if line.startswith("epoch 1/1")))


def test_a_split_that_is_not_there(shapes: Path, configure: Configure, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"'test'.*train, val"):
        train(configure(data={"val": "test"}), shapes, tmp_path)


def test_a_batch_that_cannot_be_shared_out(shapes: Path, configure: Configure, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="divisible by accumulate"):
        train(configure(accumulate=4), shapes, tmp_path)


def test_a_full_disk_keeps_the_previous_checkpoint(
    shapes: Path, configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Configuration and place of the data are flushed to the disk first; the checkpoint of step 3 is the fifth file."""
    synced = 0

    def full(_file: int) -> None:
        nonlocal synced
        synced += 1
        if synced == 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="No space left on device; the previous one is unharmed"):
        train(configure(epochs=5), shapes, tmp_path)
    assert read_checkpoint(tmp_path / "last.ckpt")["progress"]["step"] == 2
    assert train(configure(epochs=5), shapes, tmp_path, resume=True).step == 5


def test_a_full_disk_under_the_logs_names_the_folder(
    shapes: Path, configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(CSVLogger, "save", full)
    monkeypatch.setattr(TensorBoardLogger, "save", full)
    with pytest.raises(OutputError, match=f"cannot write into {tmp_path}: No space left on device"):
        train(configure(epochs=2), shapes, tmp_path)


def test_a_loss_that_is_not_finite_is_named_and_the_epochs_before_are_kept(
    shapes: Path, configure: Configure, tmp_path: Path
) -> None:
    def spoil(module: TrainingModule) -> None:
        next(iter(module.network.parameters())).data.fill_(float("nan"))

    with pytest.raises(NonFiniteLossError):
        train(configure(epochs=4, batch_size=4), shapes, tmp_path, extra_callbacks=(At(3, spoil),))
    assert read_checkpoint(tmp_path / "last.ckpt")["progress"]["step"] == 2
