"""A detector: network, decoding and DIoU-NMS in one module; its forward is what the ONNX file computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from yoloscope.models.decoding import check_heads, class_probabilities, decode_detection, decode_predictors
from yoloscope.models.layout import CLASSES, GAUSSIAN_CLASSES
from yoloscope.models.nms import diou_nms
from yoloscope.models.preprocess import GREY_WEIGHTS
from yoloscope.models.session import FRACTION_STEPS
from yoloscope.models.spec import RGB_CHANNELS, DetectorSpec

MAX_ROWS = 2**31
INPUTS = ("images", "score_threshold", "iou_threshold")
DETECTIONS = ("num_detections", "boxes", "scores", "class_ids")


class Detector(nn.Module):
    """A network with decoding and exact suppression behind it.

    ``network`` maps float images [B, ``spec.input_channels``, H, W] in 0..1 to the raw heads that ``spec`` describes.
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

        ``images`` is uint8 [B, H, W, ``spec.image_planes``] of the network's size, RGB where there are 3 planes (a gray
        network makes them gray), the thresholds are [B]. ``images_fraction``, uint8
        and broadcast against ``images``, adds 256ths of a level: what resizing gives and whole levels cannot hold.
        Boxes are x1, y1, x2, y2 in network pixels, unclipped, score descending. N is the largest count in the batch,
        maybe 0; rows beyond ``num_detections`` are 0.
        """
        heads = self.network(scale_pixels(images, images_fraction, channels=self.spec.input_channels))
        return (*detect(heads, self.spec, score_threshold, iou_threshold), *heads)


def scale_pixels(images: Tensor, images_fraction: Tensor | None = None, *, channels: int = RGB_CHANNELS) -> Tensor:
    """Return images uint8 [B, H, W, P], with their 256ths of a level if given, as float [B, channels, H, W] in 0..1.

    One channel is made of RGB by ``GREY_WEIGHTS``; otherwise the planes P are the channels.
    """
    levels = images.float()
    if images_fraction is not None:
        levels = levels + images_fraction.float() / FRACTION_STEPS
    if channels == 1:
        levels = (levels * torch.tensor(GREY_WEIGHTS, device=levels.device)).sum(-1, keepdim=True)
    return levels.permute(0, 3, 1, 2) / 255


def detect(
    heads: tuple[Tensor, ...], spec: DetectorSpec, score_threshold: Tensor, iou_threshold: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return num_detections [B], boxes [B, N, 4], scores [B, N] and class_ids [B, N] of raw heads.

    Suppression is per class and image, on boxes as fractions of the network input.
    """
    candidates = find_candidates(heads, spec, score_threshold)
    return suppress(candidates, iou_threshold, spec.nms.beta, SpecNumbers.of(spec, candidates.scores.device))


class Candidates(NamedTuple):
    """Boxes above the threshold: corners as fractions of the network input [n, 4]; scores, classes, images [n].

    One row per box and class. Rows of one image are in the order of ``decode_heads``, then by class.
    """

    boxes_xyxy_norm: Tensor
    scores: Tensor
    class_ids: Tensor
    image_index: Tensor

    def select(self, rows: Tensor) -> Candidates:
        """Return the given rows, in the given order."""
        return Candidates(*(column[rows] for column in self))


def find_candidates(heads: Sequence[Tensor], spec: DetectorSpec, score_threshold: Tensor) -> Candidates:
    """Return what scores strictly above the threshold [B] of its image.

    In anchor-based heads objectness alone must pass too, as in darknet (src/yolo_layer.c, get_yolo_detections); since
    most predictors are background, class probabilities are computed only where it does. A YOLOv1 head has no such test.
    """
    check_heads(heads, spec)
    parts = [
        (_detection if spec.heads[index].kind == "detection" else _anchored)(head.float(), spec, index, score_threshold)
        for index, head in enumerate(heads)
    ]
    if len(parts) == 1:
        return parts[0]
    return Candidates(*(torch.cat(columns) for columns in zip(*parts, strict=True)))


class SpecNumbers(NamedTuple):
    """Numbers of a spec that suppression takes; in a graph that fits every spec they are tensors, int64 [].

    ``size_px`` is the size of the network input as (w, h, w, h), float32 [4].
    """

    num_classes: int | Tensor
    max_candidates: int | Tensor
    size_px: Tensor

    @classmethod
    def of(cls, spec: DetectorSpec, device: torch.device) -> SpecNumbers:
        """Return those of a spec."""
        size_px = torch.tensor([spec.input_width, spec.input_height] * 2, dtype=torch.float32, device=device)
        return cls(len(spec.class_names), spec.nms.max_candidates, size_px)


def suppress(
    candidates: Candidates, iou_threshold: Tensor, beta: float | None, numbers: SpecNumbers
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the detections that ``detect`` returns, of candidates and the threshold [B] of each image."""
    image = candidates.image_index
    group = image * numbers.num_classes + candidates.class_ids
    threshold, most = iou_threshold.gather(0, image), numbers.max_candidates
    kept = diou_nms(candidates.boxes_xyxy_norm, candidates.scores, group, threshold, beta, most)
    return _pack(candidates.select(kept), iou_threshold.shape[0], numbers.size_px)


def _pack(detections: Candidates, batch_size: int, size_px: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the detections as zero-padded rows per image, in the order they have."""
    image = detections.image_index
    belongs = image == torch.arange(batch_size, device=image.device)[:, None]
    counts = torch.cat((belongs, belongs.new_zeros(batch_size, 1)), 1).sum(
        1
    )  # onnxruntime on CUDA takes no sum of nothing
    width = cast(int, counts.max().item())
    torch_check(width >= 0)
    place = (belongs.to(torch.int64).cumsum(1) - 1).gather(0, image[None])[0]
    target = image * width + place
    boxes, scores = detections.boxes_xyxy_norm * size_px, detections.scores
    return (
        counts,
        boxes.new_zeros(batch_size * width, 4).index_put((target,), boxes).reshape(batch_size, width, 4),
        scores.new_zeros(batch_size * width).index_put((target,), scores).reshape(batch_size, width),
        image.new_zeros(batch_size * width).index_put((target,), detections.class_ids).reshape(batch_size, width),
    )


def _detection(head: Tensor, spec: DetectorSpec, index: int, score_threshold: Tensor) -> Candidates:
    boxes, scores = decode_detection(head, spec.heads[index], spec.num_classes)
    image, row, class_id = _where(scores > score_threshold[:, None, None])
    return Candidates(boxes[image, row], scores[image, row, class_id], class_id, image)


def _anchored(head: Tensor, spec: DetectorSpec, index: int, score_threshold: Tensor) -> Candidates:
    boxes, confidence, _ = decode_predictors(head, spec, index)
    image, anchor, cell = _where(confidence > score_threshold[:, None, None])
    logits = _gather_logits(head, spec, index, (image, anchor, cell))
    probabilities = class_probabilities(logits[None, None], spec.heads[index], spec.class_tree)[0, 0]
    scores = (confidence[image, anchor, cell] * probabilities).T
    row, class_id = _where(scores > score_threshold[image][:, None])
    box = boxes[image, anchor * confidence.shape[2] + cell]
    return Candidates(box[row], scores[row, class_id], class_id, image[row])


def _gather_logits(head: Tensor, spec: DetectorSpec, index: int, where: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Return the class logits [C, n] of n predictors of a head [B, A*(5+C), h, w]."""
    image, anchor, cell = where
    head_spec, num_classes = spec.heads[index], spec.num_classes
    cells = head_spec.grid_height * head_spec.grid_width
    first = GAUSSIAN_CLASSES if head_spec.kind == "gaussian_yolo" else CLASSES
    predictor = image * head_spec.num_anchors + anchor
    start = (predictor * (first + num_classes) + first) * cells + cell
    classes = torch.arange(num_classes, device=head.device) * cells
    place = classes[:, None] + start
    return head.flatten().gather(0, place.flatten()).view_as(place)  # faster in onnxruntime than an index


def _where(mask: Tensor) -> tuple[Tensor, ...]:
    """Return the positions where ``mask`` holds, one index tensor per dimension."""
    positions = mask.nonzero()
    torch_check(positions.shape[0] < MAX_ROWS)
    return positions.unbind(1)


def torch_check(fact: bool) -> None:  # noqa: FBT001 - a comparison of sizes, symbolic where the graph is being exported
    """Assert a fact about data-dependent sizes, which the exporter may rely on; raises RuntimeError in eager mode."""
    check: Callable[[bool], None] = torch._check  # noqa: SLF001 - documented API in spite of its name
    check(fact)
