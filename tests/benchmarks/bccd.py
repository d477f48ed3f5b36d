"""Fetch BCCD, the blood cells of all figures: ``python -m tests.benchmarks.bccd FOLDER [--url ARCHIVE]``.

364 images of 640x480 with VOC labels and splits, under the MIT license; ``make data`` puts them into data/bccd.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import re
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

COMMIT: Final = "d272fb14cdff6e473fafeeeba32aba5f560e9e43"
URL: Final = f"https://github.com/Shenggan/BCCD_Dataset/archive/{COMMIT}.tar.gz"
WANTED: Final = re.compile(
    r"(?:^|/)(Annotations/[\w-]+\.xml|JPEGImages/[\w-]+\.jpg|ImageSets/Main/[\w-]+\.txt|LICENSE)$"
)
MAX_BYTES: Final = 100 * 2**20


@dataclass(frozen=True)
class Content:
    """How many images and labels a data set has, and the sha256 of the list of its files with their sha256."""

    images: int
    labels: int
    sha256: str


BCCD: Final = Content(364, 364, "59eb0d826c422ae58c4c46f2dac8de1af80c371950dbf0593d8aeb0c8f74f265")


class FetchError(Exception):
    """The data set could not be fetched, or is not the one expected."""


def fetch(url: str, folder: Path, expected: Content = BCCD) -> str:
    """Fetch the archive of the repository, check its files and put them into a new folder; return what was done.

    A folder that holds the data set already is left as it is. Raises FetchError.
    """
    if folder.exists():
        require(read_folder(folder), expected, str(folder))
        return f"{folder} holds the {expected.images} images already"
    files = unpack(download(url))
    require(files, expected, url)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as made:
        for name, content in files.items():
            path = Path(made) / "new" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        shutil.move(Path(made) / "new", folder)
    return f"wrote {expected.images} images and their labels to {folder}"


def download(url: str) -> bytes:
    """Return what the address answers; raises FetchError, also where it is too large."""
    data = bytearray()
    try:
        with httpx.stream("GET", url, follow_redirects=True, timeout=httpx.Timeout(60, connect=10)) as response:
            response.raise_for_status()
            for chunk in response.iter_bytes():
                data += chunk
                if len(data) > MAX_BYTES:
                    raise FetchError(f"expected an archive of at most {MAX_BYTES} bytes, got more: {url}")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise FetchError(
            f"{url} could not be fetched ({error or type(error).__name__}); a mirror is named by "
            "make data BCCD_URL=..., an archive of that repository as .tar.gz"
        ) from error
    return bytes(data)


def unpack(archive: bytes) -> dict[str, bytes]:
    """Return the files of the data set in a .tar.gz by their path within it; raises FetchError for another file."""
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as members:
            for member in members:
                found = WANTED.search(member.name)
                content = members.extractfile(member) if found and member.isfile() else None
                if found and content is not None:
                    files[found[1]] = content.read()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise FetchError(f"expected a .tar.gz, got a file that fails: {error}") from error
    return files


def read_folder(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder by their path within it."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def content_of(files: Mapping[str, bytes]) -> Content:
    """Return the counts and the checksum of the files of a data set, its license and notes left out."""
    kept = {name: data for name, data in sorted(files.items()) if "/" in name}
    lines = "".join(f"{name} {hashlib.sha256(data).hexdigest()}\n" for name, data in kept.items())
    images, labels = (sum(name.startswith(start) for name in kept) for start in ("JPEGImages/", "Annotations/"))
    return Content(images, labels, hashlib.sha256(lines.encode()).hexdigest())


def require(files: Mapping[str, bytes], expected: Content, where: str) -> None:
    """Raise FetchError unless these are the files of the data set."""
    found = content_of(files)
    if found != expected:
        raise FetchError(
            f"{where}: expected {expected.images} images and {expected.labels} label files of sha256 "
            f"{expected.sha256}, got {found.images} and {found.labels} of {found.sha256}"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch the data set into the folder named on the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--url", default=URL, help="a .tar.gz of the repository")
    options = parser.parse_args(arguments)
    try:
        print(fetch(options.url or URL, options.folder))
    except FetchError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
