"""Every item of the freebies has an image, which shows that item and nothing else."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.training.runs import quick_config
from yoloscope.models.errors import DatasetError
from yoloscope.training.build import build_network
from yoloscope.training.config import AugmentConfig, FreebiesConfig
from yoloscope.training.data.datasets import open_dataset
from yoloscope.training.train import training_data
from yoloscope.training.visualize.augmentations import figures, write_freebies
from yoloscope.training.visualize.drawing import COLORS, Figure, Panel, Scene, chart, draw_figure

STRENGTHS = {
    "cutmix_alpha",
    "mixup_alpha",
    "random_shapes_every",
    "close_mosaic_fraction",
    "self_adversarial_epsilon",
    "box_loss",
}


@pytest.fixture(scope="module")
def scene(shapes: Path) -> Scene:
    return Scene.open(quick_config(batch_size=4, input_size=[192, 192]), shapes)


@pytest.fixture(scope="module")
def shown(scene: Scene) -> dict[str, Figure]:
    return {figure.name: figure for figure in figures(scene)}


def pixels(panel: Panel) -> np.ndarray:
    return np.asarray(panel.image).astype(int)


def test_every_switch_has_its_image(shown: dict[str, Figure]) -> None:
    switches = set(AugmentConfig.model_fields) | set(FreebiesConfig.model_fields)
    assert switches - STRENGTHS <= shown.keys()
    assert shown.keys() - switches == {"schedule"}


@pytest.mark.parametrize(
    "switch",
    [
        {"mosaic": 1.0},
        {"cutmix": 1.0},
        {"mixup": 1.0},
        {"flip_horizontal": 1.0},
        {"flip_vertical": 1.0},
        {"crop_jitter": 0.3},
        {"random_scale": (0.5, 2.0)},
        {"color": {"hue": 0.1}},
    ],
    ids=str,
)
def test_an_image_with_an_item_is_what_a_run_of_that_item_alone_trains_on(
    switch: dict[str, Any], scene: Scene, shapes: Path
) -> None:
    config = quick_config(batch_size=4, input_size=[192, 192], augment={"color": None} | switch)
    dataset = open_dataset(shapes, "train")
    trained_on = training_data(config, build_network(config, dataset).spec, dataset).images
    plain, altered = scene.sample(scene.sample_keys[0]), scene.sample(scene.sample_keys[0], switch)
    np.testing.assert_array_equal(altered.image, trained_on[scene.sample_keys[0]].sample.image)
    assert not np.array_equal(altered.image, plain.image)


def test_dropped_cells_are_dark_and_the_others_as_they_were(shown: dict[str, Figure]) -> None:
    without, half_way, at_the_end = (pixels(panel) for panel in shown["drop_block"].rows[0])
    dark = []
    for drawn in (half_way, at_the_end):
        kept, dropped = np.abs(drawn - without) <= 1, np.abs(drawn - 0.2 * without) <= 1
        assert (kept | dropped).all()
        dark.append(dropped[..., 0].mean())
    assert 0 < dark[0] < 1
    assert 0 < dark[1] < 1


def test_further_anchors_are_drawn_beside_the_best(shown: dict[str, Figure]) -> None:
    for row in shown["multi_anchor"].rows:
        best, more = (int(panel.words.rpartition(", ")[2].removesuffix(" boxes")) for panel in row)
        assert 1 <= best <= more


def test_mirrored_images_are_mirrored(scene: Scene) -> None:
    plain, mirrored = (scene.sample(scene.sample_keys[0], switches) for switches in ({}, {"flip_horizontal": 1.0}))
    # Corners lie on corners, so that mirroring before or after resizing differs by rounding alone.
    assert np.abs(plain.image[:, ::-1].astype(int) - mirrored.image).max() <= 1


def test_an_attack_is_magnified_to_black_and_white(shown: dict[str, Figure]) -> None:
    difference = pixels(shown["self_adversarial"].rows[0][2])
    assert difference.min() <= 2
    assert difference.max() >= 253


def test_input_sizes_are_shown_at_their_proportion(shown: dict[str, Figure]) -> None:
    base, smallest, largest = (panel.image.width for panel in shown["random_shapes"].rows[0])
    assert smallest < base < largest


def test_nothing_outside_is_changed(scene: Scene) -> None:
    before = {name: value.clone() for name, value in scene.network.state_dict().items()}
    state = torch.get_rng_state()
    list(figures(scene))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in scene.network.state_dict().items())


def test_files_are_named_by_their_items(shapes: Path, tmp_path: Path) -> None:
    files = write_freebies(quick_config(), shapes, tmp_path / "new" / "freebies")
    assert sorted(files) == sorted((tmp_path / "new" / "freebies").iterdir())
    with Image.open(tmp_path / "new" / "freebies" / "mosaic.png") as image:
        assert image.width > 600


def test_unusable_data_is_told(tmp_path: Path) -> None:
    with pytest.raises(DatasetError):
        write_freebies(quick_config(), tmp_path, tmp_path / "freebies")
    assert not (tmp_path / "freebies").exists()


def test_a_figure_holds_its_panels_side_by_side() -> None:
    red, blue = (Image.new("RGB", (40, 30), color) for color in ((255, 0, 0), (0, 0, 255)))
    sheet = np.asarray(draw_figure(Figure("name", "words " * 40, [(Panel(red, "a"), Panel(blue, "b"))])))
    reds, blues = ((sheet == color).all(-1).nonzero() for color in ((255, 0, 0), (0, 0, 255)))
    assert (len(reds[0]), len(blues[0])) == (1200, 1200)
    assert reds[1].max() < blues[1].min()
    assert reds[0].min() == blues[0].min()


def test_a_flat_line_and_a_rising_one_are_drawn_in_their_colors() -> None:
    drawn = np.asarray(chart({"flat": [(0, 1), (1, 1)], "rising": [(0, 0), (1, 2)]}, "x"))
    for color in COLORS[:2]:
        assert (drawn == color).all(-1).sum() > 200
    assert np.asarray(chart({"alone": [(0, 1), (1, 1)]}, "x")).shape == drawn.shape
