"""Batches are functions of seed and step alone."""

import multiprocessing
import os
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.runs import quick_config, write_shapes
from yoloscope.models.errors import ConfigError, DatasetError
from yoloscope.models.spec import DetectorSpec
from yoloscope.training.build import build_network
from yoloscope.training.data.augment.color_jitter import ColorJitter
from yoloscope.training.data.augment.geometric import Flip
from yoloscope.training.data.augment.multi_scale import TrainingShapes
from yoloscope.training.data.augment.pipeline import Pipeline
from yoloscope.training.data.datasets import open_dataset
from yoloscope.training.data.loader import (
    Batch,
    BatchSampler,
    BatchSchedule,
    Loaded,
    SampleKey,
    TrainingImages,
    batches,
    collate,
    mini_batch_size,
    read_sample,
    worker_count,
)
from yoloscope.training.data.sample import Sample

BUSY = Pipeline(flip=Flip(), color_jitter=ColorJitter(), mosaic_probability=0.5, cutmix_probability=0.5)


def plan(images: int = 10, batch: int = 4, seed: int = 0, factor: float = 1.0) -> BatchSchedule:
    return BatchSchedule(images, batch, TrainingShapes(64, 64, factor=factor, every=1), seed)


def images_spec(folder: Path) -> DetectorSpec:
    return build_network(quick_config(), open_dataset(folder, "train")).spec


def images_of(folder: Path, pipeline: Pipeline = BUSY, cache_mb: int = 0) -> TrainingImages:
    return TrainingImages(open_dataset(folder, "train"), images_spec(folder), pipeline, seed=3, cache_mb=cache_mb)


def same(a: Batch, b: Batch) -> bool:
    pairs = (
        (a.images, b.images),
        (a.ground_truth.boxes_cxcywh_norm, b.ground_truth.boxes_cxcywh_norm),
        (a.ground_truth.class_ids, b.ground_truth.class_ids),
        (a.ground_truth.image_index, b.ground_truth.image_index),
    )
    return all(torch.equal(x, y) for x, y in pairs)


def test_an_epoch_shows_every_image_once_and_is_filled_up_from_its_own_start() -> None:
    steps = plan()
    assert steps.steps_per_epoch == 3
    seen = [ticket.image for step in range(3) for ticket in steps.sample_keys(step)]
    assert sorted(seen[:10]) == list(range(10))
    assert seen[10:] == seen[:2]
    assert {ticket.epoch for step in range(3) for ticket in steps.sample_keys(step)} == {0}


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = [tuple(t.image for t in plan(seed=seed).sample_keys(step)) for seed in (0, 1) for step in (0, 3)]
    assert len(set(orders)) == 4


def test_fewer_images_than_a_batch_are_repeated() -> None:
    sample_keys = plan(images=3, batch=8).sample_keys(0)
    assert sorted(Counter(t.image for t in sample_keys).values()) == [2, 3, 3]


def test_repeats_of_an_image_are_augmented_anew_and_its_first_visit_as_ever(own_shapes: Path) -> None:
    for path in sorted((own_shapes / "images" / "train").iterdir())[1:]:
        path.unlink()
    sample_keys = plan(images=1, batch=8).sample_keys(0)
    assert [ticket.visit for ticket in sample_keys] == list(range(8))
    images = images_of(own_shapes)
    assert len({images[ticket].sample.image.tobytes() for ticket in sample_keys}) == 8
    image, spec = read_sample(open_dataset(own_shapes, "train").images[0]), images_spec(own_shapes)
    first = BUSY(lambda _index: image, 0, 1, spec, np.random.default_rng((3, 0, 0)))
    assert np.array_equal(images[sample_keys[0]].sample.image, first.image)


def test_ranks_share_a_step_in_order() -> None:
    steps = plan(factor=1.6)
    shares = [steps.sample_keys(1, rank, 2) for rank in range(2)]
    assert shares[0] + shares[1] == steps.sample_keys(1)
    assert len({(t.width, t.height) for t in shares[0] + shares[1]}) == 1


def test_a_resumed_sampler_is_the_rest_of_the_whole() -> None:
    whole, rest = BatchSampler(plan(), 0, 7), BatchSampler(plan(), 4, 7)
    assert list(whole)[4:] == list(rest)
    assert (len(whole), len(rest)) == (7, 3)


def test_batches_do_not_depend_on_workers_caches_or_the_global_random_state(shapes: Path) -> None:
    steps = BatchSampler(plan(images=6, factor=1.6), 0, 3)
    plainly, cached = images_of(shapes), images_of(shapes, cache_mb=1)
    torch.manual_seed(1)
    direct = list(batches(plainly, steps, 0))
    torch.manual_seed(2)
    state = torch.get_rng_state()
    parallel = list(batches(cached, steps, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(map(same, direct, parallel))
    assert len({tuple(batch.images.shape) for batch in direct}) > 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_workers_leave_signals_to_the_main_process_and_end_with_their_loader(shapes: Path, number: int) -> None:
    steps = iter(batches(images_of(shapes, Pipeline()), BatchSampler(plan(images=6), 0, 8), 1))
    next(steps)
    (worker,) = multiprocessing.active_children()
    assert worker.pid is not None
    os.kill(worker.pid, number)
    assert len(list(steps)) == 7
    worker.join(300)
    assert worker.exitcode == 0


def test_a_full_cache_keeps_what_fits(shapes: Path) -> None:
    images = images_of(shapes, Pipeline())
    assert images_of(shapes, Pipeline(), cache_mb=1)[SampleKey(0, 0, 64, 64)].problems == ()
    assert images[SampleKey(0, 1, 64, 64)].sample.image.shape == (64, 64, 3)


def test_collating_by_hand() -> None:
    image = np.zeros((4, 8, 3), np.uint8)
    batch = collate(
        [
            Loaded(Sample.of(image, [(0, 0, 8, 4), (2, 1, 4, 3)], (1, 0)), ("a",)),
            Loaded(Sample.of(image + 7), ("b", "a")),
            Loaded(Sample.of(image, [(4, 0, 8, 2)], (2,)), ()),
        ]
    )
    truth = batch.ground_truth
    expected = [[0.5, 0.5, 1, 1], [0.375, 0.5, 0.25, 0.5], [0.75, 0.25, 0.5, 0.5]]
    assert truth.boxes_cxcywh_norm.tolist() == expected
    assert truth.class_ids.tolist() == [1, 0, 2]
    assert truth.image_index.tolist() == [0, 0, 2]
    assert batch.images.shape == (3, 4, 8, 3)
    assert bool((batch.images[1] == 7).all())
    assert batch.problems == ("a", "b", "a")
    assert truth.weights is None
    parts = list(batch.parts(3))
    assert [part[1].class_ids.tolist() for part in parts] == [[1, 0], [], [2]]
    assert [part[1].image_index.tolist() for part in parts] == [[0, 0], [], [0]]
    assert torch.equal(torch.cat([part[0] for part in parts]), batch.images)


def test_weights_of_objects_travel_with_them() -> None:
    sample = Sample.of(np.zeros((4, 4, 3), np.uint8), [(0, 0, 2, 2)], (1,))
    batch = collate([Loaded(replace(sample, weights=np.array([0.25], np.float32)), ()), Loaded(sample, ())])
    assert batch.ground_truth.weights is not None
    assert batch.ground_truth.weights.tolist() == [0.25, 1]
    parts = [part[1].weights for part in batch.to("cpu").parts(2)]
    assert [None if part is None else part.tolist() for part in parts] == [[0.25], [1]]


def test_a_batch_without_objects_collates() -> None:
    truth = collate([Loaded(Sample.of(np.zeros((4, 4, 3), np.uint8)), ())]).ground_truth
    assert (len(truth), truth.batch_size, truth.boxes_cxcywh_norm.shape) == (0, 1, (0, 4))


def test_objects_that_cannot_be_learned_are_left_out(own_shapes: Path) -> None:
    label = own_shapes / "labels" / "train" / "0.txt"
    label.write_text("0 0.5 0.5 0.25 0.25\n1 0.5 0.5 0 0.25\n")
    sample = read_sample(open_dataset(own_shapes, "train").images[0])
    assert sample.class_ids.tolist() == [0]
    assert sample.boxes_xyxy_px.tolist() == [[24, 24, 40, 40]]


def test_an_unreadable_image_is_replaced_by_the_next_and_reported(own_shapes: Path) -> None:
    images = images_of(own_shapes, Pipeline())
    (own_shapes / "images" / "train" / "1.jpg").write_bytes(b"broken")
    bad, good = images[SampleKey(0, 1, 64, 64)], images[SampleKey(0, 2, 64, 64)]
    assert np.array_equal(bad.sample.image, good.sample.image)
    assert len(bad.problems) == 1
    assert "1.jpg" in bad.problems[0]
    assert good.problems == ()


def test_no_readable_image_at_all_is_an_error(own_shapes: Path) -> None:
    images = images_of(own_shapes, Pipeline())
    for path in (own_shapes / "images" / "train").iterdir():
        path.write_bytes(b"broken")
    with pytest.raises(DatasetError, match="none that can be read"):
        images[SampleKey(0, 0, 64, 64)]


def test_an_empty_split_is_an_error(tmp_path: Path) -> None:
    write_shapes(tmp_path, train=2)
    dataset = open_dataset(tmp_path, "train")
    spec = build_network(quick_config(), dataset).spec
    empty = type(dataset)(**(vars(dataset) | {"images": ()}))
    with pytest.raises(DatasetError, match="expected images in"):
        TrainingImages(empty, spec, Pipeline(), 0)


def test_sharing_out_a_batch() -> None:
    assert mini_batch_size(64, 8, 2) == 4
    with pytest.raises(ConfigError, match="divisible by accumulate x processes = 4 x 2, got 12"):
        mini_batch_size(12, 4, 2)


def test_workers_are_what_is_wanted_or_follow_the_cores() -> None:
    assert worker_count(0) == 0
    assert 1 <= worker_count(None) <= 8


def test_readers_are_bounded_by_the_quota_of_the_container(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yoloscope.training.data.loader.available_cpus", lambda: 3)
    assert worker_count(None) == 2
    assert worker_count(7) == 7
