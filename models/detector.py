"""The artefact's forward: pictures and thresholds to detections and raw heads."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from models.candidates import Candidates, best, find_candidates
from models.nms import diou_nms
from models.spec import DetectorSpec
from models.symbolic import state

INPUTS = ("images", "score_threshold", "iou_threshold")
FRACTION = "images_fraction"
FRACTION_STEPS = 256
DETECTIONS = ("num_detections", "boxes", "scores", "class_ids")


class Detector(nn.Module):
    """A network with decoding and exact suppression behind it.

    ``network`` maps float pictures [B, 3, H, W] in 0..1 to the raw heads that ``spec`` describes.
    """

    def __init__(self, network: nn.Module, spec: DetectorSpec) -> None:
        super().__init__()
        self.network = network
        self.spec = spec

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of what ``forward`` returns, in order."""
        return (*DETECTIONS, *(f"head_{index}" for index in range(len(self.spec.heads))))

    def forward(
        self, images: Tensor, score_threshold: Tensor, iou_threshold: Tensor, images_fraction: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Return num_detections [B], boxes [B, N, 4], scores [B, N], class_ids [B, N], then the raw heads.

        ``images`` is uint8 RGB [B, H, W, 3] of the network's size, the thresholds are [B]. ``images_fraction``, uint8
        and broadcast against ``images``, adds 256ths of a level: what resizing gives and whole levels cannot hold.
        Boxes are x1, y1, x2, y2 in network pixels, unclipped, score descending. N is the largest count in the batch,
        maybe 0; rows beyond ``num_detections`` are 0.
        """
        heads = self.network(scale_pixels(images, images_fraction))
        return (*detect(heads, self.spec, score_threshold, iou_threshold), *heads)


def scale_pixels(images: Tensor, images_fraction: Tensor | None = None) -> Tensor:
    """Return pictures uint8 [B, H, W, 3], with their 256ths of a level if given, as float [B, 3, H, W] in 0..1."""
    levels = images.float()
    if images_fraction is not None:
        levels = levels + images_fraction.float() / FRACTION_STEPS
    return levels.permute(0, 3, 1, 2) / 255


def detect(
    heads: tuple[Tensor, ...], spec: DetectorSpec, score_threshold: Tensor, iou_threshold: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return num_detections [B], boxes [B, N, 4], scores [B, N] and class_ids [B, N] of raw heads.

    Suppression is per class and picture, on boxes as fractions of the network input.
    """
    candidates = best(find_candidates(heads, spec, score_threshold), spec.nms.max_candidates)
    group = candidates.image_index * len(spec.class_names) + candidates.class_ids
    kept = diou_nms(
        candidates.boxes_xyxy_norm, candidates.scores, group, iou_threshold[candidates.image_index], spec.nms.beta
    )
    return _pack(candidates.select(kept), heads[0].shape[0], spec)


def _pack(detections: Candidates, batch_size: int, spec: DetectorSpec) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the detections as zero-padded rows per picture, in the order they have."""
    image = detections.image_index
    belongs = image == torch.arange(batch_size, device=image.device)[:, None]
    counts = belongs.sum(1)
    width = cast(int, counts.max().item())
    state(width >= 0)
    place = (belongs.to(torch.int64).cumsum(1) - 1).gather(0, image[None])[0]
    target = image * width + place
    size = torch.tensor([spec.input_width, spec.input_height] * 2, device=image.device)
    boxes, scores = detections.boxes_xyxy_norm * size, detections.scores
    return (
        counts,
        boxes.new_zeros(batch_size * width, 4).index_put((target,), boxes).reshape(batch_size, width, 4),
        scores.new_zeros(batch_size * width).index_put((target,), scores).reshape(batch_size, width),
        image.new_zeros(batch_size * width).index_put((target,), detections.class_ids).reshape(batch_size, width),
    )
