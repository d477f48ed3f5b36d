"""Progress of an audit that survives interruptions."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from tests.training.diagnostics.painted import write_image
from yoloscope.models.errors import ConfigError
from yoloscope.training.data.datasets import LabeledImage
from yoloscope.training.diagnostics.findings import ImageAudit
from yoloscope.training.diagnostics.run import CHUNK, AuditLog, audit_images

CONDITIONS = {"model": "a", "floor": 0.05}
NAMES = [f"{number:03}.png" for number in range(2 * CHUNK + 3)]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[LabeledImage]:
    folder = tmp_path_factory.mktemp("images")
    return [write_image(folder / name, Image.new("RGB", (8, 8))) for name in NAMES]


class Judge:
    """Remembers what it was asked, and finds nothing."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def __call__(self, images: Sequence[LabeledImage]) -> list[ImageAudit]:
        self.asked.append([image.path.name for image in images])
        return [ImageAudit(image.path.name, len(image.labels), (), ()) for image in images]


def test_images_are_judged_in_order_and_in_parts(images: list[LabeledImage]) -> None:
    judge = Judge()
    assert [audit.image for audit in audit_images(judge, images, NAMES)] == NAMES
    assert judge.asked == [NAMES[:CHUNK], NAMES[CHUNK : 2 * CHUNK], NAMES[2 * CHUNK :]]


@pytest.mark.parametrize("done", [0, 1, CHUNK, CHUNK + 3, 2 * CHUNK + 3])
def test_the_parts_after_an_interruption_are_those_before(
    done: int, images: list[LabeledImage], tmp_path: Path
) -> None:
    with AuditLog(tmp_path / "log", CONDITIONS) as log:
        log.add(Judge()(images[:done]))
    judge = Judge()
    with AuditLog(tmp_path / "log", CONDITIONS) as log:
        assert [audit.image for audit in audit_images(judge, images, NAMES, log)] == NAMES
    parts = [NAMES[start : start + CHUNK] for start in range(0, len(NAMES), CHUNK)]
    assert judge.asked == [part for part in parts if part[-1] not in NAMES[:done]]
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) == len(set(lines)) == 1 + len(NAMES)


class TestLog:
    def test_a_line_that_was_cut_off_or_damaged_is_dropped(self, images: list[LabeledImage], tmp_path: Path) -> None:
        path = tmp_path / "log"
        with AuditLog(path, CONDITIONS) as log:
            log.add(Judge()(images[:4]))
        lines = path.read_bytes().split(b"\n")
        lines[2] = bytes(len(lines[2]))
        lines[3] = b'{"image": "a"}'
        path.write_bytes(b"\n".join(lines)[:-5])
        with AuditLog(path, CONDITIONS) as log:
            assert list(log.done) == NAMES[:1]
        assert path.read_text().count("\n") == 2

    @pytest.mark.parametrize("kept", [0, 5])
    def test_a_header_that_was_cut_off_is_written_again(self, kept: int, tmp_path: Path) -> None:
        with AuditLog(tmp_path / "log", CONDITIONS):
            pass
        whole = (tmp_path / "log").read_bytes()
        (tmp_path / "log").write_bytes(whole[:kept])
        with AuditLog(tmp_path / "log", CONDITIONS) as log:
            assert log.done == {}
        assert (tmp_path / "log").read_bytes() == whole

    def test_other_conditions_are_refused_and_the_file_stays(self, images: list[LabeledImage], tmp_path: Path) -> None:
        with AuditLog(tmp_path / "log", CONDITIONS) as log:
            log.add(Judge()(images[:2]))
        before = (tmp_path / "log").read_bytes()
        with pytest.raises(ConfigError, match="belongs to an audit of another model, data set or setting"):
            AuditLog(tmp_path / "log", CONDITIONS | {"floor": 0.1})
        assert (tmp_path / "log").read_bytes() == before
