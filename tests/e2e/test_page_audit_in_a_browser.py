"""The view Audit in Chromium: a zip is audited, its findings reviewed by keyboard, and the labels corrected."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import CHROMIUM
from tests.e2e.shut_out import serious_findings
from tests.e2e.test_audit import write_cells
from tests.training.diagnostics.mending.scenes import bytes_below
from tests.training.diagnostics.reports import FINDINGS, open_pets
from yoloscope.training.diagnostics.decisions import read_decisions
from yoloscope.training.diagnostics.findings import finding_to_dict
from yoloscope.training.diagnostics.mending import mend
from yoloscope.training.diagnostics.report.crops import Crop, make_crops

HOSTILE = "<img src=x onerror=alert(1)>"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian: apt-get install chromium)")


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set without the label of its white cell, whose image has a name with markup; ``cells.zip`` beside it."""
    folder = tmp_path_factory.mktemp("audited") / "cells"
    write_cells(folder)
    for place, ending in (("images", ".jpg"), ("labels", ".txt")):
        (folder / place / f"blood{ending}").rename(folder / place / f"{HOSTILE}{ending}")
    with zipfile.ZipFile(folder.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*.*")):
            archive.write(path, path.relative_to(folder))
    return folder


def open_view(page: Page) -> None:
    page.get_by_role("link", name="Audit").click()
    page.get_by_role("heading", name="Audit the labels of a data set").wait_for()
    page.locator("#audit-model option").first.wait_for(state="attached")


def save(page: Page, name: str, folder: Path) -> Path:
    with page.expect_download() as waiting:
        page.get_by_role("button", name=name).click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def paints(page: Page) -> None:
    page.wait_for_function(
        """() => {
            const canvas = document.querySelector("#view-audit canvas");
            if (canvas.hidden || !canvas.width) return false;
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            return new Set(data).size > 100;
        }"""
    )


def unzipped(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_from_a_zip_to_corrected_labels(page: Page, cells: Path, tmp_path: Path, node_packages: Path) -> None:
    open_view(page)
    page.get_by_label("Choose a zip").set_input_files(cells.with_suffix(".zip"))
    page.get_by_role("button", name="Start the audit").click()
    page.get_by_role("progressbar", name="Progress of cells").wait_for()
    page.get_by_role("button", name="Review").wait_for()
    assert serious_findings(page, node_packages) == []
    page.get_by_role("button", name="Review").click()
    expect(page.get_by_role("heading", name="add WBC")).to_be_visible()
    expect(page.get_by_text(f"images/{HOSTILE}.jpg; the edit saves")).to_be_visible()
    paints(page)
    assert serious_findings(page, node_packages) == []
    tally = page.locator("#view-audit .tally")
    page.keyboard.press("r")
    page.keyboard.press("u")
    expect(tally).to_contain_text("decided: 0 accepted, 0 rejected")
    page.keyboard.press("a")
    page.get_by_role("button", name="Reject").click()
    expect(tally).to_contain_text("decided: 1 accepted, 1 rejected")
    page.reload()
    page.get_by_role("button", name="Review").click()
    expect(tally).to_contain_text("decided: 1 accepted, 1 rejected")
    page.get_by_role("combobox", name="Findings to show").select_option(label="missing: WBC (1)")
    expect(page.get_by_role("button", name="Accept")).to_have_attribute("aria-pressed", "true")
    paints(page)
    decisions = read_decisions(save(page, "decisions.json", tmp_path).read_bytes())
    (accepted,) = decisions.accepted
    assert (accepted.kind, accepted.class_name, len(decisions.decisions)) == ("missing", "WBC", 2)
    mend([accepted], cells, tmp_path / "mended")
    expected = {name: path.read_bytes() for name, path in files_below(tmp_path / "mended").items()}
    assert unzipped(save(page, "Corrected data set", tmp_path)) == expected
    changed = f"labels/{HOSTILE}.txt"
    assert unzipped(save(page, "Corrected labels", tmp_path)) == {changed: expected[changed]}
    expect(page.get_by_text("1 added, 0 relabeled, 0 moved, 0 deleted")).to_be_visible()
    page.get_by_role("button", name="All audits").click()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("None yet.")).to_be_visible()
    assert bytes_below(cells).keys() == expected.keys()


def files_below(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


def test_a_zip_that_the_browser_lost_is_chosen_again(page: Page, cells: Path, tmp_path: Path) -> None:
    open_view(page)
    (tmp_path / "notes.zip").write_bytes(b"no zip")
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("a.jpg", b"")
    page.get_by_label("Choose a zip").set_input_files(cells.with_suffix(".zip"))
    page.get_by_role("button", name="Start the audit").click()
    page.get_by_role("button", name="Review").wait_for()
    page.evaluate("new Promise((done) => { indexedDB.deleteDatabase('yoloscope-audits').onsuccess = done; })")
    page.reload()
    page.get_by_role("button", name="Review").click()
    page.get_by_text("choose it again to see them").wait_for()
    page.keyboard.press("a")
    expect(page.get_by_role("button", name="Corrected labels")).to_be_disabled()
    for wrong, words in ((tmp_path / "notes.zip", "no end of a zip"), (other, "is not in the zip")):
        page.get_by_label("Choose the zip again").set_input_files(wrong)
        page.get_by_role("alert").get_by_text(f"{wrong.name} is not the zip of this audit").get_by_text(words)
        expect(page.get_by_role("alert")).to_contain_text(words)
    page.get_by_label("Choose the zip again").set_input_files(cells.with_suffix(".zip"))
    paints(page)
    expect(page.get_by_role("button", name="Corrected labels")).to_be_enabled()


def test_the_sample_has_its_four_errors_and_a_long_audit_is_canceled(page: Page, cells: Path, tmp_path: Path) -> None:
    open_view(page)
    page.get_by_role("button", name="Try a sample").click()
    page.get_by_role("button", name="Review").click()
    kinds = page.get_by_role("combobox", name="Findings to show")
    for group in ("missing: WBC", "wrong class: WBC", "badly placed: RBC", "on no object: RBC"):
        expect(kinds).to_contain_text(group)
    paints(page)
    page.get_by_role("button", name="All audits").click()
    with zipfile.ZipFile(tmp_path / "long.zip", "w") as archive:
        archive.write(cells / "classes.txt", "classes.txt")
        for number in range(120):
            archive.write(cells / "images" / f"{HOSTILE}.jpg", f"images/{number}.jpg")
            archive.write(cells / "labels" / f"{HOSTILE}.txt", f"labels/{number}.txt")
    page.get_by_label("Choose a zip").set_input_files(tmp_path / "long.zip")
    page.get_by_role("button", name="Start the audit").click()
    page.get_by_role("button", name="Cancel").click()
    long_job = page.get_by_role("listitem").filter(has_text="long")
    expect(long_job).to_contain_text("canceled")
    long_job.get_by_role("button", name="Delete").click()
    expect(long_job).to_have_count(0)


def zip_bytes(files: dict[str, bytes], **options: Any) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", **options) as archive:
        for name, data in files.items():
            with archive.open(zipfile.ZipInfo(name), "w", force_zip64=len(name) % 2 == 0) as entry:
                entry.write(data)
        archive.comment = b"PK\x05\x06 is how an end begins" * 3
    return memory.getvalue()


def test_zips_are_read_as_python_reads_them(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"a/b.txt": b"x" * 5000, "a/é ü.png": bytes(range(256)), "empty.txt": b"", HOSTILE: b"text"}
    zips = [zip_bytes(files), zip_bytes(files, compression=zipfile.ZIP_DEFLATED)]
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 2)  # more files than that are listed as in a zip of 70,000
    zips.append(zip_bytes(files))
    for data in zips:
        found = page.evaluate(
            """async (bytes) => {
                const { readEntry, readZip } = await import("./page/audit/zip.js");
                const zip = new Blob([new Uint8Array(bytes)]);
                const entries = await readZip(zip);
                const read = async ([name, entry]) =>
                    [name, [...new Uint8Array(await (await readEntry(zip, entry)).arrayBuffer())]];
                return Object.fromEntries(await Promise.all([...entries].map(read)));
            }""",
            list(data),
        )
        assert {name: bytes(content) for name, content in found.items()} == files
    written = page.evaluate(
        """async () => {
            const { storedZip } = await import("./page/audit/sample.js");
            const zip = storedZip([["a.txt", new Uint8Array([1, 2, 250])], ["b/c", new Uint8Array()]]);
            return [...new Uint8Array(await zip.arrayBuffer())];
        }"""
    )
    with zipfile.ZipFile(io.BytesIO(bytes(written))) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == {"a.txt": b"\x01\x02\xfa", "b/c": b""}


def test_a_finding_is_seen_in_the_surroundings_of_the_report(page: Page, tmp_path: Path) -> None:
    crops = make_crops(FINDINGS, open_pets(tmp_path))
    cut = [(finding, crop) for finding, crop in crops.items() if isinstance(crop, Crop)]
    sizes = {image.path.name: image.read().shape[1::-1] for image in open_pets(tmp_path).images}
    asked = [[finding_to_dict(finding), sizes[Path(finding.image).name]] for finding, _ in cut]
    found = page.evaluate(
        """async (asked) => {
            const { surroundings } = await import("./page/audit/crop.js");
            return asked.map(([finding, [width, height]]) => Object.values(surroundings(finding, { width, height })));
        }""",
        asked,
    )
    assert found == [[crop.left, crop.top, crop.width, crop.height] for _, crop in cut]
    assert len(found) >= 4
