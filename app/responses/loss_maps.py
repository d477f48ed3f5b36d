"""The cost of every cell, drawn over the image: one panel per term and scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from yoloscope.models.images import DecodedImage

if TYPE_CHECKING:
    from yoloscope.app.services.image_scores import Scored

PANEL_WIDTH: Final = 360
_MAX_PANEL_HEIGHT: Final = 480
_MARGIN: Final = 14
_CAPTION: Final = 22
_BAR: Final = 10
_TITLE: Final = 48
_LEAST_PAGE_WIDTH: Final = 620
_LEGEND: Final = "color: weighted cost of the cell, on a square root scale up to the panel's highest; outlines: labels"
_INK: Final = (28, 28, 32)
_FAINT: Final = (110, 110, 118)
_PAGE: Final = (255, 255, 255)
_LABEL_OUTLINE: Final = (60, 200, 255)
_COLORS: Final = np.array(
    [(20, 12, 60), (88, 22, 110), (168, 44, 96), (226, 92, 56), (250, 164, 30), (255, 246, 150)], np.float64
)
"""Dark to bright in even steps of lightness, from nothing to the highest cost of the panel."""


def draw_term_maps(scored: Scored, image: DecodedImage, title: str) -> Image.Image:
    """Return the maps of a report of detail ``cells``: a row per scale, a column per term that costs anything.

    Each panel shows the image in gray, the weighted cost of every cell in color (on a square root scale from 0 to
    the panel's highest cost, which its bar names), and the labels as outlines.
    """
    report = scored.report
    terms = [name for name, term in report.terms.items() if float(term.weighted) > 0] or list(report.terms)[:1]
    gray = _gray_panel(image)
    cell_width, cell_height = gray.width + _MARGIN, gray.height + _CAPTION + _BAR + _CAPTION + _MARGIN
    page = Image.new(
        "RGB",
        (
            max(_MARGIN + cell_width * len(terms), _LEAST_PAGE_WIDTH),
            _TITLE + _MARGIN + cell_height * len(report.heads),
        ),
        _PAGE,
    )
    draw = ImageDraw.Draw(page)
    heading = f"{title}: loss {float(report.total):.4g} ({report.preset}), {report.num_objects} objects"
    draw.text((_MARGIN, _MARGIN), heading, fill=_INK, font=_font(17))
    draw.text((_MARGIN, _MARGIN + 24), _LEGEND, fill=_FAINT, font=_font(12))
    for column, term in enumerate(terms):
        for row, head_map in enumerate(report.by_cell(term)):
            corner = _MARGIN + column * cell_width, _TITLE + _MARGIN + row * cell_height
            values = head_map[0].sum(0).numpy().astype(np.float64)
            stride = report.heads[row].geometry.net_width / report.heads[row].geometry.grid_width
            caption = f"{term}, stride {stride:g}: {values.sum():.4g}"
            _draw_panel(page, corner, gray, values, caption, scored)
    return page


def heat_colors(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return colors uint8 [..., 3] of values 0..1, dark to bright."""
    position = values.clip(0, 1) * (len(_COLORS) - 1)
    low = np.minimum(position.astype(np.int64), len(_COLORS) - 2)
    share = (position - low)[..., None]
    colors = _COLORS[low] * (1 - share) + _COLORS[low + 1] * share
    rounded: NDArray[np.uint8] = np.rint(colors).astype(np.uint8)
    return rounded


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)


def _gray_panel(decoded: DecodedImage) -> Image.Image:
    image = Image.fromarray(decoded.pixels).convert("L")
    scale = min(PANEL_WIDTH / image.width, _MAX_PANEL_HEIGHT / image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.BILINEAR).convert("RGB")


def _draw_panel(
    page: Image.Image,
    corner: tuple[int, int],
    gray: Image.Image,
    values: NDArray[np.float64],
    caption: str,
    scored: Scored,
) -> None:
    x, y = corner
    draw = ImageDraw.Draw(page)
    draw.text((x, y), caption, fill=_INK, font=_font(14))
    top = float(values.max())
    shares = np.sqrt(values / top) if top > 0 else np.zeros_like(values)
    page.paste(_overlay(gray, shares, scored), (x, y + _CAPTION))
    if not top > 0:
        return
    bar_top = y + _CAPTION + gray.height + 3
    ramp = np.linspace(0, 1, gray.width)[None, :].repeat(_BAR, 0)
    page.paste(Image.fromarray(heat_colors(ramp)), (x, bar_top))
    for share, anchor in ((0.0, "la"), (0.5, "ma"), (1.0, "ra")):
        where = (x + share * gray.width, bar_top + _BAR + 2)
        draw.text(where, f"{top * share**2:.3g}", fill=_FAINT, font=_font(12), anchor=anchor)


def _overlay(gray: Image.Image, shares: NDArray[np.float64], scored: Scored) -> Image.Image:
    """Return the panel: color where cost is, the gray image where there is none, and the labels."""
    placement, spec = scored.placement, scored.predictions.spec
    frame = placement.invert(np.array([[0.0, 0.0, spec.input_width, spec.input_height]]))[0]
    scale = np.array((gray.width / placement.image_width, gray.height / placement.image_height) * 2)
    left, top, right, bottom = (int(v) for v in np.rint(frame * scale))
    heat = Image.fromarray(np.rint(shares * 255).astype(np.uint8)).resize(
        (max(1, right - left), max(1, bottom - top)), Image.Resampling.NEAREST
    )
    cropped = np.asarray(heat.crop((-left, -top, gray.width - left, gray.height - top)), np.float64) / 255
    opacity = (0.25 + 0.65 * cropped)[..., None]
    mixed = np.asarray(gray, np.float64) * 0.85 * (1 - opacity) + heat_colors(cropped) * opacity
    panel = Image.fromarray(np.rint(mixed).astype(np.uint8))
    draw = ImageDraw.Draw(panel)
    for label in scored.labels.objects:
        draw.rectangle(tuple((np.array(label.box_xyxy_px) * scale).tolist()), outline=_LABEL_OUTLINE)
    return panel
