"""Python interface to audits of labels: what is wrong in a data set, and a corrected copy of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from yoloscope.api import Model, load
from yoloscope.app.services.image_scores import one_torch_thread
from yoloscope.training.data.datasets import open_dataset
from yoloscope.training.diagnostics.audit import DEFAULT_FLOOR
from yoloscope.training.diagnostics.dataset_audit import AuditOptions, audit_by_model, run_audit, write_report
from yoloscope.training.diagnostics.decisions import accept_above
from yoloscope.training.diagnostics.findings import AuditReport, FindingKind
from yoloscope.training.diagnostics.image_names import data_folder
from yoloscope.training.diagnostics.mending import CopyMode, Mended, NewClasses
from yoloscope.training.diagnostics.mending import mend as mend_findings


def audit(
    data: str | Path,
    *,
    model: str | Path | Model | None = None,
    split: str | None = None,
    floor: float = DEFAULT_FLOOR,
    prevalence: Mapping[FindingKind, float] | None = None,
    tiles: bool = False,
    output: str | Path | None = None,
) -> AuditReport:
    """Find the labels of a data set that are probably wrong, as ``yoloscope audit`` does.

    ``report.findings`` is a sequence, the most probable first, that lies on the disk. ``floor`` is the least
    probability listed, ``prevalence`` the share of labels of a kind (``missing``: of objects) that you take for wrong.
    ``tiles`` has enlarged parts of each image judged too, for objects that are small; that is three times the work.
    ``output`` is a folder for the reports, in which an audit that was stopped goes on. Raises DatasetError, PresetError
    where the model has no loss, ConfigError or SpecError for values out of range, OutputError.
    """
    runtime = (model if isinstance(model, Model) else load(model)).runtime
    folder = None if output is None else Path(output)
    options = AuditOptions(floor, prevalence, tiles)
    with one_torch_thread():
        opened = open_dataset(Path(data), split)
        name = runtime.path.stem, runtime.version
        auditing, dataset = audit_by_model(runtime, name, opened, data_folder(data), options)
        report = run_audit(auditing, dataset, folder)
    if folder is not None:
        write_report(report, dataset, folder)
    return report


def mend(
    report: AuditReport,
    data: str | Path,
    output: str | Path,
    *,
    accept_probability: float,
    images: CopyMode = "copy",
    new_classes: NewClasses = "refuse",
) -> Mended:
    """Write a corrected copy of a data set, with all findings of at least a probability, the most probable of a label.

    The original is only read, and the copy has its layout (docs/audit.md). Raises DatasetError where there is no such
    finding or one does not fit the data, ConfigError for an ``output`` that exists or lies in the data, OutputError.
    """
    accepted = accept_above(report, accept_probability).accepted
    return mend_findings(accepted, Path(data), Path(output), split=report.split, images=images, new_classes=new_classes)
