"""The one exception tree of the project.

YoloscopeError
├── SpecError               a DetectorSpec is missing, malformed or contradicts the tensors it describes
├── ConfigError             settings or options that cannot work together
├── DarknetError
│   ├── CfgError            a darknet cfg: names line and key
│   │   └── UnsupportedLayerError   a layer, option or activation refused by name, with the reason
│   └── WeightsError        a .weights file: header or byte count
├── ModelError
│   ├── ModelNotFoundError  no model of that name or path
│   ├── ModelLoadError      a file is there but cannot be served
│   └── ProviderError       the execution provider that was asked for is not at work
├── DownloadError           an official file could not be fetched, or is not the one expected
├── OutputError             a file cannot be written: disk full, folder read-only
├── ExportError             torch and onnxruntime disagree, or the graph cannot be written
├── ImageError
│   ├── ImageTooLargeError  over a limit on bytes, pixels or side
│   ├── ImageTypeError      not a supported image format
│   └── ImageDecodeError    a supported format whose content cannot be decoded
├── RequestError            a request whose options contradict or exceed what is served; carries a JSON pointer
│   ├── MalformedRequestError   the body cannot be parsed at all
│   ├── MediaTypeError      a body of a kind that is not taken
│   ├── NotAcceptableError  an answer of a kind that is not given
│   ├── RequestTooLargeError    more bytes or parts than one request may have
│   ├── ArchiveError        a zip that is broken, hostile or holds no data set
│   ├── RequestTimeoutError the body did not arrive in time
│   ├── ImageNotKeptError   the id of an image whose heads are not kept, or no longer
│   ├── UnauthorizedError   no API key, or one that is not known
│   └── ForbiddenError      the settings of the service do not allow it
├── ServiceError
│   ├── BusyError           the queue is full
│   ├── DeadlineError       the request waited in the queue for too long
│   ├── TooManyRequestsError    more requests at once than one API key may have
│   ├── StorageError        the database of jobs or the disk does not take or give what it should
│   └── NotReadyError       the default model has not run yet, or the service is draining
├── JobError
│   ├── JobNotFoundError    no job of that id
│   └── JobStateError       a job is not in the state that was asked for
├── LabelError              labels that cannot be read or are wrong; carries JSON pointers
├── DatasetError            a data set that lacks files it names, has no known layout or does not fit the model
├── CheckpointError         a training checkpoint cannot be written or read
└── LossError
    ├── PresetError         an unknown loss preset or a key it does not have
    └── NonFiniteLossError  names image, object and term
"""

from __future__ import annotations

from dataclasses import dataclass


class YoloscopeError(Exception):
    """Base of every error raised on purpose by this project."""


class SpecError(YoloscopeError):
    """A detector description is missing, malformed, or contradicts the tensors it describes."""


class ConfigError(YoloscopeError):
    """Settings or options that are wrong in themselves or cannot work together."""


class DarknetError(YoloscopeError):
    """Base of errors in darknet files."""


class CfgError(DarknetError):
    """A darknet cfg cannot be read; the message names line and key."""


class UnsupportedLayerError(CfgError):
    """A darknet layer, option or activation is refused by name, with the reason."""


class WeightsError(DarknetError):
    """A .weights file has a wrong header or a byte count that does not fit the network."""


class ModelError(YoloscopeError):
    """Base of errors about models to be served."""


class ModelNotFoundError(ModelError):
    """No model of that name or path exists."""


class ModelLoadError(ModelError):
    """A model file exists but cannot be loaded; ``reason`` in a few words, without its path."""

    def __init__(self, message: str, reason: str = "its file cannot be loaded") -> None:
        super().__init__(message)
        self.reason = reason


class ProviderError(ModelError):
    """The execution provider that was asked for is not the one at work."""


class DownloadError(YoloscopeError):
    """An official file could not be fetched or is not the expected one."""


class OutputError(YoloscopeError):
    """A file cannot be written; what was there before is unharmed."""


class ExportError(YoloscopeError):
    """An artifact cannot be written or disagrees with the network it came from."""


class ImageError(YoloscopeError):
    """Base of errors about images; ``pointer`` (RFC 6901) is its place in a request, once that is known."""

    def __init__(self, message: str, pointer: str = "") -> None:
        super().__init__(message)
        self.pointer = pointer


class ImageTooLargeError(ImageError):
    """An image exceeds a limit on bytes, pixels or side length."""


class ImageTypeError(ImageError):
    """The bytes are not of a supported image format."""


class ImageDecodeError(ImageError):
    """The format is supported but its content cannot be decoded."""


class RequestError(YoloscopeError):
    """A request whose options contradict each other or exceed what is served; ``pointer`` (RFC 6901) names which."""

    def __init__(self, message: str, pointer: str = "") -> None:
        super().__init__(message)
        self.pointer = pointer


class MalformedRequestError(RequestError):
    """A request body cannot be parsed as its content type."""


class MediaTypeError(RequestError):
    """A request body has a content type that is not taken."""


class NotAcceptableError(RequestError):
    """A request accepts none of the content types that can be answered."""


class RequestTooLargeError(RequestError):
    """A request exceeds the limit on bytes or parts."""


class ArchiveError(RequestError):
    """A zip is broken, would do harm when it is unpacked, or holds no data set."""


class RequestTimeoutError(RequestError):
    """A request body did not arrive in time."""


class ImageNotKeptError(RequestError):
    """A request names an image whose heads are not kept, or no longer, or not for this model or API key."""


class UnauthorizedError(RequestError):
    """A request has no API key, or one that is not known."""


class ForbiddenError(RequestError):
    """A request asks for what the settings of the service do not allow."""


class ServiceError(YoloscopeError):
    """Base of errors in the state of the service."""


class BusyError(ServiceError):
    """The queue is full; the same request may succeed later, in ``retry_after_s`` seconds where that is known."""

    def __init__(self, message: str, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class DeadlineError(ServiceError):
    """A request waited in the queue for too long; the same request may succeed later."""


class TooManyRequestsError(ServiceError):
    """An API key has more requests at work than it may; the same request may succeed later."""


class StorageError(ServiceError):
    """The database of jobs cannot be reached or is of another version, or the disk is full."""


class NotReadyError(ServiceError):
    """The default model has not run yet, or the service is draining."""


class JobError(YoloscopeError):
    """Base of errors about jobs."""


class JobNotFoundError(JobError):
    """No job of that id exists."""


class JobStateError(JobError):
    """A job is not in the state that a request, or the worker on it, needs."""


@dataclass(frozen=True)
class LabelProblem:
    """One fault in a label file: a JSON pointer (RFC 6901) to it, and what is wrong."""

    pointer: str
    detail: str


class LabelError(YoloscopeError):
    """Labels that cannot be read or are wrong; ``problems`` names each by JSON pointer."""

    def __init__(self, message: str, problems: tuple[LabelProblem, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


class DatasetError(YoloscopeError):
    """A data set has no known layout, lacks files that it names, or does not fit the model."""


class CheckpointError(YoloscopeError):
    """A training checkpoint cannot be written, is none, or belongs to another run."""


class LossError(YoloscopeError):
    """Base of errors in the loss stack."""


class PresetError(LossError):
    """An unknown loss preset, or a key that presets do not have."""


class NonFiniteLossError(LossError):
    """A loss is not finite; the message names image, object and term."""
