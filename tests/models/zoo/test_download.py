"""Finding and fetching official weights."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from yoloscope.models.errors import ConfigError, DownloadError
from yoloscope.models.files import atomic_write
from yoloscope.models.zoo import download as module
from yoloscope.models.zoo.download import download, find_weights, obtain_weights
from yoloscope.models.zoo.official import OFFICIAL, OfficialWeights

CONTENT = b"weights" * 1000


def published(url: str = "http://nowhere.invalid/tiny.weights", content: bytes = CONTENT) -> OfficialWeights:
    sha256 = hashlib.sha256(content).hexdigest()
    return replace(OFFICIAL["yolov4-tiny"], name="tiny", url=url, size=len(content), sha256=sha256)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/moved/tiny.weights":
            self.send_response(302)
            self.send_header("Location", "/tiny.weights")
            self.end_headers()
            return
        self.send_response(200 if self.path == "/tiny.weights" else 404)
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("path", ["/tiny.weights", "/moved/tiny.weights"])
def test_a_download_is_checked_and_its_progress_told(server: str, tmp_path: Path, path: str) -> None:
    counts: list[int] = []
    found = download(published(server + path), tmp_path / "file", counts.append)
    assert found.read_bytes() == CONTENT
    assert sum(counts) == len(CONTENT)


@pytest.mark.parametrize(
    ("path", "content", "reason"),
    [("/gone.weights", CONTENT, "404"), ("/tiny.weights", b"other", "another file")],
)
def test_a_failed_download_says_what_to_do(server: str, tmp_path: Path, path: str, content: bytes, reason: str) -> None:
    official = published(server + path, content)
    with pytest.raises(DownloadError, match=reason) as caught:
        download(official, tmp_path / "file", lambda _count: None)
    for needed in (official.url, str(official.size), str(official.sha256), official.file_name, "YOLOSCOPE_WEIGHTS"):
        assert needed in str(caught.value)


def test_without_a_network_the_advice_is_given_too(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="Set YOLOSCOPE_WEIGHTS"):
        download(published("http://127.0.0.1:9/tiny.weights"), tmp_path / "file", lambda _count: None)


def test_weights_are_found_by_content_at_any_depth(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert find_weights(published(), tmp_path) is None
    (tmp_path / "tiny.weights").write_bytes(CONTENT[::-1])
    assert find_weights(published(), tmp_path) is None
    (tmp_path / "a" / "b" / "renamed.bin").write_bytes(CONTENT)
    assert find_weights(published(), tmp_path) == tmp_path / "a" / "b" / "renamed.bin"
    (tmp_path / "a" / "tiny.weights").write_bytes(CONTENT)
    assert find_weights(published(), tmp_path) == tmp_path / "a" / "tiny.weights"


def test_without_a_published_sha256_name_and_size_must_fit(tmp_path: Path) -> None:
    official = replace(published(), sha256=None)
    (tmp_path / "other.weights").write_bytes(CONTENT)
    assert find_weights(official, tmp_path) is None
    (tmp_path / "tiny.weights").write_bytes(CONTENT)
    assert find_weights(official, tmp_path) == tmp_path / "tiny.weights"


def test_the_weights_folder_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="YOLOSCOPE_WEIGHTS"):
        find_weights(published(), tmp_path / "nothing")


class TestObtaining:
    """The folder that is named comes first, then the cache, then the network."""

    @pytest.fixture(autouse=True)
    def folders(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.delenv("YOLOSCOPE_WEIGHTS", raising=False)

    def test_a_download_is_kept(self, server: str, tmp_path: Path) -> None:
        lines: list[str] = []
        official = published(f"{server}/tiny.weights")
        target = tmp_path / "cache" / "yoloscope" / "weights" / "tiny.weights"
        assert obtain_weights(official, lines.append) == target
        assert target.read_bytes() == CONTENT
        assert obtain_weights(replace(official, url="http://127.0.0.1:9/tiny.weights"), pytest.fail) == target
        assert lines == [f"downloading {server}/tiny.weights (0 MB) to {target}"]

    def test_the_named_folder_is_searched(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "mine.bin").write_bytes(CONTENT)
        monkeypatch.setenv("YOLOSCOPE_WEIGHTS", str(tmp_path))
        assert obtain_weights(published(), pytest.fail) == tmp_path / "mine.bin"

    def test_a_failed_download_leaves_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(DownloadError, match="Set YOLOSCOPE_WEIGHTS"):
            obtain_weights(published("http://127.0.0.1:9/tiny.weights"), lambda _line: None)
        assert not list((tmp_path / "cache").rglob("*.weights"))


def test_what_another_process_downloads_is_not_found_yet(tmp_path: Path) -> None:
    """Its file is as long and has its name, and is renamed the next moment."""
    with atomic_write(tmp_path / "yolov4-tiny.weights") as temporary:
        temporary.write_bytes(CONTENT)
        for official in (published(), replace(published(), sha256=None)):
            assert find_weights(official, tmp_path) is None
    assert find_weights(published(), tmp_path) == tmp_path / "yolov4-tiny.weights"


def test_a_file_that_goes_while_weights_are_searched_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(CONTENT)

    def digest(path: Path) -> str:
        if path.name < "c":
            path.unlink()
        return hashlib.sha256(path.read_bytes()).hexdigest()

    monkeypatch.setattr(module, "sha256", digest)
    assert find_weights(published(), tmp_path) == tmp_path / "c"


def test_processes_that_need_the_same_weights_download_them_once(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("YOLOSCOPE_WEIGHTS", raising=False)
    official, said = published(f"{server}/tiny.weights"), list[str]()
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: obtain_weights(official, said.append), range(4)))
    assert [path.read_bytes() for path in found] == [CONTENT]
    assert len([line for line in said if line.startswith("downloading")]) == 1
    assert [path.name for path in (tmp_path / "yoloscope" / "weights").iterdir()] == [official.file_name]
