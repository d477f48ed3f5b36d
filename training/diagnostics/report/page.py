"""The page on which findings of an audit are reviewed: one HTML file that works from a disk, without a network."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import groupby, islice
from pathlib import Path
from typing import Final

from yoloscope.models.files import ESCAPED, atomic_write
from yoloscope.training.data.annotations.shapes import BoxXyxy
from yoloscope.training.data.datasets import DetectionDataset
from yoloscope.training.diagnostics.findings import KINDS, AuditReport, Finding, FindingKind, finding_to_dict, json_text
from yoloscope.training.diagnostics.report.crops import Crop, make_crops
from yoloscope.training.evaluation.report.markup import Markup, join, tag

MOST_SHOWN: Final = 400
"""Findings on one page: some ten megabytes."""
_MEANING: Final[Mapping[FindingKind, str]] = {
    "missing": "An object without a label: accepting adds the suggested one.",
    "class": "A label of a wrong class: accepting changes its class.",
    "location": "A badly placed label: accepting moves its box.",
    "spurious": "A label on no object: accepting deletes it.",
}
_KEYS: Final = (("a", "accept"), ("r", "reject"), ("n", "next"), ("p", "previous"), ("u", "undo"))


def write_page(report: AuditReport, dataset: DetectionDataset, path: Path, *, most: int = MOST_SHOWN) -> None:
    """Write the page with crops of ``most`` findings and as many flags; it says how many are left out.

    A quarter of the crops is kept for each kind, as far as it has findings; the rest goes by probability.
    ``dataset`` holds the images of the report. Findings stand by kind and class, the most probable first. Decisions
    stay in the reader's browser and are saved as ``decisions.json``. Nothing is loaded from anywhere, and the page's
    policy forbids it. Raises OutputError.
    """
    shown = _chosen(report.findings, most)
    crops = make_crops(shown.values(), dataset)
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", errors=ESCAPED) as file:
        file.write(f'<!doctype html>\n<html lang="en">{_head(report)}<body><main>\n')
        file.writelines(f"{part}\n" for part in _parts(report, shown, crops, most))
        file.write(f"</main>{_data(report, shown)}{tag('script', Markup(_script()), type='module')}</body></html>\n")


def _chosen(ranked: Iterable[Finding], most: int) -> dict[int, Finding]:
    """Return the findings that are shown, by their rank."""
    seen: Counter[FindingKind] = Counter()
    kept: dict[int, Finding] = {}
    others: dict[int, Finding] = {}
    for index, finding in enumerate(ranked):
        seen[finding.kind] += 1
        if seen[finding.kind] <= most // len(KINDS):
            kept[index] = finding
        elif len(others) < most:
            others[index] = finding
    return dict(sorted({**kept, **dict(islice(others.items(), max(most - len(kept), 0)))}.items()))


def _head(report: AuditReport) -> Markup:
    style = _asset("page.css")
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(_script())}; "
        "base-uri 'none'; form-action 'none'"
    )
    return tag(
        "head",
        Markup('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
        tag("title", f"Audit of {report.data} by {report.model}"),
        tag("style", Markup(style)),
    )


def _parts(
    report: AuditReport, shown: Mapping[int, Finding], crops: Mapping[Finding, Crop | str], most: int
) -> Iterator[Markup]:
    groups = _groups(shown)
    yield from _introduction(report, len(shown))
    yield _overview(groups, len(report.flags))
    yield _bar(len(shown))
    for kind, classes in groupby(groups, key=lambda group: group[0]):
        yield tag("h2", kind.capitalize(), id=kind)
        yield tag("p", _MEANING[kind], class_="soft")
        for _, class_name, indexes in classes:
            yield tag("h3", f"{kind}: {class_name}", id=f"{kind}-{indexes[0]}")
            cards = (_card(index, shown[index], crops[shown[index]]) for index in indexes)
            yield tag("div", *cards, class_="cards")
    yield from _flags(report, most)
    if report.skipped:
        yield tag("h2", "Not audited")
        rows = [tag("li", f"{skipped.location}: {skipped.detail}") for skipped in report.skipped[:most]]
        yield tag("ul", *rows, *_more(len(report.skipped) - most))


def _introduction(report: AuditReport, num_shown: int) -> Iterator[Markup]:
    yield tag("h1", f"Labels of {report.data}{f', {report.split}' if report.split else ''}")
    expected = ", ".join(f"{kind} {share:.1%}" for kind, share in report.prevalence.items())
    audited = (
        f"{report.num_images:,} images with {report.num_labels:,} labels, audited by {report.model}, version "
        f"{report.version}. {len(report.findings):,} findings of a probability of at least {report.floor:g}: that of "
        f"a reviewer changing the label. Share of errors that is assumed: {expected}."
    )
    yield tag("p", audited, class_="soft")
    for note in report.notes:
        yield tag("p", note, class_="warn")
    left_out = len(report.findings) - num_shown
    if left_out:
        words = (
            f"The {num_shown:,} most probable of all kinds are on this page; the other {left_out:,} are in the JSON "
            "and the CSV."
        )
        yield tag("p", words, class_="warn")


def _groups(shown: Mapping[int, Finding]) -> list[tuple[FindingKind, str, list[int]]]:
    """Return kinds in their order, in each the classes by their most probable finding, and the findings' positions."""
    members: dict[tuple[FindingKind, str], list[int]] = {}
    for index, finding in shown.items():
        members.setdefault((finding.kind, finding.class_name), []).append(index)
    ordered = sorted(members.items(), key=lambda member: (KINDS.index(member[0][0]), member[1][0]))
    return [(kind, class_name, indexes) for (kind, class_name), indexes in ordered]


def _overview(groups: Iterable[tuple[FindingKind, str, list[int]]], num_flags: int) -> Markup:
    links = [
        tag("li", tag("a", f"{kind}: {class_name} ({len(indexes)})", href=f"#{kind}-{indexes[0]}"))
        for kind, class_name, indexes in groups
    ]
    if num_flags:
        links.append(tag("li", tag("a", f"certain faults ({num_flags})", href="#flags")))
    return tag("nav", tag("ul", *links), aria_label="Groups of findings")


def _bar(num_shown: int) -> Markup:
    legend = tag("div", _key("label", "label"), _key("suggestion", "suggestion"), class_="legend")
    keys = tag("span", *(part for key, what in _KEYS for part in (tag("kbd", key), f" {what} ")), class_="soft keys")
    unkept = "This browser keeps no decisions: download them before you close the page."
    return tag(
        "div",
        tag("output", f"0 of {num_shown} decided", id="count", aria_live="polite"),
        tag("button", "Undo", id="undo", type="button"),
        tag("button", "Download decisions.json", id="save", type="button", class_="primary"),
        keys,
        legend,
        tag("p", unkept, id="unkept", class_="warn", hidden=""),
        tag("noscript", tag("p", "Deciding needs JavaScript; the findings can be read without.", class_="warn")),
        class_="bar",
    )


def _key(style: str, words: str) -> Markup:
    line = (tag("rect", x=2, y=2, width=30, height=8, class_=name) for name in ("halo", style))
    return tag("span", tag("svg", *line, viewBox="0 0 34 12", aria_hidden="true"), words)


def _card(index: int, finding: Finding, crop: Crop | str) -> Markup:
    title = f"card-{index}"
    number = "" if finding.label_index is None else f", label {finding.label_index}"
    buttons = [
        tag(
            "button",
            verdict.capitalize(),
            type="button",
            value=verdict,
            aria_pressed="false",
            aria_label=f"{verdict.capitalize()}: {_edit(finding)}",
        )
        for verdict in ("accept", "reject")
    ]
    head = (
        tag("h4", _edit(finding), id=title),
        tag("span", f"{finding.probability:.0%}", class_="chance", title="probability"),
    )
    return tag(
        "article",
        tag("div", *head, class_="head"),
        tag("p", crop, class_="none") if isinstance(crop, str) else _picture(finding, crop),
        tag("p", finding.reason),
        tag("p", f"{finding.image}{number}; gain {finding.gain:.2f}", class_="soft"),
        tag("div", *buttons, class_="choice"),
        class_="card",
        tabindex="-1",
        data_index=str(index),
        aria_labelledby=title,
    )


def _edit(finding: Finding) -> str:
    suggestion = finding.suggestion
    if finding.kind == "class" and suggestion is not None:
        return f"relabel {finding.class_name} as {suggestion.class_name}"
    verbs: dict[FindingKind, str] = {"missing": "add", "location": "move", "spurious": "delete", "class": "relabel"}
    return f"{verbs[finding.kind]} {finding.class_name}"


def _picture(finding: Finding, crop: Crop) -> Markup:
    suggestion = finding.suggestion
    boxes = [] if finding.kind == "missing" else [("label", finding.box_xyxy_px)]
    boxes += [("suggestion", suggestion.box_xyxy_px)] if suggestion else []
    whole = {"x": crop.left, "y": crop.top, "width": crop.width, "height": crop.height}
    return tag(
        "svg",
        tag("image", href=crop.uri, **whole),
        *(_rectangle(box, name) for style, box in boxes for name in ("halo", style)),
        viewBox=f"{crop.left} {crop.top} {crop.width} {crop.height}",
        role="img",
        aria_label=f"{finding.image}: " + ", ".join(f"{style} {_in_words(box)}" for style, box in boxes),
    )


def _rectangle(box: BoxXyxy, style: str) -> Markup:
    x1, y1, x2, y2 = box
    return tag("rect", x=x1, y=y1, width=max(x2 - x1, 0.0), height=max(y2 - y1, 0.0), class_=style)


def _in_words(box: BoxXyxy) -> str:
    x1, y1, x2, y2 = box
    return f"from ({x1:.0f}, {y1:.0f}) to ({x2:.0f}, {y2:.0f})"


def _flags(report: AuditReport, most: int) -> Iterator[Markup]:
    if not report.flags:
        return
    yield tag("h2", "Certain faults", id="flags")
    yield tag("p", "Faults of labels that need no model to be seen, and what training makes of them.", class_="soft")
    head = ("fault", "label", "image", "what is wrong", "consequence")
    rows = [
        tag(
            "tr",
            tag("th", flag.kind.replace("_", " "), scope="row"),
            tag("td", f"{flag.class_name}, label {flag.label_index}"),
            *(tag("td", text) for text in (flag.image, flag.detail, flag.consequence)),
        )
        for flag in report.flags[:most]
    ]
    table = tag("table", tag("thead", tag("tr", *(tag("th", name, scope="col") for name in head))), tag("tbody", *rows))
    yield join(tag("div", table, class_="scroll", tabindex="0", role="group", aria_labelledby="flags"))
    yield tag("ul", *_more(len(report.flags) - most))


def _more(count: int) -> Iterator[Markup]:
    if count > 0:
        yield tag("li", f"{count:,} more are in the JSON.")


def _digest(report: AuditReport) -> str:
    digest = hashlib.sha256()
    for part in report.json_parts():
        digest.update(part.encode())
    return digest.hexdigest()[:32]


def _data(report: AuditReport, shown: Mapping[int, Finding]) -> Markup:
    """Return the findings by rank for the page's script, as JSON in which no text can end the element."""
    document = {
        "digest": _digest(report),
        "model": report.model,
        "version": report.version,
        "data": report.data,
        "split": report.split,
        "findings": {str(rank): finding_to_dict(finding) for rank, finding in shown.items()},
    }
    text = json_text(document).replace("<", "\\u003c")
    return tag("script", Markup(text), type="application/json", id="report")


@cache
def _script() -> str:
    return f"{_asset('review.js')}\n{_asset('page.js')}"


@cache
def _asset(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
