"""Figures of the variants of a model on this machine, the choice among them, and the folder that keeps them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, Literal, TypeAlias

from pydantic import ValidationError

from yoloscope.models.scratch import is_scratch
from yoloscope.models.strict_model import StrictModel

Precision: TypeAlias = Literal["auto", "fp32", "int8", "bf16"]
VariantPrecision: TypeAlias = Literal["int8", "bf16"]
Engine: TypeAlias = Literal["onnxruntime", "openvino"]
Measure: TypeAlias = Literal["labels", "agreement"]

LEAST_SPEEDUP: Final = 1.1
"""A variant that is not faster by this factor is not worth another result."""
REPORT: Final = "report.json"
_FORMAT: Final = 2
_LIBRARIES: Final = ("yoloscope", "onnxruntime-gpu", "onnxruntime", "openvino")
_CPUINFO: Final = Path("/proc/cpuinfo")


class Variant(StrictModel):
    """One variant beside fp32: its loss of AP (None: not measured) and how many times as fast it is here."""

    precision: VariantPrecision
    engine: Engine
    ap: float | None
    ap_drop: float | None
    speedup: float

    @property
    def name(self) -> str:
        """The precision and what runs it."""
        return f"{self.precision} in {self.engine}"


class VariantReport(StrictModel):
    """All variants of one artifact on one machine, and what they were measured on.

    ``measure`` says what AP is against: the labels of the images, or (``agreement``) what fp32 finds in the same images
    made smaller; None: nothing was measured. ``left_out`` says why a variant was not made.
    """

    sha256: str
    measure: Measure | None
    ap: float | None
    data: str | None
    calibration_images: int
    measured_images: int
    variants: tuple[Variant, ...]
    left_out: tuple[str, ...] = ()


def choose(report: VariantReport, precision: Precision, max_ap_drop: float) -> tuple[Variant | None, str]:
    """Return the variant to run (None: fp32) and why.

    ``auto`` takes the fastest whose AP is lower by at most ``max_ap_drop``; a precision by name its fastest variant.
    """
    if precision in {"int8", "bf16"}:
        named = [variant for variant in report.variants if variant.precision == precision]
        best = max(named, key=lambda variant: variant.speedup, default=None)
        return best, "it was asked for" if best else _missing(report, f"no variant in {precision} could be made")
    within = [one for one in report.variants if one.ap_drop is not None and one.ap_drop <= max_ap_drop]
    best = max(within, key=lambda variant: variant.speedup, default=None)
    if best is not None and best.speedup >= LEAST_SPEEDUP:
        return best, f"the fastest whose AP is lower by at most {max_ap_drop:g}"
    return None, _missing(report, f"no variant is faster and loses at most {max_ap_drop:g} of AP")


def _missing(report: VariantReport, what: str) -> str:
    tried = [f"{one.name} loses {_drop(one)} and is {one.speedup:.2f} times as fast" for one in report.variants]
    return "; ".join([what, *tried, *report.left_out])


def _drop(variant: Variant) -> str:
    return "an unknown part" if variant.ap_drop is None else f"{variant.ap_drop:.4f}"


def read_report(folder: Path) -> VariantReport | None:
    """Return the report in a folder of variants; None where there is none that can be read."""
    try:
        return VariantReport.model_validate_json((folder / REPORT).read_bytes())
    except (OSError, ValidationError):
        return None


def variants_folder(models_dir: Path, artifact_sha256: str, data: Path | None, threads: int) -> Path:
    """Return where the variants of an artifact are kept: another file, machine, library or image, another folder.

    Raises OSError where the data cannot be listed.
    """
    content = {
        "format": _FORMAT,
        "artifact": artifact_sha256,
        "versions": [_version(name) for name in _LIBRARIES],
        "cpu": _cpu(),
        "threads": threads,
        "data": None if data is None else _fingerprint(data),
    }
    digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    return models_dir / "variants" / f"{artifact_sha256[:12]}-{digest[:12]}"


def is_installed(package: str) -> bool:
    """Return whether a package is installed."""
    return _version(package) is not None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    """Return the name and the features of the first processor as Linux tells them; elsewhere nothing."""
    try:
        lines = _CPUINFO.read_text().partition("\n\n")[0].splitlines()
    except OSError:
        return ""
    return "\n".join(line for line in lines if line.startswith(("model name", "flags", "Features")))


def _fingerprint(data: Path) -> str:
    """Return a digest of names below the folder, sizes and times of the files, wherever the folder is."""
    digest = hashlib.sha256()
    for path in _files(data):
        try:
            status = path.stat()
        except FileNotFoundError:
            if path == data:
                raise
            continue  # removed meanwhile
        name = path.relative_to(data if data.is_dir() else data.parent)
        digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def _files(data: Path) -> Iterator[Path]:
    if not data.is_dir():
        yield data
        return
    yield from sorted(path for path in data.rglob("*") if path.is_file() and not is_scratch(path.relative_to(data)))
