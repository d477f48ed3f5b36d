"""The generated data set: layout, determinism, tight boxes, and digits kept apart."""

from __future__ import annotations

import errno
import importlib
import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from yoloscope.models.errors import ConfigError, OutputError
from yoloscope.training.data import digits
from yoloscope.training.data.digits import CLASS_NAMES, DigitPool, SceneOptions, draw_scene, generate, load_digit_pools

pytestmark = pytest.mark.skipif(importlib.util.find_spec("sklearn") is None, reason="needs scikit-learn")


def _pairs(boxes: np.ndarray) -> list[float]:
    shares = []
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
            smaller = min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
            shares.append(max(width, 0) * max(height, 0) / smaller)
    return shares


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OutputError, match=r"cannot write into .*set: No space left on device"):
        generate(tmp_path / "set", {"train": 1})
    assert list(tmp_path.iterdir()) == []


def test_the_written_set_has_the_yolo_layout(tmp_path: Path) -> None:
    description = generate(tmp_path / "set", {"train": 3, "val": 2})
    lines = description.read_text().splitlines()
    assert lines[:4] == ["path: .", "train: images/train", "val: images/val", "names:"]
    assert lines[4:] == [f"  {i}: {name}" for i, name in enumerate(CLASS_NAMES)]
    for split, count in (("train", 3), ("val", 2)):
        images = sorted((tmp_path / "set/images" / split).iterdir())
        assert [p.name for p in images] == [f"{i:06d}.jpg" for i in range(count)]
        for image in images:
            with Image.open(image) as opened:
                assert opened.size == (192, 192)
            for line in (tmp_path / "set/labels" / split / f"{image.stem}.txt").read_text().splitlines():
                class_id, x, y, w, h = map(float, line.split())
                assert class_id in range(10)
                assert x - w / 2 + 1e-6 >= 0
                assert x + w / 2 <= 1 + 1e-6
                assert y - h / 2 + 1e-6 >= 0
                assert y + h / 2 <= 1 + 1e-6


def test_the_seed_decides_every_byte(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("a", "b", "c")]
    for folder, seed in zip(folders, (1, 1, 2), strict=True):
        generate(folder, {"train": 2, "val": 1}, seed=seed)
    files = [{p.relative_to(f): p.read_bytes() for p in sorted(f.rglob("*")) if p.is_file()} for f in folders]
    assert files[0] == files[1]
    assert files[0] != files[2]


def test_an_image_does_not_depend_on_how_many_are_made(tmp_path: Path) -> None:
    seen = []
    generate(tmp_path / "few", {"train": 1})
    generate(tmp_path / "many", {"train": 3}, on_image=lambda: seen.append(1))
    name = Path("images/train/000000.jpg")
    assert (tmp_path / "few" / name).read_bytes() == (tmp_path / "many" / name).read_bytes()
    assert len(seen) == 3


def test_boxes_lie_inside_and_hardly_overlap() -> None:
    pool = load_digit_pools()["train"]
    options = SceneOptions(min_digits=6, max_digits=12, max_overlap=0.1)
    for seed in range(20):
        boxes = draw_scene(pool, options, np.random.default_rng(seed)).boxes_xyxy_px
        assert boxes.min() >= 0
        assert boxes.max() <= 192
        assert max(_pairs(boxes), default=0) <= 0.1


def test_boxes_frame_the_ink_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a black ground and without tilt, a full square of ink is what differs from the ground."""
    monkeypatch.setattr(digits, "paint_background", lambda w, h, _: np.zeros((h, w, 3), np.float32))
    square = np.zeros((1, 8, 8), np.float32)
    square[:, 2:6, 1:7] = 1
    options = SceneOptions(min_digits=1, max_digits=1, min_contrast=0.5)
    for seed in range(10):
        scene = draw_scene(DigitPool(square, np.array([4])), options, np.random.default_rng(seed))
        inked = scene.image.max(axis=2) > 0
        rows, columns = np.flatnonzero(inked.any(axis=1)), np.flatnonzero(inked.any(axis=0))
        assert scene.boxes_xyxy_px.tolist() == [[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]]
        assert scene.class_ids.tolist() == [4]


def test_train_and_val_share_no_digit() -> None:
    pools = load_digit_pools()
    sizes = [len(pools[split].ink) for split in ("train", "val")]
    assert sizes == [1438, 359]
    assert {int(c) for c in pools["val"].class_ids} == set(range(10))
    assert all(pool.ink.min() >= 0 and pool.ink.max() == 1 for pool in pools.values())


def test_an_empty_scene_is_possible() -> None:
    scene = draw_scene(load_digit_pools()["val"], SceneOptions(min_digits=0, max_digits=0), np.random.default_rng(0))
    assert len(scene) == 0


def test_a_folder_in_use_and_an_unknown_split_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(ConfigError, match="empty or new folder"):
        generate(tmp_path)
    with pytest.raises(ConfigError, match="got test"):
        generate(tmp_path / "new", {"test": 1})
    assert not (tmp_path / "new").exists()


def test_without_scikit_learn_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> None:
        raise ImportError

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ConfigError, match="pip install"):
        load_digit_pools()


@pytest.mark.parametrize("options", [{"min_digits": 3, "max_digits": 2}, {"min_digit_px": 4}, {"max_digit_px": 150}])
def test_impossible_scenes_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        SceneOptions(**options)
