"""The choice among variants, and the folder that keeps them."""

from pathlib import Path

import pytest

from yoloscope.app.services.variants import report as reports
from yoloscope.app.services.variants.report import Variant, VariantReport, choose, read_report, variants_folder

FAST = Variant(precision="int8", engine="openvino", ap=0.59, ap_drop=0.01, speedup=3.0)
EXACT = Variant(precision="int8", engine="onnxruntime", ap=0.5951, ap_drop=0.0049, speedup=2.4)
HALF = Variant(precision="bf16", engine="openvino", ap=0.601, ap_drop=-0.001, speedup=2.0)


def report(*variants: Variant, left_out: tuple[str, ...] = ()) -> VariantReport:
    return VariantReport(
        sha256="0" * 64,
        measure="labels",
        ap=0.6,
        data="photos",
        calibration_images=64,
        measured_images=64,
        variants=variants,
        left_out=left_out,
    )


def test_auto_takes_the_fastest_within_the_bound() -> None:
    assert choose(report(FAST, EXACT, HALF), "auto", 0.005)[0] is EXACT
    assert choose(report(FAST, EXACT, HALF), "auto", 0.0)[0] is HALF
    assert choose(report(FAST, EXACT, HALF), "auto", 0.01)[0] is FAST


def test_auto_stays_in_fp32_and_says_why() -> None:
    unmeasured = HALF.model_copy(update={"ap": None, "ap_drop": None})
    slow = HALF.model_copy(update={"speedup": 1.05})
    variant, why = choose(report(FAST, unmeasured, slow, left_out=("this CPU is old",)), "auto", 0.005)
    assert variant is None
    assert why == (
        "no variant is faster and loses at most 0.005 of AP; int8 in openvino loses 0.0100 and is 3.00 times as fast; "
        "bf16 in openvino loses an unknown part and is 2.00 times as fast; "
        "bf16 in openvino loses -0.0010 and is 1.05 times as fast; this CPU is old"
    )


def test_a_precision_by_name_is_taken_whatever_it_costs() -> None:
    assert choose(report(EXACT, FAST, HALF), "int8", 0.0) == (FAST, "it was asked for")
    assert choose(report(EXACT, left_out=("no openvino",)), "bf16", 0.0) == (
        None,
        "no variant in bf16 could be made; int8 in onnxruntime loses 0.0049 and is 2.40 times as fast; no openvino",
    )


def test_another_file_image_thread_or_library_has_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "photos"
    (data / "deep").mkdir(parents=True)
    (data / "deep" / "1.jpg").write_bytes(b"1")

    def folder(sha256: str = "a" * 64, threads: int = 2, photos: Path | None = data) -> Path:
        return variants_folder(tmp_path, sha256, photos, threads)

    first = folder()
    assert first.parent == tmp_path / "variants"
    assert folder() == first
    monkeypatch.chdir(tmp_path)
    assert folder(photos=Path("photos")) == first
    others = [folder("b" * 64), folder(threads=1), folder(photos=None)]
    (data / "deep" / "1.jpg").write_bytes(b"12")
    others.append(folder())
    monkeypatch.setattr(reports, "_version", lambda name: "2" if name == "openvino" else None)
    others.append(folder())
    assert len({first, *others}) == 6


def test_a_report_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    assert read_report(tmp_path) is None
    (tmp_path / "report.json").write_text(report(FAST).model_dump_json())
    assert read_report(tmp_path) == report(FAST)
    (tmp_path / "report.json").write_text('{"sha256": 1}')
    assert read_report(tmp_path) is None
