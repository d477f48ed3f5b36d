"""Sessions: a run by IOBinding gives what a plain run gives, and fetches nothing else."""

from pathlib import Path

import numpy as np

from yoloscope.models import zoo
from yoloscope.models.session import fraction_input, open_session, run_bound

OUTPUTS = ("num_detections", "boxes", "scores", "class_ids")


def test_a_bound_run_gives_the_outputs_of_a_plain_one() -> None:
    session = open_session(Path(zoo.BUILTIN), threads=1)
    shape = next(value.shape for value in session.get_inputs() if value.name == "images")
    levels = np.random.default_rng(0).integers(0, 256, (2, 2, *shape[1:]), np.uint8)
    fraction = fraction_input(session)
    assert fraction is not None
    feeds = {
        "images": levels[0],
        fraction: levels[1, :, ::-1],  # a view that is not contiguous
        "score_threshold": np.array([0.001, 0.01], np.float32),
        "iou_threshold": np.array([0.45, 0.6], np.float32),
    }
    expected = session.run(list(OUTPUTS), feeds)
    assert expected[0].sum() > 0
    for shrink_arena in (False, True, False):
        found = run_bound(session, OUTPUTS, feeds, "cpu", shrink_arena=shrink_arena)
        assert len(found) == len(OUTPUTS)
        for got, wanted in zip(found, expected, strict=True):
            np.testing.assert_array_equal(got, wanted)
            assert got.dtype == wanted.dtype
