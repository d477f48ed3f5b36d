"""``make data``: the archive of a local server becomes the data set, and no other archive does."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from PIL import Image

from tests.benchmarks import bccd
from tests.conftest import ROOT
from tests.helpers.images import encoded
from yoloscope.training.data.datasets import list_splits, open_dataset

XML = """<annotation><size><width>8</width><height>6</height><depth>3</depth></size><object><name>RBC</name>
<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>4</ymax></bndbox></object></annotation>"""
FILES = {
    **{f"JPEGImages/B_{index}.jpg": encoded(Image.new("RGB", (8, 6), (index, 9, 9)), "JPEG") for index in range(3)},
    **{f"Annotations/B_{index}.xml": XML.encode() for index in range(3)},
    "ImageSets/Main/train.txt": b"B_0\nB_1\n",
    "ImageSets/Main/test.txt": b"B_2\n",
}
SMALL = bccd.content_of(FILES)


def archive(files: dict[str, bytes], top: str = "BCCD_Dataset-d272/BCCD/") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as made:
        for name, content in {
            **{top + name: data for name, data in files.items()},
            "BCCD_Dataset-d272/LICENSE": b"MIT",
            "BCCD_Dataset-d272/scripts/plot.py": b"1",
        }.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            made.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo(f"{top}JPEGImages/link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        made.addfile(link)
    return stream.getvalue()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[bytes], str]]:
    """Serve one file and return its address."""
    folder = tmp_path / "served"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = Thread(target=server.serve_forever)
    thread.start()

    def start(content: bytes) -> str:
        (folder / "a.tar.gz").write_bytes(content)
        return f"http://127.0.0.1:{server.server_port}/a.tar.gz"

    yield start
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("top", ["BCCD_Dataset-d272/BCCD/", "BCCD_Dataset-d272/"])
def test_the_data_set_is_written_and_opens(serve: Callable[[bytes], str], tmp_path: Path, top: str) -> None:
    folder = tmp_path / "data" / "bccd"
    assert bccd.fetch(serve(archive(FILES, top)), folder, SMALL) == f"wrote 3 images and their labels to {folder}"
    assert bccd.read_folder(folder) == {**FILES, "LICENSE": b"MIT"}
    assert [path.name for path in folder.parent.iterdir()] == ["bccd"]
    assert sorted(list_splits(folder)) == ["test", "train"]
    assert [str(image.path.name) for image in open_dataset(folder, "train").images] == ["B_0.jpg", "B_1.jpg"]


def test_a_second_run_leaves_it_alone(serve: Callable[[bytes], str], tmp_path: Path) -> None:
    url = serve(archive(FILES))
    bccd.fetch(url, tmp_path / "bccd", SMALL)
    shutil.rmtree(tmp_path / "served")
    assert bccd.fetch(url, tmp_path / "bccd", SMALL).endswith("holds the 3 images already")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (archive({**FILES, "JPEGImages/B_1.jpg": b"other"}), "expected 3 images and 3 label files of sha256"),
        (archive({name: data for name, data in FILES.items() if not name.endswith("2.jpg")}), "got 2 and 3 of"),
        (b"<html>", "expected a .tar.gz, got a file that fails"),
        (archive(FILES)[:500], "expected a .tar.gz, got a file that fails"),
    ],
)
def test_another_archive_is_refused_and_nothing_is_left(
    serve: Callable[[bytes], str], tmp_path: Path, content: bytes, words: str
) -> None:
    with pytest.raises(bccd.FetchError, match=words):
        bccd.fetch(serve(content), tmp_path / "data" / "bccd", SMALL)
    assert not (tmp_path / "data" / "bccd").exists()


def test_no_file_leaves_the_folder() -> None:
    escaping = {"JPEGImages/../../x.jpg": b"1", "JPEGImages/B_0.jpg": b"2"}
    assert bccd.unpack(archive(escaping)) == {"JPEGImages/B_0.jpg": b"2", "LICENSE": b"MIT"}


def test_what_cannot_be_fetched_names_the_way_out(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert bccd.main([str(tmp_path / "bccd"), "--url", "http://127.0.0.1:9/none.tar.gz"]) == 1
    assert "make data BCCD_URL=..." in capsys.readouterr().err


def test_the_counts_and_the_checksum_are_those_of_the_data_set() -> None:
    folder = ROOT.parent / "shared" / "data" / "bccd"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    assert bccd.content_of(bccd.read_folder(folder)) == bccd.BCCD


@pytest.mark.parametrize("mirror", ["", "http://mirror/bccd.tar.gz"])
def test_make_takes_the_address_from_a_variable(mirror: str) -> None:
    command = ["make", "-n", "-o", ".venv/.installed", "data", *([f"BCCD_URL={mirror}"] if mirror else [])]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    said = f"--url {mirror}" if mirror else "tests.benchmarks.bccd data/bccd"
    assert said in run.stdout
    assert bool(mirror) == ("--url" in run.stdout)
