"""An export as tables on the terminal, and as a document for programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from app.commands.exporting import Measured
from training.export.int8 import Int8Network


@dataclass(frozen=True)
class ExportResult:
    """What was written, how it was quantised if it was, and what was measured."""

    precision: str
    output: Path
    int8: Int8Network | None
    measured: Measured


def show_export(result: ExportResult, console: Console) -> None:
    """Print the layers of a quantised network, then the new file beside the original."""
    if result.int8 is not None:
        _show_layers(result.int8, console)
    measured = result.measured
    console.print(_files(result))
    agreement = measured.agreement
    console.print(
        f"on {agreement.num_pictures} pictures: heads within {agreement.head_error:.2g} (largest value "
        f"{agreement.head_magnitude:.3g}), {agreement.num_same} of {agreement.num_detections} detections found again, "
        f"detection error {agreement.detection_error:.3f}",
        soft_wrap=True,
    )
    if measured.ap is None:
        console.print("AP: not measured; --evaluate-data and --evaluate-split say on what", soft_wrap=True)
    console.print(f"wrote {result.output}", soft_wrap=True)


def to_document(result: ExportResult) -> dict[str, Any]:
    """Return the same as JSON values."""
    measured = result.measured
    document: dict[str, Any] = {
        "output": str(result.output),
        "precision": result.precision,
        "sha256": measured.changed.sha256,
        "provider": measured.changed.provider,
        "original": _figures(measured, 0),
        "exported": _figures(measured, 1),
        "speedup": measured.timing.speedup,
        "agreement": asdict(measured.agreement),
    }
    if result.int8 is not None:
        document["int8"] = {
            "ranges": result.int8.method,
            "detection_error_by_ranges": result.int8.method_errors,
            "detection_error": result.int8.error,
            "layers": [asdict(layer) for layer in result.int8.layers],
        }
    return document


def _figures(measured: Measured, index: int) -> dict[str, Any]:
    milliseconds = (measured.timing.original_ms, measured.timing.changed_ms)[index]
    figures: dict[str, Any] = {"bytes": measured.sizes[index], "ms_per_picture": milliseconds}
    return figures if measured.ap is None else figures | measured.ap[index]


def _files(result: ExportResult) -> Table:
    measured = result.measured
    table = Table(title=f"{measured.changed.spec.name} on {measured.changed.provider}", title_justify="left")
    table.add_column("")
    for heading in ("original", result.precision, "change"):
        table.add_column(heading, justify="right")
    first, second = measured.sizes
    table.add_row("MB", f"{first / 1e6:.2f}", f"{second / 1e6:.2f}", f"{second / first:.2f}x")
    if measured.ap is not None:
        for name in ("AP", "AP50"):
            before, after = (numbers[name] for numbers in measured.ap)
            table.add_row(name, f"{before:.4f}", f"{after:.4f}", f"{after - before:+.4f}")
    timing = measured.timing
    table.add_row(
        "ms per picture", f"{timing.original_ms:.1f}", f"{timing.changed_ms:.1f}", f"{timing.speedup:.2f}x as fast"
    )
    return table


def _show_layers(made: Int8Network, console: Console) -> None:
    tried = ", ".join(f"{name} {error:.3f}" for name, error in made.method_errors.items())
    console.print(f"ranges: {made.method} (detection error with every layer in 8 bits: {tried})", soft_wrap=True)
    caption = f"error: of the detections when this layer alone is in 8 bits; remaining altogether: {made.error:.3f}"
    table = Table(title="Layers", title_justify="left", caption=caption, caption_justify="left")
    table.add_column("layer")
    table.add_column("error", justify="right")
    table.add_column("multiplications", justify="right")
    table.add_column("precision")
    for layer in made.layers:
        error = "-" if layer.error is None else f"{layer.error:.3f}"
        table.add_row(layer.name, error, f"{layer.share:.1%}", "float" if layer.in_float else "int8")
    console.print(table)
