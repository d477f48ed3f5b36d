"""What axe-core finds on the page, in light and dark and at two widths."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

WIDTHS = (1400, 380)


def serious_findings(page: Page, node_packages: Path) -> list[tuple[object, ...]]:
    """Serious and critical findings on what is shown now, and widths that it does not fit into."""
    page.evaluate((node_packages / "axe-core" / "axe.min.js").read_text())
    found: list[tuple[object, ...]] = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme="light" if scheme == "light" else "dark")
            report = page.evaluate("axe.run().then((report) => report.violations)")
            found += [
                (scheme, width, one["id"], one["nodes"][0]["html"])
                for one in report
                if one["impact"] in ("serious", "critical")
            ]
        wide = page.evaluate("document.documentElement.scrollWidth")
        found += [(width, "is scrolled sideways", wide)] if wide > width else []
    return found
