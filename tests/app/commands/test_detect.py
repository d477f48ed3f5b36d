"""``yoloscope detect``: the tiny model finds a cat (.6), a dog (.5) and a cat (.125 is below .25)."""

import errno
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.app.commands.conftest import Run
from tests.helpers.images import corner_image, encoded
from yoloscope.app.commands.outputs import is_own_image
from yoloscope.models.errors import ConfigError, ImageError, OutputError
from yoloscope.models.images import FORMATS
from yoloscope.training.data.datasets import open_dataset

PHOTO = encoded(Image.new("RGB", (64, 48), (51, 51, 51)), "JPEG")


def put(path: Path, data: bytes = PHOTO) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestSaving:
    """No image of the user's is written over, and none of this run."""

    def test_into_the_folder_of_the_images(self, run: Run, tmp_path: Path) -> None:
        photo = put(tmp_path / "a.jpg")
        result = run("detect", photo, "-m", "tiny", "--save", tmp_path)
        assert result.exit_code == 0
        assert photo.read_bytes() == PHOTO
        assert names_in(tmp_path) == ["a-2.jpg", "a.jpg"]
        assert f"wrote {tmp_path / 'a-2.jpg'}" in result.stderr

    def test_onto_the_image_itself(self, run: Run, tmp_path: Path) -> None:
        photo = put(tmp_path / "a.jpg")
        with pytest.raises(ConfigError, match=r"--save: expected another file than the inputs, got .*a\.jpg"):
            run("detect", photo, "-m", "tiny", "--save", photo)
        link = tmp_path / "link.jpg"
        link.symlink_to(photo)
        with pytest.raises(ConfigError, match="--save: expected another file than the inputs"):
            run("detect", photo, "-m", "tiny", "--save", link)
        assert photo.read_bytes() == PHOTO

    def test_two_images_of_one_name(self, run: Run, tmp_path: Path) -> None:
        first, second = put(tmp_path / "c1" / "frame.jpg"), put(tmp_path / "c2" / "frame.jpg")
        run("detect", first, second, "-m", "tiny", "--save", tmp_path / "out")
        assert names_in(tmp_path / "out") == ["frame-2.jpg", "frame.jpg"]

    def test_names_that_differ_in_case_alone_are_one_file_on_some_disks(self, run: Run, tmp_path: Path) -> None:
        paths = put(tmp_path / "c1" / "frame.jpg"), put(tmp_path / "c2" / "FRAME.jpg")
        assert run("detect", *paths, "-m", "tiny", "--save", tmp_path / "out").exit_code == 0
        assert names_in(tmp_path / "out") == ["FRAME-2.jpg", "frame.jpg"]

    def test_two_suffixes(self, run: Run, tmp_path: Path, gray_png: bytes) -> None:
        run(
            "detect", put(tmp_path / "x.png", gray_png), put(tmp_path / "x.jpg"), "-m", "tiny", "--save", tmp_path / "o"
        )
        assert names_in(tmp_path / "o") == ["x-2.jpg", "x.jpg"]

    def test_a_foreign_image_in_the_folder_stays_and_an_earlier_result_is_replaced(
        self, run: Run, tmp_path: Path
    ) -> None:
        photo, foreign = put(tmp_path / "c1" / "frame.jpg"), put(tmp_path / "c2" / "frame.jpg")
        for _ in range(2):
            run("detect", photo, "-m", "tiny", "--save", tmp_path / "c2")
        assert foreign.read_bytes() == PHOTO
        assert names_in(tmp_path / "c2") == ["frame-2.jpg", "frame.jpg"]
        with pytest.raises(ConfigError, match="expected a new file or an earlier result"):
            run("detect", photo, "-m", "tiny", "--save", foreign)

    @pytest.mark.parametrize("suffix", [".jpg", ".png"])
    def test_results_carry_a_mark(self, run: Run, tmp_path: Path, suffix: str) -> None:
        photo, target = put(tmp_path / "a.jpg"), tmp_path / f"out{suffix}"
        run("detect", photo, "-m", "tiny", "--save", target)
        run("detect", photo, "-m", "tiny", "--save", target)
        assert is_own_image(target)
        assert not is_own_image(photo)

    def test_one_file_for_two_images(self, run: Run, tmp_path: Path) -> None:
        paths = put(tmp_path / "a.jpg"), put(tmp_path / "b.jpg")
        with pytest.raises(ConfigError, match=r"--save: expected a folder for 2 images, got the file .*out\.jpg"):
            run("detect", *paths, "-m", "tiny", "--save", tmp_path / "out.jpg")
        assert names_in(tmp_path) == ["a.jpg", "b.jpg"]

    def test_a_full_disk_leaves_nothing(self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        photo, target = put(tmp_path / "a.jpg"), tmp_path / "out" / "b.jpg"

        def fail(self: Path, data: bytes) -> int:
            with self.open("wb") as file:
                file.write(data[:10])
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(Path, "write_bytes", fail)
        with pytest.raises(OutputError, match=r"cannot write .*b\.jpg: No space left on device"):
            run("detect", photo, "-m", "tiny", "--save", target)
        assert names_in(tmp_path / "out") == []


class TestBadImages:
    """They stop none of the others."""

    def test_good_ones_are_answered_and_bad_ones_named(self, run: Run, tmp_path: Path) -> None:
        paths = put(tmp_path / "a.jpg"), put(tmp_path / "b.jpg", b"no image"), put(tmp_path / "c.jpg")
        result = run("detect", *paths, "-m", "tiny", "--json")
        assert result.exit_code == 1
        document = json.loads(result.stdout)
        assert [entry["file"] for entry in document["results"]] == [str(paths[0]), str(paths[2])]
        assert [entry["file"] for entry in document["errors"]] == [str(paths[1])]
        assert f"{paths[1]}: expected one of JPEG" in result.stderr
        assert "1 of 3 images could not be read" in result.stderr
        assert run("detect", *paths, "-m", "tiny").stdout.count("cat") == 4

    def test_a_line_for_each_image(self, run: Run, tmp_path: Path) -> None:
        paths = put(tmp_path / "a.jpg"), put(tmp_path / "b.jpg", PHOTO[:200])
        result = run("detect", *paths, "-m", "tiny", "--jsonl", "--save", tmp_path / "o")
        first, second = map(json.loads, result.stdout.splitlines())
        assert first["saved"] == str(tmp_path / "o" / "a.jpg")
        assert [row["class_name"] for row in first["detections"]] == ["cat", "dog", "cat"]
        assert second.keys() == {"file", "error"}

    def test_a_single_bad_one_is_the_error(self, run: Run, tmp_path: Path) -> None:
        with pytest.raises(ImageError, match=r"b\.jpg: expected one of JPEG"):
            run("detect", put(tmp_path / "b.jpg", b"no image"), "-m", "tiny")


class TestSources:
    """What is named by an argument."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for name in ("a.jpg", "b.jpg", "sub/c.jpg"):
            put(tmp_path / "photos" / name)
        (tmp_path / "photos" / "notes.md").write_text("no image")
        return tmp_path / "photos"

    def files(self, run: Run, *arguments: object, stdin: bytes | None = None) -> list[str]:
        result = run("detect", *arguments, "-m", "tiny", "--jsonl", stdin=stdin)
        assert result.exit_code == 0, result.output
        return [Path(json.loads(line)["file"]).name for line in result.stdout.splitlines()]

    def test_a_folder(self, run: Run, folder: Path) -> None:
        assert self.files(run, folder) == ["a.jpg", "b.jpg", "c.jpg"]

    def test_a_photo_in_heic_is_named_and_not_passed_over(self, run: Run, folder: Path) -> None:
        (folder / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(32))
        result = run("detect", folder, "-m", "tiny", "--jsonl")
        assert result.exit_code == 1
        assert len(result.stdout.splitlines()) == 4
        assert "IMG_1.HEIC" in result.stderr
        assert "export it as JPEG" in result.stderr

    @pytest.mark.skipif("AVIF" not in FORMATS, reason="this Pillow has no AVIF")
    def test_an_avif_is_found(self, run: Run, folder: Path) -> None:
        (folder / "d.avif").write_bytes(encoded(corner_image(), "AVIF"))
        assert self.files(run, folder) == ["a.jpg", "b.jpg", "d.avif", "c.jpg"]

    def test_a_pattern(self, run: Run, folder: Path) -> None:
        assert self.files(run, folder / "*.jpg") == ["a.jpg", "b.jpg"]
        assert self.files(run, folder / "**" / "*.jpg") == ["a.jpg", "b.jpg", "c.jpg"]

    def test_a_list(self, run: Run, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "list.txt").write_text(f"# of mine\nphotos/b.jpg\n\n{folder / 'a.jpg'}\n")
        assert self.files(run, tmp_path / "list.txt") == ["b.jpg", "a.jpg"]
        assert self.files(run, f"@{tmp_path / 'list.txt'}") == ["b.jpg", "a.jpg"]

    def test_standard_input(self, run: Run, folder: Path) -> None:
        assert self.files(run, "-", stdin=PHOTO) == ["standard input"]
        assert self.files(run, "-", stdin=f"{folder / 'b.jpg'}\n{folder / 'a.jpg'}\n".encode()) == ["b.jpg", "a.jpg"]

    def test_what_is_not_there(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        for argument in (tmp_path / "no.jpg", tmp_path / "*.jpg", tmp_path / "empty", f"@{tmp_path / 'no.txt'}"):
            result = run("detect", argument, "-m", "tiny")
            assert result.exit_code == 2
            assert "expected" in result.stderr


class TestVideos:
    """Frames of a file, and the annotated video."""

    @pytest.fixture
    def video(self, tmp_path: Path) -> Path:
        path = tmp_path / "v.avi"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (64, 48))
        for _ in range(5):
            writer.write(np.full((48, 64, 3), 51, np.uint8))
        writer.release()
        return path

    def test_each_second_frame(self, run: Run, video: Path, tmp_path: Path) -> None:
        target = tmp_path / "out.mp4"
        result = run("detect", video, "-m", "tiny", "--jsonl", "--every", "2", "--save", target)
        frames = [json.loads(line) for line in result.stdout.splitlines()]
        assert [frame["frame"] for frame in frames] == [0, 2, 4]
        assert [frame["time_s"] for frame in frames] == pytest.approx([0, 0.2, 0.4])
        assert [row["class_name"] for row in frames[0]["detections"]] == ["cat", "dog", "cat"]
        written = cv2.VideoCapture(str(target))
        assert written.get(cv2.CAP_PROP_FRAME_COUNT) == 3
        assert written.get(cv2.CAP_PROP_FPS) == pytest.approx(5)

    def test_at_most_so_many(self, run: Run, video: Path) -> None:
        assert len(run("detect", video, "-m", "tiny", "--jsonl", "--frames", "2").stdout.splitlines()) == 2

    def test_what_is_no_video(self, run: Run, tmp_path: Path) -> None:
        with pytest.raises(ImageError, match=r"v\.mp4: expected a video"):
            run("detect", put(tmp_path / "v.mp4", b"no video"), "-m", "tiny")


class TestLabels:
    """What is written opens as a data set with the boxes that were found, cut at the borders of the image."""

    @pytest.mark.parametrize("written", ["yolo", "voc", "coco"])
    def test_they_open_as_a_data_set(self, run: Run, tmp_path: Path, written: str) -> None:
        data = tmp_path / "data"
        photo = put(data / "images" / "a.jpg")
        (shown,) = json.loads(run("detect", photo, "-m", "tiny", "--json").stdout)["results"]
        result = run("detect", photo, "-m", "tiny", "--labels", written, "--output", data / "labels")
        assert f"wrote the labels of 1 images into {data / 'labels'}" in result.stderr
        if written == "yolo":
            (data / "labels" / "classes.txt").rename(data / "classes.txt")
        if written == "coco":
            (data / "labels" / "instances.json").rename(data / "instances.json")
        dataset = open_dataset(data)
        (image,) = dataset.images
        expected = [
            [row["box"]["x1"], row["box"]["y1"], row["box"]["x2"], row["box"]["y2"]] for row in shown["detections"]
        ]
        assert [dataset.class_names[label.class_id] for label in image.labels.objects] == ["cat", "dog", "cat"]
        np.testing.assert_allclose(image.labels.boxes_xyxy_px, np.clip(expected, 0, [64, 48, 64, 48]), atol=0.01)

    def test_csv(self, run: Run, tmp_path: Path) -> None:
        run("detect", put(tmp_path / "a.jpg"), "-m", "tiny", "--labels", "csv", "--output", tmp_path / "o")
        head, first, *rest = (tmp_path / "o" / "detections.csv").read_text().splitlines()
        assert head == "file,class_id,class_name,score,x1,y1,x2,y2"
        assert first.split(",")[:3] == [str(tmp_path / "a.jpg"), "0", "cat"]
        assert len(rest) == 2

    def test_labels_of_the_user_are_not_touched(self, run: Run, tmp_path: Path) -> None:
        photo, labels = put(tmp_path / "i" / "a.jpg"), put(tmp_path / "l" / "a.txt", b"0 .5 .5 1 1")
        with pytest.raises(ConfigError, match="--output: expected a new or empty folder"):
            run("detect", photo, "-m", "tiny", "--labels", "yolo", "--output", tmp_path / "l")
        with pytest.raises(ConfigError, match="expected --labels and --output together"):
            run("detect", photo, "-m", "tiny", "--labels", "yolo")
        assert labels.read_bytes() == b"0 .5 .5 1 1"

    def test_crops(self, run: Run, tmp_path: Path) -> None:
        photo = put(tmp_path / "a.jpg")
        (shown,) = json.loads(run("detect", photo, "-m", "tiny", "--json").stdout)["results"]
        run("detect", photo, "-m", "tiny", "--crop", tmp_path / "o")
        assert names_in(tmp_path / "o") == ["a-cat-2.jpg", "a-cat.jpg", "a-dog.jpg"]
        box = shown["detections"][1]["box"]
        with Image.open(tmp_path / "o" / "a-dog.jpg") as crop:
            assert crop.width == pytest.approx(min(64, box["x2"]) - max(0, box["x1"]), abs=1)
            assert crop.height == pytest.approx(min(48, box["y2"]) - max(0, box["y1"]), abs=1)
