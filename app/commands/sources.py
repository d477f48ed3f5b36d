"""Inputs of ``detect``: image files, folders, patterns, lists, standard input."""

from __future__ import annotations

import glob
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

import typer

from yoloscope.models.errors import ImageDecodeError
from yoloscope.models.images import HEIC_SUFFIXES, SUFFIXES, DecodedImage, ImageLimits, decode_image
from yoloscope.training.data.datasets.paths import find_files

STANDARD_INPUT: Final = "-"
LIST_SUFFIXES: Final = frozenset((".txt", ".lst"))
VIDEO_SUFFIXES: Final = frozenset((".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv"))
STREAMS: Final = ("rtsp://", "rtsps://", "http://", "https://", "rtmp://", "udp://")


@dataclass(frozen=True)
class Frame:
    """Position of an image in a video."""

    number: int
    time_s: float


@dataclass(frozen=True)
class ImageSource:
    """One image: its name as shown, how to decode it, its file where it has one, its place in a video."""

    name: str
    decode: Callable[[ImageLimits], DecodedImage]
    path: Path | None = None
    frame: Frame | None = None

    @property
    def stem(self) -> str:
        """The name of a result without its suffix."""
        if self.frame is not None:
            return f"{Path(self.name).stem}-{self.frame.number:06d}"
        return "image" if self.path is None else self.path.stem


@dataclass(frozen=True)
class VideoSource:
    """A video file, the number of a camera, or the address of a stream."""

    name: str
    path: Path | None = None

    @property
    def stem(self) -> str:
        """The name of a result without its suffix."""
        return (f"camera-{self.name}" if self.name.isdigit() else "stream") if self.path is None else self.path.stem


Source = ImageSource | VideoSource


def find_sources(arguments: Sequence[str]) -> list[Source]:
    """Return what the arguments name, in their order; raise typer.BadParameter for what names nothing."""
    return list(chain.from_iterable(map(_expand, arguments)))


def _expand(argument: str) -> Sequence[Source]:
    if argument == STANDARD_INPUT:
        return _standard_input()
    path = Path(argument)
    if path.is_dir():
        return _found(
            find_files(path, SUFFIXES | HEIC_SUFFIXES | VIDEO_SUFFIXES),
            f"expected images in the folder {path}, got none",
        )
    if path.is_file():
        return _file(path)
    if argument.startswith("@"):
        return _list(Path(argument[1:]))
    if argument.isascii() and (argument.isdigit() or argument.lower().startswith(STREAMS)):
        return [VideoSource(argument)]
    if glob.has_magic(argument):
        anchor = Path(path.anchor)
        matches = sorted(match for match in anchor.glob(str(path.relative_to(anchor))) if match.is_file())
        return _found(matches, f"expected files that match {argument}, got none")
    raise typer.BadParameter(
        f"expected an image, a folder, a pattern, a list or a video, got {argument!r}: no such file"
    )


def _found(paths: Sequence[Path], otherwise: str) -> Sequence[Source]:
    if not paths:
        raise typer.BadParameter(otherwise)
    return [_media(path) for path in paths]


def _file(path: Path) -> Sequence[Source]:
    """Return the image, the video, or the images of a list: a text whose lines name at least one file."""
    if path.suffix.lower() in LIST_SUFFIXES:
        paths = _listed(path.read_bytes(), path.parent)
        if any(listed.is_file() for listed in paths):
            return [_media(listed) for listed in paths]
    return [_media(path)]


def _media(path: Path) -> Source:
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return VideoSource(str(path), path)
    return ImageSource(str(path), lambda limits: _decode_file(path, limits), path)


def _decode_file(path: Path, limits: ImageLimits) -> DecodedImage:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageDecodeError(f"expected a readable file, got: {error.strerror or error}") from error
    return decode_image(data, limits)


def _list(path: Path) -> Sequence[Source]:
    if not path.is_file():
        raise typer.BadParameter(f"expected a list of files at {path}, got none")
    return _found(_listed(path.read_bytes(), path.parent), f"expected a line for each image in {path}, got none")


def _listed(data: bytes, folder: Path) -> list[Path]:
    """Return the path of each line: from the current folder where it is there, else from that of the list."""
    lines = (line.strip() for line in data.decode("utf-8-sig", "surrogateescape").splitlines())
    paths = [Path(line) for line in lines if line and not line.startswith("#") and "\0" not in line]
    return [path if _is_file(path) or not _is_file(folder / path) else folder / path for path in paths]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _standard_input() -> Sequence[Source]:
    """Return the image whose bytes come in, or those of a list: a text whose first line names a file."""
    data = sys.stdin.buffer.read()
    paths = _listed(data[:4096], Path()) if b"\0" not in data[:4096] else []
    if paths and _is_file(paths[0]):
        return [_media(path) for path in _listed(data, Path())]
    return [ImageSource("standard input", lambda limits: decode_image(data, limits))]
