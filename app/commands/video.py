"""Frames of videos, cameras and streams by OpenCV, and annotated videos."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from yoloscope.app.commands.sources import Frame, ImageSource, VideoSource
from yoloscope.models.errors import ConfigError, ImageDecodeError
from yoloscope.models.files import atomic_write
from yoloscope.models.images import DecodedImage, ImageLimits

if TYPE_CHECKING:
    import cv2

WRITTEN_SUFFIXES: Final = (".mp4",)
_USUAL_RATE: Final = 25.0
"""Frames per second where a stream does not state any."""

WriteFrame = Callable[[NDArray[np.uint8]], None]


@dataclass(frozen=True)
class FrameChoice:
    """Each ``every``-th frame, at most ``most`` of them; None for all."""

    every: int = 1
    most: int | None = None


@dataclass(frozen=True)
class Video:
    """An open video."""

    source: VideoSource
    capture: cv2.VideoCapture
    frames_per_second: float

    def frames(self, choice: FrameChoice) -> Iterator[ImageSource]:
        """Yield the chosen frames, RGB and upright; raise ImageDecodeError where there is none at all."""
        taken = 0
        for number in count():
            if taken == choice.most or not self.capture.grab():
                break
            if number % choice.every:
                continue
            decoded, pixels = self.capture.retrieve()
            if not decoded:
                break
            taken += 1
            image = DecodedImage(np.ascontiguousarray(pixels[:, :, ::-1], dtype=np.uint8))
            yield ImageSource(
                self.source.name, partial(_as_decoded, image), frame=Frame(number, number / self.frames_per_second)
            )
        self.capture.release()
        if not taken:
            raise ImageDecodeError("expected a video, got no frame")


def open_video(source: VideoSource) -> Video:
    """Open a video, camera or stream.

    Raises ConfigError where OpenCV is not installed and ImageDecodeError for what it cannot open.
    """
    _require_opencv()
    import cv2  # noqa: PLC0415 (an extra)

    capture = cv2.VideoCapture(int(source.name)) if source.name.isdigit() else cv2.VideoCapture(source.name)
    if not capture.isOpened():
        raise ImageDecodeError("expected a video, a camera or a stream, got one that OpenCV cannot open")
    rate = capture.get(cv2.CAP_PROP_FPS)
    return Video(source, capture, rate if 0 < rate < 1000 else _USUAL_RATE)


@contextmanager
def write_video(path: Path | None, frames_per_second: float) -> Iterator[WriteFrame]:
    """Give a function that appends a frame RGB [H, W, 3]; the file is written whole or not at all, None is no file.

    Raises OutputError naming the file.
    """
    if path is None:
        yield lambda _frame: None
        return
    import cv2  # noqa: PLC0415 (an extra)

    with atomic_write(path) as temporary:
        writers: list[cv2.VideoWriter] = []

        def write(frame: NDArray[np.uint8]) -> None:
            if not writers:
                size = frame.shape[1], frame.shape[0]
                code = cv2.VideoWriter.fourcc(*"mp4v")
                writers.append(cv2.VideoWriter(str(temporary), code, frames_per_second, size))
            writers[0].write(np.ascontiguousarray(frame[:, :, ::-1]))

        yield write
        for writer in writers:
            writer.release()
        if not cv2.VideoCapture(str(temporary)).isOpened():
            raise OSError("OpenCV could not write the video: is the disk full?")


def _as_decoded(image: DecodedImage, _limits: ImageLimits) -> DecodedImage:
    return image


def _require_opencv() -> None:
    try:
        import cv2  # noqa: F401, PLC0415 (an extra)
    except ModuleNotFoundError as error:
        raise ConfigError("videos and cameras need OpenCV: pip install 'yoloscope[video]'") from error
