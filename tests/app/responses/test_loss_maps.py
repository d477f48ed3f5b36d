from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from tests.app.scoring import LABELS, SPECS, image, quiet_heads, random_heads
from yoloscope.app.responses.loss_maps import PANEL_WIDTH, draw_term_maps, heat_colors
from yoloscope.app.services.image_scores import Scored, score_heads
from yoloscope.app.services.inference import EncodedImage, prepare
from yoloscope.app.services.scoring import LabeledUpload, ScoreQuery, read_labels
from yoloscope.models.images import DecodedImage, ImageLimits, decode_image
from yoloscope.models.spec import DetectorSpec
from yoloscope.training.data.annotations import LabelLimits

LIMITS = ImageLimits(200_000, 1_000_000, 2000)


def _scored(spec: DetectorSpec, heads: Sequence[np.ndarray], labels: bytes = LABELS) -> Scored:
    prepared = prepare(image(), spec, LIMITS)
    truth = read_labels(LabeledUpload(EncodedImage(image()), labels), prepared, spec, "auto", LabelLimits())
    return score_heads(heads, prepared, truth, spec, ScoreQuery())


def decoded() -> DecodedImage:
    return decode_image(image(), LIMITS)


def test_colors_run_from_dark_to_bright() -> None:
    ramp = heat_colors(np.linspace(0, 1, 50)).astype(int) @ np.array([299, 587, 114])
    assert (np.diff(ramp) > 0).all()
    assert heat_colors(np.array([-1.0, 0.0])).tolist()[0] == heat_colors(np.array([-1.0, 0.0])).tolist()[1]


def test_a_panel_per_term_and_scale() -> None:
    page = draw_term_maps(_scored(SPECS["v4"], random_heads(SPECS["v4"])), decoded(), "title")
    panel_height = PANEL_WIDTH // 2
    assert page.width > 4 * PANEL_WIDTH
    assert page.height > 2 * panel_height


def test_the_cell_that_costs_is_bright_and_the_others_are_not() -> None:
    spec = SPECS["v4"]
    heads = quiet_heads(spec)
    heads[1].reshape(1, 2, 8, 4, 4)[0, 0, 4, 2, 1] = 6.0
    scored = _scored(spec, heads, b"")
    page = np.asarray(draw_term_maps(scored, decoded(), "t")).astype(int)
    costs = scored.report.by_cell("no_objectness")[1][0].sum(0)
    assert torch.argmax(costs).item() == 2 * 4 + 1
    brightness = np.asarray(Image.fromarray(page.astype(np.uint8)).convert("L"))
    panel = _lower_panel(brightness)
    cells = panel.reshape(4, 45, 4, 90).mean((1, 3))
    assert np.unravel_index(cells.argmax(), (4, 4)) == (2, 1)


def _lower_panel(page: np.ndarray) -> np.ndarray:
    """The panel of the coarse scale: the last run of 180 rows whose left edge is no white page."""
    rows = np.flatnonzero(page[:, 20] < 200)
    starts = [row for row in rows if set(range(row, row + 180)) <= set(rows.tolist())]
    top = starts[-1]
    return page[top : top + 180, 14 : 14 + PANEL_WIDTH]


def test_a_tall_image_and_nothing_at_all() -> None:
    scored = _scored(SPECS["letterbox"], quiet_heads(SPECS["letterbox"]), b"")
    assert draw_term_maps(scored, decoded(), "t").width >= 620
