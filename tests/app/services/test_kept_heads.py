"""Kept heads: bounded in images, bytes and time, and of one owner and model."""

import numpy as np
import pytest

from tests.app.scoring import SPECS, image, random_heads
from yoloscope.app.services.inference import prepare
from yoloscope.app.services.kept_heads import HeadsCache, KeptHeads
from yoloscope.models.errors import ImageNotKeptError
from yoloscope.models.images import ImageLimits

SPEC = SPECS["v4"]
HEADS = random_heads(SPEC)
SIZE = sum(head.nbytes for head in HEADS)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def kept(owner: bytes | None = None) -> KeptHeads:
    prepared = prepare(image(), SPEC, ImageLimits(1 << 20, 1 << 20, 1 << 10))
    return KeptHeads.of(HEADS, prepared, "a.png", "sha", owner)


def is_known(cache: HeadsCache, image_id: str | None, model: str = "sha", owner: bytes | None = None) -> bool:
    assert image_id is not None
    try:
        cache.find(image_id, model, owner, "")
    except ImageNotKeptError:
        return False
    return True


def test_what_is_not_kept_is_told_in_words() -> None:
    with pytest.raises(ImageNotKeptError, match=r"kept for this model, got 'x'.*for 60 s.*send the image") as raised:
        HeadsCache(9, 1 << 20, 60).find("x", "sha", None, "/image_id")
    assert raised.value.pointer == "/image_id"


def test_heads_come_back_without_pixels() -> None:
    cache = HeadsCache(2, 1 << 20, 60)
    image_id = cache.keep(kept())
    assert image_id is not None
    assert len(image_id) == 24
    found = cache.find(image_id, "sha", None, "")
    assert all(np.array_equal(ours, head) and ours is not head for ours, head in zip(found.heads, HEADS, strict=True))
    assert (found.prepared.width, found.prepared.height, found.file_name) == (200, 100, "a.png")
    assert found.prepared.placed.size == 0
    assert cache.held() == (1, SIZE)


def test_an_id_belongs_to_its_owner_and_model() -> None:
    cache = HeadsCache(9, 1 << 20, 60)
    image_id = cache.keep(kept(b"me"))
    assert is_known(cache, image_id, owner=b"me")
    assert not is_known(cache, image_id, owner=b"you")
    assert not is_known(cache, image_id)
    assert not is_known(cache, image_id, "another", b"me")
    assert not is_known(cache, "x" * 24, owner=b"me")


@pytest.mark.parametrize(("images", "size"), [(2, 1 << 20), (9, 2 * SIZE + 1)])
def test_what_was_used_longest_ago_goes_first(images: int, size: int) -> None:
    cache = HeadsCache(images, size, 60)
    first, second = cache.keep(kept()), cache.keep(kept())
    assert is_known(cache, first)
    third = cache.keep(kept())
    assert [is_known(cache, one) for one in (first, second, third)] == [True, False, True]
    assert cache.held() == (2, 2 * SIZE)


def test_they_expire_after_their_last_use() -> None:
    clock = Clock()
    cache = HeadsCache(9, 1 << 20, 60, clock)
    used, unused = cache.keep(kept()), cache.keep(kept())
    clock.now = 59
    assert is_known(cache, used)
    clock.now = 61
    assert [is_known(cache, one) for one in (used, unused)] == [True, False]
    clock.now = 200
    assert cache.held() == (0, 0)


@pytest.mark.parametrize("limits", [(0, 1 << 20), (9, SIZE - 1)])
def test_nothing_is_kept_over_the_limits(limits: tuple[int, int]) -> None:
    cache = HeadsCache(*limits, 60)
    assert cache.keep(kept()) is None
    assert cache.held() == (0, 0)
